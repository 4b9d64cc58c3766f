import { z } from 'zod';
import { EdgeError } from '../../core/errors.ts';
import type { Builder } from '../builder.ts';
import type { Dim, F64Tensor, TensorType } from '../ir.ts';
import { sizeOf } from '../ir.ts';
import { integersOf } from '../numbers.ts';
import type { Bound, GradientRule, Operator, QuantizeRule, Tie } from '../operator.ts';

/** What a family's file states of an operator; the rest has a cautious default: no gradient, locked channels, float, bytes only. */
export interface Row<A> {
  readonly type: string;
  readonly domain?: 'edge';
  readonly opsets?: readonly [number, number];
  readonly attributes?: z.ZodType<A>;
  shape(bound: Bound<A>): readonly TensorType[];
  reference(bound: Bound<A>, inputs: readonly (F64Tensor | undefined)[]): readonly F64Tensor[];
  gradient?: GradientRule<A> | 'stop' | 'missing';
  ties?(bound: Bound<A>): readonly Tie[] | { readonly locked: string };
  readonly quantize?: QuantizeRule;
  macs?(bound: Bound<A>, outputs: readonly TensorType[]): number;
  partial?(bound: Bound<A>): readonly Dim[] | undefined;
  readonly folds?: boolean;
  readonly identity?: boolean | 'inference';
}

const widths: Readonly<Record<string, number>> = {
  float32: 4,
  uint8: 1,
  int8: 1,
  uint16: 2,
  int16: 2,
  int32: 4,
  int64: 8,
  bool: 1,
  float16: 2,
  float64: 8,
  uint32: 4,
  uint64: 8,
  string: 0,
};
/** Bytes of one element. */
export const bytesPer = (dataType: TensorType['dataType']): number => widths[dataType] ?? 4;
/** Dims with unknown ones (the batch) taken as 1. */
export const atOne = (dims: readonly Dim[]): number[] => dims.map(dim => (typeof dim === 'number' ? dim : 1));
const bytesOf = (type: TensorType | undefined): number => (type === undefined ? 0 : sizeOf(atOne(type.dims)) * bytesPer(type.dataType));

/** Completes a row. */
export function row<A = Record<string, never>>(own: Row<A>): Operator {
  const operator: Operator<A> = {
    type: own.type,
    domain: own.domain ?? '',
    opsets: own.opsets ?? [1, 99],
    attributes: own.attributes ?? (z.object({}) as unknown as z.ZodType<A>),
    shape: bound => own.shape(bound),
    reference: (bound, inputs) => own.reference(bound, inputs),
    gradient: own.gradient ?? 'missing',
    ties: bound => own.ties?.(bound) ?? { locked: `${own.type} mixes channels in a way that pruning does not follow` },
    quantize: own.quantize ?? { kind: 'float' },
    cost: (bound, outputs) => ({
      macs: own.macs?.(bound, outputs) ?? 0,
      bytes: [...bound.inputs, ...outputs].reduce((sum, type) => sum + bytesOf(type), 0),
    }),
    ...(own.folds === undefined ? {} : { folds: own.folds }),
    ...(own.identity === undefined ? {} : { identity: own.identity }),
    ...(own.partial ? { partial: (bound: Bound<A>) => own.partial?.(bound) } : {}),
  };
  return operator as unknown as Operator;
}

/** A failure of one node, with its name in the message. */
export const wrong = (
  bound: Pick<Bound<unknown>, 'node'>,
  message: string,
  code: 'shape-mismatch' | 'graph-invalid' | 'operator-unsupported' | 'limit-exceeded' = 'shape-mismatch',
): EdgeError =>
  new EdgeError(code, `${bound.node.type} "${bound.node.name}": ${message}.`, { hint: 'Look at the model with: edgeforge inspect FILE', where: { path: bound.node.name } });

