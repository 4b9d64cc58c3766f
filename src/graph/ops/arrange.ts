import { z } from 'zod';
import { type Dim, type F64Tensor, int, sizeOf } from '../ir.ts';
import type { Bound, Operator } from '../operator.ts';
import { around, offsets, stridesOf, take } from './_array.ts';
import { axisOf, dimAdd, dimsAt, isStatic, list, listAt, row, sameAxes, staticDims, tie, typeAt, valueAt, wrong } from './_row.ts';

const passes = { kind: 'passes' } as const;
const axisAttribute = z.object({ axis: z.number().default(0) });
type Axis = z.infer<typeof axisAttribute>;

/** Begin of each input along the concatenated axis. */
function begins(bound: Bound<Axis>): readonly number[] {
  const axis = axisOf(bound, bound.attributes.axis, dimsAt(bound, 0).length);
  let at = 0;
  return bound.inputs.map(type => {
    const start = at;
    at += (type?.dims[axis] as number) ?? 0;
    return start;
  });
}
const concat = row<Axis>({
  type: 'Concat',
  attributes: z.object({ axis: z.number().default(1) }),
  shape: bound => {
    const first = typeAt(bound, 0);
    const axis = axisOf(bound, bound.attributes.axis, first.dims.length);
    const dims = [...first.dims];
    bound.inputs.forEach((_, k) => {
      if (k === 0) return;
      const other = dimsAt(bound, k);
      if (other.length !== dims.length || other.some((dim, a) => a !== axis && typeof dim === 'number' && typeof dims[a] === 'number' && dim !== dims[a]))
        throw wrong(bound, `[${other}] does not fit beside [${first.dims}] on axis ${axis}`);
      dims[axis] = dimAdd(dims[axis] as Dim, other[axis] as Dim);
    });
    return [{ dataType: first.dataType, dims }];
  },
  reference: (bound, inputs) => {
    const values = bound.inputs.map((_, k) => valueAt(bound, inputs, k));
    const first = values[0] as F64Tensor;
    const axis = axisOf(bound, bound.attributes.axis, first.dims.length);
    const size = values.reduce((sum, v) => sum + (v.dims[axis] as number), 0);
    const dims = first.dims.map((dim, a) => (a === axis ? size : dim));
    const [outer, , inner] = around(dims, axis);
    const data = new Float64Array(sizeOf(dims));
    let start = 0;
    for (const v of values) {
      const chunk = (v.dims[axis] as number) * inner;
      for (let o = 0; o < outer; o++) data.set(v.data.subarray(o * chunk, (o + 1) * chunk), o * size * inner + start);
      start += chunk;
    }
    return [{ dims, data }];
  },
  gradient: ({ bound, builder, outputGradients, wanted }) => {
    const dy = outputGradients[0];
    if (dy === undefined) return [];
    const axis = axisOf(bound, bound.attributes.axis, dimsAt(bound, 0).length);
    const sizes = bound.inputs.map(type => staticDims(bound, type === undefined ? undefined : { ...type, dims: [type.dims[axis] as Dim] })[0] as number);
    const parts = builder.ops('Split', [dy, builder.indices(sizes)], { axis: int(axis) }, { outputs: sizes.length });
    return parts.map((part, k) => (wanted[k] ? part : undefined));
  },
  ties: bound => {
    const rank = dimsAt(bound, 0).length;
    const axis = axisOf(bound, bound.attributes.axis, rank);
    if (!isStatic(bound.inputs.map(type => type?.dims[axis] ?? 'absent'))) return { locked: 'the joined sizes are not known' };
    return begins(bound).flatMap((offset, k) => [...sameAxes(rank, k, [axis]), tie(['in', k], axis, ['out', 0], axis, offset)]);
  },
  quantize: { kind: 'join' },
  partial: bound => {
    const parts = bound.inputs.map((_, k) => bound.values?.[k]);
    return parts.every(p => p !== undefined) ? parts.flat() : undefined;
  },
});

