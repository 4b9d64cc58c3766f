import type { Tensor } from '../graph/ir.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { FitOptions, TrainBatch } from './fit.ts';
import { mixup, mixupPlan } from './mixup.ts';
import type { StepFeeds, TrainStep } from './step.ts';
import type { Share } from './update-graph.ts';

/** Where a step stands: its epoch, its index in it (from 0), and what was done ahead of it in the whole training. */
export interface StepPlace {
  readonly epoch: number;
  readonly index: number;
  readonly steps: number;
  readonly updates: number;
}

/** What a batch becomes for one step: targets encoded, mixed where the training mixes, with its share in the update. */
export function stepFeeds(batch: TrainBatch, options: FitOptions, place: StepPlace, learningRate: number): StepFeeds {
  const { task, seed = 0, mixup: mixing } = options;
  const { epoch, index, steps, updates } = place;
  const encoded = { images: batch.images, targets: task.encode(batch.annotations) };
  const { images, targets } = mixing ? mixup(encoded.images, encoded.targets, mixupPlan(batch.annotations.length, mixing.alpha, { seed, epoch, step: index })) : encoded;
  return { images, targets, lossWeights: task.lossWeights(), t: updates + 1, learningRate, share: shareOf(options, index), count: steps };
}

/** A batch that waits for others: its loader has its memory back at once, since it need not have enough for all. */
export function copied({ images, annotations, release }: TrainBatch): TrainBatch {
  const own = { images: { ...images, data: images.data.slice() }, annotations };
  release?.();
  return own;
}

/** Batches make an update together within their epoch only; the last ones of an epoch may be fewer. */
function shareOf({ accumulate = 1, stepsPerEpoch }: FitOptions, index: number): Share {
  const place = index % accumulate;
  const count = Math.min(accumulate, stepsPerEpoch - (index - place));
  return { first: place === 0, last: place === count - 1, count };
}

/** The state ahead of step `bad` of the latest call: where the call took several, those before it are done again. */
export async function stateAhead(step: TrainStep, call: readonly StepFeeds[], bad: number): Promise<ReadonlyMap<string, Tensor>> {
  if (bad === 0 || step.stepsPerCall === 1) return step.state('before');
  await step.restore(await step.state('before'));
  await step.runMany(call.slice(0, bad));
  return step.state();
}

/** What a person should know where a checkpoint goes on under another compute than wrote it. */
export const notesOfMove = ({ compute, epoch }: Checkpoint, step: TrainStep): readonly string[] =>
  compute === undefined || compute === step.compute
    ? []
    : [`Epoch ${epoch} was computed by ${compute}; ${step.compute} goes on from it, close to what ${compute} would have made but not bit for bit.`];
