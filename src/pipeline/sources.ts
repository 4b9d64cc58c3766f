import { readdir } from 'node:fs/promises';
import { isAbsolute, join, relative, resolve } from 'node:path';
import { EdgeError } from '../core/errors.ts';
import { canonical, type Digest, digestOf } from '../core/fingerprint.ts';
import type { StatCache } from '../core/stat-cache.ts';

/** A file or folder outside the store, named in the project file, and what it holds now. */
export interface Source {
  readonly path: string;
  readonly digest: Digest;
}

/** The absolute path of something a project file names; `~` is the home folder. */
export const inProject = (folder: string, path: string): string =>
  path.startsWith('~/') ? join(process.env.HOME ?? '', path.slice(2)) : isAbsolute(path) ? path : resolve(folder, path);

/** A file by content. Throws `file-missing` naming the setting. */
export async function sourceFile(path: string, cache: StatCache, setting: string): Promise<Source> {
  try {
    return { path, digest: await cache.digestOf(path) };
  } catch (cause) {
    throw new EdgeError('file-missing', `${setting} names ${path}, which cannot be read.`, { hint: `Correct ${setting} in edgeforge.yaml.`, where: { file: path }, cause });
  }
}

/** A folder by content: the digest of its sorted file names and their digests; hidden files do not count. Files are read only when size, time or inode changed. */
export async function sourceFolder(path: string, cache: StatCache, setting: string): Promise<Source> {
  let names: string[];
  try {
    const entries = await readdir(path, { recursive: true, withFileTypes: true });
    names = entries.filter(entry => entry.isFile() && !entry.name.startsWith('.')).map(entry => relative(path, join(entry.parentPath, entry.name)));
  } catch (cause) {
    throw new EdgeError('file-missing', `${setting} names ${path}, which is no readable folder.`, { hint: `Correct ${setting} in edgeforge.yaml.`, where: { file: path }, cause });
  }
  const listing: [string, Digest][] = [];
  for (const name of names.sort()) listing.push([name, await cache.digestOf(join(path, name))]);
  return { path, digest: digestOf(canonical(listing)) };
}
