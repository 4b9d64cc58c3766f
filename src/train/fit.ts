import { join } from 'node:path';
import { EdgeError } from '../core/errors.ts';
import type { Graph, Tensor } from '../graph/ir.ts';
import type { Annotation, Network, Score, Task } from '../tasks/task.ts';
import { Ahead } from './ahead.ts';
import { type Checkpoint, readCheckpoint, writeCheckpoint } from './checkpoint.ts';
import { checkFinite, explainNotFinite } from './not-finite.ts';
import { Pace, type Speed } from './pace.ts';
import { learningRateAt, type Patience, patienceOf, type ScheduleSettings } from './schedules.ts';
import { compileTrainStep, resultOf, type StepFeeds, type StepResult, type TrainStep, type TrainStepOptions } from './step.ts';
import { copied, notesOfMove, stateAhead, stepFeeds } from './step-feeds.ts';

/** A batch as the data room makes it: always as many rows as the step was compiled for. */
export interface TrainBatch {
  readonly images: Tensor;
  readonly annotations: readonly Annotation[];
  /** Called when the step is done with the images: their memory may be used again. */
  readonly release?: () => void;
}
/** One finished epoch. Epoch 0 is the network before its first step. */
export interface EpochRecord {
  readonly epoch: number;
  readonly steps: number;
  /** Means over the epoch; undefined at epoch 0. */
  readonly loss?: number;
  readonly parts: Readonly<Record<string, number>>;
  readonly learningRate: number;
  readonly milliseconds: number;
  readonly validation?: { readonly metric: string; readonly value: number; readonly n: number; readonly decisions: number };
}
export interface FitProgress extends Speed {
  readonly epoch: number;
  readonly epochs: number;
  readonly step: number;
  readonly steps: number;
  readonly loss: number;
  readonly parts: Readonly<Record<string, number>>;
  readonly learningRate: number;
}
export interface FitOptions extends Omit<TrainStepOptions, 'dropout'> {
  readonly network: Network;
  readonly task: Task;
  /** The batches of one epoch (from 1), the same at every call with the same epoch. */
  readonly batches: (epoch: number) => AsyncIterable<TrainBatch>;
  readonly stepsPerEpoch: number;
  readonly epochs: number;
  readonly schedule: ScheduleSettings;
  /** Share of the activations ahead of the heads that each step drops. */
  readonly dropout?: number | undefined;
  /** Images and targets of a batch are mixed in pairs by a share from Beta(alpha, alpha); for tasks whose targets may be mixed so. */
  readonly mixup?: { readonly alpha: number } | undefined;
  /** Of mixup and dropout. Default 0. */
  readonly seed?: number;
  /** Scores the network as it stands. Called at epoch 0, then as `validateAt` says, always after the last epoch. */
  readonly validate?: (graph: Graph, epoch: number) => Promise<Score>;
  /** Default: every epoch. */
  readonly validateAt?: (epoch: number) => boolean;
  /** Holds last.ckpt and best.ckpt. */
  readonly folder: string;
  /** Goes on from folder/last.ckpt where there is one. */
  readonly resume?: boolean;
  /** Whatever must be unchanged for a resume to be the same training (settings, seed, data digest); anything else is refused. */
  readonly identity?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: FitProgress) => void;
  readonly onEpoch?: (record: EpochRecord) => void | Promise<void>;
  readonly onNote?: (note: string) => void;
}
export interface FitResult {
  readonly network: Network;
  /** The epoch with the highest validation value, where there was validation. */
  readonly best: { readonly network: Network; readonly epoch: number; readonly value: number } | undefined;
  readonly history: readonly EpochRecord[];
  readonly resumedFrom: number | undefined;
  /** What made the numbers, and the lowering it ran. */
  readonly computed: Pick<TrainStep, 'compute' | 'lowering'>;
}

/** Trains. Killed at any moment and called again with `resume`, it ends with the very same bits: a checkpoint holds all that a next epoch depends on. */
export async function fit(options: FitOptions): Promise<FitResult> {
  const step = await compileTrainStep(options.network, options.task, { thread: true, ...options, dropout: { seed: options.seed ?? 0, rate: options.dropout } });
  try {
    for (const note of step.notes) options.onNote?.(note);
    const run = new Training(options, step);
    await run.begin();
    while (!run.over) await run.next();
    return await run.result();
  } finally {
    await step.close();
  }
}

class Training {
  readonly #options: FitOptions;
  readonly #step: TrainStep;
  readonly #history: EpochRecord[] = [];
  readonly #total: number;
  #best: { epoch: number; value: number } | undefined;
  #steps = 0;
  #updates = 0;
  #resumedFrom: number | undefined;
  epoch = 0;

