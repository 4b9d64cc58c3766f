// What networks learn on real photos, and what pruning, INT8 and training under quantization cost them, over seeds.
// Run: npm run bench:quality -- cards|kitti|flowers --data FOLDER --backbone mobilenet.onnx [--arms trained,pruned,control,int8,qat] [--seeds 42,43,44] [--epochs N] [--more N]
//   [--keep 0.3] [--teacher 0.5] [--rate R]   of the arm pruned: the MACs' share, the teacher's weight, the backbone's share of the rate where it is not the template's
// cards: Roboflow's playing cards as Pascal VOC (train/, test/); kitti: KITTI's image_2/ and label_2/; flowers: train/ and val/ of class folders. The backbone is Keras' MobileNetV1.
import { cp, mkdtemp, readFile, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { parseDocument } from 'yaml';
import { inPackage } from '../../src/core/package-root.ts';
import { parseSpec } from '../../src/formats/spec/parse-spec.ts';
import { toText } from '../../src/formats/spec/to-text.ts';
import { meanAndSd, runProject } from './_project-run.ts';

// biome-ignore lint/suspicious/noExplicitAny: a spec's message is as deep as TLT made it
type Message = Record<string, any>;
interface Case {
  readonly template: 'photos' | 'classification';
  /** Changes of edgeforge.yaml: path and value. */
  readonly project: readonly (readonly [path: readonly string[], value: unknown])[];
  readonly spec?: (message: Message) => void;
}

const cases: Readonly<Record<string, Case>> = {
  cards: {
    template: 'photos',
    project: [[['data'], { voc: 'data', validation: { train: 'train', val: 'test' } }]],
    spec: message => withClasses(message, ['ace', 'jack', 'king', 'nine', 'queen', 'ten']),
  },
  kitti: {
    template: 'photos',
    project: [
      [['data'], { kitti: 'data', validation: 0.26 }], // the first of the sorted names validate, as in TLT
      [['model', 'preprocess', 'resize'], 'stretch'],
      [['model', 'freezeLayers'], 3],
    ],
    spec(message) {
      withClasses(message, ['car']);
      Object.assign(message.dataset_config, { image_extension: 'png', target_class_mapping: { car: 'car', van: 'car' } });
      Object.assign(message.augmentation_config.preprocessing, { output_image_width: 640, output_image_height: 192 });
      message.augmentation_config.spatial_augmentation = { hflip_probability: 0.5, zoom_min: 0.9, zoom_max: 1.6, translate_max_x: 24, translate_max_y: 8 };
    },
  },
  flowers: { template: 'classification', project: [[['data'], { folders: 'data', validation: { train: 'train', val: 'val' } }]] },
};

/** One class of the template stands for all: its entries are repeated under each name. */
function withClasses(message: Message, names: readonly string[]): void {
  const each = (of: Message): Message => Object.fromEntries(names.map(name => [name, structuredClone(of.first)]));
  message.dataset_config.target_class_mapping = Object.fromEntries(names.map(name => [name, name]));
  message.postprocessing_config.target_class_config = each(message.postprocessing_config.target_class_config);
  const evaluation = message.evaluation_config;
  evaluation.minimum_detection_ground_truth_overlap = each(evaluation.minimum_detection_ground_truth_overlap);
  evaluation.evaluation_box_config = each(evaluation.evaluation_box_config);
  message.cost_function_config.target_classes = names.map(name => ({ ...structuredClone(message.cost_function_config.target_classes[0]), name }));
  message.bbox_rasterizer_config.target_class_config = each(message.bbox_rasterizer_config.target_class_config);
}

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    data: { type: 'string' },
    backbone: { type: 'string' },
    arms: { type: 'string', default: 'trained' },
    seeds: { type: 'string', default: '42,43,44' },
    epochs: { type: 'string' },
    more: { type: 'string' },
    keep: { type: 'string', default: '0.3' },
    teacher: { type: 'string', default: '0.5' },
    rate: { type: 'string' },
  },
});
const [name = ''] = positionals;
const chosen = cases[name];
if (!chosen || options.data === undefined || options.backbone === undefined) {
  throw new Error(`Say what to learn and from what: npm run bench:quality -- ${Object.keys(cases).join('|')} --data FOLDER --backbone mobilenet.onnx`);
}

