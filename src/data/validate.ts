import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { EdgeError } from '../core/errors.ts';
import { inParallel } from './_in-parallel.ts';
import { decodeImage, readHeader } from './decode.ts';
import { type Fit, placeBox, placementOf, type Size } from './placement.ts';
import { isIgnoredClass, type Manifest, type RawObject, type Sample } from './sample.ts';

export type ProblemKind = 'corrupt-image' | 'turned-image' | 'degenerate-box' | 'outside-box' | 'small-object' | 'no-objects';
export interface Problem {
  readonly kind: ProblemKind;
  readonly id: string;
  readonly file: string;
  readonly detail: string;
}
/** What a dataset is like and what is wrong with it. */
export interface ValidationReport {
  readonly images: number;
  readonly objects: number;
  readonly sizes: readonly { readonly width: number; readonly height: number; readonly images: number }[];
  /** `small`: objects lower or narrower than `leastPixels` after resizing to the network's input. */
  readonly classes: readonly { readonly name: string; readonly objects: number; readonly images: number; readonly small: number; readonly medianHeight?: number }[];
  readonly problems: readonly Problem[];
  readonly counts: Readonly<Record<ProblemKind, number>>;
  /** True where nothing stands in the way of training (small objects, turned and empty images do not). */
  readonly ok: boolean;
}
export interface ValidateOptions {
  /** The network's input; without it nothing is small. */
  readonly input?: Size;
  readonly fit?: Fit;
  readonly leastPixels?: number;
  /** Decode every image (slow, sure) or read headers only. */
  readonly decode?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Looks at every image and every box. A box is degenerate without area, outside where it leaves the image by more than a pixel; small objects are counted by class and not listed one by one. */
export async function validateDataset(manifest: Manifest, options: ValidateOptions = {}): Promise<ValidationReport> {
  let done = 0;
  const perSample = await inParallel(manifest.samples, availableParallelism() + 1, async sample => {
    options.signal?.throwIfAborted();
    const problems = [...(await imageProblems(manifest, sample, options.decode ?? true)), ...boxProblems(manifest, sample)];
    options.onProgress?.(++done, manifest.samples.length);
    return problems;
  });
  const problems = perSample.flat();
  const classes = classRows(manifest, options);
  const counts: Record<ProblemKind, number> = {
    'corrupt-image': 0,
    'turned-image': 0,
    'degenerate-box': 0,
    'outside-box': 0,
    'small-object': classes.reduce((sum, { small }) => sum + small, 0),
    'no-objects': 0,
  };
  for (const { kind } of problems) counts[kind]++;
  return {
    images: manifest.samples.length,
    objects: manifest.samples.reduce((sum, { objects = [] }) => sum + objects.filter(object => !isIgnoredClass(object.className)).length, 0),
    sizes: sizeRows(manifest.samples),
    classes,
    problems,
    counts,
    ok: counts['corrupt-image'] + counts['degenerate-box'] + counts['outside-box'] === 0,
  };
}

async function imageProblems(manifest: Manifest, sample: Sample, decode: boolean): Promise<Problem[]> {
  const file = join(manifest.root, sample.image);
  try {
    const { orientation, width, height } = await readHeader(file);
    if (decode) await decodeImage(file);
    if (width !== sample.width || height !== sample.height)
      return [{ kind: 'corrupt-image', id: sample.id, file, detail: `is ${width}×${height} now, was ${sample.width}×${sample.height} when imported` }];
    return orientation === 1 ? [] : [{ kind: 'turned-image', id: sample.id, file, detail: `EXIF orientation ${orientation} is not applied: the network sees the stored pixels` }];
  } catch (error) {
    if (error instanceof EdgeError && (error.code === 'image-corrupt' || error.code === 'file-missing'))
      return [{ kind: 'corrupt-image', id: sample.id, file, detail: error.message }];
    throw error;
  }
}

function boxProblems(manifest: Manifest, { id, image, width, height, objects }: Sample): Problem[] {
  const file = join(manifest.root, image);
  if (manifest.task === 'classification') return [];
  if (!objects || objects.length === 0) return [{ kind: 'no-objects', id, file, detail: 'has no objects: it trains as background' }];
  return objects.flatMap((object, index): Problem[] => {
    const where = `object ${index + 1} (${object.className}) ${boxText(object)}`;
    if (!(object.x2 > object.x1 && object.y2 > object.y1)) return [{ kind: 'degenerate-box', id, file, detail: `${where} has no area` }];
    const outside = object.x1 < -1 || object.y1 < -1 || object.x2 > width + 1 || object.y2 > height + 1;
    return outside ? [{ kind: 'outside-box', id, file, detail: `${where} leaves the ${width}×${height} image` }] : [];
  });
}
const boxText = ({ x1, y1, x2, y2 }: RawObject): string => `[${[x1, y1, x2, y2].map(value => Math.round(value * 100) / 100).join(', ')}]`;

function sizeRows(samples: readonly Sample[]): ValidationReport['sizes'] {
  const counts = new Map<string, { width: number; height: number; images: number }>();
  for (const { width, height } of samples) {
    const key = `${width}×${height}`;
    counts.set(key, { width, height, images: (counts.get(key)?.images ?? 0) + 1 });
  }
  return [...counts.values()].sort((a, b) => b.images - a.images || b.width - a.width);
}

function classRows(manifest: Manifest, { input, fit = 'stretch', leastPixels = 10 }: ValidateOptions): ValidationReport['classes'] {
  const rows = new Map<string, { objects: number; images: Set<string>; small: number; heights: number[] }>();
  const rowOf = (name: string) => {
    const row = rows.get(name) ?? { objects: 0, images: new Set<string>(), small: 0, heights: [] };
    rows.set(name, row);
    return row;
  };
  for (const sample of manifest.samples) {
    if (sample.className !== undefined) {
      const row = rowOf(sample.className);
      row.objects++;
      row.images.add(sample.id);
    }
    const placement = input ? placementOf(sample, input, fit) : undefined;
    for (const object of sample.objects ?? []) {
      if (isIgnoredClass(object.className)) continue;
      const row = rowOf(object.className);
      const placed = placement ? placeBox(object, placement) : object;
      row.objects++;
      row.images.add(sample.id);
      row.heights.push(placed.y2 - placed.y1);
      if (placement && (placed.y2 - placed.y1 < leastPixels || placed.x2 - placed.x1 < leastPixels)) row.small++;
    }
  }
  return [...rows]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { objects, images, small, heights }]) => {
      const middle = heights.sort((a, b) => a - b)[heights.length >> 1];
      return { name, objects, images: images.size, small, ...(middle === undefined ? {} : { medianHeight: middle }) };
    });
}

/** The report as rows of words for a terminal table: [what, value, remark]. */
export function validationRows(report: ValidationReport): readonly (readonly [string, string, string])[] {
  const percent = (part: number, whole: number) => `${((100 * part) / Math.max(1, whole)).toFixed(1)} %`;
  const sizes = report.sizes.slice(0, 5).map(({ width, height, images }): [string, string, string] => [`size ${width}×${height}`, String(images), percent(images, report.images)]);
  const classes = report.classes.map(({ name, objects, images, small, medianHeight }): [string, string, string] => [
    `class ${name}`,
    String(objects),
    `in ${images} images${medianHeight === undefined ? '' : `, median height ${medianHeight.toFixed(0)} px`}${small > 0 ? `, ${small} under the least size` : ''}`,
  ]);
  const problems = report.problems.slice(0, 20).map(({ kind, file, detail }): [string, string, string] => [kind, file, detail]);
  const more: [string, string, string][] = report.problems.length > 20 ? [['…', `${report.problems.length - 20} more`, '']] : [];
  return [['images', String(report.images), ''], ['objects', String(report.objects), ''], ...sizes, ...classes, ...problems, ...more];
}
