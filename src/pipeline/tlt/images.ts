import { readdir, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { extname, join, resolve } from 'node:path';
import { EdgeError } from '../../core/errors.ts';
import { digestOfFile } from '../../core/fingerprint.ts';
import { readHeader } from '../../data/decode.ts';
import { randomAt, shuffled } from '../../data/random.ts';
import type { Manifest, Sample } from '../../data/sample.ts';

const endings = new Set(['.png', '.jpg', '.jpeg']);

/** Absolute paths of the images that a flag names: one file, or a folder's own (sorted); `deep` looks into subfolders too. */
export async function imageFiles(path: string, { deep = false }: { readonly deep?: boolean } = {}): Promise<readonly string[]> {
  const missing = (cause: unknown) =>
    new EdgeError('file-missing', `${path} is no image and no folder of images.`, { hint: 'Name a .png or .jpg, or a folder that holds some.', where: { file: path }, cause });
  const about = await stat(path).catch(cause => {
    throw missing(cause);
  });
  if (about.isFile()) return [resolve(path)];
  const entries = await readdir(path, { withFileTypes: true, recursive: deep });
  const files = entries.filter(entry => entry.isFile() && endings.has(extname(entry.name).toLowerCase())).map(entry => resolve(join(entry.parentPath, entry.name)));
  if (files.length === 0) throw missing(undefined);
  return files.sort();
}

/** Images without truth as a dataset: what inference and calibration read. */
export async function imageManifest(files: readonly string[], task: Manifest['task']): Promise<Manifest> {
  const samples: Sample[] = [];
  const width = availableParallelism() * 2;
  for (let from = 0; from < files.length; from += width) {
    const part = files.slice(from, from + width).map(async file => {
      const header = await readHeader(file);
      return { id: file, image: file.replace(/^\//, ''), digest: await digestOfFile(file), width: header.width, height: header.height, objects: [] };
    });
    samples.push(...(await Promise.all(part)));
  }
  return { schemaVersion: 1, task, root: '/', classes: [], samples };
}

/** A seeded random choice of `count` of the files, or all where there are no more. */
export function chooseFiles(files: readonly string[], count: number, seed = 42): readonly string[] {
  if (files.length <= count) return files;
  return shuffled(files.length, randomAt(seed, 0xca1b))
    .slice(0, count)
    .map(index => files[index] as string)
    .sort();
}
