import { EdgeError } from '../core/errors.ts';
import { sameLength } from './agreement.ts';
import { type ApImage, type AveragePrecision, averagePrecision, type Rectangle } from './average-precision.ts';
import type { DetectnetClass, DetectnetSettings, EvaluationBox } from './detectnet-settings.ts';
import type { Annotation, Prediction, Score } from './task.ts';

/** Points kept of a precision/recall curve in `Score.detail`. */
const curvePoints = 200;

/**
 * mAP over the classes. Boxes outside the class's evaluation sizes do not count: such truths excuse a detection, such detections are dropped. A class without truth
 * counts 0 in the mean (TLT) or stays out of it, by `evaluation.withoutTruth`, and is listed in detail.withoutTruth. `decisions` counts truths.
 */
export function scoreBoxes(settings: DetectnetSettings, classes: readonly DetectnetClass[], predictions: readonly Prediction[], truth: readonly Annotation[]): Score {
  sameLength(predictions, truth, 'Predictions and truth');
  const { averagePrecisionMode: mode, pixels, withoutTruth } = settings.evaluation;
  const results = classes.map((own, classIndex) => ({
    label: own.label,
    overlap: own.minimumOverlap,
    result: averagePrecision(
      predictions.map((prediction, i) => imageOf(prediction, truth[i]!, classIndex, own.evaluationBox)),
      { minimumOverlap: own.minimumOverlap, mode, pixels },
    ),
  }));
  const judged = results.filter(({ result }) => result.value !== undefined || withoutTruth === 'zero');
  const overlaps = new Set(results.map(({ overlap }) => overlap));
  return {
    metric: overlaps.size === 1 ? `mAP@${results[0]!.overlap}` : 'mAP',
    value: judged.length === 0 ? 0 : judged.reduce((sum, { result }) => sum + (result.value ?? 0), 0) / judged.length,
    n: truth.length,
    decisions: results.reduce((sum, { result }) => sum + result.truths, 0),
    perClass: results.map(({ label, result }) => ({ label, value: result.value ?? 0, n: result.truths })),
    detail: {
      mode,
      pixels,
      withoutTruth: { labels: results.filter(({ result }) => result.value === undefined).map(({ label }) => label), counted: withoutTruth },
      classes: results.map(({ label, overlap, result }) => ({
        label,
        minimumOverlap: overlap,
        truths: result.truths,
        truePositives: result.truePositives,
        falsePositives: result.falsePositives,
        ignored: result.ignored,
        curve: thinned(result.curve),
      })),
    },
  };
}

function imageOf(prediction: Prediction, truth: Annotation, classIndex: number, sizes: EvaluationBox): ApImage {
  if (prediction.kind !== 'boxes' || truth.kind !== 'boxes')
    throw new EdgeError('dataset-invalid', 'A detector is scored on boxes, and one of the images has a class.', { hint: 'Evaluate on a detection dataset.' });
  const mine = truth.boxes.filter(box => box.classIndex === classIndex);
  return {
    detections: prediction.boxes.filter(box => box.classIndex === classIndex && fits(box, sizes)),
    truths: mine.filter(box => fits(box, sizes)),
    ignored: mine.filter(box => !fits(box, sizes)),
    regions: truth.ignored,
  };
}

const fits = ({ x1, y1, x2, y2 }: Rectangle, sizes: EvaluationBox): boolean =>
  x2 - x1 >= sizes.minimumWidth && x2 - x1 <= sizes.maximumWidth && y2 - y1 >= sizes.minimumHeight && y2 - y1 <= sizes.maximumHeight;

function thinned(curve: AveragePrecision['curve']): AveragePrecision['curve'] {
  const n = curve.score.length;
  if (n <= curvePoints) return curve;
  const at = Array.from({ length: curvePoints }, (_, i) => Math.round((i * (n - 1)) / (curvePoints - 1)));
  const pick = (values: readonly number[]) => at.map(i => values[i]!);
  return { score: pick(curve.score), precision: pick(curve.precision), recall: pick(curve.recall) };
}
