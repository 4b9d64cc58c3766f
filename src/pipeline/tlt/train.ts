import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type ComputeWish, chooseCompute } from '../../compute/choose.ts';
import { writeAtomic } from '../../core/atomic-file.ts';
import { EdgeError } from '../../core/errors.ts';
import { canonical, digestOf } from '../../core/fingerprint.ts';
import { siblingModule } from '../../core/package-root.ts';
import { storeRoot } from '../../core/store-root.ts';
import { encodeTlt } from '../../formats/etlt.ts';
import { readOnnx, writeOnnx } from '../../formats/onnx.ts';
import type { TltNetwork } from '../../formats/spec/cli-flags.ts';
import { detectnetSpec } from '../../formats/spec/detectnet-spec.ts';
import type { EpochRecord, FitProgress } from '../../train/fit.ts';
import { formatDuration } from '../../train/status-log.ts';
import { TensorboardLog } from '../../train/tensorboard-log.ts';
import { isolated } from '../isolation.ts';
import { type CheckpointFiles, checkpointFile, type TrainingLog, type TrainMessage, type TrainRequest } from '../jobs/train.ts';
import { epochLines, type StatusFile, withStatus } from '../status-file.ts';
import type { SpecPlan } from '../training-plan.ts';
import { drawOn } from '../training-reader.ts';
import { type SpecData, specData } from './datasets.ts';
import { writeModel } from './model-file.ts';
import { readSpecText, readTrainingSpec } from './spec-file.ts';
import { startingNetwork } from './start-network.ts';
import { type Tell, timeText } from './tell.ts';

export interface TltTrain {
  readonly network: TltNetwork;
  readonly spec: string;
  readonly results: string;
  /** File name of the final network (DetectNet_v2). */
  readonly name: string;
  readonly key: string | undefined;
  readonly classmap?: string | undefined;
  /** Default: auto. Another one goes on from the same checkpoint, with a note. */
  readonly compute?: ComputeWish | undefined;
}
export interface TltTrained {
  readonly files: readonly string[];
  readonly log: TrainingLog;
}

/** TLT's train: the network of a spec, trained on the spec's data in a process of its own; files lie where TLT puts them below `results`. The same command again goes on where it stopped. */
export const tltTrain = (request: TltTrain, tell: Tell): Promise<TltTrained> => withStatus('train', request.results, tell, status => trained(request, tell, status));

async function trained(request: TltTrain, tell: Tell, status: StatusFile): Promise<TltTrained> {
  const { results, key } = request;
  const plan = await readTrainingSpec(request.spec, request.network);
  for (const note of plan.notes) tell.note(note);
  const data = await specData(plan, { classmap: request.classmap });
  for (const note of data.notes) tell.note(note);
  if (key === undefined) tell.note('No key is given: networks are written as plain .onnx only, no .tlt.');
  const start = await startingNetwork(plan, data.labels, key);
  for (const note of start.notes) tell.note(note);
  tell.say(`${start.origin}; ${data.train.samples.length} images to learn from, ${data.validation?.samples.length ?? 0} to validate on.`);
  const { name: compute, why } = chooseCompute(request.compute ?? 'auto');
  tell.say(`Computed by ${compute}: ${why}.`);
  await writeSidecars(request, data);
  const work = await prepareWork(results, plan, data, writeOnnx(start.network.graph), start.freeze);
  const checkpoints = checkpointsOf(request, plan);
  await mkdir(dirname(checkpoints.prefix), { recursive: true });
  const epochs = epochReader({ plan, checkpoints, key, tell, status, results, network: request.network });
  const log = await isolated<TrainingLog>(
    siblingModule(import.meta.url, '../jobs/train'),
    'trainJob',
    { ...work.request, plan: plan.training, freeze: start.freeze, compute, checkpoints } satisfies TrainRequest,
    {
      signal: tell.signal,
      onMessage: epochs.read,
    },
  );
  await epochs.settled();
  if (log.resumedFrom !== undefined) tell.say(`Went on from epoch ${log.resumedFrom} of an earlier run of this command.`);
  const files = await writeModel(join(results, 'weights', finalName(request, plan)), readOnnx(await readFile(work.request.output)), key);
  if (log.best)
    tell.say(
      `The final network is that of epoch ${(log[log.kept] ?? log.last).epoch}, the ${log.kept}; the best on the validation images was epoch ${log.best.epoch} (${log.best.value.toFixed(4)}), the last is epoch ${log.last.epoch}.`,
    );
  tell.say(`Files: ${files.join(', ')}`);
  return { files, log };
}

/** DetectNet_v2: `<name>`; classification: `<arch>`, whose epochs lie beside it as `<arch>_<epoch>`. */
const finalName = (request: TltTrain, plan: SpecPlan): string => (request.network === 'detectnet_v2' ? request.name : archOf(plan));
const archOf = (plan: SpecPlan): string => {
  const model = plan.spec.message.model_config;
  const arch = typeof model === 'object' && !Array.isArray(model) ? (model as { readonly arch?: unknown }).arch : undefined;
  return typeof arch === 'string' && /^[\w.-]+$/.test(arch) ? arch : 'model';
};

function checkpointsOf({ network, results }: TltTrain, plan: SpecPlan): CheckpointFiles {
  if (network === 'classification') return { prefix: join(results, 'weights', `${archOf(plan)}_`), digits: 3, every: 1 };
  return { prefix: join(results, 'model.epoch-'), digits: 1, every: detectnetSpec(plan.spec).spec.training.checkpointInterval };
}

