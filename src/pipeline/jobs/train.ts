import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { z } from 'zod';
import { int8Form, learntNetwork, startQat, withoutRanges } from '../../compress/qat.ts';
import type { ComputeName } from '../../compute/choose.ts';
import { EdgeError } from '../../core/errors.ts';
import { digestOf } from '../../core/fingerprint.ts';
import { type LoaderOptions, openBatches, openLoader } from '../../data/batches.ts';
import { cacheBudget, decodedBytes } from '../../data/cache-budget.ts';
import { mapClasses } from '../../data/class-map.ts';
import type { Manifest } from '../../data/sample.ts';
import { readOnnx, writeOnnx } from '../../formats/onnx.ts';
import type { Graph } from '../../graph/ir.ts';
import { withoutKeptChannels } from '../../graph/kept-channels.ts';
import type { Network, Score, Task } from '../../tasks/task.ts';
import { readCheckpoint } from '../../train/checkpoint.ts';
import { type EpochRecord, type FitProgress, type FitResult, fit } from '../../train/fit.ts';
import { overfitBatch, overfitText } from '../../train/overfit.ts';
import { resultOf } from '../../train/step.ts';
import type { Distillation } from '../../train/teacher.ts';
import { type freezeSchema, idleBlocks, kernelsIn } from '../../zoo/freeze.ts';
import { networkOf } from '../../zoo/network-file.ts';
import { classWeightsOf } from '../class-weights.ts';
import type { IsolatedContext } from '../isolation.ts';
import { readManifest } from '../manifest-file.ts';
import { openTask } from '../task-plan.ts';
import type { Comparison } from '../training-comparison.ts';
import { placedBy, type TrainingPlan } from '../training-plan.ts';
import { selectImages, singleImages } from './calibrate.ts';
import { scoreNetwork } from './evaluate.ts';

