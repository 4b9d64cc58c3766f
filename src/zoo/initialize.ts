import { f32, sizeOf, type Tensor } from '../graph/ir.ts';
import { randomOf } from './_random.ts';

export type Initializer = 'he_normal' | 'glorot_uniform';

// Keras draws its normals truncated at two sigma, and divides by the truncated distribution's own deviation.
const truncatedDeviation = 0.87962566103423978;

/** A kernel [out, in/group, …] drawn as Keras does: he_normal = truncated normal of variance 2/fanIn, glorot_uniform = ±√(6/(fanIn+fanOut)). Decided by seed and name. */
export function drawKernel(dims: readonly number[], how: Initializer, seed: number, name: string): Tensor {
  const random = randomOf(seed, name);
  const [out = 1, ...rest] = dims;
  const fanIn = sizeOf(rest);
  const fanOut = out * sizeOf(dims.slice(2));
  const data = new Float32Array(sizeOf(dims));
  if (how === 'glorot_uniform') {
    const limit = Math.sqrt(6 / (fanIn + fanOut));
    for (let i = 0; i < data.length; i++) data[i] = (2 * random() - 1) * limit;
  } else {
    const deviation = Math.sqrt(2 / fanIn) / truncatedDeviation;
    for (let i = 0; i < data.length; i++) data[i] = truncatedNormal(random) * deviation;
  }
  return f32(dims, data);
}

export const filled = (dims: readonly number[], value: number): Tensor => f32(dims, new Float32Array(sizeOf(dims)).fill(value));

/** Standard normal, drawn again beyond two sigma (Box–Muller). */
function truncatedNormal(random: () => number): number {
  for (;;) {
    const value = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    if (Math.abs(value) <= 2) return value;
  }
}
