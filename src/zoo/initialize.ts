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
    fillTruncatedNormal(data, deviation, random);
  }
  return f32(dims, data);
}

export const filled = (dims: readonly number[], value: number): Tensor => f32(dims, new Float32Array(sizeOf(dims)).fill(value));

/** Normals of this deviation, drawn again beyond two sigma (Marsaglia's polar method: two from each accepted pair). */
function fillTruncatedNormal(data: Float32Array, deviation: number, random: () => number): void {
  let at = 0;
  while (at < data.length) {
    const u = 2 * random() - 1;
    const v = 2 * random() - 1;
    const square = u * u + v * v;
    if (square >= 1 || square === 0) continue;
    const factor = Math.sqrt((-2 * Math.log(square)) / square);
    if (Math.abs(u * factor) <= 2) data[at++] = u * factor * deviation;
    if (at < data.length && Math.abs(v * factor) <= 2) data[at++] = v * factor * deviation;
  }
}
