import type { Augmentation } from './augment.ts';
import type { Size } from './placement.ts';

const mostAuto = 4 * 2 ** 30;

/** Bytes that one image takes while it is kept decoded; random crops need it larger than the input. */
export const decodedBytes = ({ width, height }: Size, augmentation?: Augmentation): number =>
  Math.round(width * height * 3 * (augmentation?.kind === 'classification' && augmentation.randomCrop ? 1 / 0.45 ** 2 : 1));

/** Bytes of decoded images that a loader may keep between epochs: so many MiB, or (`auto`) as many as the dataset needs, at most a quarter of the free memory and 4 GiB. */
export function cacheBudget(setting: number | 'auto', needBytes: number, freeBytes: number): number {
  if (setting !== 'auto') return setting * 2 ** 20;
  return Math.min(needBytes, Math.floor(freeBytes / 4), mostAuto);
}
