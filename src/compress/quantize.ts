import { EdgeError, unreachable } from '../core/errors.ts';
import { Builder } from '../graph/builder.ts';
import { removeUnused } from '../graph/clean.ts';
import { f32, type Graph, int, type Node, type Tensor } from '../graph/ir.ts';
import { type QuantizeRule, weightAxisOf } from '../graph/operator.ts';
import { infer } from '../graph/shapes.ts';
import { type ActivationRange, activationsOf, type QuantizedEngine, type RangeTable } from './calibrate.ts';
import { quantizedBias, quantizedKernel } from './weight-grid.ts';

/**
 * How the engine that will read the Q/DQ graph wants it.
 * tensorrt: int8, zero point 0, float biases, the branch that a convolution fuses into an Add stays unquantized (targets.md §5.4).
 * onnxruntime: u8 activations on the same grid (zero point 128, or 0 where nothing is negative), int32 biases, every Add input quantized,
 * because only then do its integer kernels take over (training-engine.md §5).
 */
export interface QuantizePolicy {
  readonly engine: QuantizedEngine;
  /** Node names that stay float. */
  readonly excluded?: readonly string[];
}

/** Scale of an activation: TensorRT's amax/127; a tensor that is always zero gets 1/127. */
export const activationScale = (range: Pick<ActivationRange, 'amax'>): number => (range.amax > 0 ? range.amax : 1) / 127;

interface Context {
  readonly graph: Graph;
  readonly builder: Builder;
  readonly ranges: ReadonlyMap<string, ActivationRange>;
  readonly policy: QuantizePolicy;
  readonly rules: ReadonlyMap<Node, QuantizeRule>;
  readonly consumers: ReadonlyMap<string, readonly Node[]>;
  readonly producers: ReadonlyMap<string, Node>;
  /** A value as the quantized graph's consumers read it: its dequantized name and its scale. */
  readonly dequantized: Map<string, { readonly name: string; readonly scale: number }>;
}

/**
 * A Q/DQ graph: per-channel int8 weights, per-tensor activations with the table's ranges. Inputs, outputs and their names stay as they are.
 * Throws `calibration-missing` naming the activation that the table lacks: then it was made on another graph.
 */
export function quantize(graph: Graph, table: RangeTable, policy: QuantizePolicy): Graph {
  const builder = new Builder(graph.name, graph.opsets);
  builder.inputs.push(...graph.inputs);
  builder.outputs.push(...graph.outputs);
  builder.metadata = { ...graph.metadata, 'edgeforge.quantization': policy.engine };
  for (const name of [...graph.initializers.keys(), ...graph.inputs.map(i => i.name), ...graph.nodes.flatMap(n => [...n.outputs, `node:${n.name}`])]) builder.fresh(name);
  for (const [name, tensor] of graph.initializers) builder.initializers.set(name, tensor);
  const context = contextOf(graph, builder, table.ranges, policy);
  for (const node of graph.nodes) emit(context, node);
  return removeUnused(builder.graph());
}

/** An operand that a policy reads through Q/DQ: an activation with the value whose range it has, or a weight with the axis of its output channels. */
export type QuantizedRead =
  | { readonly kind: 'activation'; readonly node: string; readonly input: number; readonly range: string }
  | { readonly kind: 'weight'; readonly node: string; readonly input: number; readonly axis: number };

/** The placement alone: what `quantize` would put Q/DQ on. */
export function quantizedReads(graph: Graph, engine: QuantizedEngine): readonly QuantizedRead[] {
  const ranges = activationsOf(graph).map(({ name }) => ({ name, amax: 1, min: -1, max: 1 }));
  const context = contextOf(graph, new Builder(), ranges, { engine });
  return graph.nodes.flatMap((node): QuantizedRead[] => {
    const rule = context.rules.get(node) as QuantizeRule;
    const activations = node.inputs.flatMap((name, input): QuantizedRead[] =>
      wantsQuantized(context, node, rule, input) ? [{ kind: 'activation', node: node.name, input, range: rangedValue(context, name) }] : [],
    );
    const weighted = rule.kind === 'weighted' && weightOf(context, node, rule.weightInput) !== undefined;
    return weighted ? [...activations, { kind: 'weight', node: node.name, input: rule.weightInput, axis: weightAxisOf(node, rule) }] : activations;
  });
}

