import { z } from 'zod';
import { type Dim, int, ints, sizeOf } from '../ir.ts';
import type { Bound, Operator, Tie } from '../operator.ts';
import { broadcastDims, broadcastStrides, offsets, take, transpose } from './_array.ts';
import { axisOf, dimListAt, dimMul, dimProduct, dimsAt, isStatic, list, listAt, reduceTo, row, sameAxes, staticDims, tie, typeAt, valueAt, wrong } from './_row.ts';

const passes = { kind: 'passes' } as const;

/** Pairs of axis runs of equal size, ones left out: [from axes, to axes]. */
function runs(from: readonly Dim[], to: readonly Dim[]): (readonly [number[], number[]])[] | undefined {
  const left = from.flatMap((dim, axis) => (dim === 1 ? [] : [axis]));
  const right = to.flatMap((dim, axis) => (dim === 1 ? [] : [axis]));
  const result: [number[], number[]][] = [];
  let i = 0;
  let j = 0;
  while (i < left.length && j < right.length) {
    const run: [number[], number[]] = [[left[i] as number], [right[j] as number]];
    let a = from[left[i++] as number] as Dim;
    let b = to[right[j++] as number] as Dim;
    while (a !== b) {
      if (typeof a === 'string' || typeof b === 'string') return undefined;
      if (a < b && i < left.length) {
        run[0].push(left[i] as number);
        a = dimMul(a, from[left[i++] as number] as Dim);
      } else if (a > b && j < right.length) {
        run[1].push(right[j] as number);
        b = dimMul(b, to[right[j++] as number] as Dim);
      } else return undefined;
    }
    result.push(run);
  }
  return i === left.length && j === right.length ? result : undefined;
}

/** Ties of a reshape: equal axes stay, the first axis of a merged run repeats; a split axis (channel shuffle) locks. */
export function reshapeTies(from: readonly Dim[], to: readonly Dim[]): readonly Tie[] | { readonly locked: string } {
  const pairs = runs(from, to);
  if (pairs === undefined) return { locked: `[${from}] is not laid out along the axes of [${to}]` };
  const ties: Tie[] = [];
  for (const [a, b] of pairs) {
    if (b.length > 1) return { locked: `[${from}] is split into [${to}], as a channel shuffle does` };
    const repeat = dimProduct(a.slice(1).map(axis => from[axis] as Dim));
    if (typeof repeat === 'number') ties.push(tie(['in', 0], a[0] as number, ['out', 0], b[0] as number, 0, repeat));
  }
  return ties;
}

/** The dims a Reshape asks for, 0 and −1 resolved. */
function reshaped(bound: Bound<unknown>, from: readonly Dim[], wanted: readonly Dim[], allowZero: boolean): readonly Dim[] {
  const dims = wanted.map((dim, axis) => (dim === 0 && !allowZero ? (from[axis] ?? 0) : dim));
  const open = dims.indexOf(-1);
  const known = dims.filter((_, axis) => axis !== open);
  if (open < 0) {
    if (isStatic(from) && isStatic(dims) && sizeOf(from) !== sizeOf(dims)) throw wrong(bound, `[${from}] has not the size of [${dims}]`);
    return dims;
  }
  if (isStatic(from) && isStatic(known)) {
    const rest = sizeOf(from) / Math.max(1, sizeOf(known));
    if (!Number.isInteger(rest)) throw wrong(bound, `[${from}] cannot become [${wanted}]`);
    return dims.map((dim, axis) => (axis === open ? rest : dim));
  }
  return dims.map((dim, axis) => (axis === open ? quotient(from, known) : dim));
}
/** Size of what is left of `from` once `known` is divided out, symbols cancelled. */
function quotient(from: readonly Dim[], known: readonly Dim[]): Dim {
  const parts = (dims: readonly Dim[]): Dim[] =>
    dims.flatMap(dim => (typeof dim === 'number' || /[()+/-]/.test(dim) ? [dim] : dim.split('*').map(f => (/^\d+$/.test(f) ? Number(f) : f))));
  const [all, below] = [parts(from), parts(known)];
  const top = all.filter(d => typeof d === 'string');
  const bottom: Dim[] = [];
  for (const dim of below.filter(d => typeof d === 'string')) {
    const at = top.indexOf(dim);
    if (at >= 0) top.splice(at, 1);
    else bottom.push(dim);
  }
  const a = sizeOf(all.filter(d => typeof d === 'number'));
  const b = sizeOf(below.filter(d => typeof d === 'number'));
  const ratio = a / b;
  if (bottom.length === 0 && Number.isInteger(ratio)) return dimProduct([...top, ratio]);
  return `(${dimProduct([...top, a])}/${dimProduct([...bottom, b])})`;
}

