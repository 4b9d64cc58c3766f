import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Store } from '../../core/store.ts';
import { placeBox, placementOf } from '../../data/placement.ts';
import { isIgnoredClass, type Manifest, type Sample } from '../../data/sample.ts';
import type { Problem, ValidationReport } from '../../data/validate.ts';
import type { CheckedSplit } from '../checked-data.ts';
import { readManifest } from '../manifest-file.ts';
import { latestRecord } from '../outputs.ts';

export interface ClassView {
  readonly name: string;
  /** Objects (images, where images have classes) in each part. */
  readonly train: number;
  readonly validation: number;
  /** Training images that show it. */
  readonly images: number;
  /** Training objects under the least size at the network's input. */
  readonly small: number;
  /** In pixels of the network's input. */
  readonly medianHeight?: number;
}
export interface SampleView {
  readonly id: string;
  readonly part: 'train' | 'validation';
  readonly file: string;
  readonly width: number;
  readonly height: number;
  /** Its objects, or its class. */
  readonly objects: readonly { readonly label: string; readonly x1: number; readonly y1: number; readonly x2: number; readonly y2: number }[];
  readonly className?: string;
}
/** The dataset as training sees it: from the last import, with the report of its validation; `sizes` and `counts` are of the training part. */
export interface DatasetView {
  readonly at: string;
  readonly format: string;
  readonly input: { readonly width: number; readonly height: number };
  readonly images: { readonly train: number; readonly validation: number };
  readonly classes: readonly ClassView[];
  /** Training objects by height at the network's input: below edges[1], …, from the last edge on. */
  readonly heights: { readonly edges: readonly number[]; readonly counts: readonly number[] };
  readonly sizes: ValidationReport['sizes'];
  readonly counts: ValidationReport['counts'];
  readonly problems: readonly Problem[];
  readonly samples: readonly SampleView[];
}

/** Lower edges of the bins of heights, in pixels. */
const edges = [0, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256] as const;

/** What the dataset step found last; undefined where it never ran. */
export async function datasetView(store: Store): Promise<DatasetView | undefined> {
  const record = await latestRecord(store, 'dataset');
  const { train: trainFile, validation: validationFile, report: reportFile } = record?.outputs ?? {};
  if (!record || !trainFile || !validationFile || !reportFile) return undefined;
  const config = record.config as { readonly format: string; readonly path?: string; readonly input: DatasetView['input'] };
  const images = typeof record.inputs.images === 'string' ? store.path(record.inputs.images) : config.path;
  const [train, validation] = [await readManifest(store.path(trainFile), images), await readManifest(store.path(validationFile), images)];
  const { train: report, validation: other } = JSON.parse(await readFile(store.path(reportFile), 'utf8')) as CheckedSplit['reports'];
  return {
    at: record.at,
    format: config.format,
    input: config.input,
    images: { train: train.samples.length, validation: validation.samples.length },
    classes: classesOf(report, validation),
    heights: heightsOf(train, config.input),
    sizes: report.sizes,
    counts: report.counts,
    problems: [...report.problems, ...other.problems],
    samples: [...train.samples.map(sample => sampleView(train, sample, 'train')), ...validation.samples.map(sample => sampleView(validation, sample, 'validation'))],
  };
}

function classesOf(report: ValidationReport, validation: Manifest): ClassView[] {
  const inValidation = new Map<string, number>();
  const count = (name: string) => inValidation.set(name, (inValidation.get(name) ?? 0) + 1);
  for (const { className, objects = [] } of validation.samples) {
    if (className !== undefined) count(className);
    for (const object of objects) if (!isIgnoredClass(object.className)) count(object.className);
  }
  const rows = report.classes.map(({ name, objects, images, small, medianHeight }) => ({
    name,
    train: objects,
    validation: inValidation.get(name) ?? 0,
    images,
    small,
    ...(medianHeight === undefined ? {} : { medianHeight }),
  }));
  const unseen = [...inValidation].filter(([name]) => !rows.some(row => row.name === name));
  return [...rows, ...unseen.map(([name, validation]) => ({ name, train: 0, validation, images: 0, small: 0 }))];
}

function heightsOf(train: Manifest, input: DatasetView['input']): DatasetView['heights'] {
  const counts = edges.map(() => 0);
  for (const sample of train.samples) {
    if (!sample.objects || sample.objects.length === 0) continue;
    const placement = placementOf(sample, input, 'stretch');
    for (const object of sample.objects) {
      if (isIgnoredClass(object.className)) continue;
      const { y1, y2 } = placeBox(object, placement);
      const bin = Math.max(
        0,
        edges.findLastIndex(edge => y2 - y1 >= edge),
      );
      counts[bin] = (counts[bin] as number) + 1;
    }
  }
  return { edges, counts };
}

const sampleView = ({ root }: Manifest, { id, image, width, height, objects = [], className }: Sample, part: SampleView['part']): SampleView => ({
  id,
  part,
  file: join(root, image),
  width,
  height,
  objects: objects.map(({ className: label, x1, y1, x2, y2 }) => ({ label, x1, y1, x2, y2 })),
  ...(className === undefined ? {} : { className }),
});