const splitAttributes = z.object({ axis: z.number().default(0), split: list.optional(), num_outputs: z.number().optional() });
type SplitAttributes = z.infer<typeof splitAttributes>;
function pieces(bound: Bound<SplitAttributes>): { readonly axis: number; readonly sizes: readonly number[] } {
  const dims = dimsAt(bound, 0);
  const axis = axisOf(bound, bound.attributes.axis, dims.length);
  const total = dims[axis] as Dim;
  const stated = listAt(bound, 1, bound.attributes.split);
  if (stated !== undefined) return { axis, sizes: stated };
  if (typeof total !== 'number') throw wrong(bound, `cannot halve the unknown size ${total}`);
  const count = bound.node.outputs.length;
  const size = Math.ceil(total / count);
  return { axis, sizes: Array.from({ length: count }, (_, k) => Math.max(0, Math.min(size, total - k * size))) };
}
const split = row<SplitAttributes>({
  type: 'Split',
  attributes: splitAttributes,
  shape: bound => {
    const { dataType, dims } = typeAt(bound, 0);
    const { axis, sizes } = pieces(bound);
    if (typeof dims[axis] === 'number' && sizes.reduce((a, b) => a + b, 0) !== dims[axis]) throw wrong(bound, `[${sizes}] do not add up to ${dims[axis]}`);
    return sizes.map(size => ({ dataType, dims: dims.map((dim, a) => (a === axis ? size : dim)) }));
  },
  reference: (bound, inputs) => {
    const x = valueAt(bound, inputs, 0);
    const { axis, sizes } = pieces(bound);
    let start = 0;
    return sizes.map(size => {
      const part = sliceOf(x, [{ axis, start, step: 1, count: size }]);
      start += size;
      return part;
    });
  },
  gradient: ({ bound, builder, outputs, outputGradients }) => {
    if (outputGradients.every(g => g === undefined)) return [];
    const { axis } = pieces(bound);
    const parts = outputGradients.map((gradient, k) => gradient ?? builder.op('Expand', [builder.constant(0), builder.indices(staticDims(bound, outputs[k]))]));
    return [builder.op('Concat', parts, { axis: int(axis) })];
  },
  // The split sizes are constants of the graph, so the split axis stays.
  ties: bound => {
    const { axis, sizes } = pieces(bound);
    return sizes.flatMap((_, k) => sameAxes(dimsAt(bound, 0).length, 0, [axis]).map(t => ({ ...t, to: ['out', k] as const })));
  },
  quantize: passes,
});