const reshapeAttributes = z.object({ allowzero: z.number().default(0), shape: list.optional() });
const reshapeDims = (bound: Bound<z.infer<typeof reshapeAttributes>>): readonly Dim[] => {
  const wanted = dimListAt(bound, 1, bound.attributes.shape);
  if (wanted === undefined) throw wrong(bound, 'the new shape is missing', 'graph-invalid');
  return reshaped(bound, dimsAt(bound, 0), wanted, bound.attributes.allowzero === 1);
};
/** A row that only gives the elements of input 0 a new shape. */
const relabel = <A>(
  type: string,
  own: { identity?: boolean; attributes?: z.ZodType<A>; dims(bound: Bound<A>): readonly Dim[]; ties?(bound: Bound<A>): ReturnType<Operator['ties']> },
): Operator =>
  row<A>({
    type,
    ...(own.attributes ? { attributes: own.attributes } : {}),
    shape: bound => [{ dataType: typeAt(bound, 0).dataType, dims: own.dims(bound) }],
    reference: (bound, inputs) => {
      const x = valueAt(bound, inputs, 0);
      return [{ dims: own.dims(bound) as number[], data: x.data }];
    },
    gradient: ({ bound, builder, outputGradients }) => {
      const dy = outputGradients[0];
      return dy === undefined ? [] : [builder.op('Reshape', [dy, builder.indices(staticDims(bound, bound.inputs[0]))])];
    },
    ties: bound => own.ties?.(bound) ?? reshapeTies(dimsAt(bound, 0), own.dims(bound)),
    quantize: passes,
    ...(own.identity ? { identity: true } : {}),
    partial: bound => bound.values?.[0],
  });

const axesAttributes = z.object({ axes: list.optional() });
type AxesAttributes = z.infer<typeof axesAttributes>;
function squeezed(bound: Bound<AxesAttributes>): readonly Dim[] {
  const dims = dimsAt(bound, 0);
  const axes = listAt(bound, 1, bound.attributes.axes)?.map(axis => axisOf(bound, axis, dims.length));
  const gone = axes ?? dims.flatMap((dim, axis) => (dim === 1 ? [axis] : []));
  for (const axis of gone) if (typeof dims[axis] === 'number' && dims[axis] !== 1) throw wrong(bound, `axis ${axis} of [${dims}] is not 1`);
  return dims.filter((_, axis) => !gone.includes(axis));
}
function unsqueezed(bound: Bound<AxesAttributes>): readonly Dim[] {
  const dims = dimsAt(bound, 0);
  const stated = listAt(bound, 1, bound.attributes.axes);
  if (stated === undefined) throw wrong(bound, 'axes are missing', 'graph-invalid');
  const rank = dims.length + stated.length;
  const axes = new Set(stated.map(axis => axisOf(bound, axis, rank)));
  if (axes.size !== stated.length) throw wrong(bound, `axes [${stated}] repeat`);
  const rest = [...dims];
  return Array.from({ length: rank }, (_, axis) => (axes.has(axis) ? 1 : (rest.shift() as Dim)));
}
const flattenAttributes = z.object({ axis: z.number().default(1) });

const relabels: readonly Operator[] = [
  relabel('Reshape', { attributes: reshapeAttributes, dims: reshapeDims }),
  relabel('Flatten', {
    attributes: flattenAttributes,
    dims: bound => {
      const dims = dimsAt(bound, 0);
      const { axis } = bound.attributes;
      const at = axis === dims.length ? axis : axisOf(bound, axis, dims.length);
      return [dimProduct(dims.slice(0, at)), dimProduct(dims.slice(at))];
    },
  }),
  relabel('Squeeze', { attributes: axesAttributes, dims: squeezed }),
  relabel('Unsqueeze', { attributes: axesAttributes, dims: unsqueezed }),
  relabel('Identity', { identity: true, dims: bound => dimsAt(bound, 0), ties: bound => sameAxes(dimsAt(bound, 0).length) }),
];

