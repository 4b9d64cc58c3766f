import { join } from 'node:path';
import { EdgeError } from '../core/errors.ts';
import { Store } from '../core/store.ts';
import { type Batch, openBatches } from '../data/batches.ts';
import { type ClassMap, mapClasses } from '../data/class-map.ts';
import { contactSheet, picturesOfBatch } from '../data/preview.ts';
import type { Split } from '../data/split.ts';
import { type CheckedSplit, checkedSplit, importSplit } from './checked-data.ts';
import { latestRecord } from './outputs.ts';
import type { Project } from './project.ts';
import { readPlan } from './project-files.ts';
import { dataPath, type SplitSettings, splitSettings } from './split-settings.ts';
import { placedBy, type SpecPlan } from './training-plan.ts';

interface Opened {
  readonly plan: SpecPlan;
  readonly root: string;
  readonly settings: SplitSettings;
  readonly store: Store;
}
async function opened(project: Project): Promise<Opened> {
  const plan = await readPlan(project, project.settings.model.spec);
  const store = new Store(join(project.folder, '.edgeforge'));
  const settings = splitSettings(project.settings.data, plan.training.input);
  if (!project.settings.data.scenes) return { plan, root: dataPath(project), settings, store };
  const drawn = (await latestRecord(store, 'scenes'))?.outputs.images;
  if (drawn === undefined) throw new EdgeError('file-missing', 'The scenes of this project are not drawn yet.', { hint: 'Draw them with: edgeforge run scenes' });
  return { plan, root: store.path(drawn), settings, store };
}

const labelsOf = ({ training: { task } }: SpecPlan, { train }: Split): readonly string[] => (task.name === 'detectnet_v2' ? task.settings.labels : train.classes);
const classesOf = (plan: SpecPlan, split: Split): ClassMap =>
  mapClasses(split.train, { targets: labelsOf(plan, split), ...(plan.training.mapping ? { mapping: plan.training.mapping } : {}) });

export interface DataCheck extends CheckedSplit {
  /** Each label of the network with the objects (or images) it has to learn from. Throws `class-unmapped` where one has none. */
  readonly classes: () => ClassMap;
}
/** Looks at every image and label of a project's dataset; broken images are listed, not refused. */
export async function checkProjectData(project: Project, progress?: (done: number, total: number) => void): Promise<DataCheck> {
  const { plan, root, settings, store } = await opened(project);
  const cache = await store.statCache();
  const checked = await checkedSplit(root, { ...settings, corrupt: 'skip' }, { cache, ...(progress ? { progress } : {}) });
  await cache.save();
  return { ...checked, classes: () => classesOf(plan, checked.split) };
}

export interface PreviewSettings {
  readonly count: number;
  readonly epoch: number;
  readonly seed?: number | undefined;
  readonly part: 'train' | 'validation';
  /** Without augmentation. */
  readonly plain: boolean;
}
export interface DataPreview {
  readonly jpeg: Buffer;
  readonly ids: readonly string[];
  readonly boxes: number;
  readonly caption: string;
}
/** The images that a training would see, as the network sees them: resized, augmented as in that epoch, with their boxes, on one contact sheet. */
export async function previewProjectData(project: Project, { count, epoch, part, plain, ...wish }: PreviewSettings): Promise<DataPreview> {
  const { plan, root, settings, store } = await opened(project);
  const { training, network } = plan;
  const cache = await store.statCache();
  const split = await importSplit(root, settings, { cache, ...(settings.corrupt === 'skip' ? { onCorrupt: () => undefined } : {}) });
  await cache.save();
  const [labels, manifest, seed] = [labelsOf(plan, split), split[part], wish.seed ?? training.seed];
  const preprocess = project.settings.model.preprocess ?? network.preprocess;
  const shown = Math.min(count, manifest.samples.length);
  const batches = openBatches({
    manifest,
    classes: mapClasses(manifest, { targets: labels, mayLack: true, ...(training.mapping ? { mapping: training.mapping } : {}) }),
    ...placedBy(training),
    preprocess,
    ...(plain || part === 'validation' ? {} : { augmentation: training.augmentation }),
    batch: shown,
    seed,
    shuffle: part === 'train',
    last: 'pad',
    epoch,
    prefetch: 1,
    onCorrupt: settings.corrupt === 'skip' ? 'skip' : 'stop',
  });
  const first = (await batches.next()).value as Batch;
  await batches.return();
  const augmented = plain || part === 'validation' ? 'not augmented' : `augmented as in epoch ${epoch}, seed ${seed}`;
  const caption = `${first.n} of ${manifest.samples.length} ${part} images, ${training.input.width}×${training.input.height}, ${augmented}`;
  const jpeg = await contactSheet(picturesOfBatch(first, preprocess, labels), { labels, caption });
  return { jpeg, ids: first.ids, boxes: first.annotations.reduce((sum, each) => sum + (each.kind === 'boxes' ? each.boxes.length : 0), 0), caption };
}
