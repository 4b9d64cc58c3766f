import { type Random, randomAt, shuffled } from '../data/random.ts';
import type { Tensor } from '../graph/ir.ts';
import type { NamedTensors } from '../tasks/task.ts';

/** Keys of the random streams of a training, apart from those of the data room. */
export const trainingPurpose = { mixup: 101 } as const;

/** A draw from Gamma(shape, 1): Marsaglia and Tsang, "A simple method for generating gamma variables" (2000), boosted below 1. */
function gamma(shape: number, random: Random): number {
  if (shape < 1) return gamma(shape + 1, random) * (1 - random.uniform()) ** (1 / shape);
  const d = shape - 1 / 3;
  for (;;) {
    const z = random.normal();
    const v = (1 + z / Math.sqrt(9 * d)) ** 3;
    if (v > 0 && Math.log(1 - random.uniform()) < (z * z) / 2 + d - d * v + d * Math.log(v)) return d * v;
  }
}
/** A draw from Beta(alpha, alpha); 0.5 where both gammas underflow. */
export function betaDraw(alpha: number, random: Random): number {
  const [a, b] = [gamma(alpha, random), gamma(alpha, random)];
  return a + b > 0 ? a / (a + b) : 0.5;
}

/** The pairs of one batch: row i becomes share·row i + (1 − share)·row partners[i]. Decided by (seed, epoch, step) alone. */
export function mixupPlan(rows: number, alpha: number, keys: { readonly seed: number; readonly epoch: number; readonly step: number }) {
  const random = randomAt(keys.seed, trainingPurpose.mixup, keys.epoch, keys.step);
  return { share: betaDraw(alpha, random), partners: shuffled(rows, random) };
}

/** The rows of a batch's tensor mixed by a plan, into a new tensor. */
export function mixedRows(tensor: Tensor, { share, partners }: ReturnType<typeof mixupPlan>): Tensor {
  const from = tensor.data as Float32Array;
  const data = new Float32Array(from.length);
  const size = from.length / partners.length;
  partners.forEach((partner, row) => {
    for (let k = 0; k < size; k++) data[row * size + k] = share * (from[row * size + k] as number) + (1 - share) * (from[partner * size + k] as number);
  });
  return { ...tensor, data };
}
/** Images and targets of a batch mixed by the same pairs (Zhang et al., "mixup", 2018; one share per batch, as TAO's makenet). */
export function mixup(images: Tensor, targets: NamedTensors, plan: ReturnType<typeof mixupPlan>): { readonly images: Tensor; readonly targets: NamedTensors } {
  return { images: mixedRows(images, plan), targets: new Map([...targets].map(([name, tensor]) => [name, mixedRows(tensor, plan)])) };
}
