import { availableParallelism } from 'node:os';
import { noDetectionAugmentation } from '../../src/data/augment.ts';
import type { LoaderOptions } from '../../src/data/batches.ts';
import { mapClasses } from '../../src/data/class-map.ts';
import { importKitti } from '../../src/data/import-kitti.ts';

export const loaderWorkers = Math.min(2, availableParallelism());

/** KITTI images as a DetectNet_v2 at 640×192 takes them, flipped and with their colours moved; `repeats` times the dataset is one epoch. */
export async function kittiLoader(
  root: string,
  { imageDir, batch, repeats }: { readonly imageDir: string; readonly batch: number; readonly repeats: number },
): Promise<LoaderOptions> {
  const manifest = await importKitti(root, { imageDir, labelDir: 'label_2' });
  return {
    manifest: { ...manifest, samples: Array.from({ length: repeats }, () => manifest.samples).flat() },
    classes: mapClasses(manifest, { mapping: { car: 'car', van: 'car', pedestrian: 'pedestrian', cyclist: 'cyclist' } }),
    size: { width: 640, height: 192 },
    preprocess: { scale: 1 / 255, offset: [0, 0, 0], order: 'rgb', resize: 'stretch' },
    augmentation: { ...noDetectionAugmentation, hflipProbability: 0.5, colorShiftStddev: 0.05, hueRotationMax: 25, saturationShiftMax: 0.2, contrastScaleMax: 0.1 },
    batch,
    seed: 1,
    shuffle: true,
    workers: loaderWorkers,
  };
}
