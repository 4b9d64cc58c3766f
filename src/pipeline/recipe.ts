import { extname } from 'node:path';
import { pruneSettings } from '../compress/prune.ts';
import { type ComputeName, chooseCompute } from '../compute/choose.ts';
import { EdgeError } from '../core/errors.ts';
import { type Artifact, Recipe } from '../core/recipe.ts';
import type { StatCache } from '../core/stat-cache.ts';
import type { Store } from '../core/store.ts';
import { defaultThreshold } from './deepstream-files.ts';
import type { DevicePool } from './device-pool.ts';
import { addDevice } from './device-recipe.ts';
import { deviceSteps } from './device-steps.ts';
import { awayOf, knownDevices } from './known-device.ts';
import type { Published } from './outputs.ts';
import type { Project } from './project.ts';
import { distillOf, freezeOf, keyConfig, readCalibration, readPlan } from './project-files.ts';
import { inProject, sourceFile, sourceFolder } from './sources.ts';
import { dataPath, splitSettings } from './split-settings.ts';
import { convertStep, datasetStep, scenesStep } from './steps/data.ts';
import { exportStep, quantizeStep } from './steps/export.ts';
import { baselinesStep, calibrateStep, evaluateStep, initializeStep, tensorsStep, trainStep } from './steps/learn.ts';
import { packageStep } from './steps/package.ts';
import { pruneStep } from './steps/prune.ts';
import type { SpecPlan } from './training-plan.ts';

export interface ProjectRecipe {
  readonly recipe: Recipe;
  readonly published: readonly Published[];
  /** Step ids for words a person types: an id, a step's name (`build`), or a device. */
  readonly select: (words: readonly string[]) => string[];
  /** Devices that do not answer now. */
  readonly away: readonly { readonly name: string; readonly message: string; readonly since: string }[];
  readonly notes: readonly string[];
}
interface RecipeOptions {
  readonly project: Project;
  readonly pool: DevicePool;
  readonly store: Store;
  readonly devices?: readonly string[];
  /** Releases become current even where the gate was missed. */
  readonly despiteGate?: boolean;
  /** A service runs the application of the current release. */
  readonly service?: boolean;
}

/** Where artifacts of one network stand: what is exported, timed and reported. */
export interface NetworkArtifacts {
  readonly name: 'baseline' | 'results';
  readonly fp32: Artifact<'onnx'>;
  readonly fp16: Artifact<'onnx'>;
  readonly quantized?: {
    readonly onnxruntime: Artifact<'onnx'>;
    readonly tensorrt: Artifact<'onnx'>;
    readonly float: Artifact<'onnx'>;
    readonly cache: Artifact<'calibration-cache'>;
  };
  readonly score: Artifact<'score'>;
}

/** The whole line of a project as typed steps: data → network → training → pruning → retraining → export → calibration → devices → report. */
export async function projectRecipe({ project, pool, store, devices, despiteGate = false, service = false }: RecipeOptions): Promise<ProjectRecipe> {
  const { settings } = project;
  const cache = await store.statCache();
  const recipe = new Recipe();
  const first = await readPlan(project, settings.model.spec);
  const data = await addData(recipe, project, first, cache);
  const { network } = recipe.add(initializeStep, { config: await networkConfig(project, first, cache), inputs: { train: data.train } });
  const freeze = freezeOf(first, settings.model.freezeLayers, settings.training);
  const { name: compute } = chooseCompute(settings.compute);
  const trained = recipe.add(trainStep, {
    config: { plan: first.training, freeze, compute, cacheMiB: settings.data.cacheMiB, corrupt: settings.data.corrupt, overfit: settings.training?.overfitCheck, ...data.root },
    inputs: { network, ...data.learning },
  });
  const evaluated = recipe.add(evaluateStep, { config: { plan: first.training, ...data.root }, inputs: { network: trained.network, ...data.judging } });

  const { scores: baselines } = recipe.add(baselinesStep, { config: { plan: first.training, tuning: 100, ...data.root }, inputs: { network, ...data.learning } });
  const line = await addPruning(recipe, project, { first, compute, data, trained, evaluated });
  const recipeFile = await readCalibration(project);
  const exported = (name: NetworkArtifacts['name'], from: { readonly network: Artifact<'network'>; readonly score: Artifact<'score'> }): NetworkArtifacts => {
    const id = (step: string) => (name === 'baseline' ? `${step} unpruned` : step);
    const { fp32, fp16 } = recipe.add(exportStep, { id: id('export'), config: {}, inputs: { network: from.network } });
    if (!settings.export.precisions.includes('int8')) return { name, fp32, fp16, score: from.score };
    const { ranges } = recipe.add(calibrateStep, {
      id: id('calibrate'),
      config: { plan: first.training, recipe: recipeFile, ...data.root },
      inputs: { onnx: fp32, train: data.train, ...data.images },
    });
    return { name, fp32, fp16, score: from.score, quantized: recipe.add(quantizeStep, { id: id('quantize'), config: {}, inputs: { onnx: fp32, ranges } }) };
  };
  const baseline = line.pruned ? exported('baseline', { network: trained.network, score: evaluated.score }) : undefined;
  const results = exported('results', line.final);

  const { bundle } = recipe.add(packageStep, {
    id: 'package',
    config: { name: project.settings.task, deepstream: settings.export.deepstream, threshold: defaultThreshold, ...(await keyConfig(project)) },
    inputs: { fp32: results.fp32, ...(results.quantized ? { qdq: results.quantized.tensorrt, int8: results.quantized.float, cache: results.quantized.cache } : {}) },
  });
  const published: Published[] = [
    { artifact: bundle, path: 'model' },
    ...keptNetworks('train', trained),
    ...(line.retrained ? keptNetworks('retrain', line.retrained) : []),
    ...(data.records ? [{ artifact: data.records, path: 'tfrecords' }] : []),
  ];
  const { tensors } = recipe.add(tensorsStep, {
    config: { plan: first.training, images: settings.benchmark.images, ...data.root },
    inputs: { network: trained.network, ...data.judging },
  });

  const history = { ...line, trained, evaluated, baselines };
  const shared = { project, steps: deviceSteps(pool), despiteGate, service, networks: baseline ? [baseline, results] : [results], tensors, plan: first.training, history };
  const known = await knownDevices(recipe, pool, devices ?? Object.keys(settings.devices));
  for (const device of known) published.push({ artifact: addDevice(recipe, { ...shared, device }), path: `report-${device.name}` });
  await cache.save();
  return { recipe, published, away: awayOf(known), notes: first.notes, select: words => selected(recipe, words) };
}

