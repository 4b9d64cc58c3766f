import { availableParallelism } from 'node:os';
import { EdgeError } from '../core/errors.ts';
import type { Tensor } from '../graph/ir.ts';
import type { Preprocess } from '../graph/network-info.ts';
import type { Annotation } from '../tasks/task.ts';
import { openBatchMaker } from './_batch-maker.ts';
import { openCrew } from './_crew.ts';
import { purpose } from './_sample-work.ts';
import type { Augmentation } from './augment.ts';
import type { ClassMap } from './class-map.ts';
import type { Filter, Fit, Placement, Size } from './placement.ts';
import { randomAt, shuffled } from './random.ts';
import { channelsOf } from './render.ts';
import type { Manifest } from './sample.ts';

/** Images ready for a network: float32 (N, C, H, W), preprocessed. N is always the batch size; the first n rows are real, and ids, annotations and placements count n. */
export interface Batch {
  readonly images: Tensor;
  readonly n: number;
  readonly ids: readonly string[];
  /** In input pixels, augmented like the image. */
  readonly annotations: readonly Annotation[];
  /** Where each original lies in the input (before augmentation), to carry predictions back. */
  readonly placements: readonly Placement[];
  /** Gives the images' memory back once nobody looks at them any more: a later batch is written over them. Without it the batch stays as it is. */
  release(): void;
}
export interface LoaderOptions {
  readonly manifest: Manifest;
  readonly classes: Pick<ClassMap, 'indexOf'>;
  readonly size: Size;
  readonly preprocess: Preprocess;
  /** How images meet the input; preprocess.resize unless given. */
  readonly fit?: Fit;
  /** Bilinear unless given. */
  readonly filter?: Filter;
  readonly augmentation?: Augmentation;
  readonly batch: number;
  readonly seed?: number;
  readonly shuffle?: boolean;
  /** What becomes of a last batch that is not full. drop: left out. wrap: filled from the start of the epoch's order. pad: zero rows beyond n (evaluation). */
  readonly last?: 'drop' | 'wrap' | 'pad';
  /** stop: `image-corrupt` ends the epoch. skip: a note; training puts the epoch's next good image in its place, evaluation goes on without it. */
  readonly onCorrupt?: 'stop' | 'skip';
  readonly onNote?: (note: string) => void;
  /** Worker threads; 0 works in this thread. The numbers do not depend on it. */
  readonly workers?: number;
  /** Batches made ahead of the reader. */
  readonly prefetch?: number;
  /** Bytes of decoded images kept over all workers; 0 keeps none. */
  readonly cacheBytes?: number;
  readonly signal?: AbortSignal;
}
/** Batches of one dataset, epoch after epoch, over the same workers and the same cache of decoded images. */
export interface Loader extends AsyncDisposable {
  readonly batchesPerEpoch: number;
  /** One epoch. Only one may be read at a time; leaving it early is fine. */
  epoch(epoch: number): AsyncGenerator<Batch, void, void>;
  close(): Promise<void>;
}

/** Indices into the samples for one epoch: in order, or shuffled by (seed, epoch). */
export const epochOrder = (count: number, { seed = 0, shuffle = false }: Pick<LoaderOptions, 'seed' | 'shuffle'>, epoch: number): readonly number[] =>
  shuffle ? shuffled(count, randomAt(seed, purpose.shuffle, epoch)) : Array.from({ length: count }, (_, index) => index);