/** The type of an input that must be there. */
export function typeAt(bound: Bound<unknown>, index: number): TensorType {
  const type = bound.inputs[index];
  if (type === undefined) throw wrong(bound, `input ${index} is absent`, 'graph-invalid');
  return type;
}
export const dimsAt = (bound: Bound<unknown>, index: number): readonly Dim[] => typeAt(bound, index).dims;
export const isStatic = (dims: readonly Dim[]): dims is readonly number[] => dims.every(dim => typeof dim === 'number');
/** Dims that must be numbers here. */
export function staticDims(bound: Pick<Bound<unknown>, 'node'>, type: TensorType | undefined): readonly number[] {
  if (type === undefined) throw wrong(bound, 'an operand is absent', 'graph-invalid');
  if (isStatic(type.dims)) return type.dims;
  throw new EdgeError('shape-mismatch', `${bound.node.type} "${bound.node.name}": the size [${type.dims}] must be fixed here.`, {
    hint: 'Fix the batch first (bindBatch), or export the model with a fixed input size.',
    where: { path: bound.node.name },
  });
}
/** A value that must be there, for a reference. */
export function valueAt(bound: Bound<unknown>, inputs: readonly (F64Tensor | undefined)[], index: number): F64Tensor {
  const value = inputs[index];
  if (value === undefined) throw wrong(bound, `input ${index} is absent`, 'graph-invalid');
  return value;
}
/** An axis counted from the front. */
export function axisOf(bound: Pick<Bound<unknown>, 'node'>, axis: number, rank: number): number {
  const positive = axis < 0 ? axis + rank : axis;
  if (!(Number.isInteger(positive) && positive >= 0 && positive < Math.max(rank, 1))) throw wrong(bound, `axis ${axis} of ${rank} dimensions`);
  return positive;
}
/** Integers that newer opsets give as an input and older ones as an attribute; undefined where neither states them. */
export function listAt(bound: Bound<unknown>, index: number, attribute: readonly number[] | undefined): readonly number[] | undefined {
  const constant = bound.constants[index];
  if (constant !== undefined) return integersOf(constant);
  const values = bound.values?.[index];
  if (values !== undefined && isStatic(values)) return values;
  if (bound.inputs[index] !== undefined)
    throw new EdgeError('shape-mismatch', `${bound.node.type} "${bound.node.name}": input ${index} must be a constant.`, {
      hint: 'Export the model with fixed sizes, or simplify it (onnxsim).',
      where: { path: bound.node.name },
    });
  return attribute;
}
/** The same, where symbols are welcome. */
export const dimListAt = (bound: Bound<unknown>, index: number, attribute?: readonly number[]): readonly Dim[] | undefined =>
  bound.values?.[index] ?? listAt(bound, index, attribute);

export const list = z.array(z.number()).readonly();
export const int64 = z.number();

/** a·b, a+b … on sizes that may be symbols; equal expressions get equal names. */
export function dimMul(a: Dim, b: Dim): Dim {
  if (a === 1) return b;
  if (b === 1) return a;
  if (a === 0 || b === 0) return 0;
  if (typeof a === 'number' && typeof b === 'number') return a * b;
  return [...factors(a), ...factors(b)].sort().join('*');
}
const factors = (dim: Dim): string[] => (typeof dim === 'number' ? [`${dim}`] : /[()+/-]/.test(dim) ? [`(${dim})`] : dim.split('*'));
export function dimAdd(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a + b;
  if (a === 0) return b;
  if (b === 0) return a;
  return `(${a}+${b})`;
}
export const dimProduct = (dims: readonly Dim[]): Dim => dims.reduce((product, dim) => dimMul(product, dim), 1 as Dim);

/** Ties that keep every axis of input `index` with the same axis of the output. */
export const sameAxes = (rank: number, index = 0, skip: readonly number[] = []): Tie[] =>
  Array.from({ length: rank }, (_, axis) => axis)
    .filter(axis => !skip.includes(axis))
    .map(axis => tie(['in', index], axis, ['out', 0], axis));
export const tie = (from: Tie['from'], fromAxis: number, to: Tie['to'], toAxis: number, offset = 0, repeat = 1): Tie => ({ from, fromAxis, to, toAxis, offset, repeat });

/** Sums a gradient of shape `from` down to the operand shape `to` that was broadcast into it. */
export function reduceTo(builder: Builder, gradient: string, from: readonly Dim[], to: readonly Dim[]): string {
  const lead = from.length - to.length;
  const axes = from.flatMap((dim, axis) => (axis < lead || (to[axis - lead] === 1 && dim !== 1) ? [axis] : []));
  if (axes.length === 0) return gradient;
  const flat = axes.length === lead;
  const summed = builder.op('ReduceSum', [gradient, builder.indices(axes)], { keepdims: { type: 'int', value: flat ? 0 : 1 } });
  return flat || lead === 0 ? summed : builder.op('Squeeze', [summed, builder.indices(axes.filter(axis => axis < lead))]);
}
/** A gradient multiplied by a value or a number. */
export const scaled = (builder: Builder, gradient: string, by: string | number): string => builder.op('Mul', [gradient, typeof by === 'number' ? builder.constant(by) : by]);
/** A 0/1 mask of the gradient's type. */
export const asMask = (builder: Builder, condition: string): string => builder.op('Cast', [condition], { to: { type: 'int', value: 1 } });