/** The best and the last network of a training, as files. */
const keptNetworks = (
  step: string,
  { best, last, curves }: { readonly best: Artifact<'network'>; readonly last: Artifact<'network'>; readonly curves: Artifact<'training-log'> },
): Published[] => [
  { artifact: best, path: `networks/${step}-best.onnx` },
  { artifact: last, path: `networks/${step}-last.onnx` },
  { artifact: curves, path: `tensorboard/${step}` },
];

/** Pruning and retraining, where the project has them, and the network that comes out at the end of the line. */
export interface Line {
  readonly pruned?: { readonly report: Artifact<'prune-report'>; readonly score: Artifact<'score'> };
  readonly retrained?: {
    readonly log: Artifact<'training-log'>;
    readonly curves: Artifact<'training-log'>;
    readonly best: Artifact<'network'>;
    readonly last: Artifact<'network'>;
    readonly score: Artifact<'score'>;
  };
  readonly final: { readonly network: Artifact<'network'>; readonly score: Artifact<'score'> };
}

async function addPruning(
  recipe: Recipe,
  project: Project,
  given: {
    readonly first: SpecPlan;
    readonly compute: ComputeName;
    readonly data: Data;
    readonly trained: { readonly network: Artifact<'network'> };
    readonly evaluated: { readonly score: Artifact<'score'> };
  },
): Promise<Line> {
  const { data, trained, evaluated, first } = given;
  const { prune, retrain } = project.settings;
  if (!prune) return { final: { network: trained.network, score: evaluated.score } };
  const { keepMacs, keepParameters, ...rest } = prune;
  const goal = keepMacs !== undefined ? { keepMacs } : keepParameters !== undefined ? { keepParameters } : {};
  const how = pruneSettings.parse(defined(rest));
  const byImages = how.importance === 'energy';
  const pruned = recipe.add(pruneStep, {
    config: { ...how, ...goal, ...(byImages ? { plan: first.training, ...data.root } : {}) },
    inputs: { network: trained.network, ...(byImages ? { train: data.train, ...(data.learning.images ? { images: data.learning.images } : {}) } : {}) },
  });
  const scored = recipe.add(evaluateStep, { id: 'evaluate pruned', config: { plan: first.training, ...data.root }, inputs: { network: pruned.network, ...data.judging } });
  const report = { report: pruned.report, score: scored.score };
  if (!retrain) return { pruned: report, final: { network: pruned.network, score: scored.score } };
  const section = { ...project.settings.training, ...defined(retrain.training ?? {}) };
  const second = await readPlan(project, retrain.spec, { backboneRate: retrain.backboneRate, section });
  const retrained = recipe.add(trainStep, {
    id: 'retrain',
    config: {
      plan: { ...second.training, ...distillOf(project.settings.task, retrain.distill) },
      freeze: freezeOf(second, retrain.freezeLayers ?? project.settings.model.freezeLayers, section),
      compute: given.compute,
      cacheMiB: project.settings.data.cacheMiB,
      overfit: section.overfitCheck,
      corrupt: project.settings.data.corrupt,
      ...data.root,
    },
    inputs: { network: pruned.network, startScore: scored.score, ...data.learning, ...(retrain.distill ? { teacher: trained.network } : {}) },
  });
  const again = recipe.add(evaluateStep, { id: 'evaluate retrained', config: { plan: second.training, ...data.root }, inputs: { network: retrained.network, ...data.judging } });
  return { pruned: report, retrained: { ...retrained, score: again.score }, final: { network: retrained.network, score: again.score } };
}

const defined = <T extends object>(value: T): T => Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as T;