/** What TLT leaves beside its networks: the spec, and a classifier's class map. */
async function writeSidecars({ network, results, spec }: TltTrain, { labels }: SpecData): Promise<void> {
  await writeAtomic(join(results, 'experiment_spec.txt'), await readSpecText(spec));
  if (network === 'classification') await writeAtomic(join(results, 'classmap.json'), `${JSON.stringify(Object.fromEntries(labels.map((label, index) => [label, index])))}\n`);
}

/** A folder for this very training (spec, data, first network): resuming another would mix two. Those of other trainings in the same results folder go. */
async function prepareWork(results: string, plan: SpecPlan, data: SpecData, network: Uint8Array, freeze: TrainRequest['freeze']) {
  const [train, validation] = [JSON.stringify(data.train), data.validation && JSON.stringify(data.validation)];
  const identity = digestOf(canonical([plan.training, freeze, digestOf(network), digestOf(train), validation === undefined ? null : digestOf(validation)]));
  const root = storeRoot(results);
  const folder = join(root, identity.slice(0, 16));
  for (const other of await readdir(root).catch(() => [])) if (other !== basename(folder)) await rm(join(root, other), { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const file = (name: string) => join(folder, name);
  await writeFile(file('network.onnx'), network);
  await writeFile(file('train.json'), train);
  if (validation !== undefined) await writeFile(file('validation.json'), validation);
  return {
    request: {
      network: file('network.onnx'),
      train: file('train.json'),
      validation: validation === undefined ? undefined : file('validation.json'),
      output: file('best.onnx'),
      scratch: folder,
    },
  };
}

interface EpochContext {
  readonly plan: SpecPlan;
  readonly checkpoints: CheckpointFiles;
  readonly key: string | undefined;
  readonly tell: Tell;
  readonly status: StatusFile;
  readonly results: string;
  readonly network: TltNetwork;
}

/** Turns the training's messages into lines, status.json, encrypted checkpoints and (for classifiers) training.csv. */
function epochReader(context: EpochContext) {
  const { checkpoints, key, tell, plan } = context;
  const work: Promise<void>[] = [];
  const rows: string[] = [];
  const later = (promise: Promise<void>) => {
    promise.catch(() => undefined);
    work.push(promise);
  };
  const board = new TensorboardLog(join(context.results, 'tensorboard'), new Date());
  const read = (raw: unknown): void => {
    const message = raw as TrainMessage;
    drawOn(board, message);
    switch (message.kind) {
      case 'note':
        tell.note(message.note);
        break;
      case 'log':
        tell.say(message.text);
        break;
      case 'progress':
        showProgress(message.progress, tell);
        break;
      case 'epoch': {
        showEpoch(message.record, context);
        const { epoch, loss, learningRate, validation } = message.record;
        if (epoch > 0) rows.push([epoch, loss ?? '', learningRate, validation?.value ?? ''].join(','));
        const file = checkpointFile(checkpoints, epoch);
        if (file !== undefined && key !== undefined) later(encryptFile(file, key));
      }
    }
  };
  return {
    read,
    settled: async () => {
      await Promise.all([...work, board.settled()]);
      if (context.network === 'classification' && rows.length > 0) await writeAtomic(join(context.results, 'training.csv'), `epoch,loss,lr,val_acc\n${rows.join('\n')}\n`);
      if (rows.length === 0) tell.say(`All ${plan.training.epochs} epochs were done already.`);
    },
  };
}

function showProgress({ epoch, epochs, step, steps, loss, imagesPerSecond, etaSeconds }: FitProgress, tell: Tell): void {
  tell.progress(
    (epoch - 1) * steps + step,
    epochs * steps,
    'steps',
    `epoch ${epoch}/${epochs}, loss ${loss.toPrecision(4)}, ${imagesPerSecond.toFixed(1)} images/s, about ${timeText(etaSeconds)} left`,
  );
}

/** One finished epoch, in TAO's words. */
function showEpoch(record: EpochRecord, { plan, tell, status }: EpochContext): void {
  const { epoch, loss, learningRate, milliseconds, validation } = record;
  const { epochs } = plan.training;
  for (const line of epochLines(record, epochs)) status.write(line);
  if (epoch > 0 && loss !== undefined) {
    const [time, eta] = [milliseconds, milliseconds * Math.max(0, epochs - epoch)].map(formatDuration);
    tell.say(`Epoch ${epoch}/${epochs}: loss: ${loss.toFixed(5)} learning rate: ${Number(learningRate.toPrecision(4))} Time taken: ${time} ETA: ${eta}`);
  }
  if (validation) {
    const { metric, value, n, decisions } = validation;
    tell.say(`Validation after epoch ${epoch}: ${metric} (in %): ${(100 * value).toFixed(4)} on ${n} images${decisions === n ? '' : ` (${decisions} objects)`}`);
  }
}

/** A checkpoint as TLT has it: the stream cipher around the network, and no plain copy. */
async function encryptFile(plain: string, key: string): Promise<void> {
  const payload = await readFile(plain).catch((cause: unknown) => {
    throw new EdgeError('internal', `The checkpoint ${plain} was announced but is not there.`, { hint: 'Run the same command again.', where: { file: plain }, cause });
  });
  await writeAtomic(plain.replace(/\.onnx$/, '.tlt'), encodeTlt({ payload, key }));
  await rm(plain);
}
