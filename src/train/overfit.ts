import { EdgeError } from '../core/errors.ts';
import type { Network, Task } from '../tasks/task.ts';
import type { TrainBatch } from './fit.ts';
import { compileTrainStep, type TrainStepOptions } from './step.ts';

export interface OverfitResult {
  readonly steps: number;
  readonly before: number;
  /** The least loss reached. */
  readonly after: number;
  /** learns: at most half of the loss is left. slow: it fell by a tenth or more. stuck: less than that. */
  readonly verdict: 'learns' | 'slow' | 'stuck';
}
interface OverfitOptions extends Pick<TrainStepOptions, 'threads' | 'multiplier' | 'lowering'> {
  readonly mostSteps?: number;
  readonly limitMs?: number;
  readonly signal?: AbortSignal;
}

/** Learns one batch by heart on a copy of the network (Adam, rate 0.001, no regularizer), for at most `mostSteps` (200) or, after ten, `limitMs` (20 s): what cannot fit one batch cannot learn a dataset. */
export async function overfitBatch(
  network: Network,
  task: Task,
  { images, annotations }: Pick<TrainBatch, 'images' | 'annotations'>,
  { mostSteps = 200, limitMs = 20_000, signal, ...compile }: OverfitOptions = {},
): Promise<OverfitResult> {
  const step = await compileTrainStep(network, task, { ...compile, batch: annotations.length, optimizer: { kind: 'adam' }, thread: true });
  try {
    const feeds = { images, targets: task.encode(annotations), lossWeights: task.lossWeights(), learningRate: 1e-3 };
    const started = performance.now();
    let [before, after, steps] = [Number.NaN, Number.POSITIVE_INFINITY, 0];
    while (steps < mostSteps && (steps < 10 || performance.now() - started < limitMs) && !(after <= before / 2)) {
      if (signal?.aborted) throw new EdgeError('cancelled', 'The overfit check was cancelled.', { hint: 'Run the same command again.' });
      const { loss } = await step.run({ ...feeds, t: ++steps });
      if (steps === 1) before = loss;
      // A loss that is not a number compares as not smaller: it counts as stuck.
      if (loss < after) after = loss;
    }
    return { steps, before, after, verdict: after <= before / 2 ? 'learns' : after <= 0.9 * before ? 'slow' : 'stuck' };
  } finally {
    await step.close();
  }
}

/** The verdict in words; one that is stuck throws `dataset-invalid` with the likely causes. */
export function overfitText({ steps, before, after, verdict }: OverfitResult): string {
  const fell = `overfit check: the loss of one batch went from ${before.toPrecision(3)} to ${after.toPrecision(3)} in ${steps} steps`;
  if (verdict === 'learns') return `${fell}: network, labels and loss fit together`;
  if (verdict === 'slow') return `${fell}: it falls, but slowly`;
  throw new EdgeError('dataset-invalid', `${fell[0]?.toUpperCase()}${fell.slice(1)}: it does not learn even these few images.`, {
    hint: 'Likely causes: boxes or classes that do not fit the images (edgeforge data preview), all that could learn is frozen (freeze_blocks, model.freezeLayers), or another preprocessing than the pretrained network’s (model.preprocess). To train all the same: training: {overfitCheck: false}.',
  });
}