/** What the training process is given: files in, files out. */
export interface TrainRequest {
  readonly plan: TrainingPlan;
  readonly network: string;
  /** The network that plan.distill speaks of. */
  readonly teacher?: string | undefined;
  readonly train: string;
  /** Where the images lie that the manifests speak of; absent: their roots are absolute. */
  readonly images?: string | undefined;
  /** Absent: nothing validates, and the last network is the result. */
  readonly validation?: string | undefined;
  /** Where the network that goes on is written; best and last beside it where they are wanted. */
  readonly output: string;
  readonly best?: string;
  readonly last?: string;
  readonly scratch: string;
  readonly freeze: z.input<typeof freezeSchema>;
  readonly compute: ComputeName;
  readonly threads?: number;
  /** First see whether one batch can be learnt by heart. */
  readonly overfit?: boolean;
  /** Memory for decoded images between epochs (default auto). */
  readonly cacheMiB?: number | 'auto';
  /** What a training image that does not decode does (default refuse): it stops the training, or the epoch's next good one takes its place, with a note. */
  readonly corrupt?: 'refuse' | 'skip';
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
  | { readonly kind: 'progress'; readonly progress: FitProgress /** Resident memory of the training process, 10⁶ bytes. */; readonly residentMB: number }
  | { readonly kind: 'epoch'; readonly record: EpochRecord }
  /** What the network scored on the validation images after `epoch` epochs of `epochs`, each of `steps` steps. */
  | { readonly kind: 'score'; readonly epoch: number; readonly epochs: number; readonly steps: number; readonly score: Score }
  | { readonly kind: 'log'; readonly text: string }
  | { readonly kind: 'note'; readonly note: string };
export interface TrainingLog {
  readonly history: readonly EpochRecord[];
  readonly best: { readonly epoch: number; readonly value: number } | undefined;
  readonly last: { readonly epoch: number; readonly value?: number };
  /** Which of the two goes on: the last where nothing validated. */
  readonly kept: 'best' | 'last';
  readonly resumedFrom: number | undefined;
  /** Against the training before it in the same place. */
  readonly compared?: Comparison | undefined;
  readonly computed: FitResult['computed'];
}

/** Trains in a process of its own and writes the best or the last network, as the plan says. */
export async function trainJob(request: TrainRequest, { send, signal }: IsolatedContext): Promise<TrainingLog> {
  const { plan } = request;
  const given = await readNetwork(request);
  const train = await readManifest(request.train, request.images);
  const network = plan.qat ? await underQuantization(given, plan, train, signal) : given;
  const validation = request.validation === undefined ? undefined : await readManifest(request.validation, request.images);
  const noted = new Set<string>();
  // A file that breaks would be told again in every epoch.
  const note = (text: string) => {
    if (!noted.has(text)) send({ kind: 'note', note: text } satisfies TrainMessage);
    noted.add(text);
  };
  const say = (text: string) => send({ kind: 'log', text } satisfies TrainMessage);
  const classes = mapClasses(train, { targets: network.info.labels, ...(plan.mapping ? { mapping: plan.mapping } : {}) });
  [...classes.notes, ...blockNotes(given.graph, request.freeze)].forEach(note);
  const task = openTask(plan.task, network.info.labels, classWeightsOf(plan, classes));
  if (plan.qat) note('Quantization-aware training: scores are those of the INT8 network, and every ReLU is a ReLU6, as in TLT.');
  const { batch, seed, augmentation } = plan;
  const onCorrupt = request.corrupt === 'skip' ? 'skip' : 'stop';
  const order = { batch, seed, shuffle: true, last: 'wrap', onCorrupt } as const;
  const loading = { manifest: train, classes, ...placedBy(plan), preprocess: network.info.preprocess, ...order, signal, onNote: note };
  if (request.overfit) await tryOneBatch(request, { network, task, loading, say });
  await using loader = openLoader({ ...loading, augmentation, cacheBytes: cacheFor(request, train, say) });
  const validate =
    validation &&
    (async (graph: Graph, epoch: number): Promise<Score> => {
      const score = await scoreNetwork({ graph: plan.qat ? int8Form(graph, 'onnxruntime') : graph, plan, manifest: validation, signal });
      send({ kind: 'score', epoch, epochs: plan.epochs, steps: loader.batchesPerEpoch, score } satisfies TrainMessage);
      return score;
    });
  const result = await fit({
    network,
    task,
    batches: epoch => loader.epoch(epoch),
    stepsPerEpoch: loader.batchesPerEpoch,
    ...howToLearn(plan, network),
    ...(await readTeacher(request)),
    compute: request.compute,
    ...(validate ? { validate } : {}),
    validateAt: epoch => epoch >= plan.validation.first && (epoch - plan.validation.first) % plan.validation.period === 0,
    folder: request.scratch,
    resume: true,
    identity: digestOf(JSON.stringify([plan, network.graph.name])),
    signal,
    ...(request.threads === undefined ? {} : { threads: request.threads }),
    onProgress: paced(progress => send({ kind: 'progress', progress, residentMB: Math.round(process.memoryUsage.rss() / 1e6) } satisfies TrainMessage)),
    onEpoch: async record => {
      await keepEpoch(request, network, record.epoch);
      send({ kind: 'epoch', record } satisfies TrainMessage);
    },
    onNote: note,
  });
  return handOn(request, result);
}

async function readNetwork({ network: file, freeze, plan }: TrainRequest): Promise<Network> {
  const network = networkOf(withoutRanges(readOnnx(await readFile(file))), freeze);
  const counts = plan.regularizer.scope && kernelsIn(network.graph, plan.regularizer.scope);
  if (network.trainable.length > 0) return counts ? { ...network, regularized: network.regularized.filter(name => counts.has(name)) } : network;
  throw new EdgeError('spec-invalid', 'Everything is frozen: nothing would learn.', { hint: 'Freeze fewer layers.', where: { path: 'freeze' } });
}

/** A note where `freeze_blocks` names what is not there: TLT's blocks are a ResNet's, other backbones have none. */
function blockNotes(graph: Graph, freeze: TrainRequest['freeze']): readonly string[] {
  const idle = idleBlocks(graph, freeze);
  if (idle.length === 0) return [];
  return [
    `freeze_blocks: no layer is of block ${idle.join(', ')}, so it freezes nothing there (blocks 0 to 4 are a ResNet’s). In a project, model.freezeLayers or training.freeze freeze layers of any network.`,
  ];
}

async function readTeacher({ teacher, plan }: TrainRequest): Promise<{ readonly distill?: Distillation }> {
  if (plan.distill === undefined || teacher === undefined) return {};
  return { distill: { teacher: networkOf(readOnnx(await readFile(teacher))), ...plan.distill } };
}

/** What a plan says of learning itself, as the training room takes it. */
function howToLearn(plan: TrainingPlan, network: Network) {
  const { epochs, batch, optimizer, schedule, regularizer, clip, average, accumulate, dropout, seed } = plan;
  const mixup = plan.mixup > 0 ? { alpha: plan.mixup } : undefined;
  return { epochs, batch, optimizer, schedule, regularizer, clip, average, accumulate, dropout, mixup, seed, multiplier: rates(network, plan.backboneRate) };
}

/** Writes the network that goes on, the best and the last, and says which is which. */
async function handOn(request: TrainRequest, { network: last, best, history, resumedFrom, computed }: FitResult): Promise<TrainingLog> {
  const { plan } = request;
  const kept = best !== undefined && plan.keep === 'best' ? 'best' : 'last';
  const files = [
    [request.output, kept === 'best' && best ? best.network : last],
    [request.best, best?.network ?? last],
    [request.last, last],
  ] as const;
  for (const [file, { graph }] of files) if (file !== undefined) await writeFile(file, writeOnnx(withoutKeptChannels(plan.qat ? learntNetwork(graph) : graph)));
  const final = history.at(-1);
  return {
    history,
    best: best && { epoch: best.epoch, value: best.value },
    last: { epoch: final?.epoch ?? 0, ...(final?.validation ? { value: final.validation.value } : {}) },
    kept,
    resumedFrom,
    computed,
  };
}

/** The optional check before the first epoch: one batch, not augmented, must be learnable by heart. */
async function tryOneBatch(
  { plan, threads }: TrainRequest,
  { network, task, loading, say }: { readonly network: Network; readonly task: Task; readonly loading: LoaderOptions; readonly say: (text: string) => void },
): Promise<void> {
  for await (const each of openBatches({ ...loading, prefetch: 1 })) {
    const { signal } = loading;
    say(
      overfitText(
        await overfitBatch(network, task, each, { multiplier: rates(network, plan.backboneRate), ...(signal ? { signal } : {}), ...(threads === undefined ? {} : { threads }) }),
      ),
    );
    return;
  }
}

/** The budget for decoded images, told: it decides how fast later epochs go. */
function cacheFor({ plan, cacheMiB = 'auto' }: TrainRequest, { samples }: Manifest, say: (text: string) => void): number {
  const each = decodedBytes(plan.input, plan.augmentation);
  const bytes = cacheBudget(cacheMiB, samples.length * each, process.availableMemory());
  say(`decoded images of ${Math.min(samples.length, Math.floor(bytes / each))} of ${samples.length} files are kept between epochs (${Math.round(bytes / 2 ** 20)} MiB)`);
  return bytes;
}

/** Images that the ranges of quantization-aware training begin with. */
const firstImages = 16;
function underQuantization(network: Network, plan: TrainingPlan, train: Manifest, signal: AbortSignal): Promise<Network> {
  const samples = selectImages(train, { images: firstImages, selection: 'random', seed: plan.seed });
  return startQat(network, () => singleImages({ ...train, samples }, { plan, info: network.info, signal }), { signal });
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
  if (file === undefined || !last) return;
  const graph = resultOf(network, last.tensors);
  await writeFile(file, writeOnnx(network.running ? learntNetwork(graph) : graph));
}

/** Learning-rate factors: the head learns at the full rate, the backbone at its share. */
function rates(network: Network, backboneRate: number): (weight: string) => number {
  const heads = network.info.outputs.map(output => output.split('/')[0] as string);
  return weight => (backboneRate === 1 || heads.some(head => weight.startsWith(head)) ? 1 : backboneRate);
}
