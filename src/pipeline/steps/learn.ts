import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { calibrationRecipe } from '../../compress/calibrate.ts';
import { computeNameSchema } from '../../compute/choose.ts';
import { siblingModule } from '../../core/package-root.ts';
import { defineStep } from '../../core/recipe.ts';
import type { Manifest } from '../../data/sample.ts';
import { readOnnx, writeOnnx } from '../../formats/onnx.ts';
import type { Score } from '../../tasks/task.ts';
import { freezeSchema } from '../../zoo/freeze.ts';
import { buildNetwork, networkSettingsSchema } from '../../zoo/network.ts';
import { backboneSettingsSchema, networkFromOnnx } from '../../zoo/onnx-backbone.ts';
import { backboneSummary, loadSummary, loadWeights } from '../../zoo/weights.ts';
import { isolated } from '../isolation.ts';
import type { BaselineScore, BaselinesRequest } from '../jobs/baselines.ts';
import type { CalibrateRequest, calibrateJob } from '../jobs/calibrate.ts';
import type { EvaluateRequest, TensorsRequest } from '../jobs/evaluate.ts';
import type { TrainingLog, TrainRequest } from '../jobs/train.ts';
import { withStatus } from '../status-file.ts';
import { thisCpu } from '../this-machine.ts';
import { compareTrainings, comparisonText, startText } from '../training-comparison.ts';
import { trainingPlanSchema } from '../training-plan.ts';
import { trainingReader } from '../training-reader.ts';

const job = (name: string): string => siblingModule(import.meta.url, `../jobs/${name}`);
const cpu = () => [thisCpu];
/** Where the images lie: what scenes made, or a folder of the user's. No identity: the manifests hold their digests. */
const root = z.string().optional();
/** Memory for decoded images: no identity, since batches do not depend on it. */
const cacheMiB = z.union([z.literal('auto'), z.int().nonnegative()]).default('auto');

/** The network before its first step: from the zoo, or an ONNX classifier as the backbone; pretrained weights by name. Labels of a classifier are its data's. */
export const initializeStep = defineStep({
  name: 'initialize',
  version: 1,
  config: z.discriminatedUnion('from', [
    z.strictObject({
      from: z.literal('zoo'),
      settings: networkSettingsSchema.partial({ labels: true }),
      pretrained: z.strictObject({ path: z.string(), digest: z.string() }).optional(),
    }),
    z.strictObject({ from: z.literal('onnx'), settings: backboneSettingsSchema.partial({ labels: true }), source: z.strictObject({ path: z.string(), digest: z.string() }) }),
  ]),
  inputs: { train: 'dataset' },
  outputs: { network: 'network' },
  exclusive: cpu,
  identity: config => (config.from === 'zoo' ? { ...config, pretrained: config.pretrained?.digest } : { ...config, source: config.source.digest }),
  async run({ config, inputs, outputs, log, note }) {
    const { classes } = JSON.parse(await readFile(inputs.train, 'utf8')) as Manifest;
    const labels = config.settings.labels ?? [...classes];
    if (config.from === 'onnx') {
      const network = networkFromOnnx({ ...config.settings, labels, graph: readOnnx(await readFile(config.source.path)) });
      log('info', backboneSummary(network, config.source.path));
      return writeFile(outputs.network, writeOnnx(network.graph));
    }
    let network = buildNetwork({ ...config.settings, labels });
    if (config.pretrained) {
      const loaded = loadWeights(network, readOnnx(await readFile(config.pretrained.path)));
      log('info', loadSummary(loaded.report, config.pretrained.path));
      if (loaded.report.loaded === 0) note(`None of the weights of ${config.pretrained.path} fits this network: it starts from scratch.`);
      network = loaded.network;
    }
    await writeFile(outputs.network, writeOnnx(network.graph));
  },
});

