import { EdgeError } from '../core/errors.ts';
import { iou } from './average-precision.ts';
import type { Annotation, Box, Prediction } from './task.ts';

/** Throws where two sets of predictions (or predictions and truths) are not about the same number of images. */
export function sameLength(a: readonly unknown[], b: readonly unknown[], what: string): void {
  if (a.length !== b.length) throw new EdgeError('internal', `${what}: ${a.length} and ${b.length} images.`, { hint: 'Compare runs over the same images.' });
}

/**
 * Decisions of two detectors on the same images. A decision is what a score counts: one labelled object, found (a box of its class with score ≥ minimumScore and IoU ≥ minimumIou)
 * or missed. equal: objects on which both decide alike, wrongly or rightly. Both are counts: the fraction is equal / n.
 */
export function boxAgreement(
  a: readonly Prediction[],
  b: readonly Prediction[],
  truth: readonly Annotation[],
  { minimumScore, minimumIou }: { readonly minimumScore: number; readonly minimumIou: number },
): { readonly equal: number; readonly n: number } {
  sameLength(a, b, 'Agreement of predictions');
  sameLength(a, truth, 'Agreement of predictions about truths');
  const finds = (prediction: Prediction | undefined, object: Box): boolean =>
    prediction?.kind === 'boxes' && prediction.boxes.some(box => box.score >= minimumScore && box.classIndex === object.classIndex && iou(box, object) >= minimumIou);
  const decisions = truth.flatMap((annotation, i) => (annotation.kind === 'boxes' ? annotation.boxes.map(object => finds(a[i], object) === finds(b[i], object)) : []));
  return { equal: decisions.filter(Boolean).length, n: decisions.length };
}

/** Images on which two classifiers name the same class. Counts. */
export function classAgreement(a: readonly Prediction[], b: readonly Prediction[]): { readonly equal: number; readonly n: number } {
  sameLength(a, b, 'Agreement of predictions');
  const equal = a.filter((prediction, i) => {
    const other = b[i];
    return prediction.kind === 'class' && other?.kind === 'class' && prediction.classIndex === other.classIndex;
  }).length;
  return { equal, n: a.length };
}
