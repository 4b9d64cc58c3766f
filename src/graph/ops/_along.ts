import type { Builder } from '../builder.ts';
import { type F64Tensor, ints, sizeOf } from '../ir.ts';
import { around } from './_array.ts';

/** One axis of a value multiplied by a matrix [out, in]. */
export function along(x: F64Tensor, axis: number, matrix: Float64Array, outSize: number): F64Tensor {
  const [outer, size, inner] = around(x.dims, axis);
  const dims = x.dims.map((dim, a) => (a === axis ? outSize : dim));
  const data = new Float64Array(sizeOf(dims));
  for (let i = 0; i < outSize; i++)
    for (let k = 0; k < size; k++) {
      const weight = matrix[i * size + k] as number;
      if (weight === 0) continue;
      for (let o = 0; o < outer; o++) for (let n = 0; n < inner; n++) data[(o * outSize + i) * inner + n]! += weight * (x.data[(o * size + k) * inner + n] as number);
    }
  return { dims, data };
}

/** A value's axis was multiplied by `matrix` [out, in]. */
export interface Along {
  readonly rank: number;
  readonly axis: number;
  readonly matrix: Float64Array;
  readonly inSize: number;
  readonly outSize: number;
}
/** Its gradient: the axis multiplied by the matrix turned. */
export function alongGradient(builder: Builder, gradient: string, { rank, axis, matrix, inSize, outSize }: Along): string {
  if (axis === rank - 2) {
    const turned = Float32Array.from({ length: matrix.length }, (_, at) => matrix[(at % outSize) * inSize + Math.floor(at / outSize)] as number);
    return builder.op('MatMul', [builder.constant(turned, [inSize, outSize]), gradient]);
  }
  const last = Array.from({ length: rank }, (_, a) => (a === axis ? rank - 1 : a === rank - 1 ? axis : a));
  const swap = (value: string) => (axis === rank - 1 ? value : builder.op('Transpose', [value], { perm: ints(last) }));
  return swap(builder.op('MatMul', [swap(gradient), builder.constant(Float32Array.from(matrix), [outSize, inSize])]));
}