/** Opens a loader: worker threads that decode, resize, augment and preprocess into shared memory of (prefetch + 1) batches. Random numbers are keyed by (seed, epoch, sample index): the same batches for any number of workers, and after a resume. */
export function openLoader(options: LoaderOptions): Loader {
  checkOptions(options);
  const { manifest, size, preprocess, batch, seed = 0, last = 'wrap' } = options;
  const count = manifest.samples.length;
  const workers = options.workers ?? Math.max(1, Math.min(4, availableParallelism()));
  const prefetch = Math.max(1, options.prefetch ?? 3);
  const crew = openCrew({
    settings: {
      root: manifest.root,
      size,
      fit: options.fit ?? preprocess.resize,
      filter: options.filter,
      preprocess,
      augmentation: options.augmentation,
      seed,
      cacheBytes: (options.cacheBytes ?? 0) / Math.max(1, workers),
    },
    workers,
    slots: prefetch + 1,
    rowsPerSlot: batch,
    floatsPerRow: channelsOf(preprocess) * size.width * size.height,
  });
  const makeBatch = openBatchMaker(options, crew);
  const batchesPerEpoch = last === 'drop' ? Math.floor(count / batch) : Math.ceil(count / batch);
  let reading = false;
  async function* epoch(number: number): AsyncGenerator<Batch, void, void> {
    if (reading) throw new EdgeError('internal', 'Two epochs of one loader are being read at once.', { hint: 'Finish or leave the first, or open a second loader.' });
    reading = true;
    crew.wake();
    const order = epochOrder(count, options, number);
    try {
      yield* readAhead(batchesPerEpoch, prefetch, position => makeBatch(position, order, number), options.signal);
    } finally {
      crew.rest();
      reading = false;
    }
  }
  const close = () => crew.close();
  return { batchesPerEpoch, epoch, close, [Symbol.asyncDispose]: close };
}

/** Yields `make(0…count−1)` in order, at most `ahead` under way beside the one that is read. However it ends, nothing is left under way. */
async function* readAhead(count: number, ahead: number, make: (position: number) => Promise<Batch>, signal: AbortSignal | undefined): AsyncGenerator<Batch, void, void> {
  const pending: Promise<Batch>[] = [];
  let next = 0;
  const start = () => {
    if (next >= count) return;
    const made = make(next++);
    // Read later, perhaps never: a failure must not count as unhandled meanwhile.
    made.catch(() => {});
    pending.push(made);
  };
  try {
    for (let i = 0; i < ahead; i++) start();
    while (pending.length > 0) {
      signal?.throwIfAborted();
      const made = await raceAbort(pending[0]!, signal);
      pending.shift();
      start();
      yield made;
    }
  } catch (error) {
    if (signal?.aborted) throw new EdgeError('cancelled', 'Reading batches was cancelled.', { hint: 'Run the same command again to go on.', cause: error });
    throw error;
  } finally {
    await Promise.allSettled(pending);
  }
}

/** One epoch and done: opens a loader, reads it, closes its workers however the reading ends. */
export async function* openBatches(options: LoaderOptions & { readonly epoch?: number }): AsyncGenerator<Batch, void, void> {
  const loader = openLoader(options);
  try {
    yield* loader.epoch(options.epoch ?? 0);
  } finally {
    await loader.close();
  }
}

function checkOptions({ manifest, size, preprocess, batch, augmentation, last = 'wrap' }: LoaderOptions): void {
  const refuse = (message: string, hint: string): never => {
    throw new EdgeError('dataset-invalid', message, { hint });
  };
  const count = manifest.samples.length;
  if (count === 0) refuse('The dataset has no images.', 'Check the folder and the split.');
  if (!Number.isInteger(batch) || batch < 1) refuse(`A batch of ${batch} images cannot be made.`, 'Set batch_size_per_gpu to 1 or more.');
  if (last === 'drop' && count < batch) refuse(`${count} images do not fill one batch of ${batch}.`, `Set batch_size_per_gpu to ${count} or less.`);
  const mostBytes = 2 ** 31;
  if (batch * channelsOf(preprocess) * size.width * size.height * 4 > mostBytes)
    refuse(`A batch of ${batch} images of ${size.width}×${size.height} takes more than 2 GiB.`, 'Use a smaller batch.');
  if (augmentation && augmentation.kind !== manifest.task)
    refuse(`${augmentation.kind} augmentation does not fit a ${manifest.task} dataset.`, 'Use the augmentation of the dataset’s task.');
}

async function raceAbort<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
