import { join } from 'node:path';
import type { Preprocess } from '../graph/network-info.ts';
import type { Annotation } from '../tasks/task.ts';
import { type Augmentation, drawClassification, drawDetection, transformAnnotation } from './augment.ts';
import { cutWindow, decodeCovering, decodePlaced, type Pixels } from './decode.ts';
import { type Filter, type Fit, type Placement, placeAnnotation, placementOf, type Size } from './placement.ts';
import { randomAt } from './random.ts';
import { renderInput } from './render.ts';

/** All that one image needs to become one row of a batch; plain data, so that it crosses to a worker. */
export interface SampleWork {
  readonly index: number;
  readonly epoch: number;
  readonly image: string;
  readonly annotation: Annotation;
}
/** What is the same for every image of a loader. */
export interface WorkSettings {
  readonly root: string;
  readonly size: Size;
  readonly fit: Fit;
  readonly filter: Filter | undefined;
  readonly preprocess: Preprocess;
  readonly augmentation: Augmentation | undefined;
  readonly seed: number;
  readonly cacheBytes: number;
}
export interface WorkResult {
  readonly annotation: Annotation;
  readonly placement: Placement;
}
interface Decoded {
  readonly pixels: Pixels;
  readonly placement: Placement;
}

/** The purposes for which random numbers are drawn, so that no two share a stream. */
export const purpose = { shuffle: 1, augment: 2 } as const;

/** A function that turns work into a row of floats, keeping decoded images up to its byte budget: first come, kept for good, as every epoch asks for all of them once. */
export function openSampleWork(settings: WorkSettings): (work: SampleWork, out: Float32Array) => Promise<WorkResult> {
  const kept = new Map<number, Decoded>();
  let keptBytes = 0;
  const cropping = settings.augmentation?.kind === 'classification' && settings.augmentation.randomCrop;
  const decode = async ({ index, image }: SampleWork): Promise<Decoded> => {
    const hit = kept.get(index);
    if (hit) return hit;
    const file = join(settings.root, image);
    const decoded = cropping ? await decodeWhole(file, settings) : await decodePlaced(file, settings.size, settings.fit, settings.filter);
    const bytes = decoded.pixels.data.byteLength;
    if (keptBytes + bytes <= settings.cacheBytes) {
      // A copy, as sharp's buffers may be views into a larger pool.
      kept.set(index, { ...decoded, pixels: { ...decoded.pixels, data: decoded.pixels.data.slice() } });
      keptBytes += bytes;
    }
    return decoded;
  };
  return async (work, out) => {
    const decoded = await decode(work);
    return settings.augmentation ? augmented(settings, settings.augmentation, work, decoded, out) : plain(settings, work, decoded, out);
  };
}

function plain({ size, preprocess }: WorkSettings, work: SampleWork, { pixels, placement }: Decoded, out: Float32Array): WorkResult {
  renderInput(pixels, size, preprocess, out);
  return { annotation: placeAnnotation(work.annotation, placement), placement };
}

async function augmented({ size, preprocess, seed }: WorkSettings, augmentation: Augmentation, work: SampleWork, decoded: Decoded, out: Float32Array): Promise<WorkResult> {
  const random = randomAt(seed, purpose.augment, work.epoch, work.index);
  const { placement } = decoded;
  const placed = placeAnnotation(work.annotation, placement);
  if (augmentation.kind === 'detection') {
    const draw = drawDetection(augmentation, size, random);
    renderInput(decoded.pixels, size, preprocess, out, draw);
    return { annotation: transformAnnotation(placed, draw.spatial, size, augmentation), placement };
  }
  const draw = drawClassification(augmentation, size, random);
  const pixels = draw.crop ? await cutWindow(decoded.pixels, windowOf(decoded.pixels, size, draw.crop)) : decoded.pixels;
  renderInput(pixels, size, preprocess, out, draw);
  return { annotation: placed, placement };
}

/** For random crops: the image, shrunk no further than that the smallest crop (0.45 of it) still covers the input. */
async function decodeWhole(file: string, { size, filter }: WorkSettings): Promise<Decoded> {
  const smallest = 0.45;
  const { pixels, original } = await decodeCovering(file, { width: size.width / smallest, height: size.height / smallest }, filter);
  return { pixels, placement: placementOf(original, size, 'stretch') };
}

/** The crop window in source pixels: a share of the largest one that has the input's aspect. */
function windowOf({ width, height }: Size, size: Size, crop: { readonly fraction: number; readonly left: number; readonly top: number }) {
  const largest = Math.min(width / size.width, height / size.height);
  const w = Math.max(1, Math.min(width, Math.round(size.width * largest * crop.fraction)));
  const h = Math.max(1, Math.min(height, Math.round(size.height * largest * crop.fraction)));
  return { left: Math.floor(crop.left * (width - w + 1)), top: Math.floor(crop.top * (height - h + 1)), width: w, height: h, to: size };
}
