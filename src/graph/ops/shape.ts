import { z } from 'zod';
import { type DataType, type Dim, type F64Tensor, int, sizeOf, type Tensor } from '../ir.ts';
import { fromHalf, isFloat, rangeOf, roundEven, toF64, toHalf } from '../numbers.ts';
import type { Bound, Operator } from '../operator.ts';
import { dimListAt, dimProduct, dimsAt, list, row, sameAxes, typeAt, valueAt, wrong } from './_row.ts';

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

export const shape: readonly Operator[] = [shapeRow, sizeRow, cast, constant, constantOfShape, range];
/** Rounding of the quantize family, kept with the casts it saturates like. */
export const saturate = (dataType: DataType, value: number): number => {
  const [low, high] = rangeOf(dataType);
  return Math.min(high, Math.max(low, roundEven(value)));
};
