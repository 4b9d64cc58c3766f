import { join } from 'node:path';
import { EdgeError } from '../core/errors.ts';
import type { Graph, Tensor } from '../graph/ir.ts';
import type { Annotation, Network, Score, Task } from '../tasks/task.ts';
import { type Checkpoint, readCheckpoint, writeCheckpoint } from './checkpoint.ts';
import { explainNotFinite } from './not-finite.ts';
import { learningRateAt, type ScheduleSettings } from './schedules.ts';
import { compileTrainStep, type StepResult, type TrainStep, type TrainStepOptions, withState } from './step.ts';

/** A batch as the data room makes it: always as many rows as the step was compiled for. */
export interface TrainBatch {
  readonly images: Tensor;
  readonly annotations: readonly Annotation[];
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
export interface FitProgress {
  readonly epoch: number;
  readonly epochs: number;
  readonly step: number;
  readonly steps: number;
  readonly loss: number;
  readonly parts: Readonly<Record<string, number>>;
  readonly learningRate: number;
  /** Over the last steps, waiting for data included. */
  readonly imagesPerSecond: number;
  readonly etaSeconds: number;
  /** Share of the time spent waiting for the next batch. */
  readonly starved: number;
}
export interface FitOptions extends TrainStepOptions {
  readonly network: Network;
  readonly task: Task;
  /** The batches of one epoch (from 1), the same at every call with the same epoch. */
  readonly batches: (epoch: number) => AsyncIterable<TrainBatch>;
  readonly stepsPerEpoch: number;
  readonly epochs: number;
  readonly schedule: ScheduleSettings;
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
}

/** Trains. Killed at any moment and called again with `resume`, it ends with the very same bits: a checkpoint holds all that a next epoch depends on. */
export async function fit(options: FitOptions): Promise<FitResult> {
  const step = await compileTrainStep(options.network, options.task, { thread: true, ...options });
  try {
    for (const note of step.notes) options.onNote?.(note);
    const run = new Training(options, step);
    await run.begin();
    while (run.epoch < options.epochs) await run.next();
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
  #resumedFrom: number | undefined;
  epoch = 0;

  constructor(options: FitOptions, step: TrainStep) {
    this.#options = options;
    this.#step = step;
    this.#total = options.epochs * options.stepsPerEpoch;
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
      const validation = await this.#score(0);
      await this.#record({ epoch: 0, steps: 0, parts: {}, learningRate: learningRateAt(this.#options.schedule, 0, this.#total), milliseconds: 0, ...validation });
      return;
    }
    if (found.identity !== (this.#options.identity ?? '')) {
      throw new EdgeError('weights-mismatch', `The checkpoint ${this.#last} belongs to a training with other settings.`, {
        hint: `Remove it to start afresh: rm "${this.#last}"`,
        where: { file: this.#last },
      });
    }
    await this.#step.restore(found.tensors);
    this.#options.task.restore(found.task);
    this.#history.push(...(found.history as EpochRecord[]));
    this.epoch = found.epoch;
    this.#steps = found.step;
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
    const validation = epoch === epochs || validateAt(epoch) ? await this.#score(epoch) : {};
    await this.#record({
      epoch,
      steps: sums.steps,
      loss: mean(sums.loss),
      parts: Object.fromEntries(Object.entries(sums.parts).map(([name, sum]) => [name, mean(sum)])),
      learningRate: sums.learningRate,
      milliseconds,
      ...validation,
    });
  }

  async #steppedEpoch(epoch: number): Promise<{ steps: number; loss: number; parts: Record<string, number>; learningRate: number }> {
    const { batches, schedule, signal, stepsPerEpoch } = this.#options;
    const iterator = batches(epoch)[Symbol.asyncIterator]();
    const sums = { steps: 0, loss: 0, parts: {} as Record<string, number>, learningRate: 0 };
    const pace = new Pace(this.#step.batch);
    // The next batch is asked for before the step runs: the step has its own thread, so both happen at once.
    let ahead = asked(iterator.next());
    try {
      while (sums.steps < stepsPerEpoch) {
        if (signal?.aborted)
          throw new EdgeError('cancelled', `The training was cancelled in epoch ${epoch}.`, { hint: 'Run the same command again: it goes on from the last finished epoch.' });
        const waited = performance.now();
        const batch = await ahead;
        if (batch.done) break;
        ahead = asked(iterator.next());
        const began = performance.now();
        sums.learningRate = learningRateAt(schedule, this.#steps, this.#total);
        const result = await this.#stepOnce(batch.value, epoch, sums.steps + 1, sums.learningRate);
        sums.steps++;
        sums.loss += result.loss;
        for (const [name, value] of Object.entries(result.parts)) sums.parts[name] = (sums.parts[name] ?? 0) + value;
        pace.add(began - waited, performance.now() - began);
        this.#report(epoch, sums.steps, result, sums.learningRate, pace);
      }
    } finally {
      await ahead.catch(() => {});
      await iterator.return?.();
    }
    if (sums.steps === 0)
      throw new EdgeError('dataset-invalid', `Epoch ${epoch} has no batch.`, { hint: 'The training set must fill at least one batch: lower batch_size_per_gpu.' });
    return sums;
  }

  async #stepOnce(batch: TrainBatch, epoch: number, index: number, learningRate: number): Promise<StepResult> {
    const { task, network } = this.#options;
    const result = await this.#step.run({ images: batch.images, targets: task.encode(batch.annotations), lossWeights: task.lossWeights(), t: this.#steps + 1, learningRate });
    if (!Number.isFinite(result.loss)) throw await explainNotFinite(network, await this.#step.state('before'), batch.images, `in step ${index} of epoch ${epoch}`);
    this.#steps++;
    return result;
  }

  #report(epoch: number, step: number, { loss, parts }: StepResult, learningRate: number, pace: Pace): void {
    const { epochs, stepsPerEpoch, onProgress } = this.#options;
    const left = this.#total - this.#steps;
    onProgress?.({ epoch, epochs, step, steps: stepsPerEpoch, loss, parts, learningRate, ...pace.now(left) });
  }

  async #score(epoch: number): Promise<{ validation?: NonNullable<EpochRecord['validation']> }> {
    const { validate, network } = this.#options;
    if (!validate) return {};
    const { metric, value, n, decisions } = await validate(withState(network, await this.#step.state()), epoch);
    return { validation: { metric, value, n, decisions } };
  }

  async #record(record: EpochRecord): Promise<void> {
    const { folder: _, onEpoch, task, identity } = this.#options;
    this.#history.push(record);
    const value = record.validation?.value;
    // Epoch 0 counts: a retraining must not end below the network it began with. At equal scores the later epoch wins, having learnt longer.
    const improved = value !== undefined && (this.#best === undefined || value >= this.#best.value);
    if (improved) this.#best = { epoch: record.epoch, value };
    const checkpoint: Checkpoint = {
      epoch: record.epoch,
      step: this.#steps,
      identity: identity ?? '',
      task: task.state(),
      history: this.#history,
      tensors: await this.#step.state(),
      ...(this.#best ? { best: this.#best } : {}),
    };
    // The best first: a crash between the two repeats an epoch and writes the same best again.
    if (improved) await writeCheckpoint(this.#bestFile, checkpoint);
    await writeCheckpoint(this.#last, checkpoint);
    await onEpoch?.(record);
  }

  async result(): Promise<FitResult> {
    const { network } = this.#options;
    const as = (state: ReadonlyMap<string, Tensor>): Network => ({ ...network, graph: withState(network, state) });
    const kept = this.#best === undefined ? undefined : await readCheckpoint(this.#bestFile);
    return {
      network: as(await this.#step.state()),
      best: this.#best && kept ? { network: as(kept.tensors), ...this.#best } : undefined,
      history: this.#history,
      resumedFrom: this.#resumedFrom,
    };
  }
}

/** A promise whose failure waits until it is awaited. */
function asked<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

/** Time per step over the last 20 steps, and how much of it was waiting for data. */
class Pace {
  readonly #batch: number;
  readonly #recent: { wait: number; work: number }[] = [];
  constructor(batch: number) {
    this.#batch = batch;
  }
  add(wait: number, work: number): void {
    this.#recent.push({ wait, work });
    if (this.#recent.length > 20) this.#recent.shift();
  }
  now(stepsLeft: number): Pick<FitProgress, 'imagesPerSecond' | 'etaSeconds' | 'starved'> {
    const wait = this.#recent.reduce((sum, each) => sum + each.wait, 0);
    const all = wait + this.#recent.reduce((sum, each) => sum + each.work, 0);
    return {
      imagesPerSecond: (1000 * this.#batch * this.#recent.length) / Math.max(all, 1e-3),
      etaSeconds: (stepsLeft * all) / (1000 * Math.max(1, this.#recent.length)),
      starved: wait / Math.max(all, 1e-3),
    };
  }
}
