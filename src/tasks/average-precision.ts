import { EdgeError } from '../core/errors.ts';

export interface Rectangle {
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
}
/** One image's boxes of one class. `ignored`: truths that do not count (a detection on one is dropped); `regions`: areas where nothing counts (KITTI's DontCare). */
export interface ApImage {
  readonly detections: readonly (Rectangle & { readonly score: number })[];
  readonly truths: readonly Rectangle[];
  readonly ignored: readonly Rectangle[];
  readonly regions: readonly Rectangle[];
}
export interface ApOptions {
  readonly minimumOverlap: number;
  readonly mode: 'SAMPLE' | 'INTEGRATE';
  readonly pixels: 'inclusive' | 'continuous';
}
export interface AveragePrecision {
  /** 0..1, or undefined where there is no truth. */
  readonly value: number | undefined;
  readonly truths: number;
  readonly truePositives: number;
  readonly falsePositives: number;
  /** Detections that neither counted nor punished. */
  readonly ignored: number;
  /** Precision and recall after each counted detection, by falling score. */
  readonly curve: { readonly score: readonly number[]; readonly precision: readonly number[]; readonly recall: readonly number[] };
}

/** Intersection over union. `inclusive`: corners are pixels, so each side counts one more (TLT). */
export function iou(a: Rectangle, b: Rectangle, pixels: ApOptions['pixels'] = 'continuous'): number {
  const both = intersection(a, b, pixels);
  const union = area(a, pixels) + area(b, pixels) - both;
  return both <= 0 || union <= 0 ? 0 : both / union;
}

const more = (pixels: ApOptions['pixels']) => (pixels === 'inclusive' ? 1 : 0);
const area = (a: Rectangle, pixels: ApOptions['pixels']): number => Math.max(0, a.x2 - a.x1 + more(pixels)) * Math.max(0, a.y2 - a.y1 + more(pixels));
const intersection = (a: Rectangle, b: Rectangle, pixels: ApOptions['pixels']): number =>
  Math.max(0, Math.min(a.x2, b.x2) - Math.max(a.x1, b.x1) + more(pixels)) * Math.max(0, Math.min(a.y2, b.y2) - Math.max(a.y1, b.y1) + more(pixels));

const rounded = <T extends Rectangle>(box: T): T => ({ ...box, x1: Math.round(box.x1), y1: Math.round(box.y1), x2: Math.round(box.x2), y2: Math.round(box.y2) });

/**
 * Average precision of one class over a set of images, as DetectNet_v2's evaluation: detections by falling score, each against the truth of its image with the
 * best IoU; true when that reaches minimumOverlap and the truth is free. What is not true but lies on an ignored box (IoU) or in a region (part of the detection) is dropped.
 */
export function averagePrecision(images: readonly ApImage[], options: ApOptions): AveragePrecision {
  const { pixels } = options;
  const snapped = <T extends Rectangle>(boxes: readonly T[]): readonly T[] => (pixels === 'inclusive' ? boxes.map(rounded) : boxes);
  const sets = images.map(image => ({ truths: snapped(image.truths), ignored: snapped(image.ignored), regions: snapped(image.regions), used: new Set<number>() }));
  const queue = images.flatMap((image, at) => snapped(image.detections).map(box => ({ box, at })));
  for (const { box } of queue)
    if (!Number.isFinite(box.score))
      throw new EdgeError('not-finite', `A detection has the score ${box.score}.`, { hint: 'Train again with a smaller learning rate: the network gives no numbers.' });
  queue.sort((a, b) => b.box.score - a.box.score);
  const truths = sets.reduce((sum, set) => sum + set.truths.length, 0);
  const score: number[] = [];
  const precision: number[] = [];
  const recall: number[] = [];
  let truePositives = 0;
  let ignored = 0;
  for (const { box, at } of queue) {
    const outcome = judge(box, sets[at]!, options);
    if (outcome === 'ignored') ignored++;
    else {
      if (outcome === 'true') truePositives++;
      score.push(box.score);
      precision.push(truePositives / score.length);
      recall.push(truths === 0 ? 0 : truePositives / truths);
    }
  }
  const value = truths === 0 ? undefined : options.mode === 'SAMPLE' ? sampled(precision, recall) : integrated(precision, recall);
  return { value, truths, truePositives, falsePositives: score.length - truePositives, ignored, curve: { score, precision, recall } };
}

type Judged = { readonly truths: readonly Rectangle[]; readonly ignored: readonly Rectangle[]; readonly regions: readonly Rectangle[]; readonly used: Set<number> };

function judge(box: Rectangle, set: Judged, { minimumOverlap, pixels }: ApOptions): 'true' | 'false' | 'ignored' {
  let best = -1;
  let bestIou = 0;
  set.truths.forEach((truth, i) => {
    const value = iou(box, truth, pixels);
    if (value > bestIou) {
      best = i;
      bestIou = value;
    }
  });
  if (best >= 0 && bestIou >= minimumOverlap && !set.used.has(best)) {
    set.used.add(best);
    return 'true';
  }
  const size = area(box, pixels);
  const excused =
    set.ignored.some(other => iou(box, other, pixels) >= Math.max(minimumOverlap, Number.MIN_VALUE)) ||
    set.regions.some(other => size > 0 && intersection(box, other, pixels) / size >= Math.max(minimumOverlap, Number.MIN_VALUE));
  return excused ? 'ignored' : 'false';
}

/** Highest precision at this recall or any later one. */
function envelope(precision: readonly number[]): number[] {
  const result = [...precision];
  for (let i = result.length - 2; i >= 0; i--) result[i] = Math.max(result[i]!, result[i + 1]!);
  return result;
}

function integrated(precision: readonly number[], recall: readonly number[]): number {
  let sum = 0;
  envelope(precision).forEach((height, i) => {
    sum += height * (recall[i]! - (recall[i - 1] ?? 0));
  });
  return sum;
}

function sampled(precision: readonly number[], recall: readonly number[]): number {
  const heights = envelope(precision);
  let sum = 0;
  for (let step = 0; step <= 10; step++) {
    const at = recall.findIndex(value => value >= step / 10 - 1e-12);
    sum += at < 0 ? 0 : heights[at]!;
  }
  return sum / 11;
}
