import { z } from 'zod';
import { type DataType, type Dim, type F64Tensor, int, ints, sizeOf, type Tensor } from '../ir.ts';
import { fromHalf, isFloat, rangeOf, roundEven, toF64, toHalf } from '../numbers.ts';
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

const dropoutAttributes = z.object({ ratio: z.number().default(0.5), seed: z.number().optional() });
const dropout = row<z.infer<typeof dropoutAttributes>>({
  type: 'Dropout',
  identity: true,
  attributes: dropoutAttributes,
  shape: bound => [typeAt(bound, 0), ...bound.node.outputs.slice(1).map(() => ({ dataType: 'bool' as const, dims: dimsAt(bound, 0) }))],
  reference: (bound, inputs) => {
    const x = valueAt(bound, inputs, 0);
    return [x, ...bound.node.outputs.slice(1).map(() => ({ dims: x.dims, data: new Float64Array(x.data.length).fill(1) }))];
  },
  // In inference, as everywhere in this product, dropout passes its input on.
  gradient: ({ outputGradients }) => [outputGradients[0]],
  ties: bound => sameAxes(dimsAt(bound, 0).length),
  quantize: passes,
});

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

const shapeAttributes = z.object({ start: z.number().default(0), end: z.number().optional() });
const shapePart = (bound: Bound<z.infer<typeof shapeAttributes>>): readonly Dim[] => dimsAt(bound, 0).slice(bound.attributes.start, bound.attributes.end);
const shapeRow = row<z.infer<typeof shapeAttributes>>({
  type: 'Shape',
  attributes: shapeAttributes,
  shape: bound => [{ dataType: 'int64', dims: [shapePart(bound).length] }],
  reference: bound => {
    const part = shapePart(bound) as number[];
    return [{ dims: [part.length], data: Float64Array.from(part) }];
  },
  gradient: 'stop',
  // The sizes are read anew after pruning, so nothing is tied.
  ties: () => [],
  partial: shapePart,
});
const sizeRow = row({
  type: 'Size',
  shape: () => [{ dataType: 'int64', dims: [] }],
  reference: (bound, inputs) => [{ dims: [], data: Float64Array.of(valueAt(bound, inputs, 0).data.length) }],
  gradient: 'stop',
  ties: () => [],
  partial: bound => [dimProduct(dimsAt(bound, 0))],
});

const codes: Readonly<Record<number, DataType>> = {
  1: 'float32',
  2: 'uint8',
  3: 'int8',
  4: 'uint16',
  5: 'int16',
  6: 'int32',
  7: 'int64',
  9: 'bool',
  10: 'float16',
  11: 'float64',
  12: 'uint32',
  13: 'uint64',
};
const names: Readonly<Record<string, number>> = { FLOAT: 1, UINT8: 2, INT8: 3, UINT16: 4, INT16: 5, INT32: 6, INT64: 7, BOOL: 9, FLOAT16: 10, DOUBLE: 11, UINT32: 12, UINT64: 13 };
const castAttributes = z.object({ to: z.union([z.number(), z.string().transform(name => names[name] ?? 0)]) });
const castType = (bound: Bound<{ to: number }>): DataType => {
  const dataType = codes[bound.attributes.to];
  if (dataType === undefined) throw wrong(bound, `casts to element type ${bound.attributes.to}, which edgeforge does not handle`, 'operator-unsupported');
  return dataType;
};
/** A float64 value as a type would hold it; float32 keeps float64's digits, the reference is about meaning. */
export function castTo(dataType: DataType, value: number): number {
  if (dataType === 'bool') return value === 0 ? 0 : 1;
  if (dataType === 'float16') return fromHalf(toHalf(value));
  if (isFloat(dataType)) return value;
  const [low, high] = rangeOf(dataType);
  return Number.isNaN(value) ? 0 : Math.min(high, Math.max(low, Math.trunc(value)));
}
const cast = row<{ to: number }>({
  type: 'Cast',
  attributes: castAttributes as unknown as z.ZodType<{ to: number }>,
  shape: bound => [{ dataType: castType(bound), dims: dimsAt(bound, 0) }],
  reference: (bound, inputs) => {
    const x = valueAt(bound, inputs, 0);
    return [{ dims: x.dims, data: x.data.map(v => castTo(castType(bound), v)) }];
  },
  gradient: ({ bound, builder, outputGradients }) => {
    const dy = outputGradients[0];
    const from = typeAt(bound, 0).dataType;
    if (dy === undefined || !isFloat(from) || !isFloat(castType(bound))) return [];
    return [from === 'float32' ? builder.op('Cast', [dy], { to: int(1) }) : builder.op('Cast', [dy], { to: int(from === 'float16' ? 10 : 11) })];
  },
  ties: bound => sameAxes(dimsAt(bound, 0).length),
  partial: bound => (isFloat(castType(bound)) ? undefined : bound.values?.[0]),
});

