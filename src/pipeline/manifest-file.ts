import { readFile, writeFile } from 'node:fs/promises';
import { relative, resolve } from 'node:path';
import { EdgeError } from '../core/errors.ts';
import type { Manifest } from '../data/sample.ts';

/** Writes a manifest whose root is said from `images`: content counts and places do not, so a recorded manifest must not remember where its images lay. */
export const writeManifest = (file: string, manifest: Manifest, images: string): Promise<void> =>
  writeFile(file, JSON.stringify({ ...manifest, root: relative(resolve(images), resolve(manifest.root)) }));

/** Reads it back with its root below `images`, where they lie now; a manifest with an absolute root keeps it. */
export async function readManifest(file: string, images?: string | undefined): Promise<Manifest> {
  const manifest = JSON.parse(await readFile(file, 'utf8')) as Manifest;
  if (images === undefined && !manifest.root.startsWith('/'))
    throw new EdgeError('internal', `The manifest ${file} is read without the place of its images.`, { hint: 'Please report it.' });
  return { ...manifest, root: resolve(images ?? '/', manifest.root) };
}
