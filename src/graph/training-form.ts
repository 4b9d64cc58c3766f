import { EdgeError } from '../core/errors.ts';
import { float, floatOf, type Graph, int, type Node, sizeOf } from './ir.ts';
import { toF64 } from './numbers.ts';
import { inferShapes } from './shapes.ts';

/** One BatchNormalization that learns: after a step, running = momentum·running + (1 − momentum)·batch, with the batch variance times count/(count − 1). */
export interface TrainingNorm {
  readonly node: string;
  /** Values of the graph: batch mean and biased batch variance, float32 [C]. */
  readonly mean: string;
  readonly variance: string;
  /** Initializers that hold the running statistics; the training graph keeps them, though its forward no longer reads them. */
  readonly runningMean: string;
  readonly runningVariance: string;
  readonly momentum: number;
  /** Elements per channel (N·H·W) that a batch statistic rests on. */
  readonly count: number;
}

export interface TrainingForm {
  /** Names of BatchNormalization nodes that keep their running statistics. */
  readonly frozenNorms: readonly string[];
  /** Dropout nodes drop by `seed` and the step's number, which the one-element value `step` of the graph holds; without it they pass their input on. */
  readonly dropout?: { readonly seed: number; readonly step: string };
}
/** The graph with every BatchNormalization but the frozen ones using its batch's own statistics, and Dropout dropping where that is wanted. Sizes must be fixed (bindBatch). */
export function toTrainingForm(graph: Graph, { frozenNorms, dropout }: TrainingForm): { readonly graph: Graph; readonly norms: readonly TrainingNorm[] } {
  const frozen = new Set(frozenNorms);
  let dropouts = 0;
  const types = inferShapes(graph);
  const taken = new Set([...types.keys()]);
  const fresh = (stem: string): string => {
    let name = stem;
    for (let k = 1; taken.has(name); k++) name = `${stem}_${k}`;
    taken.add(name);
    return name;
  };
  const norms: TrainingNorm[] = [];
  const nodes = graph.nodes.map((node): Node => {
    if (node.type === 'Dropout' && node.domain === '' && dropout !== undefined)
      return dropping(graph, node, { seed: seedOf(dropout.seed, dropouts++), step: dropout.step, mask: node.outputs[1] || fresh(`${node.outputs[0]}_mask`) });
    if (node.type !== 'BatchNormalization' || node.domain !== '' || frozen.has(node.name)) return node;
    const [x, gamma, beta, runningMean, runningVariance] = node.inputs as [string, string, string, string, string];
    const dims = types.get(x)?.dims ?? [];
    if (!dims.every(dim => typeof dim === 'number'))
      throw new EdgeError('shape-mismatch', `The input of "${node.name}" is [${dims}]; training needs fixed sizes.`, {
        hint: 'Fix the batch first (bindBatch).',
        where: { path: node.name },
      });
    const mean = fresh(`${node.outputs[0]}_mean`);
    const variance = fresh(`${node.outputs[0]}_variance`);
    const count = sizeOf(dims) / (dims[1] ?? 1);
    norms.push({ node: node.name, mean, variance, runningMean, runningVariance, momentum: floatOf(node, 'momentum', 0.9), count });
    return {
      name: node.name,
      type: 'BatchNormTrain',
      domain: 'edge',
      inputs: [x, gamma, beta],
      outputs: [node.outputs[0] as string, mean, variance],
      attributes: { epsilon: float(floatOf(node, 'epsilon', 1e-5)) },
    };
  });
  return { graph: norms.length + dropouts === 0 ? graph : { ...graph, opsets: { ...graph.opsets, edge: 1 }, nodes }, norms };
}

/** Each node's own seed: networks of neighbouring seeds share none. */
const seedOf = (seed: number, node: number): number => (Math.imul(seed, 0x85ebca6b) + Math.imul(node, 0xc2b2ae35)) >>> 1;
/** A Dropout as its training form. A reader of its mask (bool in ONNX) is an error. */
function dropping(graph: Graph, node: Node, { seed, step, mask }: { readonly seed: number; readonly step: string; readonly mask: string }): Node {
  if (node.outputs[1] && graph.nodes.some(reader => reader.inputs.includes(mask)))
    throw new EdgeError('operator-unsupported', `Dropout "${node.name}": something reads its mask.`, {
      hint: 'Export the model without the mask of its dropouts.',
      where: { path: node.name },
    });
  const stated = graph.initializers.get(node.inputs[1] ?? '');
  const ratio = stated === undefined ? floatOf(node, 'ratio', 0.5) : (toF64(stated).data[0] ?? 0.5);
  return {
    name: node.name,
    type: 'DropoutTrain',
    domain: 'edge',
    inputs: [node.inputs[0] as string, step],
    outputs: [node.outputs[0] as string, mask],
    attributes: { ratio: float(ratio), seed: int(seed) },
  };
}
