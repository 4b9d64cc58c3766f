/** Weight and target per objective of one class. */
export interface ObjectiveWeights {
  readonly cov: number;
  readonly bbox: number;
}

/** The weights scaled to sum 1 (equal shares where all are 0). */
export function normalised({ cov, bbox }: ObjectiveWeights): ObjectiveWeights {
  const sum = cov + bbox;
  return sum > 0 ? { cov: cov / sum, bbox: bbox / sum } : { cov: 0.5, bbox: 0.5 };
}

/**
 * DetectNet_v2's auto-weighting at an epoch's end: w = target / summed cost, scaled to sum 1 over the class's objectives, then clamped.
 * Unchanged where a sum is 0 or not finite.
 */
export function reweighted(present: ObjectiveWeights, targets: ObjectiveWeights, sums: ObjectiveWeights, minimum: number, maximum: number): ObjectiveWeights {
  const raw = { cov: targets.cov / sums.cov, bbox: targets.bbox / sums.bbox };
  if (!(sums.cov > 0) || !(sums.bbox > 0) || !Number.isFinite(raw.cov) || !Number.isFinite(raw.bbox) || raw.cov + raw.bbox <= 0) return present;
  const { cov, bbox } = normalised(raw);
  const clamp = (value: number) => Math.min(Math.max(value, minimum), maximum);
  return { cov: clamp(cov), bbox: clamp(bbox) };
}
