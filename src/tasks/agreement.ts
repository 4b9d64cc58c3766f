import { EdgeError } from '../core/errors.ts';
import { iou } from './average-precision.ts';
import type { Prediction, ScoredBox } from './task.ts';

/** Throws where two sets of predictions (or predictions and truths) are not about the same number of images. */
export function sameLength(a: readonly unknown[], b: readonly unknown[], what: string): void {
  if (a.length !== b.length) throw new EdgeError('internal', `${what}: ${a.length} and ${b.length} images.`, { hint: 'Compare runs over the same images.' });
}

/**
 * Decisions of two detectors on the same images. A decision is a box with score ≥ minimumScore; two are one when they are of a class and their IoU reaches minimumIou
 * (matched greedily, best IoU first). n = matched + unmatched of either side; equal = matched. Both are counts: the fraction is equal / n.
 */
export function boxAgreement(
  a: readonly Prediction[],
  b: readonly Prediction[],
  { minimumScore, minimumIou }: { readonly minimumScore: number; readonly minimumIou: number },
): { readonly equal: number; readonly n: number } {
  sameLength(a, b, 'Agreement of predictions');
  let equal = 0;
  let n = 0;
  a.forEach((prediction, i) => {
    const ours = strong(prediction, minimumScore);
    const theirs = strong(b[i]!, minimumScore);
    const pairs = ours.flatMap((box, p) => theirs.flatMap((other, q) => (box.classIndex === other.classIndex ? [{ p, q, value: iou(box, other) }] : [])));
    const [usedA, usedB] = [new Set<number>(), new Set<number>()];
    for (const { p, q, value } of pairs.sort((x, y) => y.value - x.value)) {
      if (value < minimumIou || value <= 0 || usedA.has(p) || usedB.has(q)) continue;
      usedA.add(p);
      usedB.add(q);
    }
    equal += usedA.size;
    n += ours.length + theirs.length - usedA.size;
  });
  return { equal, n };
}

const strong = (prediction: Prediction, minimumScore: number): readonly ScoredBox[] =>
  prediction.kind === 'boxes' ? prediction.boxes.filter(box => box.score >= minimumScore) : [];

/** Images on which two classifiers name the same class. Counts. */
export function classAgreement(a: readonly Prediction[], b: readonly Prediction[]): { readonly equal: number; readonly n: number } {
  sameLength(a, b, 'Agreement of predictions');
  const equal = a.filter((prediction, i) => {
    const other = b[i];
    return prediction.kind === 'class' && other?.kind === 'class' && prediction.classIndex === other.classIndex;
  }).length;
  return { equal, n: a.length };
}