const taught = { distill: { weight: Number(options.teacher) }, ...(options.rate === undefined ? {} : { backboneRate: Number(options.rate) }) };
/** What is done to the network, the step that scores it, and its line of the log that holds the score. */
const arms = {
  trained: { prune: { threshold: 0 }, retrain: {}, step: 'evaluate', score: /([\d.]+) on \d+ images/ },
  pruned: { prune: { keepMacs: Number(options.keep), importance: 'energy' }, retrain: taught, step: 'evaluate retrained', score: /([\d.]+) on \d+ images/ },
  control: { prune: { threshold: 0 }, retrain: {}, step: 'evaluate retrained', score: /([\d.]+) on \d+ images/ },
  int8: { prune: { threshold: 0 }, retrain: {}, step: 'accuracy bench unpruned', score: /^int8: \S+ ([\d.]+) on/ },
  qat: { prune: { threshold: 0 }, retrain: { training: { qat: true } }, step: 'accuracy bench pruned', score: /^int8: \S+ ([\d.]+) on/ },
} as const;
type Arm = keyof typeof arms;

interface Project {
  readonly folder: string;
  /** edgeforge.yaml as every arm begins with it. */
  readonly template: string;
}
async function project(seed: number): Promise<Project> {
  const { template, project: changes, spec } = chosen as Case;
  const folder = await mkdtemp(join(tmpdir(), `edgeforge-${name}-${seed}-`));
  await cp(inPackage('src', 'pipeline', 'templates', template), folder, { recursive: true });
  await symlink(resolve(options.data as string), join(folder, 'data'));
  await cp(options.backbone as string, join(folder, 'backbone.onnx'));
  const file = parseDocument(await readFile(join(folder, 'edgeforge.yaml'), 'utf8'));
  for (const [path, value] of changes) file.setIn(path, value);
  await writeFile(join(folder, 'edgeforge.yaml'), file.toString());
  for (const [which, epochs] of [
    ['train', options.epochs],
    ['retrain', options.more],
  ] as const) {
    const path = join(folder, 'specs', `${which}.txt`);
    const { task, message } = parseSpec(await readFile(path, 'utf8'));
    const own = structuredClone(message) as Message;
    spec?.(own);
    if (own.random_seed !== undefined) own.random_seed = seed;
    const training = own.training_config ?? own.train_config;
    if (training.random_seed !== undefined) training.random_seed = seed;
    if (epochs !== undefined) training[own.training_config ? 'num_epochs' : 'n_epochs'] = Number(epochs);
    await writeFile(path, toText(task, own));
  }
  return { folder, template: file.toString() };
}

async function score({ folder, template }: Project, arm: Arm): Promise<number> {
  const { prune, retrain, step, score: pattern } = arms[arm];
  const file = parseDocument(template);
  file.setIn(['prune'], prune);
  for (const key of ['distill', 'training']) file.deleteIn(['retrain', key]);
  for (const [key, value] of Object.entries(retrain)) file.setIn(['retrain', key], value);
  await writeFile(join(folder, 'edgeforge.yaml'), file.toString());
  const started = performance.now();
  const { events, folder: ran } = await runProject(folder, step);
  const said = events.flatMap(event => (event.type === 'step-log' && !/^round/.test(event.message) ? [event] : []));
  for (const { step: of, message } of said.filter(event => event.step === step || /epoch|MACs|\d dB/.test(event.message))) console.log(`    ${of}: ${message}`);
  // A network that learnt nothing new is the one scored before: then its training says the score.
  const scores = [
    ...said.filter(event => event.step === step).map(({ message }) => pattern.exec(message)),
    ...said.map(({ message }) => /best epoch \d+ \(([\d.]+)\)/.exec(message)),
  ];
  const value = scores.find(found => found)?.[1];
  if (value === undefined) throw new Error(`${arm}: ${JSON.stringify(events.at(-1))}; see ${ran}`);
  console.log(`  seed ${folder.split('-').at(-2)}, ${arm}: ${value} (${((performance.now() - started) / 60_000).toFixed(1)} min)`);
  return Number(value);
}

const wanted = options.arms.split(',') as Arm[];
const rows: Partial<Record<Arm, number>>[] = [];
for (const seed of options.seeds.split(',').map(Number)) {
  const own = await project(seed);
  console.log(`${name}, seed ${seed}: ${own.folder}`);
  const row: Partial<Record<Arm, number>> = {};
  for (const arm of wanted) row[arm] = await score(own, arm);
  rows.push(row);
}
const spread = (list: readonly number[]): string => {
  const { mean, sd } = meanAndSd(list);
  return `mean ${mean.toFixed(4)}, sd ${sd.toFixed(4)} (${list.map(value => value.toFixed(4)).join(', ')})`;
};
for (const arm of wanted) console.log(`${arm}: ${spread(rows.map(row => row[arm] as number))}`);
if (wanted.includes('control') && wanted.includes('pruned'))
  console.log(`lost by pruning, in points: ${spread(rows.map(row => 100 * ((row.control as number) - (row.pruned as number))))}`);
