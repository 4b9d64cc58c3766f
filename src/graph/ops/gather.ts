import { z } from 'zod';
import type { Builder } from '../builder.ts';
import { type Dim, type F64Tensor, int, text } from '../ir.ts';
import { isFloat } from '../numbers.ts';
import type { Bound, Operator } from '../operator.ts';
import { around, offsets, stridesOf } from './_array.ts';
import { axisOf, dimsAt, isStatic, listAt, row, staticDims, tie, typeAt, valueAt, wrong } from './_row.ts';

const axisAttribute = z.object({ axis: z.number().default(0) });
type Axis = z.infer<typeof axisAttribute>;
const ownAxis = (bound: Bound<Axis>): number => axisOf(bound, bound.attributes.axis, dimsAt(bound, 0).length);
/** An index counted from the front. */
function placeOf(bound: Bound<unknown>, value: number, size: number): number {
  const at = value < 0 ? value + size : value;
  if (!(at >= 0 && at < size)) throw wrong(bound, `index ${value} is outside 0…${size - 1}`);
  return at;
}
const zeros = (builder: Builder, dims: readonly number[]): string => builder.op('Expand', [builder.constant(0), builder.indices(dims)]);
/** Zeros of `dims`, and each update added where its index along `axis` says. */
export const scatterAdd = (builder: Builder, dims: readonly number[], indices: string, updates: string, axis: number): string =>
  builder.op('ScatterElements', [zeros(builder, dims), indices, updates], { axis: int(axis), reduction: text('add') });

const gatherDims = (bound: Bound<Axis>): readonly Dim[] => {
  const dims = dimsAt(bound, 0);
  const axis = ownAxis(bound);
  return [...dims.slice(0, axis), ...dimsAt(bound, 1), ...dims.slice(axis + 1)];
};
/** Known indices into a short axis: a product with a 0/1 matrix [size, count], several times faster than a scatter. */
const matrixElements = 1 << 16;
function gatherMatrix(builder: Builder, indices: readonly number[], size: number): string {
  const matrix = new Float32Array(size * indices.length);
  indices.forEach((value, k) => {
    matrix[(value < 0 ? value + size : value) * indices.length + k] = 1;
  });
  return builder.constant(matrix, [size, indices.length]);
}
const gather = row<Axis>({
  type: 'Gather',
  attributes: axisAttribute,
  shape: bound => [{ dataType: typeAt(bound, 0).dataType, dims: gatherDims(bound) }],
  reference: (bound, inputs) => {
    const x = valueAt(bound, inputs, 0);
    const index = valueAt(bound, inputs, 1);
    const axis = axisOf(bound, bound.attributes.axis, x.dims.length);
    const [outer, size, inner] = around(x.dims, axis);
    const data = new Float64Array(outer * index.data.length * inner);
    for (let o = 0; o < outer; o++)
      index.data.forEach((value, k) => {
        const at = placeOf(bound, value, size);
        data.set(x.data.subarray((o * size + at) * inner, (o * size + at + 1) * inner), (o * index.data.length + k) * inner);
      });
    return [{ dims: [...x.dims.slice(0, axis), ...index.dims, ...x.dims.slice(axis + 1)], data }];
  },
  gradient: ({ bound, builder, outputGradients }) => {
    const dy = outputGradients[0];
    if (dy === undefined || !isFloat(typeAt(bound, 0).dataType)) return [];
    const dims = staticDims(bound, bound.inputs[0]);
    const [outer, size, inner] = around(dims, ownAxis(bound));
    const count = staticDims(bound, bound.inputs[1]).reduce((a, b) => a * b, 1);
    const flat = builder.op('Reshape', [dy, builder.indices([outer, count, inner])]);
    const known = bound.constants[1] === undefined && bound.values?.[1] === undefined ? undefined : listAt(bound, 1, undefined);
    const turned = () => {
      const column = builder.op('Reshape', [bound.node.inputs[1] as string, builder.indices([1, count, 1])]);
      return scatterAdd(builder, [outer, size, inner], builder.op('Expand', [column, builder.indices([outer, count, inner])]), flat, 1);
    };
    const whole = known !== undefined && count * size <= matrixElements ? builder.op('MatMul', [gatherMatrix(builder, known, size), flat]) : turned();
    return [builder.op('Reshape', [whole, builder.indices(dims)])];
  },
  ties: bound => {
    const dims = dimsAt(bound, 0);
    const axis = ownAxis(bound);
    const more = dimsAt(bound, 1).length - 1;
    return dims.flatMap((_, a) => (a === axis ? [] : [tie(['in', 0], a, ['out', 0], a < axis ? a : a + more)]));
  },
  partial: bound => {
    const values = bound.values?.[0];
    const indices = bound.values?.[1];
    if (values === undefined || indices === undefined || !isStatic(indices)) return undefined;
    const found = indices.map(k => values[k < 0 ? k + values.length : k]);
    return found.every(v => v !== undefined) ? (found as Dim[]) : undefined;
  },
});