const permAttributes = z.object({ perm: list.optional() });
const permOf = (bound: Bound<z.infer<typeof permAttributes>>): readonly number[] => {
  const rank = dimsAt(bound, 0).length;
  const perm = bound.attributes.perm ?? Array.from({ length: rank }, (_, k) => rank - 1 - k);
  if (perm.length !== rank || new Set(perm).size !== rank || perm.some(a => a < 0 || a >= rank)) throw wrong(bound, `perm [${perm}] does not order ${rank} axes`);
  return perm;
};
const transposeRow = row<z.infer<typeof permAttributes>>({
  type: 'Transpose',
  attributes: permAttributes,
  shape: bound => [{ dataType: typeAt(bound, 0).dataType, dims: permOf(bound).map(axis => dimsAt(bound, 0)[axis] as Dim) }],
  reference: (bound, inputs) => [transpose(valueAt(bound, inputs, 0), permOf(bound))],
  gradient: ({ bound, builder, outputGradients }) => {
    const dy = outputGradients[0];
    const perm = permOf(bound);
    return dy === undefined ? [] : [builder.op('Transpose', [dy], { perm: ints(perm.map((_, axis) => perm.indexOf(axis))) })];
  },
  ties: bound => permOf(bound).map((axis, at) => tie(['in', 0], axis, ['out', 0], at)),
  quantize: passes,
});

const expandDims = (bound: Bound<unknown>): Dim[] => {
  const wanted = dimListAt(bound, 1);
  if (wanted === undefined) throw wrong(bound, 'the shape is missing', 'graph-invalid');
  return broadcastDims(bound, [dimsAt(bound, 0), wanted]);
};
const expand = row({
  type: 'Expand',
  shape: bound => [{ dataType: typeAt(bound, 0).dataType, dims: expandDims(bound) }],
  reference: (bound, inputs) => {
    const x = valueAt(bound, inputs, 0);
    const dims = expandDims(bound) as number[];
    return [{ dims, data: take(x.data, offsets(dims, broadcastStrides(x.dims, dims))) }];
  },
  gradient: ({ bound, builder, outputs, outputGradients }) => {
    const dy = outputGradients[0];
    return dy === undefined ? [] : [reduceTo(builder, dy, outputs[0]?.dims ?? [], dimsAt(bound, 0))];
  },
  ties: bound => {
    const [from, to] = [dimsAt(bound, 0), expandDims(bound)];
    return from.flatMap((dim, axis) => (dim === to[axis + to.length - from.length] ? [tie(['in', 0], axis, ['out', 0], axis + to.length - from.length)] : []));
  },
});

const repeatsOf = (bound: Bound<unknown>): readonly number[] => {
  const repeats = listAt(bound, 1, undefined);
  if (repeats === undefined || repeats.length !== dimsAt(bound, 0).length) throw wrong(bound, `repeats [${repeats}] do not fit [${dimsAt(bound, 0)}]`);
  return repeats;
};
const tile = row({
  type: 'Tile',
  shape: bound => {
    const repeats = repeatsOf(bound);
    return [{ dataType: typeAt(bound, 0).dataType, dims: dimsAt(bound, 0).map((dim, axis) => dimMul(dim, repeats[axis] as number)) }];
  },
  reference: (bound, inputs) => {
    const x = valueAt(bound, inputs, 0);
    const repeats = repeatsOf(bound);
    const pairs = x.dims.flatMap((dim, axis) => [repeats[axis] as number, dim]);
    const own = x.dims.flatMap(dim => [1, dim]);
    return [{ dims: x.dims.map((dim, axis) => dim * (repeats[axis] as number)), data: take(x.data, offsets(pairs, broadcastStrides(own, pairs))) }];
  },
  gradient: ({ bound, builder, outputGradients }) => {
    const dy = outputGradients[0];
    if (dy === undefined) return [];
    const repeats = repeatsOf(bound);
    const dims = staticDims(bound, bound.inputs[0]);
    const pairs = builder.op('Reshape', [dy, builder.indices(dims.flatMap((dim, axis) => [repeats[axis] as number, dim]))]);
    return [builder.op('ReduceSum', [pairs, builder.indices(dims.map((_, axis) => 2 * axis))], { keepdims: int(0) })];
  },
  ties: bound => {
    const repeats = repeatsOf(bound);
    return sameAxes(
      repeats.length,
      0,
      repeats.flatMap((r, axis) => (r === 1 ? [] : [axis])),
    );
  },
});

export const reshape: readonly Operator[] = [...relabels, transposeRow, expand, tile];