/** A dataset, as inputs of what reads it, and where its images lie: `root` for the settings of its readers or `images` among their inputs, one of the two. */
interface Data {
  readonly train: Artifact<'dataset'>;
  readonly records: Artifact<'tfrecords'> | undefined;
  readonly root: { readonly root?: string };
  readonly images: Images;
  readonly judging: Images & { readonly validation: Artifact<'dataset'> };
  readonly learning: Data['judging'] & { readonly train: Artifact<'dataset'> };
}
type Images = { readonly images?: Artifact<'images'> };

async function addData(recipe: Recipe, project: Project, { training }: SpecPlan, cache: StatCache): Promise<Data> {
  const { data } = project.settings;
  const images = data.scenes && recipe.add(scenesStep, { config: data.scenes, inputs: {} }).images;
  const path = dataPath(project);
  const split = splitSettings(data, training.input);
  const { format, validation } = split;
  const source = images ? undefined : format === 'coco' ? await sourceFile(path, cache, 'data.coco') : await sourceFolder(path, cache, `data.${format}`);
  const at = { ...(source ? { path: source.path, content: source.digest } : {}), validation };
  const dataset = recipe.add(datasetStep(cache), {
    config: { ...at, ...split },
    inputs: images ? { images } : {},
  });
  const converts = format === 'kitti' && typeof validation !== 'undefined';
  const records = converts
    ? recipe.add(convertStep, { config: { ...at, corrupt: data.corrupt, extension: data.scenes ? '.jpg' : await imageExtension(path) }, inputs: images ? { images } : {} }).records
    : undefined;
  const from = images ? { images } : {};
  const judging = { validation: dataset.validation, ...from };
  return { train: dataset.train, records, root: source ? { root: source.path } : {}, images: from, judging, learning: { train: dataset.train, ...judging } };
}

/** The extension that most images of a KITTI folder have. */
async function imageExtension(root: string): Promise<string> {
  const { readdir } = await import('node:fs/promises');
  const names = await readdir(root, { recursive: true });
  const counts = new Map<string, number>();
  for (const name of names) if (/\.(png|jpe?g)$/i.test(name)) counts.set(extname(name), (counts.get(extname(name)) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a)[0]?.[0] ?? '.png';
}

async function networkConfig(project: Project, { network, training }: SpecPlan, cache: StatCache) {
  const { model } = project.settings;
  const { pretrained, loadGraph: _, preprocess, freezeBlocks, ...settings } = network;
  const labels = training.task.name === 'detectnet_v2' ? { labels: training.task.settings.labels } : {};
  const named = pretrained?.endsWith('.onnx') ? inProject(project.folder, pretrained) : undefined;
  const ours = model.onnx === undefined && named !== undefined && (await isNetworkOf(named, network.architecture)) ? named : undefined;
  const backbone = model.onnx ?? (ours === undefined ? named : undefined);
  const bias = model.coverageBias === undefined ? {} : { coverageBias: model.coverageBias };
  if (backbone !== undefined) {
    const source = await sourceFile(inProject(project.folder, backbone), cache, 'model.onnx');
    const at = { height: network.height, width: network.width, seed: network.seed, freezeConvs: model.freezeLayers ?? 0 };
    const more = { ...(model.cut === undefined ? {} : { cut: model.cut }), ...(model.preprocess === undefined ? {} : { preprocess: model.preprocess }) };
    return { from: 'onnx' as const, settings: { task: project.settings.task, ...labels, ...at, ...more, ...bias }, source };
  }
  if (pretrained !== undefined && ours === undefined) {
    throw new EdgeError('format-unsupported', `The spec's pretrained model ${pretrained} is no ONNX file.`, {
      hint: 'NVIDIA’s .tlt and .hdf5 are not readable outside TLT: name an .onnx, or remove pretrained_model_file to start from scratch.',
      where: { path: 'model_config.pretrained_model_file' },
    });
  }
  return {
    from: 'zoo' as const,
    settings: {
      ...settings,
      ...labels,
      ...bias,
      freezeBlocks: [...freezeBlocks],
      preprocess: model.preprocess ?? preprocess,
      ...(model.width === undefined ? {} : { widthMultiplier: model.width }),
    },
    ...(ours === undefined ? {} : { pretrained: await sourceFile(ours, cache, 'model_config.pretrained_model_file') }),
  };
}
/** Whether a file is a network of this architecture that was made here: its weights are then taken by name, its head's among them. */
async function isNetworkOf(file: string, architecture: string): Promise<boolean> {
  const [{ readFile }, { readOnnx }, { networkInfoOf }] = await Promise.all([import('node:fs/promises'), import('../formats/onnx.ts'), import('../graph/network-info.ts')]);
  const bytes = await readFile(file).catch(() => undefined);
  return bytes !== undefined && networkInfoOf(readOnnx(bytes))?.architecture === architecture;
}

function selected(recipe: Recipe, words: readonly string[]): string[] {
  return words.flatMap(word => {
    const exact = recipe.nodes.find(node => node.id === word);
    const named = exact ? [exact] : recipe.nodes.filter(node => node.step.name === word || node.id.split(' ').includes(word));
    return named.length > 0 ? named.map(node => node.id) : [word];
  });
}
