import { z } from 'zod';
import type { Builder } from '../builder.ts';
import { sizeOf } from '../ir.ts';
import type { Bound, Operator } from '../operator.ts';
import { alongGradient } from './_along.ts';
import { stridesOf } from './_array.ts';
import { axisOf, dimAdd, dimsAt, list, listAt, row, sameAxes, staticDims, typeAt, valueAt, wrong } from './_row.ts';

const padAttributes = z.object({ mode: z.string().default('constant'), pads: list.optional(), value: z.number().default(0) });
type PadAttributes = z.infer<typeof padAttributes>;
function padsOf(bound: Bound<PadAttributes>): readonly (readonly [number, number])[] {
  const rank = dimsAt(bound, 0).length;
  const pads = listAt(bound, 1, bound.attributes.pads);
  const axes = listAt(bound, 3, undefined)?.map(axis => axisOf(bound, axis, rank)) ?? Array.from({ length: rank }, (_, k) => k);
  if (pads === undefined || pads.length !== 2 * axes.length) throw wrong(bound, `pads [${pads}] do not fit ${rank} axes`);
  return Array.from({ length: rank }, (_, axis) => {
    const at = axes.indexOf(axis);
    return at < 0 ? ([0, 0] as const) : ([pads[at] as number, pads[at + axes.length] as number] as const);
  });
}
const modes = ['constant', 'edge', 'reflect', 'wrap'];
/** Where padded place i reads from on an axis, or −1 for the constant. */
function padSource(mode: string, i: number, size: number): number {
  if (i >= 0 && i < size) return i;
  if (mode === 'edge') return Math.min(size - 1, Math.max(0, i));
  if (mode === 'wrap') return ((i % size) + size) % size;
  if (mode === 'reflect') {
    const period = Math.max(1, 2 * (size - 1));
    const at = ((i % period) + period) % period;
    return at < size ? at : period - at;
  }
  return -1;
}
/** Every element of dY goes back to where it was read from. */
function mirrored(bound: Bound<PadAttributes>, builder: Builder, dy: string, dims: readonly number[]): string {
  return padsOf(bound).reduce((gradient, [begin, end], axis) => {
    const inSize = dims[axis] as number;
    const outSize = inSize + begin + end;
    if (outSize === inSize && begin === 0) return gradient;
    const matrix = new Float64Array(outSize * inSize);
    for (let i = 0; i < outSize; i++) matrix[i * inSize + padSource(bound.attributes.mode, i - begin, inSize)] = 1;
    return alongGradient(builder, gradient, { rank: dims.length, axis, matrix, inSize, outSize });
  }, dy);
}
const pad = row<PadAttributes>({
  type: 'Pad',
  attributes: padAttributes,
  shape: bound => {
    const { dataType, dims } = typeAt(bound, 0);
    const pads = padsOf(bound);
    return [{ dataType, dims: dims.map((dim, axis) => (pads[axis]?.every(p => p === 0) ? dim : dimAdd(dim, (pads[axis]?.[0] ?? 0) + (pads[axis]?.[1] ?? 0)))) }];
  },
  reference: (bound, inputs) => {
    const x = valueAt(bound, inputs, 0);
    const pads = padsOf(bound);
    const { mode } = bound.attributes;
    if (!modes.includes(mode)) throw wrong(bound, `the mode "${mode}" is not known`, 'operator-unsupported');
    const fill = inputs[2]?.data[0] ?? bound.attributes.value;
    const dims = x.dims.map((dim, axis) => dim + (pads[axis]?.[0] ?? 0) + (pads[axis]?.[1] ?? 0));
    const own = stridesOf(x.dims);
    const outer = stridesOf(dims);
    const data = new Float64Array(sizeOf(dims));
    for (let i = 0; i < data.length; i++) {
      let from = 0;
      for (let axis = 0; axis < dims.length && from >= 0; axis++) {
        const at = padSource(mode, (Math.floor(i / (outer[axis] as number)) % (dims[axis] as number)) - (pads[axis]?.[0] ?? 0), x.dims[axis] as number);
        from = at < 0 ? -1 : from + at * (own[axis] as number);
      }
      data[i] = from < 0 ? fill : (x.data[from] as number);
    }
    return [{ dims, data }];
  },
  gradient: ({ bound, builder, outputGradients }) => {
    const dy = outputGradients[0];
    if (dy === undefined) return [];
    const dims = staticDims(bound, bound.inputs[0]);
    const pads = padsOf(bound);
    if (bound.attributes.mode !== 'constant') return [mirrored(bound, builder, dy, dims)];
    // A negative pad cut something off: there the gradient is zero.
    const begin = pads.map(p => Math.max(0, p[0]));
    const end = dims.map((dim, axis) => (begin[axis] as number) + dim + Math.min(0, pads[axis]?.[0] ?? 0) + Math.min(0, pads[axis]?.[1] ?? 0));
    const inner = builder.op('Slice', [dy, builder.indices(begin), builder.indices(end), builder.indices(dims.map((_, axis) => axis))]);
    const lost = [...pads.map(p => Math.max(0, -p[0])), ...pads.map(p => Math.max(0, -p[1]))];
    return [lost.every(p => p === 0) ? inner : builder.op('Pad', [inner, builder.indices(lost), builder.constant(0)])];
  },
  ties: bound => {
    const pads = padsOf(bound);
    return sameAxes(
      pads.length,
      0,
      pads.flatMap((p, axis) => (p[0] === 0 && p[1] === 0 ? [] : [axis])),
    );
  },
  quantize: { kind: 'passes' },
});

export const padding: readonly Operator[] = [pad];