/** Training, and retraining after pruning: the same step on another network. */
export const trainStep = defineStep({
  name: 'train',
  version: 2,
  /** compute: `auto` resolved. Other kernels make other bits, so it belongs to the identity. */
  config: z.strictObject({
    plan: trainingPlanSchema,
    freeze: freezeSchema,
    compute: computeNameSchema,
    cacheMiB,
    overfit: z.boolean().default(false),
    /** Skipping learns from other images, so it belongs to the identity; refusing only stops. */
    corrupt: z.enum(['refuse', 'skip']).default('refuse'),
    root,
  }),
  inputs: { network: 'network', train: 'dataset', validation: 'dataset', images: 'images?', teacher: 'network?', startScore: 'score?' },
  /** network: the one that goes on, best or last as the plan says; curves: TensorBoard's event files and TAO's status.json. */
  outputs: { network: 'network', best: 'network', last: 'network', log: 'training-log', curves: 'training-log' },
  identity: ({ root: _, cacheMiB: __, overfit: ___, corrupt, ...rest }) => (corrupt === 'skip' ? { ...rest, corrupt } : rest),
  exclusive: cpu,
  async run({ config: { plan, root, ...how }, inputs: { startScore, ...files }, outputs, scratch, signal, progress, log, note, previous }) {
    const { network: output, best, last } = outputs;
    const request: TrainRequest = { plan, ...how, ...files, images: files.images ?? root, output, best, last, scratch };
    const folder = join(scratch, 'tensorboard');
    log('info', `computed by ${how.compute}`);
    log('info', `curves while it learns: tensorboard --logdir ${folder}`);
    log('info', `TAO’s status lines: ${join(folder, 'status.json')}`);
    const result = await withStatus('train', folder, undefined, async status => {
      const reader = trainingReader({ progress, log, note, epochs: plan.epochs, folder, status });
      const trained = await isolated<TrainingLog>(job('train'), 'trainJob', request, { signal, onMessage: reader.read });
      await reader.settled();
      return trained;
    });
    await cp(folder, outputs.curves, { recursive: true });
    if (result.resumedFrom !== undefined) log('info', `resumed after epoch ${result.resumedFrom}`);
    log('info', keptLine(result));
    const start = startScore === undefined ? undefined : startText(result.history, JSON.parse(await readFile(startScore, 'utf8')) as Score);
    if (start) (start.fits ? (text: string) => log('info', text) : note)(start.text);
    const before = await previous();
    const compared = before?.outputs.log === undefined ? undefined : compareTrainings(JSON.parse(await readFile(before.outputs.log, 'utf8')) as TrainingLog, result, before);
    if (compared) note(comparisonText(compared));
    await writeFile(outputs.log, JSON.stringify({ ...result, resumedFrom: undefined, compared }));
  },
});

/** Best and last epoch, and which of them goes on. */
const keptLine = ({ best, last, kept }: TrainingLog): string => {
  const named = (epoch: number, value: number | undefined) => `epoch ${epoch}${value === undefined ? '' : ` (${value.toFixed(4)})`}`;
  return `${best ? `best ${named(best.epoch, best.value)}, ` : ''}last ${named(last.epoch, last.value)}; the ${kept} one goes on`;
};

/** The network's score on the validation images, as the host computes it. */
export const evaluateStep = defineStep({
  name: 'evaluate',
  version: 1,
  config: z.strictObject({ plan: trainingPlanSchema, root }),
  inputs: { network: 'network', validation: 'dataset', images: 'images?' },
  outputs: { score: 'score' },
  identity: ({ plan: { task, input, fit, filter, mapping } }) => ({ task, input, fit, filter, mapping }),
  exclusive: cpu,
  async run({ config, inputs, outputs, signal, progress, log }) {
    const request: EvaluateRequest = { plan: config.plan, ...inputs, images: inputs.images ?? config.root };
    const score = await isolated<Score>(job('evaluate'), 'evaluateJob', request, { signal, onMessage: counted(progress) });
    log(
      'info',
      `${score.metric} ${score.value.toFixed(4)} on ${score.n} images (${score.decisions} decisions): ${score.perClass.map(row => `${row.label} ${row.value.toFixed(3)}`).join(', ')}`,
    );
    const larger = score.detail.boxesFrom16x8 as { readonly value: number; readonly decisions: number } | undefined;
    if (larger) log('info', `on boxes at least 16 px high and 8 px wide: ${larger.value.toFixed(4)} (${larger.decisions} decisions)`);
    await writeFile(outputs.score, JSON.stringify(score));
  },
});

