import type { Builder } from '../../graph/builder.ts';
import { type Attributes, float, int, ints, type Node, type TensorType } from '../../graph/ir.ts';

/** What a rule sees: where to write, and the concrete shapes of the values of the graph being lowered. */
export interface EmitContext {
  readonly builder: Builder;
  readonly types: ReadonlyMap<string, TensorType>;
}
/** One row of a lowering: how a node of the matched kind is computed. The values written carry the node's own output names. */
export interface Rule {
  readonly domain: string;
  readonly type: string;
  emit(node: Node, context: EmitContext): void;
}

/** The shape of a value; symbolic sizes must have been bound before lowering. */
export function dimsOf(types: ReadonlyMap<string, TensorType>, name: string): readonly number[] {
  const type = types.get(name);
  if (!type) throw new Error(`The value ${name} has no inferred type.`);
  return type.dims.map(dim => {
    if (typeof dim !== 'number') throw new Error(`The size ${dim} of ${name} is not bound.`);
    return dim;
  });
}

const counts = new WeakMap<Builder, number>();
/** A value name of our own, not yet claimed: values of the graph being lowered are claimed only when they are written, so `fresh` could take one of theirs. */
export function unique(builder: Builder, stem: string): string {
  const count = (counts.get(builder) ?? 0) + 1;
  counts.set(builder, count);
  return `${stem}~${count}`;
}

/** Short words for the operators that lowerings write most; the last argument names the output where it matters. */
export function words(builder: Builder) {
  const ops = (type: string, inputs: readonly string[], attributes: Attributes, outputs: readonly (string | undefined)[], domain = ''): string[] =>
    builder.ops(type, inputs, attributes, {
      name: unique(builder, type),
      outputs: outputs.map(output => output ?? unique(builder, type)),
      domain,
    });
  const op = (type: string, inputs: readonly string[], attributes: Attributes = {}, output?: string, domain = ''): string =>
    ops(type, inputs, attributes, [output], domain)[0] as string;
  return {
    op,
    ops,
    reshape: (x: string, dims: readonly number[], output?: string) => op('Reshape', [x, builder.indices(dims)], {}, output),
    transpose: (x: string, perm: readonly number[], output?: string) => op('Transpose', [x], { perm: ints(perm) }, output),
    gather: (x: string, indices: readonly number[], axis: number) => op('Gather', [x, builder.indices(indices)], { axis: int(axis) }),
    slice: (x: string, from: readonly number[], to: readonly number[], axes: readonly number[], steps?: readonly number[], output?: string) =>
      op('Slice', [x, builder.indices(from), builder.indices(to), builder.indices(axes), ...(steps ? [builder.indices(steps)] : [])], {}, output),
    /** Adds zeros; negative amounts cut. */
    pad: (x: string, begin: readonly number[], end: readonly number[]) => op('Pad', [x, builder.indices([...begin, ...end])]),
    add: (a: string, b: string, output?: string) => op('Add', [a, b], {}, output),
    sub: (a: string, b: string, output?: string) => op('Sub', [a, b], {}, output),
    mul: (a: string, b: string, output?: string) => op('Mul', [a, b], {}, output),
    sum: (x: string, axes: readonly number[], output?: string) => op('ReduceSum', [x, builder.indices(axes)], { keepdims: int(0) }, output),
    mean: (x: string, axes: readonly number[], output?: string) =>
      (builder.opsets[''] ?? 0) < 18
        ? op('ReduceMean', [x], { axes: ints(axes), keepdims: int(0) }, output)
        : op('ReduceMean', [x, builder.indices(axes)], { keepdims: int(0) }, output),
    /** 1/sqrt(v + epsilon). */
    inverseDeviation: (variance: string, epsilon: number) => op('Reciprocal', [op('Sqrt', [op('Add', [variance, builder.constant(epsilon)])])]),
    /** 1 where y > 0, else 0, in one cheap pass (Greater + Cast or Where take four times as long in onnxruntime). */
    positive: (y: string) => op('HardSigmoid', [y], { alpha: float(1e30), beta: float(0) }),
  };
}

/** Operators with two operands that broadcast. */
const binary = new Set(['Add', 'Sub', 'Mul', 'Div']);
/**
 * The operands of a node with every scalar given the rank of the result, where its last axes are 1: onnxruntime broadcasts a scalar of lower rank over
 * such a shape (a 1×1 convolution's weight) one element at a time, twenty times as slow. `widen` writes the reshaped scalar.
 */
export function widenedOperands(node: Node, types: ReadonlyMap<string, TensorType>, widen: (name: string, dims: readonly number[]) => string): readonly string[] {
  const dims = binary.has(node.type) && node.domain === '' ? types.get(node.outputs[0] ?? '')?.dims : undefined;
  if (dims === undefined || dims.length < 2 || dims.at(-1) !== 1) return node.inputs;
  return node.inputs.map(name => {
    const own = types.get(name)?.dims;
    return own && own.length < dims.length && own.every(dim => dim === 1)
      ? widen(
          name,
          dims.map(() => 1),
        )
      : name;
  });
}
