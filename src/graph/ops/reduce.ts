import { z } from 'zod';
import type { Builder } from '../builder.ts';
import { type Dim, int, sizeOf } from '../ir.ts';
import type { Bound, Operator } from '../operator.ts';
import { around, offsets, stridesOf } from './_array.ts';
import { asMask, axisOf, dimProduct, dimsAt, list, listAt, row, scaled, staticDims, tie, typeAt, valueAt } from './_row.ts';

const attributes = z.object({ axes: list.optional(), keepdims: z.number().default(1), noop_with_empty_axes: z.number().default(0) });
type ReduceAttributes = z.infer<typeof attributes>;

function axesOf(bound: Bound<ReduceAttributes>): readonly number[] {
  const rank = dimsAt(bound, 0).length;
  const stated = listAt(bound, 1, bound.attributes.axes);
  if (stated !== undefined && stated.length > 0) return [...new Set(stated.map(axis => axisOf(bound, axis, rank)))].sort((a, b) => a - b);
  return bound.attributes.noop_with_empty_axes === 1 ? [] : Array.from({ length: rank }, (_, k) => k);
}
const reducedDims = (bound: Bound<ReduceAttributes>, axes: readonly number[]): readonly Dim[] =>
  bound.attributes.keepdims === 1 ? dimsAt(bound, 0).map((dim, axis) => (axes.includes(axis) ? 1 : dim)) : dimsAt(bound, 0).filter((_, axis) => !axes.includes(axis));
/** Ties of the axes that stay. */
const stayTies = (bound: Bound<unknown>, axes: readonly number[], keep: boolean) => {
  const stay = dimsAt(bound, 0).flatMap((_, axis) => (axes.includes(axis) ? [] : [axis]));
  return stay.map((axis, k) => tie(['in', 0], axis, ['out', 0], keep ? axis : k));
};

interface Reduction {
  readonly start: number;
  step(sum: number, value: number): number;
  end?(sum: number, count: number): number;
  /** dX from dY, both already spread to X's axes (kept as 1); y likewise. */
  gradient(context: { readonly b: Builder; readonly dy: string; readonly x: string; readonly y: string; readonly count: number; sum(value: string): string }): string;
}
const reduction = (type: string, own: Reduction): Operator =>
  row<ReduceAttributes>({
    type,
    attributes,
    shape: bound => [{ dataType: typeAt(bound, 0).dataType, dims: reducedDims(bound, axesOf(bound)) }],
    reference: (bound, inputs) => {
      const x = valueAt(bound, inputs, 0);
      const axes = axesOf(bound);
      const strides = stridesOf(x.dims);
      const outer = x.dims.map((dim, axis) => (axes.includes(axis) ? 1 : dim));
      const inner = axes.map(axis => x.dims[axis] as number);
      const starts = offsets(outer, strides);
      const steps = offsets(
        inner,
        axes.map(axis => strides[axis] as number),
      );
      const data = new Float64Array(starts.length);
      for (let i = 0; i < data.length; i++) {
        let sum = own.start;
        for (let k = 0; k < steps.length; k++) sum = own.step(sum, x.data[(starts[i] as number) + (steps[k] as number)] as number);
        data[i] = own.end?.(sum, steps.length) ?? sum;
      }
      return [{ dims: reducedDims(bound, axes) as number[], data }];
    },
    gradient: ({ bound, builder, outputGradients }) => {
      const dy = outputGradients[0];
      if (dy === undefined) return [];
      const dims = staticDims(bound, bound.inputs[0]);
      const axes = axesOf(bound);
      const wide = (value: string) => (bound.attributes.keepdims === 1 || axes.length === 0 ? value : builder.op('Unsqueeze', [value, builder.indices(axes)]));
      const part = own.gradient({
        b: builder,
        dy: wide(dy),
        x: bound.node.inputs[0] as string,
        y: wide(bound.node.outputs[0] as string),
        count: sizeOf(axes.map(axis => dims[axis] as number)),
        sum: value => (axes.length === 0 ? value : builder.op('ReduceSum', [value, builder.indices(axes)], { keepdims: int(1) })),
      });
      return [builder.op('Expand', [part, builder.indices(dims)])];
    },
    ties: bound => stayTies(bound, axesOf(bound), bound.attributes.keepdims === 1),
    ...(type === 'ReduceMean' ? { quantize: { kind: 'input-only' as const } } : {}),
    ...(type === 'ReduceProd' ? { partial: (bound: Bound<ReduceAttributes>) => (bound.values?.[0] ? [dimProduct(bound.values[0])] : undefined) } : {}),
  });
const mul = (b: Builder, ...values: readonly string[]): string => values.reduce((left, right) => b.op('Mul', [left, right]));
/** Equal extremes share dY. */
const extreme: Reduction['gradient'] = ({ b, dy, x, y, sum }) => {
  const mask = asMask(b, b.op('Equal', [x, y]));
  return mul(b, mask, b.op('Div', [dy, sum(mask)]));
};

