import { join } from 'node:path';
import { EdgeError } from '../core/errors.ts';
import type { StatCache } from '../core/stat-cache.ts';
import { importCoco } from '../data/import-coco.ts';
import { importFolders } from '../data/import-folders.ts';
import { importKitti } from '../data/import-kitti.ts';
import { importVoc } from '../data/import-voc.ts';
import type { Manifest } from '../data/sample.ts';
import { type Split, splitManifest } from '../data/split.ts';
import { type ValidationReport, validateDataset } from '../data/validate.ts';
import type { SplitSettings } from './split-settings.ts';

interface Surroundings {
  readonly cache: StatCache;
  readonly signal?: AbortSignal;
  readonly progress?: (done: number, total: number) => void;
}
export interface CorruptImage {
  readonly file: string;
  readonly detail: string;
}
export interface CheckedSplit {
  readonly split: Split;
  readonly reports: Readonly<Record<keyof Split, ValidationReport>>;
  /** Images that cannot be decoded: left out of `split` by the rule `skip`. */
  readonly corrupt: readonly CorruptImage[];
}

/** Imports and divides a dataset. `onCorrupt`: images without a readable header are told and left out instead of refused. */
export async function importSplit(
  root: string,
  settings: SplitSettings,
  { cache, signal, onCorrupt }: Surroundings & { readonly onCorrupt?: (error: EdgeError) => void },
): Promise<Split> {
  const options = { digest: (path: string) => cache.digestOf(path), ...(signal ? { signal } : {}), ...(onCorrupt ? { onCorrupt } : {}) };
  const load = (path: string): Promise<Manifest> => ({ kitti: importKitti, voc: importVoc, coco: importCoco, folders: importFolders })[settings.format](path, options);
  const { validation, split, seed } = settings;
  if (typeof validation !== 'number') return { train: await load(join(root, validation.train)), validation: await load(join(root, validation.val)) };
  return splitManifest(await load(root), split === 'tlt' ? { kind: 'tlt-random', valSplitPercent: 100 * validation } : { kind: 'stratified', fraction: validation, seed });
}

/** The same with every image of both parts decoded once: `refuse` throws `image-corrupt` naming the broken ones, `skip` leaves them out. */
export async function checkedSplit(root: string, settings: SplitSettings, around: Surroundings): Promise<CheckedSplit> {
  const corrupt: CorruptImage[] = [];
  const whole = await importSplit(root, settings, {
    ...around,
    ...(settings.corrupt === 'skip' ? { onCorrupt: ({ message, where }: EdgeError) => corrupt.push({ file: where?.file ?? '', detail: message }) } : {}),
  });
  const total = whole.train.samples.length + whole.validation.samples.length;
  const check = (part: Manifest, before: number) =>
    validateDataset(part, {
      input: settings.input,
      decode: true,
      ...(around.signal ? { signal: around.signal } : {}),
      onProgress: done => around.progress?.(before + done, total),
    });
  const reports = { train: await check(whole.train, 0), validation: await check(whole.validation, whole.train.samples.length) };
  const broken = [...reports.train.problems, ...reports.validation.problems].filter(({ kind }) => kind === 'corrupt-image');
  corrupt.push(...broken);
  if (settings.corrupt === 'refuse' && corrupt[0])
    throw new EdgeError('image-corrupt', corruptText(corrupt), {
      hint: 'Replace or remove the files and their labels, or leave them out of training: data: {corrupt: skip}. All of them: edgeforge data check',
      where: { file: corrupt[0].file },
    });
  const sound = (part: Manifest, report: ValidationReport): Manifest => {
    const out = new Set(report.problems.filter(({ kind }) => kind === 'corrupt-image').map(({ id }) => id));
    return out.size === 0 ? part : { ...part, samples: part.samples.filter(({ id }) => !out.has(id)) };
  };
  return { split: { train: sound(whole.train, reports.train), validation: sound(whole.validation, reports.validation) }, reports, corrupt };
}

/** Broken images in words: the first ten by name. */
export function corruptText(corrupt: readonly CorruptImage[]): string {
  const named = corrupt.slice(0, 10).map(({ file, detail }) => (detail.includes(file) ? detail : `"${file}" ${detail}.`));
  const rest = corrupt.length > named.length ? ` And ${corrupt.length - named.length} more.` : '';
  return `${corrupt.length === 1 ? 'One image' : `${corrupt.length} images`} cannot be used: ${named.join(' ')}${rest}`;
}
