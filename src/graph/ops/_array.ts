import { type Dim, type F64Tensor, sizeOf } from '../ir.ts';
import type { Bound } from '../operator.ts';
import { wrong } from './_row.ts';

/** Distance in elements between neighbours of each axis, row-major. */
export function stridesOf(dims: readonly number[]): number[] {
  const strides = new Array<number>(dims.length);
  let stride = 1;
  for (let axis = dims.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= dims[axis] as number;
  }
  return strides;
}

/** For every element of `dims` in row-major order, offset + Σ index·stride: where it lies in another array. */
export function offsets(dims: readonly number[], strides: readonly number[], offset = 0): Float64Array {
  const count = sizeOf(dims);
  const result = new Float64Array(count);
  const index = new Array<number>(dims.length).fill(0);
  let at = offset;
  for (let i = 0; i < count; i++) {
    result[i] = at;
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      at += strides[axis] as number;
      if (++(index[axis] as number) < (dims[axis] as number)) break;
      at -= (strides[axis] as number) * (dims[axis] as number);
      index[axis] = 0;
    }
  }
  return result;
}

/** The numpy broadcast of several shapes. */
export function broadcastDims(bound: Pick<Bound<unknown>, 'node'>, shapes: readonly (readonly Dim[])[]): Dim[] {
  const rank = Math.max(0, ...shapes.map(dims => dims.length));
  return Array.from({ length: rank }, (_, axis) => {
    let found: Dim = 1;
    for (const dims of shapes) {
      const dim = dims[axis - rank + dims.length];
      if (dim === undefined || dim === 1 || dim === found) continue;
      // A symbol against a size above 1 can only be that size (or 1).
      if (found === 1 || typeof found === 'string') found = typeof dim === 'string' && found !== 1 ? found : dim;
      else if (typeof dim === 'number') throw wrong(bound, `[${shapes.map(s => s.join('×')).join('] and [')}] do not broadcast`);
    }
    return found;
  });
}

/** Strides that read an array of `dims` as if it had the shape `out`. */
export function broadcastStrides(dims: readonly number[], out: readonly number[]): number[] {
  const own = stridesOf(dims);
  const lead = out.length - dims.length;
  return out.map((_, axis) => (axis < lead || dims[axis - lead] === 1 ? 0 : (own[axis - lead] as number)));
}

/** f over broadcast operands, element by element. */
export function mapBroadcast(bound: Pick<Bound<unknown>, 'node'>, operands: readonly F64Tensor[], f: (...values: number[]) => number): F64Tensor {
  const dims = broadcastDims(
    bound,
    operands.map(o => o.dims),
  ) as number[];
  const at = operands.map(o => offsets(dims, broadcastStrides(o.dims, dims)));
  const data = new Float64Array(sizeOf(dims));
  const [a, b] = operands as [F64Tensor, F64Tensor | undefined];
  if (b !== undefined && operands.length === 2) {
    const [aAt, bAt] = at as [Float64Array, Float64Array];
    for (let i = 0; i < data.length; i++) data[i] = f(a.data[aAt[i] as number] as number, b.data[bAt[i] as number] as number);
  } else for (let i = 0; i < data.length; i++) data[i] = f(...operands.map((o, k) => o.data[(at[k] as Float64Array)[i] as number] as number));
  return { dims, data };
}

export const mapUnary = (x: F64Tensor, f: (value: number) => number): F64Tensor => ({ dims: x.dims, data: x.data.map(f) });

/** Elements of `source` at precomputed places. */
export function take(source: Float64Array, at: Float64Array): Float64Array {
  const data = new Float64Array(at.length);
  for (let i = 0; i < at.length; i++) data[i] = source[at[i] as number] as number;
  return data;
}

/** Splits dims at one axis: elements before, along and after it. */
export const around = (dims: readonly number[], axis: number): readonly [number, number, number] => [
  sizeOf(dims.slice(0, axis)),
  dims[axis] as number,
  sizeOf(dims.slice(axis + 1)),
];

/** Axes permuted as Transpose does. */
export function transpose(x: F64Tensor, perm: readonly number[]): F64Tensor {
  const own = stridesOf(x.dims);
  const dims = perm.map(axis => x.dims[axis] as number);
  return {
    dims,
    data: take(
      x.data,
      offsets(
        dims,
        perm.map(axis => own[axis] as number),
      ),
    ),
  };
}