const reductions: readonly Operator[] = [
  reduction('ReduceSum', { start: 0, step: (s, v) => s + v, gradient: ({ dy }) => dy }),
  reduction('ReduceMean', { start: 0, step: (s, v) => s + v, end: (s, n) => s / n, gradient: ({ b, dy, count }) => scaled(b, dy, 1 / count) }),
  reduction('ReduceMax', { start: Number.NEGATIVE_INFINITY, step: Math.max, gradient: extreme }),
  reduction('ReduceMin', { start: Number.POSITIVE_INFINITY, step: Math.min, gradient: extreme }),
  reduction('ReduceProd', { start: 1, step: (s, v) => s * v, gradient: ({ b, dy, x, y }) => b.op('Div', [mul(b, dy, y), x]) }),
  reduction('ReduceL1', { start: 0, step: (s, v) => s + Math.abs(v), gradient: ({ b, dy, x }) => mul(b, dy, b.op('Sign', [x])) }),
  reduction('ReduceL2', { start: 0, step: (s, v) => s + v * v, end: Math.sqrt, gradient: ({ b, dy, x, y }) => b.op('Div', [mul(b, dy, x), y]) }),
  reduction('ReduceSumSquare', { start: 0, step: (s, v) => s + v * v, gradient: ({ b, dy, x }) => mul(b, scaled(b, dy, 2), x) }),
  reduction('ReduceLogSum', { start: 0, step: (s, v) => s + v, end: Math.log, gradient: ({ b, dy, y }) => b.op('Div', [dy, b.op('Exp', [y])]) }),
];

const argAttributes = z.object({ axis: z.number().default(0), keepdims: z.number().default(1), select_last_index: z.number().default(0) });
type ArgAttributes = z.infer<typeof argAttributes>;
const argDims = (bound: Bound<ArgAttributes>, dims: readonly Dim[]): readonly Dim[] => {
  const axis = axisOf(bound, bound.attributes.axis, dims.length);
  return bound.attributes.keepdims === 1 ? dims.map((dim, a) => (a === axis ? 1 : dim)) : dims.filter((_, a) => a !== axis);
};
const argument = (type: 'ArgMax' | 'ArgMin'): Operator =>
  row<ArgAttributes>({
    type,
    attributes: argAttributes,
    shape: bound => [{ dataType: 'int64', dims: argDims(bound, dimsAt(bound, 0)) }],
    reference: (bound, inputs) => {
      const x = valueAt(bound, inputs, 0);
      const [outer, size, inner] = around(x.dims, axisOf(bound, bound.attributes.axis, x.dims.length));
      const sign = type === 'ArgMax' ? 1 : -1;
      const data = new Float64Array(outer * inner);
      for (let o = 0; o < outer; o++)
        for (let i = 0; i < inner; i++) {
          let best = 0;
          for (let k = 1; k < size; k++) {
            const gain = sign * ((x.data[(o * size + k) * inner + i] as number) - (x.data[(o * size + best) * inner + i] as number));
            if (gain > 0 || (gain === 0 && bound.attributes.select_last_index === 1)) best = k;
          }
          data[o * inner + i] = best;
        }
      return [{ dims: argDims(bound, x.dims) as number[], data }];
    },
    gradient: 'stop',
    ties: bound => stayTies(bound, [axisOf(bound, bound.attributes.axis, dimsAt(bound, 0).length)], bound.attributes.keepdims === 1),
  });

const cumSumAttributes = z.object({ exclusive: z.number().default(0), reverse: z.number().default(0) });
const cumSum = row<z.infer<typeof cumSumAttributes>>({
  type: 'CumSum',
  attributes: cumSumAttributes,
  shape: bound => [typeAt(bound, 0)],
  reference: (bound, inputs) => {
    const x = valueAt(bound, inputs, 0);
    const { exclusive, reverse } = bound.attributes;
    const [outer, size, inner] = around(x.dims, axisOf(bound, valueAt(bound, inputs, 1).data[0] ?? 0, x.dims.length));
    const data = new Float64Array(x.data.length);
    for (let o = 0; o < outer; o++)
      for (let i = 0; i < inner; i++) {
        let sum = 0;
        for (let k = 0; k < size; k++) {
          const at = (o * size + (reverse ? size - 1 - k : k)) * inner + i;
          data[at] = exclusive ? sum : sum + (x.data[at] as number);
          sum += x.data[at] as number;
        }
      }
    return [{ dims: x.dims, data }];
  },
  ties: () => ({ locked: 'a running sum depends on its neighbours' }),
});

export const reduce: readonly Operator[] = [...reductions, argument('ArgMax'), argument('ArgMin'), cumSum];
