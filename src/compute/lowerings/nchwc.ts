import { Builder } from '../../graph/builder.ts';
import { type Graph, intOf, type Node } from '../../graph/ir.ts';
import { inferShapes } from '../../graph/shapes.ts';
import type { Lowered, StateSlot, StoredLayout } from '../lowering.ts';
import { dimsOf } from './_emit.ts';
import { type Layout, storedLayout } from './_layouts.ts';
import * as convolution from './_nchwc-conv.ts';
import * as convolutionWeight from './_nchwc-conv-weight.ts';
import * as norm from './_nchwc-norm.ts';
import * as pointwise from './_nchwc-pointwise.ts';
import * as pooling from './_nchwc-pool.ts';
import { Places } from './_places.ts';
import { stdRule, withoutInternal } from './std.ts';

/** One row: a node of this kind, where `fits` says so, is computed in blocks; where no row fits, in plain layout as `std` does. */
interface BlockRule {
  readonly domain: '' | 'edge';
  readonly types: readonly string[];
  fits(node: Node, places: Places): boolean;
  emit(node: Node, places: Places): void;
}

/** The table; the first row that fits counts. */
const rules: readonly BlockRule[] = [
  { domain: '', types: ['Conv'], fits: convolution.convFits, emit: convolution.conv },
  { domain: 'edge', types: ['ConvGradInput'], fits: convolution.convGradInputFits, emit: convolution.convGradInput },
  { domain: 'edge', types: ['ConvGradWeight'], fits: convolutionWeight.convGradWeightFits, emit: convolutionWeight.convGradWeight },
  { domain: 'edge', types: ['BatchNormTrain'], fits: norm.normFits, emit: norm.batchNormTrain },
  { domain: 'edge', types: ['BatchNormGrad'], fits: norm.normGradFits, emit: norm.batchNormGrad },
  { domain: '', types: ['BatchNormalization'], fits: (node, places) => norm.normFits(node, places) && intOf(node, 'training_mode', 0) === 0, emit: norm.batchNormInference },
  { domain: 'edge', types: ['ReluGrad'], fits: pointwise.reluGradFits, emit: pointwise.reluGrad },
  { domain: '', types: ['Relu', 'Clip'], fits: pointwise.activationFits, emit: pointwise.activation },
  { domain: '', types: ['Add'], fits: pointwise.addFits, emit: pointwise.add },
  { domain: '', types: ['Mul', 'Add', 'Sub'], fits: pointwise.perChannelFits, emit: pointwise.writePerChannel },
  { domain: '', types: ['MaxPool', 'AveragePool'], fits: pooling.poolFits, emit: pooling.pool },
  { domain: 'edge', types: ['MaxPoolGrad'], fits: pooling.maxPoolGradFits, emit: pooling.maxPoolGrad },
  { domain: '', types: ['GlobalAveragePool'], fits: pooling.poolFits, emit: pooling.globalAveragePool },
  { domain: '', types: ['ReduceSum', 'ReduceMean', 'ReduceMax'], fits: pointwise.reduceFits, emit: pointwise.reduce },
  { domain: 'edge', types: ['FakeQuantize'], fits: pointwise.fakeQuantizeFits, emit: pointwise.fakeQuantize },
  { domain: '', types: ['Expand'], fits: pointwise.expandFits, emit: pointwise.expand },
  { domain: '', types: ['Concat'], fits: pointwise.concatFits, emit: pointwise.concat },
];

export interface NchwcOptions {
  /** Channels per block: 16 with AVX-512, else 8; `probeBlock` asks onnxruntime. */
  readonly block: number;
  /** Values that go in and out of every step: convolution weights among them, and the slots that lie like them, are stored in blocks. */
  readonly state?: readonly StateSlot[];
}

/**
 * The fast lowering for onnxruntime on the CPU: activations stay in blocks of channels from the first convolution to the last, through its internal
 * domain com.microsoft.nchwc (so onnxruntime is pinned exactly). Channel counts that are no multiple of the block are padded with zeros, which stay zero.
 */
