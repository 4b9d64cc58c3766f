import type { TrainingLog } from './jobs/train.ts';
import { timeText } from './tlt/tell.ts';

/** Two figures of one kind: the training before, and this one. */
type Pair = readonly [before: number, now: number];
/** What a training did against the one before it in the same place. */
export interface Comparison {
  /** When the other one ended, ISO 8601. */
  readonly at: string;
  readonly metric?: string;
  readonly value?: Pair;
  readonly loss?: Pair;
  readonly seconds: Pair;
  /** Settings and inputs that differ. */
  readonly changed: readonly string[];
}
type History = Pick<TrainingLog, 'history' | 'best'>;

/** Compares a training's log with that of the one before; a metric only with the same metric. */
export function compareTrainings(before: History, now: History, { at, changes }: { readonly at: string; readonly changes: readonly string[] }): Comparison {
  const [was, is] = [finalOf(before), finalOf(now)];
  return {
    at,
    ...(was.metric !== undefined && was.metric === is.metric && was.value !== undefined && is.value !== undefined
      ? { metric: is.metric, value: [was.value, is.value] as const }
      : {}),
    ...(was.loss !== undefined && is.loss !== undefined ? { loss: [was.loss, is.loss] as const } : {}),
    seconds: [was.seconds, is.seconds],
    changed: changes,
  };
}

function finalOf({ history, best }: History) {
  const scored = history.findLast(({ validation }) => validation !== undefined)?.validation;
  return {
    metric: scored?.metric,
    value: best?.value ?? scored?.value,
    loss: history.at(-1)?.loss,
    seconds: history.reduce((sum, { milliseconds }) => sum + milliseconds, 0) / 1000,
  };
}

/** One line for people. */
export function comparisonText({ at, metric, value, loss, seconds, changed }: Comparison): string {
  const points = value ? 100 * (value[1] - value[0]) : 0;
  const parts = [
    ...(value ? [`${metric} ${value[0].toFixed(4)} → ${value[1].toFixed(4)} (${points < 0 ? '−' : '+'}${Math.abs(points).toFixed(1)} points)`] : []),
    ...(loss ? [`last loss ${loss[0].toPrecision(3)} → ${loss[1].toPrecision(3)}`] : []),
    `${timeText(seconds[0])} → ${timeText(seconds[1])}`,
  ];
  return `Against the training of ${at.slice(0, 16).replace('T', ' ')} UTC: ${parts.join(', ')}; ${changed.length === 0 ? 'no setting changed' : `changed: ${changed.join(', ')}`}.`;
}

/** How a training's first score stands to the score its network had before: a retraining must start where pruning left off. */
export function startText(
  history: TrainingLog['history'],
  score: { readonly metric: string; readonly value: number },
): { readonly fits: boolean; readonly text: string } | undefined {
  const first = history.find(({ epoch }) => epoch === 0)?.validation;
  if (!first || first.metric !== score.metric) return undefined;
  const fits = Math.abs(first.value - score.value) <= 1e-3;
  const text = fits
    ? `starts at the pruned network’s own score: ${score.metric} ${first.value.toFixed(4)}`
    : `Epoch 0 scores ${score.metric} ${first.value.toFixed(4)}, but the pruned network was scored ${score.value.toFixed(4)}: the two specs evaluate in different ways.`;
  return { fits, text };
}