function contextOf(graph: Graph, builder: Builder, ranges: readonly ActivationRange[], policy: QuantizePolicy): Context {
  const consumers = new Map<string, Node[]>();
  for (const node of graph.nodes) for (const name of node.inputs) consumers.set(name, [...(consumers.get(name) ?? []), node]);
  return {
    graph,
    builder,
    policy,
    consumers,
    ranges: new Map(ranges.map(range => [range.name, range])),
    rules: new Map(infer(graph).bound.map(({ operator, bound: { node } }) => [node, policy.excluded?.includes(node.name) ? { kind: 'float' } : operator.quantize])),
    producers: new Map(graph.nodes.flatMap(node => node.outputs.map(output => [output, node] as const))),
    dequantized: new Map(),
  };
}

function emit(context: Context, node: Node): void {
  const { builder, rules, graph, policy } = context;
  const rule = rules.get(node) as QuantizeRule;
  const inputs = node.inputs.map((name, index) => (wantsQuantized(context, node, rule, index) ? quantizedValue(context, name).name : name));
  if (rule.kind === 'weighted' && weightOf(context, node, rule.weightInput)) {
    const input = context.dequantized.get(node.inputs[0] as string)?.scale as number;
    const bias = policy.engine === 'onnxruntime' ? graph.initializers.get(node.inputs[2] ?? '') : undefined;
    const axis = weightAxisOf(node, rule);
    const kernel = quantizedKernel(weightOf(context, node, rule.weightInput) as Tensor, axis, bias && { bias, inputScale: input });
    inputs[rule.weightInput] = dequantizedConstant(builder, node.inputs[rule.weightInput] as string, kernel.values, kernel.scales, axis);
    if (bias)
      inputs[2] = dequantizedConstant(
        builder,
        node.inputs[2] as string,
        quantizedBias(bias, kernel.scales, input),
        kernel.scales.map(scale => scale * input),
        0,
      );
  }
  builder.nodes.push({ ...node, inputs });
}

/** Whether input `index` of a node is read through Q/DQ. Constants are not: weights follow their own rule, others stay float. */
function wantsQuantized(context: Context, node: Node, rule: QuantizeRule, index: number): boolean {
  const name = node.inputs[index];
  if (!name || context.graph.initializers.has(name)) return false;
  switch (rule.kind) {
    case 'weighted':
      return index === 0 && weightOf(context, node, rule.weightInput) !== undefined;
    case 'join':
      return joinsActivations(context, node) && feedsQuantized(context, node) && !(context.policy.engine === 'tensorrt' && fusesInto(context, node, name));
    case 'passes':
    case 'same-scale':
    case 'input-only':
      // A clamp fuses into its producer: a pair between the two would keep both from the integer kernel.
      return index === 0 && !isClamp(node) && feedsQuantized(context, node);
    case 'float':
      return false;
    default:
      return unreachable(rule);
  }
}

const weightOf = ({ graph }: Context, node: Node, index: number): Tensor | undefined => {
  const tensor = graph.initializers.get(node.inputs[index] ?? '');
  return tensor?.dataType === 'float32' ? tensor : undefined;
};

/** An Add or Concat takes part where all its operands are activations. */
const joinsActivations = ({ graph, ranges }: Context, node: Node): boolean => node.inputs.every(name => name === '' || (!graph.initializers.has(name) && ranges.has(name)));

/** TensorRT fuses a convolution with the Add behind it when it feeds only that Add: the first such operand stays unquantized. */
function fusesInto({ producers, consumers, rules, graph }: Context, node: Node, name: string): boolean {
  const fusable = node.inputs.find(input => {
    const producer = producers.get(input);
    return producer !== undefined && rules.get(producer)?.kind === 'weighted' && consumers.get(input)?.length === 1 && !graph.outputs.some(output => output.name === input);
  });
  return fusable === name;
}

/** Whether what leaves this node is read as an integer further on: through activations that fuse into their producer, pools and reshapes. */
function feedsQuantized(context: Context, node: Node, depth = 0): boolean {
  if (depth > 8) return false;
  return (context.consumers.get(node.outputs[0] as string) ?? []).some(next => {
    const rule = (context.rules.get(next) as QuantizeRule).kind;
    if (rule === 'weighted') return true;
    if (rule === 'float' && !isClamp(next)) return false;
    return feedsQuantized(context, next, depth + 1);
  });
}
const isClamp = (node: Node): boolean => node.type === 'Relu' || node.type === 'Clip';

