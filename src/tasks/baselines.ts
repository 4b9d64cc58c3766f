import type { Annotation, Box, Prediction } from './task.ts';

/** Anything that answers images: what a network must beat. `Image` is whatever the predictor looks at. */
export interface Predictor<Image> {
  readonly name: string;
  predict(image: Image): Prediction;
}

/**
 * The mean-box baseline: for every class the mean box of the training truths, on every image, scored by how many images of the training set hold the class.
 * A detector that cannot beat it has learnt nothing from pixels.
 */
export function meanBoxBaseline(training: readonly Annotation[]): Predictor<unknown> {
  const sums = new Map<number, { count: number; images: number; x1: number; y1: number; x2: number; y2: number }>();
  for (const annotation of training) {
    if (annotation.kind !== 'boxes') continue;
    for (const box of annotation.boxes) add(sums, box);
    for (const classIndex of new Set(annotation.boxes.map(box => box.classIndex))) sums.get(classIndex)!.images++;
  }
  const boxes = [...sums].map(([classIndex, { count, images, x1, y1, x2, y2 }]) => ({
    classIndex,
    x1: x1 / count,
    y1: y1 / count,
    x2: x2 / count,
    y2: y2 / count,
    score: images / training.length,
  }));
  return { name: 'mean box', predict: () => ({ kind: 'boxes', boxes }) };
}

function add(sums: Map<number, { count: number; images: number; x1: number; y1: number; x2: number; y2: number }>, box: Box): void {
  const sum = sums.get(box.classIndex) ?? { count: 0, images: 0, x1: 0, y1: 0, x2: 0, y2: 0 };
  sums.set(box.classIndex, { count: sum.count + 1, images: sum.images, x1: sum.x1 + box.x1, y1: sum.y1 + box.y1, x2: sum.x2 + box.x2, y2: sum.y2 + box.y2 });
}

/** The most frequent class on every image, with the training set's class frequencies as scores: the classifier's baseline. */
export function commonClassBaseline(training: readonly Annotation[], classes: number): Predictor<unknown> {
  const scores = new Float32Array(classes);
  for (const annotation of training) if (annotation.kind === 'class') scores[annotation.classIndex]! += 1 / training.length;
  const classIndex = scores.reduce((best, value, i) => (value > scores[best]! ? i : best), 0);
  return { name: 'most frequent class', predict: () => ({ kind: 'class', classIndex, scores }) };
}

/** A predictor's answers over images, ready for `task.score`. */
export const predictAll = <Image>(predictor: Predictor<Image>, images: readonly Image[]): readonly Prediction[] => images.map(image => predictor.predict(image));
