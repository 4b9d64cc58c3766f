import { z } from 'zod';
import { EdgeError } from '../core/errors.ts';
import { type Graph, intOf, type Node } from '../graph/ir.ts';

/** What stays as it is while training. Blocks are TLT's numbers: 0 is conv1 with its norm, 1–4 the stages; numbers that match nothing freeze nothing, as in TLT (`idleBlocks`). */
export const freezeSchema = z.strictObject({
  freezeBlocks: z.array(z.number().int().min(0)).default([]),
  /** Every BatchNormalization keeps its statistics, gamma and beta. */
  freezeBn: z.boolean().default(false),
  /** The first k convolutions in graph order, for backbones without blocks; a norm that reads a frozen one is frozen too. */
  freezeConvs: z.number().int().min(0).default(0),
  /** Layers by name; `*` stands for any characters. A norm that reads a frozen convolution is frozen too. */
  freezeNames: z.array(z.string().min(1)).default([]),
  /** Everything ahead of the last layers. */
  freezeBackbone: z.boolean().default(false),
});
export type Freeze = z.output<typeof freezeSchema>;

/** Which initializers learn, which norms stay in inference form, which kernels are regularized. */
export interface Learning {
  readonly trainable: readonly string[];
  readonly frozenNorms: readonly string[];
  readonly regularized: readonly string[];
}

/** Inputs that hold learnt weights, per operator: [kernels, others]. BatchNormalization's statistics (3, 4) are never learnt by gradient. */
const weightInputs: Readonly<Record<string, { readonly kernels: readonly number[]; readonly others: readonly number[] }>> = {
  Conv: { kernels: [1], others: [2] },
  ConvTranspose: { kernels: [1], others: [2] },
  Gemm: { kernels: [0, 1], others: [2] },
  MatMul: { kernels: [0, 1], others: [] },
  BatchNormalization: { kernels: [], others: [1, 2] },
  PRelu: { kernels: [], others: [1] },
};

/** Names of the initializers of a node that are float weights: kernels and others apart. */
export function weightsOf(node: Node, graph: Graph): { readonly kernels: readonly string[]; readonly others: readonly string[] } {
  const row = Object.hasOwn(weightInputs, node.type) && node.domain === '' ? weightInputs[node.type] : undefined;
  const named = (indices: readonly number[]) => indices.map(i => node.inputs[i] ?? '').filter(name => graph.initializers.get(name)?.dataType === 'float32');
  return { kernels: named(row?.kernels ?? []), others: named(row?.others ?? []) };
}

/** Keras' name of a layer with a kernel, as a spec's `scope` speaks of them. */
function layerType(node: Node, graph: Graph): string {
  if (node.type === 'Gemm' || node.type === 'MatMul') return 'Dense';
  if (node.type === 'ConvTranspose') return 'Conv2DTranspose';
  return intOf(node, 'group', 1) > 1 && graph.initializers.get(node.inputs[1] ?? '')?.dims[1] === 1 ? 'DepthwiseConv2D' : 'Conv2D';
}
/** Names of all kernels of these layer types (Conv2D, DepthwiseConv2D, Conv2DTranspose, Dense): what a classification spec's reg_config.scope regularizes. */
export const kernelsIn = (graph: Graph, scope: readonly string[]): ReadonlySet<string> =>
  new Set(graph.nodes.flatMap(node => (scope.includes(layerType(node, graph)) ? weightsOf(node, graph).kernels : [])));

/** What learns in a graph under a freeze. An initializer that a frozen and a free node share stays frozen. Throws `spec-invalid` on a name that fits no layer. */
export function learningOf(graph: Graph, freeze: Freeze): Learning {
  const frozen = frozenNodes(graph, freeze);
  const fixed = new Set<string>();
  for (const node of graph.nodes) if (frozen.has(node)) for (const name of all(node, graph)) fixed.add(name);
  const trainable = new Set<string>();
  const regularized = new Set<string>();
  for (const node of graph.nodes) {
    const { kernels, others } = weightsOf(node, graph);
    for (const name of kernels) if (!fixed.has(name)) regularized.add(name);
    for (const name of [...kernels, ...others]) if (!fixed.has(name)) trainable.add(name);
  }
  const frozenNorms = graph.nodes.filter(node => node.type === 'BatchNormalization' && frozen.has(node)).map(node => node.name);
  return { trainable: [...trainable], frozenNorms, regularized: [...regularized] };
}

const all = (node: Node, graph: Graph): readonly string[] => {
  const { kernels, others } = weightsOf(node, graph);
  return [...kernels, ...others];
};

const escaped = (text: string): string => text.replace(/[.+?^${}()|[\]\\]/g, '\\$&');
/** Whether a layer's name fits one of these names; throws where one fits none of the layers with weights. */
function byName(graph: Graph, names: readonly string[]): (node: Node) => boolean {
  const patterns = names.map(name => ({ name, pattern: new RegExp(`^${name.split('*').map(escaped).join('.*')}$`) }));
  const layers = graph.nodes.filter(node => all(node, graph).length > 0).map(node => node.name);
  for (const { name, pattern } of patterns) {
    if (layers.some(layer => pattern.test(layer))) continue;
    const some = layers.length > 6 ? `${layers.slice(0, 3).join(', ')}, …, ${layers.slice(-2).join(', ')}` : layers.join(', ');
    throw new EdgeError('spec-invalid', `freeze names "${name}", which fits none of the ${layers.length} layers with weights: ${some}.`, {
      hint: 'Spell it as edgeforge inspect FILE shows it; * stands for any characters.',
      where: { path: 'freeze' },
    });
  }
  return node => patterns.some(({ pattern }) => pattern.test(node.name));
}
const isHead = (node: Node): boolean => /^(?:output_bbox|output_cov|predictions)(?:\/|$)/.test(node.name);

function frozenNodes(graph: Graph, { freezeBlocks, freezeBn, freezeConvs, freezeNames, freezeBackbone }: Freeze): ReadonlySet<Node> {
  const blocks = new Set(freezeBlocks);
  const named = byName(graph, freezeNames);
  const frozen = new Set<Node>();
  const frozenValues = new Set<string>();
  let convs = 0;
  for (const node of graph.nodes) {
    const block = blockOf(node.name);
    const isNorm = node.type === 'BatchNormalization';
    const early = node.type === 'Conv' && convs++ < freezeConvs;
    const follows = isNorm && frozenValues.has(node.inputs[0]!);
    const asked = named(node) || (freezeBackbone && !isHead(node));
    if (!early && !follows && !asked && !(isNorm && freezeBn) && !(block !== undefined && blocks.has(block))) continue;
    frozen.add(node);
    if (node.type === 'Conv') for (const output of node.outputs) frozenValues.add(output);
  }
  return frozen;
}

/** The blocks of a freeze that no layer of the graph belongs to: nothing is frozen by them. Only ResNet names have blocks. */
export function idleBlocks(graph: Graph, { freezeBlocks = [] }: z.input<typeof freezeSchema>): readonly number[] {
  const there = new Set(graph.nodes.map(node => blockOf(node.name)));
  return [...new Set(freezeBlocks)].filter(block => !there.has(block));
}

/** TLT's block number of a ResNet layer name, or undefined. */
function blockOf(name: string): number | undefined {
  if (name === 'conv1' || name === 'bn_conv1') return 0;
  const stage = /^block_([1-9])[a-z]+_/.exec(name)?.[1];
  return stage === undefined ? undefined : Number(stage);
}