/** The value whose range another is quantized with: behind a pool or reshape what went in, so that the node stays integer. */
function rangedValue(context: Context, name: string): string {
  const producer = context.producers.get(name);
  const rule = producer && context.rules.get(producer);
  return producer && (rule?.kind === 'passes' || rule?.kind === 'same-scale') && !isClamp(producer) ? rangedValue(context, producer.inputs[0] as string) : name;
}

function rangeOf(context: Context, value: string): ActivationRange {
  const name = rangedValue(context, value);
  const range = context.ranges.get(name);
  if (range) return range;
  throw new EdgeError('calibration-missing', `The calibration table has no range for the activation ${name}.`, {
    hint: 'Calibrate this very graph again: edgeforge run calibrate',
    where: { path: name },
  });
}

/** The dequantized form of an activation: one Q/DQ pair for all its consumers. */
function quantizedValue(context: Context, name: string): { readonly name: string; readonly scale: number } {
  const known = context.dequantized.get(name);
  if (known) return known;
  const bounded = saturatingClip(context, name);
  const range = rangeOf(context, name);
  const unsigned = context.policy.engine === 'onnxruntime';
  const scale = bounded ? bounded.bound / 255 : activationScale(range);
  const made = { scale, name: pair(context.builder, bounded?.input ?? name, { scale, unsigned, zeroPoint: unsigned && !bounded && range.min < 0 ? 128 : 0 }) };
  context.dequantized.set(name, made);
  return made;
}

/**
 * Clip(0, b) right behind a weighted node, for onnxruntime: with scale b/255 and zero point 0 quantization saturates exactly where the clip would,
 * so the clip goes and the convolution stays an integer kernel. Its grid is then finer than TensorRT's amax/127.
 */
function saturatingClip({ policy, producers, consumers, rules, graph }: Context, name: string): { readonly input: string; readonly bound: number } | undefined {
  const clip = producers.get(name);
  if (policy.engine !== 'onnxruntime' || clip?.type !== 'Clip') return undefined;
  const [input, low, high] = [clip.inputs[0] as string, graph.initializers.get(clip.inputs[1] ?? ''), graph.initializers.get(clip.inputs[2] ?? '')];
  const producer = producers.get(input);
  if (Number(low?.data[0]) !== 0 || !high || !producer || rules.get(producer)?.kind !== 'weighted' || consumers.get(input)?.length !== 1) return undefined;
  return { input, bound: Number(high.data[0]) };
}

interface Grid {
  readonly scale: number;
  readonly unsigned: boolean;
  readonly zeroPoint: number;
}

function stored(builder: Builder, stem: string, tensor: Tensor): string {
  const name = builder.fresh(stem);
  builder.initializers.set(name, tensor);
  return name;
}

function pair(builder: Builder, value: string, { scale, unsigned, zeroPoint }: Grid): string {
  const step = stored(builder, `${value}/scale`, f32([], [scale]));
  const zero = stored(builder, `${value}/zero_point`, { dataType: unsigned ? 'uint8' : 'int8', dims: [], data: unsigned ? Uint8Array.of(zeroPoint) : Int8Array.of(zeroPoint) });
  const q = builder.ops('QuantizeLinear', [value, step, zero])[0] as string;
  return builder.ops('DequantizeLinear', [q, step, zero])[0] as string;
}

function dequantizedConstant(builder: Builder, stem: string, values: Tensor, scales: readonly number[], axis: number): string {
  const step = stored(builder, `${stem}/scale`, f32([scales.length], scales));
  const zero = stored(
    builder,
    `${stem}/zero_point`,
    values.dataType === 'int32'
      ? { dataType: 'int32', dims: [scales.length], data: new Int32Array(scales.length) }
      : { dataType: 'int8', dims: [scales.length], data: new Int8Array(scales.length) },
  );
  return builder.op('DequantizeLinear', [stored(builder, `${stem}/quantized`, values), step, zero], { axis: int(axis) });
}
