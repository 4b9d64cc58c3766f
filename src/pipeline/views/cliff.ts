import type { MeasuredPruning, PruningView } from './pruning.ts';

/** Where accuracy breaks off, by what was measured: the last that stayed within the gate and the first, further down, that did not. Retrained networks count where there are any. */
export function cliffOf({
  unpruned,
  measured,
  dropPoints,
}: Pick<PruningView, 'unpruned' | 'measured' | 'dropPoints'>):
  | { readonly holds: MeasuredPruning | undefined; readonly breaks: MeasuredPruning | undefined; readonly stage: MeasuredPruning['stage'] }
  | undefined {
  if (!unpruned || measured.length === 0) return undefined;
  const stage = measured.some(point => point.stage === 'retrained') ? 'retrained' : 'pruned';
  const points = measured.filter(point => point.stage === stage);
  const first = points.findIndex(({ value }) => 100 * (unpruned.value - value) > dropPoints + 1e-9);
  return { holds: first < 0 ? points.at(-1) : points[first - 1], breaks: points[first], stage };
}
