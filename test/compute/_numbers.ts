import { f32, sizeOf, type Tensor } from '../../src/graph/ir.ts';

/** Repeatable numbers in about −1.2 … 1.2, by seed. */
export function noise(dims: readonly number[], seed = 1): Tensor {
  let state = (seed * 2654435761) >>> 0 || 1;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 4294967296;
  };
  for (let warm = 0; warm < 8; warm++) next();
  return f32(
    dims,
    Float32Array.from({ length: sizeOf(dims) }, () => (next() + next() - 1) * 1.2),
  );
}

/** Relative L2 distance of a from the truth b; infinite where one is missing or the sizes differ. */
export function distance(a: Tensor | undefined, b: Tensor | undefined): number {
  if (!a || !b || a.data.length !== b.data.length) return Number.POSITIVE_INFINITY;
  let [difference, size] = [0, 0];
  for (let at = 0; at < a.data.length; at++) {
    const [p, q] = [Number(a.data[at]), Number(b.data[at])];
    difference += (p - q) ** 2;
    size += q * q;
  }
  return Math.sqrt(difference / Math.max(size, 1e-12));
}