export function lowerNchwc(source: Graph, { block, state = [] }: NchwcOptions): Lowered {
  const types = inferShapes(source);
  const graph = masksFromClips(source);
  const stored = storedWeights(graph, types, state);
  const homes = new Map<string, Layout>();
  for (const slot of state) {
    const layout = stored.get(slot.like ?? slot.input);
    if (layout === undefined) continue;
    homes.set(slot.input, layout);
    homes.set(slot.output, layout);
  }
  const layouts = new Map<string, StoredLayout>();
  for (const slot of state) {
    const layout = stored.get(slot.like ?? slot.input);
    if (layout !== undefined) layouts.set(slot.input, storedLayout(layout, dimsOf(types, slot.input), block));
  }
  const shapeOf = (name: string): readonly number[] | undefined => {
    const slot = state.find(each => each.input === name || each.output === name);
    return slot === undefined ? undefined : layouts.get(slot.input)?.dims;
  };
  const retyped = <V extends { readonly name: string; readonly type: Graph['inputs'][number]['type'] }>(values: readonly V[]) =>
    values.map(value => ({ ...value, type: { ...value.type, dims: shapeOf(value.name) ?? value.type.dims } }));
  const builder = Builder.from({ ...graph, nodes: [], opsets: withoutInternal(graph.opsets), inputs: retyped(graph.inputs), outputs: retyped(graph.outputs) });
  const places = new Places(graph, builder, types, block, homes);
  for (const node of graph.nodes) {
    const rule = rules.find(each => each.domain === node.domain && each.types.includes(node.type) && each.fits(node, places));
    if (rule) rule.emit(node, places);
    else if (pointwise.pointwiseFits(node, places)) pointwise.writePointwise(node, places);
    else inPlain(node, places);
  }
  for (const { name } of graph.outputs) {
    const value = places.in(name, homes.get(name) ?? 'plain');
    if (value !== name) builder.op('Identity', [value], {}, { output: name });
  }
  return { graph: builder.graph(), layouts };
}

/**
 * Lets the mask of a Clip's gradient read the Clip's output: strictly inside the bounds both say the same, and the input is then read by the Clip alone,
 * which can ride on the convolution before it.
 */
function masksFromClips(graph: Graph): Graph {
  const clips = new Map(graph.nodes.filter(node => node.type === 'Clip' && node.domain === '').map(node => [node.inputs[0] ?? '', node]));
  const nodes = graph.nodes.map(node => {
    const clip = node.type === 'Greater' || node.type === 'Less' ? clips.get(node.inputs[0] ?? '') : undefined;
    const bound = clip?.inputs[node.type === 'Greater' ? 1 : 2];
    const equal = bound !== undefined && scalarOf(graph, bound) !== undefined && scalarOf(graph, bound) === scalarOf(graph, node.inputs[1] ?? '');
    return clip !== undefined && equal ? { ...node, inputs: [clip.outputs[0] ?? '', ...node.inputs.slice(1)] } : node;
  });
  return { ...graph, nodes };
}
const scalarOf = (graph: Graph, name: string): number | undefined => {
  const tensor = graph.initializers.get(name);
  return tensor?.data.length === 1 ? Number(tensor.data[0]) : undefined;
};

/** The state inputs that convolutions read as weights, with the layout these want. */
function storedWeights(graph: Graph, types: ReturnType<typeof inferShapes>, state: readonly StateSlot[]): Map<string, 'matrix' | 'vector'> {
  const candidates = new Set(state.filter(slot => slot.like === undefined).map(slot => slot.input));
  const stored = new Map<string, 'matrix' | 'vector'>();
  for (const node of graph.nodes) {
    const weight = node.inputs[1];
    if (node.type !== 'Conv' || node.domain !== '' || weight === undefined || !candidates.has(weight)) continue;
    const layout = convolution.weightLayoutFor(dimsOf(types, weight), intOf(node, 'group', 1));
    if (layout !== undefined) stored.set(weight, layout);
  }
  return stored;
}

function inPlain(node: Node, places: Places): void {
  const outputs = node.outputs.map(name => (name === '' ? '' : places.claim(name, 'plain')));
  const plain: Node = { ...node, inputs: node.inputs.map(name => (name === '' ? '' : places.plain(name))), outputs };
  const rule = stdRule(node);
  if (rule) rule.emit(plain, { builder: places.builder, types: places.types });
  else places.builder.ops(node.type, plain.inputs, node.attributes, { name: node.name, outputs, domain: node.domain });
  for (const [at, name] of node.outputs.entries()) if (name !== '') places.set(name, 'plain', outputs[at] as string);
}
