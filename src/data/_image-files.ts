import { readdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { extname, join } from 'node:path';
import { EdgeError } from '../core/errors.ts';
import { type Digest, digestOfFile } from '../core/fingerprint.ts';
import { inParallel } from './_in-parallel.ts';
import { readHeader } from './decode.ts';
import type { Sample } from './sample.ts';

/** What every import may be given: a digest function that remembers (core's stat cache), and an end. */
export interface ImportOptions {
  readonly digest?: (file: string) => Promise<Digest>;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
  /** Told of each image that cannot be decoded, which is then left out; without it one such image refuses the dataset. */
  readonly onCorrupt?: (error: EdgeError) => void;
}
/** A mistake in the user's files. */
export interface Complaint {
  readonly message: string;
  readonly hint: string;
  readonly file?: string | undefined;
  readonly line?: number | undefined;
}
const imageExtensions = new Set(['.png', '.jpg', '.jpeg']);
export const isImageName = (name: string): boolean => imageExtensions.has(extname(name).toLowerCase());
export const stemOf = (name: string): string => name.slice(0, name.length - extname(name).length);

/** The entries of a folder by name, sorted; a folder that is not there is `file-missing`. */
export async function listFolder(folder: string): Promise<{ readonly files: readonly string[]; readonly folders: readonly string[] }> {
  try {
    const entries = (await readdir(folder, { withFileTypes: true })).filter(entry => !entry.name.startsWith('.')).sort((a, b) => (a.name < b.name ? -1 : 1));
    return { files: entries.filter(entry => !entry.isDirectory()).map(entry => entry.name), folders: entries.filter(entry => entry.isDirectory()).map(entry => entry.name) };
  } catch (cause) {
    throw new EdgeError('file-missing', `The folder "${folder}" cannot be read.`, { hint: 'Check the path in edgeforge.yaml or in the spec.', where: { file: folder }, cause });
  }
}

/** Image file names of a folder by stem; two files of one stem are a mistake, since labels go by stem. */
export function imagesByStem(names: readonly string[], folder: string): ReadonlyMap<string, string> {
  const byStem = new Map<string, string>();
  for (const name of names.filter(isImageName)) {
    const twin = byStem.get(stemOf(name));
    if (twin)
      throw new EdgeError('dataset-invalid', `"${twin}" and "${name}" share one name, so one label would stand for both.`, {
        hint: 'Rename or remove one of them.',
        where: { file: join(folder, name) },
      });
    byStem.set(stemOf(name), name);
  }
  return byStem;
}

/** All complaints as one error: the first says where, up to ten are told. */
export function refuse(complaints: readonly Complaint[]): void {
  const [first] = complaints;
  if (!first) return;
  const place = ({ file, line }: Complaint) => (file ? `${file}${line ? `:${line}` : ''}: ` : '');
  const told = complaints.slice(0, 10).map(complaint => place(complaint) + complaint.message);
  const rest = complaints.length > told.length ? [`… and ${complaints.length - told.length} more.`] : [];
  throw new EdgeError('dataset-invalid', complaints.length === 1 ? first.message : `${complaints.length} mistakes:\n${[...told, ...rest].join('\n')}`, {
    hint: first.hint,
    where: { ...(first.file ? { file: first.file } : {}), ...(first.line ? { line: first.line } : {}) },
  });
}

/** Runs a reader whose expected failures (`dataset-invalid`) are gathered, so that a user sees all mistakes at once. */
export async function gathering<T>(complaints: Complaint[], read: () => Promise<T> | T): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof EdgeError) || (error.code !== 'dataset-invalid' && error.code !== 'image-corrupt')) throw error;
    complaints.push({ message: error.message, hint: error.hint, file: error.where?.file, line: error.where?.line });
    return undefined;
  }
}

/** Runs a reader of one image; where `onCorrupt` is given, an image that cannot be decoded is told to it and gives undefined. */
export async function sparing<T>(onCorrupt: ImportOptions['onCorrupt'], read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (!onCorrupt || !(error instanceof EdgeError) || error.code !== 'image-corrupt') throw error;
    onCorrupt(error);
    return undefined;
  }
}

export type Listed = Pick<Sample, 'id' | 'image'> & { readonly truth: () => Promise<Pick<Sample, 'objects' | 'className'>> };

/** Listed images as samples: size from the header, digest of the bytes, truth from its reader; all complaints together. */
export async function samplesOf(
  root: string,
  listed: readonly Listed[],
  { digest = digestOfFile, signal, onProgress, onCorrupt }: ImportOptions,
  complaints: Complaint[] = [],
): Promise<Sample[]> {
  let done = 0;
  const samples = await inParallel(listed, availableParallelism() * 2, async ({ id, image, truth }) => {
    signal?.throwIfAborted();
    const file = join(root, image);
    const header = await gathering(complaints, () => sparing(onCorrupt, () => readHeader(file)));
    const what = await gathering(complaints, truth);
    onProgress?.(++done, listed.length);
    if (!header || !what) return undefined;
    return { id, image, digest: await digest(file), width: header.width, height: header.height, ...what };
  });
  refuse(complaints);
  return samples.filter(sample => sample !== undefined);
}
