import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Document, isMap, isScalar, LineCounter, parseDocument, type Node as YamlNode } from 'yaml';
import { z } from 'zod';
import { computeWishSchema } from '../compute/choose.ts';
import { EdgeError } from '../core/errors.ts';
import { deviceDefinitionSchema } from '../deploy/definition.ts';
import { deepstreamVersions } from '../formats/deepstream-version.ts';
import { preprocessSchema } from '../graph/network-info.ts';
import { benchmarkSchema } from './benchmark-section.ts';
import { projectFileName, projectFolderFrom } from './project-folder.ts';
import { refuseSection, trainingSectionSchema } from './training-section.ts';

const precision = z.enum(['fp32', 'fp16', 'int8']);

/** Where samples come from: exactly one source, and which of them validate. */
const dataSchema = z.strictObject({
  kitti: z.string().optional(),
  voc: z.string().optional(),
  coco: z.string().optional(),
  folders: z.string().optional(),
  /** Synthetic road scenes drawn by us. */
  scenes: z
    .strictObject({
      train: z.int().positive().default(600),
      validation: z.int().positive().default(150),
      width: z.int().positive().default(480),
      height: z.int().positive().default(288),
      seed: z.int().default(7),
    })
    .optional(),
  /** A fraction (TLT's rule: the first of the sorted names validate), or the subfolders `train`/`val` by name. */
  validation: z.union([z.number().gt(0).lt(1), z.strictObject({ train: z.string(), val: z.string() })]).default(0.2),
  split: z.enum(['tlt', 'stratified']).default('tlt'),
  seed: z.int().default(42),
  /** Images that cannot be decoded: refuse the dataset, or leave them out with a note. */
  corrupt: z.enum(['refuse', 'skip']).default('refuse'),
  /** Memory for decoded images between epochs; auto: as much as the dataset needs, at most a quarter of what is free. */
  cacheMiB: z.union([z.literal('auto'), z.int().nonnegative()]).default('auto'),
});

const modelSchema = z.strictObject({
  /** TLT spec text: architecture, training, augmentation, evaluation. */
  spec: z.string(),
  /** Our own extensions: a thinner network and the initial bias of the coverage head. */
  width: z.number().gt(0).max(1).optional(),
  coverageBias: z.number().optional(),
  /** Any ONNX classifier as the backbone, up to the value `cut`. */
  onnx: z.string().optional(),
  cut: z.string().optional(),
  preprocess: preprocessSchema.optional(),
  freezeLayers: z.int().nonnegative().optional(),
  /** The backbone's share of the spec's learning rate; the head always takes all of it. */
  backboneRate: z.number().positive().max(1).optional(),
});

const pruneSchema = z.strictObject({
  keepMacs: z.number().gt(0).max(1).optional(),
  keepParameters: z.number().gt(0).max(1).optional(),
  threshold: z.number().min(0).optional(),
  importance: z.enum(['magnitude', 'energy']).optional(),
  normalizer: z.enum(['max', 'L2', 'off']).optional(),
  equalization: z.enum(['union', 'intersection', 'arithmetic_mean', 'geometric_mean']).optional(),
  granularity: z.int().positive().optional(),
  minFilters: z.int().positive().optional(),
  excluded: z.array(z.string()).optional(),
});

/** What it does not say of freezing and rates is as in `model`, and of learning as in `training`. */
const retrainSchema = z.strictObject({
  spec: z.string(),
  freezeLayers: z.int().nonnegative().optional(),
  backboneRate: z.number().positive().max(1).optional(),
  training: trainingSectionSchema.optional(),
  /** The network before pruning as the teacher: weight is its share of the loss, temperature softens a classifier's probabilities (default 4), features weighs the layers between (default 3; 0 for detectors, whose losses are hundreds of times smaller and where it was not measured). */
  distill: z.strictObject({ weight: z.number().gt(0).max(1).default(0.5), temperature: z.number().positive().optional(), features: z.number().min(0).optional() }).optional(),
});

/** The DeepStream that configs are written for where neither project nor device names one. */
export const defaultDeepstream = '6.3';

export const projectSchema = z.strictObject({
  task: z.enum(['detectnet_v2', 'classification']),
  /** What trains: see what is here, and what auto takes, with `edgeforge doctor`. */
  compute: computeWishSchema.default('auto'),
  data: dataSchema,
  model: modelSchema,
  training: trainingSectionSchema.optional(),
  prune: pruneSchema.optional(),
  retrain: retrainSchema.optional(),
  export: z
    .strictObject({
      precisions: z.array(precision).nonempty().default(['fp32', 'fp16', 'int8']),
      /** A calibration recipe; `entropy` etc. name the ones that come with edgeforge. */
      calibration: z.string().default('entropy'),
      keyFile: z.string().optional(),
      deepstream: z.enum(deepstreamVersions).default(defaultDeepstream),
    })
    .prefault({}),
  benchmark: benchmarkSchema.prefault({}),
  gate: z.strictObject({ dropPoints: z.number().nonnegative().default(1) }).prefault({}),
  devices: z.record(z.string().regex(/^[a-z0-9][a-z0-9-]*$/), deviceDefinitionSchema).default({}),
});
export type ProjectFile = z.output<typeof projectSchema>;