  constructor(options: FitOptions, step: TrainStep) {
    this.#options = options;
    this.#step = step;
    this.#total = options.epochs * options.stepsPerEpoch;
    if (options.schedule.kind === 'early-stopping-annealing' && !options.validate) {
      throw new EdgeError('spec-invalid', 'Early stopping has no validation images to watch.', {
        hint: 'Name a validation set (validation_fold or validation_data_source), or use soft_start_annealing_schedule.',
        where: { path: 'learning_rate.early_stopping_annealing_schedule' },
      });
    }
  }
  /** All epochs are done, or early stopping has ended them. */
  get over(): boolean {
    return this.epoch >= this.#options.epochs || this.#patience().stopAfter !== undefined;
  }
  get #last(): string {
    return join(this.#options.folder, 'last.ckpt');
  }
  get #bestFile(): string {
    return join(this.#options.folder, 'best.ckpt');
  }

  /** Restores the last checkpoint, or scores the network as it came (epoch 0). */
  async begin(): Promise<void> {
    const found = this.#options.resume ? await readCheckpoint(this.#last) : undefined;
    if (found === undefined) {
      await this.#record({ epoch: 0, steps: 0, parts: {}, learningRate: this.#rate(), milliseconds: 0 }, true);
      return;
    }
    if (found.identity !== (this.#options.identity ?? '')) {
      throw new EdgeError('weights-mismatch', `The checkpoint ${this.#last} belongs to a training with other settings.`, {
        hint: `Remove it to start afresh: rm "${this.#last}"`,
        where: { file: this.#last },
      });
    }
    await this.#step.restore(found.tensors);
    for (const note of notesOfMove(found, this.#step)) this.#options.onNote?.(note);
    this.#options.task.restore(found.task);
    this.#history.push(...(found.history as EpochRecord[]));
    this.epoch = found.epoch;
    this.#steps = found.step;
    this.#updates = found.updates;
    this.#best = found.best;
    this.#resumedFrom = found.epoch;
  }

  /** One epoch: its steps, the task's auto-weights, validation, checkpoints. */
  async next(): Promise<void> {
    const { task, validateAt = () => true, epochs } = this.#options;
    const epoch = this.epoch + 1;
    const started = performance.now();
    const sums = await this.#steppedEpoch(epoch);
    task.endEpoch(sums.parts, sums.steps);
    this.epoch = epoch;
    const milliseconds = performance.now() - started;
    const mean = (sum: number) => sum / Math.max(1, sums.steps);
    const finished: EpochRecord = {
      epoch,
      steps: sums.steps,
      loss: mean(sums.loss),
      parts: Object.fromEntries(Object.entries(sums.parts).map(([name, sum]) => [name, mean(sum)])),
      learningRate: sums.learningRate,
      milliseconds,
    };
    await this.#record(finished, epoch === epochs || validateAt(epoch));
    this.#sayPatience();
  }

  /** Tells what early stopping decides with this epoch. */
  #sayPatience(): void {
    const { annealingFrom, stopAfter } = this.#patience();
    if (stopAfter !== undefined) this.#options.onNote?.(`The training ends after epoch ${stopAfter} of ${this.#options.epochs}: the validation metric no longer improves.`);
    else if (annealingFrom === this.epoch) this.#options.onNote?.(`The learning rate falls from epoch ${annealingFrom + 1} on: the validation metric no longer improves.`);
  }

  async #steppedEpoch(epoch: number): Promise<{ steps: number; loss: number; parts: Record<string, number>; learningRate: number }> {
    const { batches, signal, stepsPerEpoch } = this.#options;
    const source = new Ahead(batches(epoch));
    const sums = { steps: 0, loss: 0, parts: {} as Record<string, number>, learningRate: 0 };
    const pace = new Pace(this.#step.batch);
    try {
      while (sums.steps < stepsPerEpoch) {
        if (signal?.aborted)
          throw new EdgeError('cancelled', `The training was cancelled in epoch ${epoch}.`, { hint: 'Run the same command again: it goes on from the last finished epoch.' });
        const started = performance.now();
        let waited = 0;
        const [call, taken]: [StepFeeds[], TrainBatch[]] = [[], []];
        while (call.length < Math.min(this.#step.stepsPerCall, stepsPerEpoch - sums.steps)) {
          const asked = performance.now();
          const batch = await source.next();
          waited += performance.now() - asked;
          if (batch === undefined) break;
          sums.learningRate = this.#rate();
          const own = this.#step.stepsPerCall === 1 ? batch : copied(batch);
          taken.push(own);
          call.push(this.#feeds(own, epoch, sums.steps + call.length, sums.learningRate));
        }
        if (call.length === 0) break;
        const results = await this.#run(call, epoch, sums.steps);
        for (const batch of taken) batch.release?.();
        const worked = performance.now() - started - waited;
        for (const [at, result] of results.entries()) {
          sums.steps++;
          sums.loss += result.loss;
          for (const [name, value] of Object.entries(result.parts)) sums.parts[name] = (sums.parts[name] ?? 0) + value;
          pace.add(waited / call.length, worked / call.length);
          this.#report(epoch, sums.steps, result, call[at]?.learningRate ?? sums.learningRate, pace);
        }
      }
    } finally {
      await source.close();
    }
    if (sums.steps === 0)
      throw new EdgeError('dataset-invalid', `Epoch ${epoch} has no batch.`, { hint: 'The training set must fill at least one batch: lower batch_size_per_gpu.' });
    return sums;
  }

  /** The rate of the next step. */
  #rate(): number {
    const { schedule, stepsPerEpoch } = this.#options;
    return learningRateAt(schedule, this.#steps, this.#total, { stepsPerEpoch, patience: this.#patience() });
  }
  #patience(): Patience {
    return patienceOf(
      this.#options.schedule,
      this.#history.flatMap(({ epoch, validation }) => (validation ? [{ epoch, value: validation.value }] : [])),
    );
  }

  /** What step `index` (from 0) of an epoch is fed; counts it. */
  #feeds(batch: TrainBatch, epoch: number, index: number, learningRate: number): StepFeeds {
    const feeds = stepFeeds(batch, this.#options, { epoch, index, steps: this.#steps, updates: this.#updates }, learningRate);
    this.#steps++;
    if (feeds.share?.last) this.#updates++;
    return feeds;
  }
  /** One call: the steps from `first` of an epoch on. */
  async #run(call: readonly StepFeeds[], epoch: number, first: number): Promise<readonly StepResult[]> {
    const results = await this.#step.runMany(call);
    const bad = results.findIndex(({ loss }) => !Number.isFinite(loss));
    if (bad < 0) return results;
    const { images, learningRate } = call[bad] as StepFeeds;
    const when = `in step ${first + bad + 1} of epoch ${epoch} at the learning rate ${learningRate.toPrecision(3)}`;
    throw await explainNotFinite(this.#options.network, await stateAhead(this.#step, call, bad), images, when);
  }

  #report(epoch: number, step: number, { loss, parts }: StepResult, learningRate: number, pace: Pace): void {
    const { epochs, stepsPerEpoch, onProgress } = this.#options;
    onProgress?.({ epoch, epochs, step, steps: stepsPerEpoch, loss, parts, learningRate, ...pace.now(this.#total - this.#steps) });
  }

  /** What an epoch has come to, from one reading of the state: refused where it is not finite, scored where wished, written. */
  async #record(finished: EpochRecord, scored: boolean): Promise<void> {
    const { network, validate, onEpoch, task, identity } = this.#options;
    const tensors = await this.#step.state();
    checkFinite(tensors, finished);
    const score = scored ? await validate?.(resultOf(network, tensors), finished.epoch) : undefined;
    const record = score ? { ...finished, validation: { metric: score.metric, value: score.value, n: score.n, decisions: score.decisions } } : finished;
    this.#history.push(record);
    const value = score?.value;
    // Epoch 0 counts: a retraining must not end below the network it began with. At equal scores the later epoch wins, having learnt longer.
    const improved = value !== undefined && (this.#best === undefined || value >= this.#best.value);
    if (improved) this.#best = { epoch: record.epoch, value };
    const checkpoint: Checkpoint = {
      epoch: record.epoch,
      step: this.#steps,
      updates: this.#updates,
      compute: this.#step.compute,
      identity: identity ?? '',
      task: task.state(),
      history: this.#history,
      tensors,
      ...(this.#best ? { best: this.#best } : {}),
    };
    // The best first: a crash between the two repeats an epoch and writes the same best again.
    if (improved) await writeCheckpoint(this.#bestFile, checkpoint);
    await writeCheckpoint(this.#last, checkpoint);
    await onEpoch?.(record);
  }

  async result(): Promise<FitResult> {
    const { network } = this.#options;
    const as = (state: ReadonlyMap<string, Tensor>): Network => ({ ...network, graph: resultOf(network, state) });
    const kept = this.#best === undefined ? undefined : await readCheckpoint(this.#bestFile);
    return {
      network: as(await this.#step.state()),
      best: this.#best && kept ? { network: as(kept.tensors), ...this.#best } : undefined,
      history: this.#history,
      resumedFrom: this.#resumedFrom,
      computed: { compute: this.#step.compute, lowering: this.#step.lowering },
    };
  }
}
