import { averagePrecision } from '../tasks/average-precision.ts';
import type { Predictor } from '../tasks/baselines.ts';
import type { Annotation, Box, Prediction, ScoredBox } from '../tasks/task.ts';
import type { Pixels } from './decode.ts';

/** An image with its truth, both in the same pixels. */
export interface ColourSample {
  readonly pixels: Pixels;
  readonly annotation: Annotation;
}
interface Tuning {
  /** How many times likelier inside the class's boxes than elsewhere a colour must be. */
  readonly ratio: number;
  /** Cells by which found regions grow before they are joined, so that a striped thing holds together. */
  readonly reach: number;
  readonly leastSide: number;
}

const levels = 6;
const bins = levels ** 3;
const step = 2;
const binAt = (data: Uint8Array, at: number): number => {
  const level = (value: number) => Math.min(levels - 1, Math.floor((value * levels) / 256));
  return (level(data[at]!) * levels + level(data[at + 1]!)) * levels + level(data[at + 2]!);
};

/** The image as colour bins on a grid of every second pixel. */
function binned({ data, width, height }: Pixels): { readonly cells: Uint8Array; readonly across: number; readonly down: number } {
  const [across, down] = [Math.ceil(width / step), Math.ceil(height / step)];
  const cells = new Uint8Array(across * down);
  for (let y = 0; y < down; y++) for (let x = 0; x < across; x++) cells[y * across + x] = binAt(data, (y * step * width + x * step) * 3);
  return { cells, across, down };
}

/** Per class: for each colour bin, how much likelier it is inside the class's boxes than outside (add-one smoothed). */
function likelihoods(samples: readonly ColourSample[], classes: number): Float64Array[] {
  const inside = Array.from({ length: classes }, () => new Float64Array(bins).fill(1));
  const all = new Float64Array(bins).fill(1);
  for (const { pixels, annotation } of samples) {
    const { cells, across, down } = binned(pixels);
    for (const cell of cells) all[cell]!++;
    if (annotation.kind !== 'boxes') continue;
    for (const box of annotation.boxes)
      for (let y = Math.max(0, Math.floor(box.y1 / step)); y < Math.min(down, box.y2 / step); y++)
        for (let x = Math.max(0, Math.floor(box.x1 / step)); x < Math.min(across, box.x2 / step); x++) inside[box.classIndex]![cells[y * across + x]!]!++;
  }
  const sum = (values: Float64Array) => values.reduce((a, b) => a + b, 0);
  const total = sum(all);
  return inside.map(counts => {
    const mine = sum(counts);
    return counts.map((count, bin) => count / mine / (Math.max(1, all[bin]! - count) / Math.max(1, total - mine)));
  });
}

/** Connected regions (4 neighbours, after growing by `reach`) of the cells whose colour speaks for the class, as boxes; score = mean likelihood ratio × fill of the box. */
function regionsOf(image: ReturnType<typeof binned>, likelihood: Float64Array, classIndex: number, { ratio, reach, leastSide }: Tuning): ScoredBox[] {
  const { cells, across, down } = image;
  const grown = new Uint8Array(across * down);
  for (let y = 0; y < down; y++)
    for (let x = 0; x < across; x++) {
      if (likelihood[cells[y * across + x]!]! < ratio) continue;
      for (let v = Math.max(0, y - reach); v <= Math.min(down - 1, y + reach); v++)
        for (let u = Math.max(0, x - reach); u <= Math.min(across - 1, x + reach); u++) grown[v * across + u] = 1;
    }
  const boxes: ScoredBox[] = [];
  const stack: number[] = [];
  for (let seed = 0; seed < grown.length; seed++) {
    if (grown[seed] !== 1) continue;
    let [x1, y1, x2, y2, speaking, evidence] = [across, down, -1, -1, 0, 0];
    stack.push(seed);
    grown[seed] = 2;
    while (stack.length > 0) {
      const at = stack.pop()!;
      const [x, y] = [at % across, Math.floor(at / across)];
      const value = likelihood[cells[at]!]!;
      if (value >= ratio) {
        speaking++;
        evidence += value;
        x1 = Math.min(x1, x);
        y1 = Math.min(y1, y);
        x2 = Math.max(x2, x);
        y2 = Math.max(y2, y);
      }
      for (const next of [x > 0 ? at - 1 : -1, x < across - 1 ? at + 1 : -1, at - across, at + across])
        if (next >= 0 && next < grown.length && grown[next] === 1) {
          grown[next] = 2;
          stack.push(next);
        }
    }
    const [w, h] = [x2 - x1 + 1, y2 - y1 + 1];
    if (speaking === 0 || w * step < leastSide || h * step < leastSide) continue;
    boxes.push({ classIndex, x1: x1 * step, y1: y1 * step, x2: (x2 + 1) * step, y2: (y2 + 1) * step, score: (evidence / speaking) * (speaking / (w * h)) });
  }
  return boxes.sort((a, b) => b.score - a.score).slice(0, 100);
}

const tunings: readonly Tuning[] = [1.3, 1.7, 2.2, 3, 4.5].flatMap(ratio => [0, 1, 2].flatMap(reach => [8, 14, 22].map(leastSide => ({ ratio, reach, leastSide }))));

/**
 * The colour-threshold baseline, tuned as well as it can be on the training set: per class it learns which colours speak for it, joins such pixels into regions, and keeps of 45 settings
 * (likelihood ratio, joining distance, least side) the one with the best AP@0.5 on those very images. A detector must beat it to have learnt more than colours.
 */
export function colourBaseline(training: readonly ColourSample[], classes: number): Predictor<Pixels> & { readonly tuning: readonly (Tuning & { readonly trainingAp: number })[] } {
  const likelihood = likelihoods(training, classes);
  const images = training.map(({ pixels }) => binned(pixels));
  const boxesOf = (annotation: Annotation, classIndex: number): readonly Box[] =>
    annotation.kind === 'boxes' ? annotation.boxes.filter(box => box.classIndex === classIndex) : [];
  const tuning = likelihood.map((own, classIndex) => {
    const tried = tunings.map(candidate => {
      const sets = images.map((image, i) => ({
        detections: regionsOf(image, own, classIndex, candidate),
        truths: boxesOf(training[i]!.annotation, classIndex),
        ignored: [],
        regions: [],
      }));
      return { ...candidate, trainingAp: averagePrecision(sets, { minimumOverlap: 0.5, mode: 'INTEGRATE', pixels: 'continuous' }).value ?? 0 };
    });
    return tried.reduce((best, next) => (next.trainingAp > best.trainingAp ? next : best));
  });
  const predict = (pixels: Pixels): Prediction => {
    const image = binned(pixels);
    return { kind: 'boxes', boxes: likelihood.flatMap((own, classIndex) => regionsOf(image, own, classIndex, tuning[classIndex]!)) };
  };
  return { name: 'colour threshold', predict, tuning };
}
