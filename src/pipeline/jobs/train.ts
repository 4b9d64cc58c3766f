import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOf } from '../../core/fingerprint.ts';
import { openLoader } from '../../data/batches.ts';
import { mapClasses } from '../../data/class-map.ts';
import { readOnnx, writeOnnx } from '../../formats/onnx.ts';
import type { Graph } from '../../graph/ir.ts';
import type { Network, Score } from '../../tasks/task.ts';
import { readCheckpoint } from '../../train/checkpoint.ts';
import { type EpochRecord, type FitProgress, fit } from '../../train/fit.ts';
import { resultOf } from '../../train/step.ts';
import { networkOf } from '../../zoo/network-file.ts';
import type { IsolatedContext } from '../isolation.ts';
import { readManifest } from '../manifest-file.ts';
import { openTask } from '../task-plan.ts';
import type { TrainingPlan } from '../training-plan.ts';
import { scoreNetwork } from './evaluate.ts';

/** What the training process is given: files in, files out. */
export interface TrainRequest {
  readonly plan: TrainingPlan;
  readonly network: string;
  readonly train: string;
  /** Where the images lie that the manifests speak of; absent: their roots are absolute. */
  readonly images?: string | undefined;
  /** Absent: nothing validates, and the last network is the result. */
  readonly validation?: string | undefined;
  readonly output: string;
  readonly scratch: string;
  readonly freeze: { readonly freezeBlocks: readonly number[]; readonly freezeBn: boolean; readonly freezeConvs: number };
  readonly threads?: number;
  /** TLT's periodic networks: every so many epochs `<prefix><epoch>.onnx`, written before the epoch's message. */
  readonly checkpoints?: CheckpointFiles;
}
export interface CheckpointFiles {
  readonly prefix: string;
  readonly digits: number;
  readonly every: number;
}
/** The file of one epoch, or undefined where that epoch is not kept. */
export const checkpointFile = ({ prefix, digits, every }: CheckpointFiles, epoch: number): string | undefined =>
  epoch > 0 && every > 0 && epoch % every === 0 ? `${prefix}${String(epoch).padStart(digits, '0')}.onnx` : undefined;
export type TrainMessage =
  | { readonly kind: 'progress'; readonly progress: FitProgress }
  | { readonly kind: 'epoch'; readonly record: EpochRecord }
  | { readonly kind: 'note'; readonly note: string };
export interface TrainingLog {
  readonly history: readonly EpochRecord[];
  readonly best: { readonly epoch: number; readonly value: number } | undefined;
  readonly resumedFrom: number | undefined;
}

/** Trains in a process of its own and writes the best network (the last where nothing validated). */
export async function trainJob(request: TrainRequest, { send, signal }: IsolatedContext): Promise<TrainingLog> {
  const { plan } = request;
  const network = networkOf(readOnnx(await readFile(request.network)), { ...request.freeze, freezeBlocks: [...request.freeze.freezeBlocks] });
  const train = await readManifest(request.train, request.images);
  const validation = request.validation === undefined ? undefined : await readManifest(request.validation, request.images);
  const note = (text: string) => send({ kind: 'note', note: text } satisfies TrainMessage);
  const task = openTask(plan.task, network.info.labels);
  const classes = mapClasses(train, { targets: network.info.labels, ...(plan.mapping ? { mapping: plan.mapping } : {}) });
  classes.notes.forEach(note);
  await using loader = openLoader({
    manifest: train,
    classes,
    size: plan.input,
    preprocess: network.info.preprocess,
    fit: plan.fit,
    augmentation: plan.augmentation,
    batch: plan.batch,
    seed: plan.seed,
    shuffle: true,
    last: 'wrap',
    cacheBytes: 512 * 2 ** 20,
    signal,
    onNote: note,
  });
  const validate = validation && ((graph: Graph): Promise<Score> => scoreNetwork({ graph, plan, manifest: validation, signal }));
  const result = await fit({
    network,
    task,
    batches: epoch => loader.epoch(epoch),
    stepsPerEpoch: loader.batchesPerEpoch,
    epochs: plan.epochs,
    batch: plan.batch,
    optimizer: plan.optimizer,
    schedule: plan.schedule,
    regularizer: plan.regularizer,
    multiplier: rates(network, plan.backboneRate),
    ...(validate ? { validate } : {}),
    validateAt: epoch => epoch >= plan.validation.first && (epoch - plan.validation.first) % plan.validation.period === 0,
    folder: request.scratch,
    resume: true,
    identity: digestOf(JSON.stringify([plan, network.graph.name])),
    signal,
    ...(request.threads === undefined ? {} : { threads: request.threads }),
    onProgress: paced(progress => send({ kind: 'progress', progress } satisfies TrainMessage)),
    onEpoch: async record => {
      await keepEpoch(request, network, record.epoch);
      send({ kind: 'epoch', record } satisfies TrainMessage);
    },
    onNote: note,
  });
  const kept = result.best?.network ?? result.network;
  await writeFile(request.output, writeOnnx(kept.graph));
  return { history: result.history, best: result.best && { epoch: result.best.epoch, value: result.best.value }, resumedFrom: result.resumedFrom };
}

/** At most five messages a second, and the last of each epoch: a small network takes hundreds of steps a second, and each message is a line in the run's file. */
function paced(tell: (progress: FitProgress) => void): (progress: FitProgress) => void {
  let told = Number.NEGATIVE_INFINITY;
  return progress => {
    const now = performance.now();
    if (now - told < 200 && progress.step < progress.steps) return;
    told = now;
    tell(progress);
  };
}

/** Writes the network of a finished epoch where the request asks for it; fit has just put its weights into last.ckpt. */
async function keepEpoch({ checkpoints, scratch }: TrainRequest, network: Network, epoch: number): Promise<void> {
  const file = checkpoints && checkpointFile(checkpoints, epoch);
  const last = file === undefined ? undefined : await readCheckpoint(join(scratch, 'last.ckpt'));
  if (file !== undefined && last) await writeFile(file, writeOnnx(resultOf(network, last.tensors)));
}

/** Learning-rate factors: the head learns at the full rate, the backbone at its share. */
function rates(network: Network, backboneRate: number): (weight: string) => number {
  const heads = network.info.outputs.map(output => output.split('/')[0] as string);
  return weight => (backboneRate === 1 || heads.some(head => weight.startsWith(head)) ? 1 : backboneRate);
}