interface Cut {
  readonly axis: number;
  readonly start: number;
  readonly step: number;
  readonly count: number;
}
function sliceOf(x: F64Tensor, cuts: readonly Cut[]): F64Tensor {
  const own = stridesOf(x.dims);
  const dims = [...x.dims];
  const strides = [...own];
  let offset = 0;
  for (const { axis, start, step, count } of cuts) {
    dims[axis] = count;
    strides[axis] = (own[axis] as number) * step;
    offset += (own[axis] as number) * start;
  }
  return { dims, data: take(x.data, offsets(dims, strides, offset)) };
}
const sliceAttributes = z.object({ starts: list.optional(), ends: list.optional(), axes: list.optional() });
type SliceAttributes = z.infer<typeof sliceAttributes>;
function cutsOf(bound: Bound<SliceAttributes>): readonly Cut[] {
  const dims = dimsAt(bound, 0);
  const { attributes } = bound;
  const starts = listAt(bound, 1, attributes.starts);
  const ends = listAt(bound, 2, attributes.ends);
  if (starts === undefined || ends === undefined || starts.length !== ends.length) throw wrong(bound, 'starts and ends are missing or unequal', 'graph-invalid');
  const axes = listAt(bound, 3, attributes.axes) ?? starts.map((_, k) => k);
  const steps = listAt(bound, 4, undefined) ?? starts.map(() => 1);
  return axes.flatMap((stated, k): Cut[] => {
    const axis = axisOf(bound, stated, dims.length);
    const size = dims[axis] as Dim;
    const [start, end, step] = [starts[k], ends[k], steps[k]] as [number, number, number];
    if (step === 0) throw wrong(bound, 'a step is 0', 'graph-invalid');
    if (typeof size !== 'number') {
      if (start === 0 && end >= 2 ** 31 - 1 && step === 1) return [];
      if (start >= 0 && end >= start && step > 0 && end < 2 ** 31 - 1) throw wrong(bound, `cuts [${start}, ${end}) from the unknown size ${size}`);
      throw wrong(bound, `cuts from the unknown size ${size}`);
    }
    const clamp = (value: number, low: number, high: number) => Math.min(high, Math.max(low, value < 0 ? value + size : value));
    const from = step > 0 ? clamp(start, 0, size) : clamp(start, 0, size - 1);
    const to = step > 0 ? clamp(end, 0, size) : end < -size ? -1 : clamp(end, -1, size - 1);
    return [{ axis, start: from, step, count: Math.max(0, Math.ceil((to - from) / step)) }];
  });
}
const slice = row<SliceAttributes>({
  type: 'Slice',
  attributes: sliceAttributes,
  shape: bound => {
    const { dataType, dims } = typeAt(bound, 0);
    const result = [...dims];
    for (const cut of cutsOf(bound)) result[cut.axis] = cut.count;
    return [{ dataType, dims: result }];
  },
  reference: (bound, inputs) => [sliceOf(valueAt(bound, inputs, 0), cutsOf(bound))],
  gradient: ({ bound, builder, outputs, outputGradients }) => {
    let dy = outputGradients[0];
    if (dy === undefined) return [];
    const cuts = cutsOf(bound);
    let now = [...staticDims(bound, outputs[0])];
    const dims = staticDims(bound, bound.inputs[0]);
    const zero = builder.constant(0);
    for (const { axis, start, step, count } of cuts) {
      if (step < 0) dy = builder.op('Slice', [dy, builder.indices([-1]), builder.indices([-(2 ** 31)]), builder.indices([axis]), builder.indices([-1])]);
      const stride = Math.abs(step);
      const first = step < 0 ? start + (count - 1) * step : start;
      if (stride > 1) {
        // Each element gets stride − 1 zeros behind it, then the tail beyond the last element is cut off again.
        const wide = [...now.slice(0, axis + 1), 1, ...now.slice(axis + 1)];
        const pads = [...wide.map(() => 0), ...wide.map((_, a) => (a === axis + 1 ? stride - 1 : 0))];
        const padded = builder.op('Pad', [builder.op('Reshape', [dy, builder.indices(wide)]), builder.indices(pads), zero]);
        const long = now.map((dim, a) => (a === axis ? dim * stride : dim));
        const flat = builder.op('Reshape', [padded, builder.indices(long)]);
        const span = Math.max(0, (count - 1) * stride + 1);
        dy = builder.op('Slice', [flat, builder.indices([0]), builder.indices([span]), builder.indices([axis])]);
        now = now.map((dim, a) => (a === axis ? span : dim));
      }
      const behind = (dims[axis] as number) - first - (now[axis] as number);
      dy = builder.op('Pad', [dy, builder.indices([...now.map((_, a) => (a === axis ? first : 0)), ...now.map((_, a) => (a === axis ? behind : 0))]), zero]);
      now = now.map((dim, a) => (a === axis ? (dims[axis] as number) : dim));
    }
    return [dy];
  },
  // Start and end are constants of the graph, so the cut axes stay.
  ties: bound =>
    sameAxes(
      dimsAt(bound, 0).length,
      0,
      cutsOf(bound).flatMap(cut => (cut.step === 1 && cut.start === 0 && cut.count === dimsAt(bound, 0)[cut.axis] ? [] : [cut.axis])),
    ),
  quantize: passes,
  partial: bound => {
    const values = bound.values?.[0];
    const cut = cutsOf(bound)[0];
    return values === undefined || cut === undefined ? values : Array.from({ length: cut.count }, (_, k) => values[cut.start + k * cut.step] as Dim);
  },
});

export const arrange: readonly Operator[] = [concat, split, slice];