/** What the network must beat, on the same validation images. */
export const baselinesStep = defineStep({
  name: 'baselines',
  version: 1,
  config: z.strictObject({ plan: trainingPlanSchema, tuning: z.int().positive(), root }),
  inputs: { network: 'network', train: 'dataset', validation: 'dataset', images: 'images?' },
  outputs: { scores: 'score' },
  identity: ({ plan: { task, input, fit, filter, mapping }, tuning }) => ({ task, input, fit, filter, mapping, tuning }),
  exclusive: cpu,
  async run({ config, inputs, outputs, signal, progress, log }) {
    const request: BaselinesRequest = { plan: config.plan, tuning: config.tuning, ...inputs, images: inputs.images ?? config.root };
    const scores = await isolated<readonly BaselineScore[]>(job('baselines'), 'baselinesJob', request, { signal, onMessage: counted(progress) });
    for (const { name, score } of scores) log('info', `${name}: ${score.metric} ${score.value.toFixed(4)} on ${score.n} images`);
    await writeFile(outputs.scores, JSON.stringify(scores.map(({ name, score }) => ({ name, metric: score.metric, value: score.value, n: score.n }))));
  },
});

/** Ranges of every activation of the exported graph, over training images. */
export const calibrateStep = defineStep({
  name: 'calibrate',
  version: 2,
  config: z.strictObject({ plan: trainingPlanSchema, recipe: calibrationRecipe, root }),
  inputs: { onnx: 'onnx', train: 'dataset', images: 'images?' },
  outputs: { ranges: 'ranges' },
  identity: ({ plan: { input, fit, filter }, recipe }) => ({ input, fit, filter, recipe }),
  exclusive: cpu,
  async run({ config: { plan, recipe, root }, inputs, outputs, signal, progress, log }) {
    const request: CalibrateRequest = { plan, recipe, ...inputs, images: inputs.images ?? root, output: outputs.ranges };
    const { algorithm, images } = await isolated<Awaited<ReturnType<typeof calibrateJob>>>(job('calibrate'), 'calibrateJob', request, { signal, onMessage: counted(progress) });
    if (algorithm === 'qat') return log('info', 'ranges learnt in quantization-aware training (qat): no image calibrates');
    log('info', `${algorithm}${recipe.biasCorrection ? ' with corrected biases' : ''} over ${images.length} training images (seed ${recipe.seed})`);
  },
});

/** Validation images as the tensors that devices are given, with their truth. */
export const tensorsStep = defineStep({
  name: 'tensors',
  version: 1,
  config: z.strictObject({ plan: trainingPlanSchema, images: z.int().positive(), root }),
  inputs: { network: 'network', validation: 'dataset', images: 'images?' },
  outputs: { tensors: 'tensors' },
  identity: ({ plan: { input, fit, filter, mapping, task }, images }) => ({ input, fit, filter, mapping, task: task.name, images }),
  exclusive: cpu,
  async run({ config, inputs, outputs, signal, progress }) {
    const request: TensorsRequest = { plan: config.plan, count: config.images, ...inputs, images: inputs.images ?? config.root, output: outputs.tensors };
    await isolated(job('evaluate'), 'tensorsJob', request, { signal, onMessage: counted(progress) });
  },
});

const counted = (progress: (done: number, total: number, metrics?: Readonly<Record<string, number>>, unit?: string) => void) => (message: unknown) => {
  const { done, total } = message as { readonly done: number; readonly total: number };
  progress(done, total, {}, 'images');
};