/** A project: its folder, its file, and what that file says. */
export interface Project {
  readonly folder: string;
  readonly file: string;
  readonly settings: ProjectFile;
}

export { projectFileName };

/** The project in `folder`, or the nearest one upwards from `cwd`. Throws `project-invalid` with file, line and path of each mistake. */
export function openProject({ folder, cwd = process.cwd() }: { readonly folder?: string | undefined; readonly cwd?: string } = {}): Project {
  const found = folder === undefined ? projectFolderFrom(cwd) : resolve(cwd, folder);
  const file = found === undefined ? undefined : join(found, projectFileName);
  if (found === undefined || file === undefined || !existsSync(file)) {
    throw new EdgeError('file-missing', `There is no ${projectFileName} in ${folder === undefined ? `${cwd} or above it` : found}.`, {
      hint: 'Make a project with: edgeforge init',
      where: { file: projectFileName },
    });
  }
  return { folder: found, file, settings: parseProject(readFileSync(file, 'utf8'), file) };
}

/** The project in `folder` or upwards from here, or undefined where there is none: for verbs that also work without. */
export const nearestProject = (folder?: string): Project | undefined =>
  folder === undefined && projectFolderFrom(process.cwd()) === undefined ? undefined : openProject({ folder });

/** Checks and completes a project file's text. */
export function parseProject(text: string, file = projectFileName): ProjectFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: true });
  const [syntax] = document.errors;
  if (syntax) {
    const line = syntax.linePos?.[0].line;
    throw new EdgeError('project-invalid', `${file}${line ? `:${line}` : ''}: ${syntax.message.split('\n')[0]}`, {
      hint: 'Correct the YAML and run the same command again.',
      where: { file, ...(line ? { line } : {}) },
    });
  }
  const parsed = projectSchema.safeParse(dataOf(document, file));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const path = (issue?.path ?? []).map(String);
    const unknown = issue?.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
    const line = lineOf(document.contents, unknown === undefined ? path : [...path, unknown], lines);
    const message = unknown === undefined ? issue?.message : `unknown setting "${unknown}"`;
    throw new EdgeError('project-invalid', `${file}${line ? `:${line}` : ''}: ${path.join('.') || 'the file'}: ${message}.`, {
      hint: `Correct ${[...path, ...(unknown ? [unknown] : [])].join('.') || 'the file'}; the settings stand in the README.`,
      where: { file, ...(line ? { line } : {}), path: path.join('.') },
      cause: parsed.error,
    });
  }
  return checked(parsed.data, file);
}

function checked(settings: ProjectFile, file: string): ProjectFile {
  const refuse = (message: string, hint: string): never => {
    throw new EdgeError('project-invalid', `${file}: ${message}`, { hint, where: { file } });
  };
  const sources = (['kitti', 'voc', 'coco', 'folders', 'scenes'] as const).filter(name => settings.data[name] !== undefined);
  if (sources.length !== 1) refuse(`data names ${sources.length === 0 ? 'no source' : sources.join(' and ')}.`, 'Name exactly one of kitti, voc, coco, folders, scenes.');
  if (settings.task === 'classification' && sources[0] !== 'folders') refuse(`classification learns from folders, not from ${sources[0]}.`, 'Set data: {folders: PATH}.');
  if (settings.task === 'detectnet_v2' && sources[0] === 'folders') refuse('detectnet_v2 needs boxes; folders have none.', 'Set data: {kitti: PATH}, {voc: PATH} or {coco: PATH}.');
  const { prune } = settings;
  if (prune && ['keepMacs', 'keepParameters', 'threshold'].filter(name => prune[name as 'threshold'] !== undefined).length > 1) {
    refuse('prune names more than one goal.', 'Keep one of keepMacs, keepParameters, threshold.');
  }
  for (const [where, section] of Object.entries({ training: settings.training, 'retrain.training': settings.retrain?.training })) {
    const wrong = section && refuseSection(section, settings.task);
    if (wrong) refuse(`${where}.${wrong.path}: ${wrong.message}`, wrong.hint);
  }
  if (settings.task !== 'classification' && settings.retrain?.distill?.temperature !== undefined) {
    refuse('retrain.distill.temperature: it softens the probabilities of classes; coverage is soft already.', 'Remove temperature; weight is what detectors have.');
  }
  if (settings.retrain && !prune) refuse('retrain without prune.', 'Add prune: {keepMacs: 0.5}, or remove retrain.');
  return settings;
}

/** The document as plain data; what only shows then, an alias of nothing or too many, is an error of ours too. */
function dataOf(document: Document.Parsed, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw new EdgeError('project-invalid', `${file}: ${cause instanceof Error ? cause.message : String(cause)}.`, {
      hint: 'Write the values out instead of YAML aliases (*name) and run the same command again.',
      where: { file },
      cause,
    });
  }
}

function lineOf(root: unknown, path: readonly string[], lines: LineCounter): number | undefined {
  let [node, line] = [root, undefined as number | undefined];
  for (const key of path) {
    if (!isMap(node)) break;
    const found = node.items.find(item => isScalar(item.key) && String(item.key.value) === key);
    if (!found) break;
    const range = (found.key as YamlNode).range;
    if (range) line = lines.linePos(range[0]).line;
    node = found.value;
  }
  return line;
}
