import type { Tensor, TensorData } from '../graph/ir.ts';

/** A tensor with only the living indices of each axis (undefined: all). Untouched tensors are returned as they are. */
export function sliceTensor(tensor: Tensor, living: readonly (readonly number[] | undefined)[]): Tensor {
  let [data, dims] = [tensor.data, [...tensor.dims]];
  living.forEach((indices, axis) => {
    if (!indices) return;
    data = takeAlong(data, dims, axis, indices);
    dims = dims.with(axis, indices.length);
  });
  return data === tensor.data ? tensor : { ...tensor, dims, data };
}

function takeAlong(data: TensorData, dims: readonly number[], axis: number, indices: readonly number[]): TensorData {
  const size = dims[axis] as number;
  const inner = dims.slice(axis + 1).reduce((a, b) => a * b, 1);
  const outer = data.length / (size * inner || 1);
  const taken = data.slice(0, outer * indices.length * inner);
  for (let o = 0; o < outer; o++) {
    indices.forEach((index, at) => {
      const from = (o * size + index) * inner;
      taken.set(data.subarray(from, from + inner) as never, (o * indices.length + at) * inner);
    });
  }
  return taken;
}