const tensor = z.custom<Tensor>(value => typeof value === 'object' && value !== null && 'dataType' in value);
const constantAttributes = z.object({
  value: tensor.optional(),
  value_float: z.number().optional(),
  value_floats: list.optional(),
  value_int: z.number().optional(),
  value_ints: list.optional(),
});
const scalarOr = (single: number | undefined, several: readonly number[] | undefined): F64Tensor | undefined =>
  single !== undefined ? { dims: [], data: Float64Array.of(single) } : several !== undefined ? { dims: [several.length], data: Float64Array.from(several) } : undefined;
function constantOf(bound: Bound<z.infer<typeof constantAttributes>>): readonly [F64Tensor, DataType] {
  const { value, value_float, value_floats, value_int, value_ints } = bound.attributes;
  if (value !== undefined) return [toF64(value), value.dataType];
  const floats = scalarOr(value_float, value_floats);
  if (floats) return [floats, 'float32'];
  const integers = scalarOr(value_int, value_ints);
  if (integers) return [integers, 'int64'];
  throw wrong(bound, 'holds no value that edgeforge handles', 'operator-unsupported');
}
const constant = row<z.infer<typeof constantAttributes>>({
  type: 'Constant',
  attributes: constantAttributes,
  shape: bound => {
    const [value, dataType] = constantOf(bound);
    return [{ dataType, dims: value.dims }];
  },
  reference: bound => [constantOf(bound)[0]],
  gradient: 'stop',
  ties: () => [],
});

const filledAttributes = z.object({ value: tensor.optional() });
const filledDims = (bound: Bound<unknown>): readonly Dim[] => {
  const dims = dimListAt(bound, 0);
  if (dims === undefined) throw wrong(bound, 'the shape is missing', 'graph-invalid');
  return dims;
};
const constantOfShape = row<z.infer<typeof filledAttributes>>({
  type: 'ConstantOfShape',
  attributes: filledAttributes,
  shape: bound => [{ dataType: bound.attributes.value?.dataType ?? 'float32', dims: filledDims(bound) }],
  reference: bound => {
    const dims = filledDims(bound) as number[];
    return [{ dims, data: new Float64Array(sizeOf(dims)).fill(bound.attributes.value ? (toF64(bound.attributes.value).data[0] ?? 0) : 0) }];
  },
  gradient: 'stop',
  ties: () => [],
});

const rangeCount = (start: number, limit: number, delta: number): number => Math.max(0, Math.ceil((limit - start) / delta));
const range = row({
  type: 'Range',
  shape: bound => {
    const [start, limit, delta] = [0, 1, 2].map(k => bound.values?.[k]?.[0] ?? (bound.constants[k] ? toF64(bound.constants[k] as Tensor).data[0] : undefined));
    const { dataType } = typeAt(bound, 0);
    if (typeof start === 'number' && typeof limit === 'number' && typeof delta === 'number') return [{ dataType, dims: [rangeCount(start, limit, delta)] }];
    return [{ dataType, dims: [`range(${start},${limit},${delta})`] }];
  },
  reference: (bound, inputs) => {
    const [start, limit, delta] = [0, 1, 2].map(k => valueAt(bound, inputs, k).data[0] as number) as [number, number, number];
    const count = rangeCount(start, limit, delta);
    if (!(count <= 1 << 24)) throw wrong(bound, `would make ${count} elements`, 'limit-exceeded');
    return [{ dims: [count], data: Float64Array.from({ length: count }, (_, i) => start + i * delta) }];
  },
  gradient: 'stop',
  ties: () => [],
});

export const shape: readonly Operator[] = [...relabels, dropout, transposeRow, expand, tile, shapeRow, sizeRow, cast, constant, constantOfShape, range];
/** Rounding of the quantize family, kept with the casts it saturates like. */
export const saturate = (dataType: DataType, value: number): number => {
  const [low, high] = rangeOf(dataType);
  return Math.min(high, Math.max(low, roundEven(value)));
};