/** For each index, the place in an array of `dims` that it names: its own place, but along `axis` what it says. */
function places(bound: Bound<unknown>, index: F64Tensor, dims: readonly number[], axis: number): Float64Array {
  const strides = stridesOf(dims);
  const stride = strides[axis] as number;
  const at = offsets(
    index.dims,
    strides.map((s, a) => (a === axis ? 0 : s)),
  );
  return at.map((start, k) => start + placeOf(bound, index.data[k] as number, dims[axis] as number) * stride);
}
const gatherElements = row<Axis>({
  type: 'GatherElements',
  attributes: axisAttribute,
  shape: bound => [{ dataType: typeAt(bound, 0).dataType, dims: dimsAt(bound, 1) }],
  reference: (bound, inputs) => {
    const x = valueAt(bound, inputs, 0);
    const index = valueAt(bound, inputs, 1);
    return [{ dims: index.dims, data: places(bound, index, x.dims, ownAxis(bound)).map(at => x.data[at] as number) }];
  },
  gradient: ({ bound, builder, outputGradients }) => {
    const dy = outputGradients[0];
    return dy === undefined ? [] : [scatterAdd(builder, staticDims(bound, bound.inputs[0]), bound.node.inputs[1] as string, dy, ownAxis(bound))];
  },
});

const scatterAttributes = axisAttribute.extend({ reduction: z.string().default('none') });
const scatterElements = row<z.infer<typeof scatterAttributes>>({
  type: 'ScatterElements',
  attributes: scatterAttributes,
  shape: bound => [typeAt(bound, 0)],
  reference: (bound, inputs) => {
    const [x, index, updates] = [0, 1, 2].map(k => valueAt(bound, inputs, k)) as [F64Tensor, F64Tensor, F64Tensor];
    const { reduction } = bound.attributes;
    if (reduction !== 'none' && reduction !== 'add') throw wrong(bound, `the reduction "${reduction}" is not known`, 'operator-unsupported');
    const data = x.data.slice();
    places(bound, index, x.dims, ownAxis(bound)).forEach((at, k) => {
      data[at] = (reduction === 'add' ? (data[at] as number) : 0) + (updates.data[k] as number);
    });
    return [{ dims: x.dims, data }];
  },
  gradient: ({ bound, builder, outputGradients, wanted }) => {
    const dy = outputGradients[0];
    if (dy === undefined) return [];
    const index = bound.node.inputs[1] as string;
    const axis = { axis: int(ownAxis(bound)) };
    const kept = () => (bound.attributes.reduction === 'add' ? dy : builder.op('ScatterElements', [dy, index, zeros(builder, staticDims(bound, bound.inputs[1]))], axis));
    return [wanted[0] ? kept() : undefined, undefined, wanted[2] ? builder.op('GatherElements', [dy, index], axis) : undefined];
  },
});

export const gathering: readonly Operator[] = [gather, gatherElements, scatterElements];
