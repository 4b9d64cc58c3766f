import { randomUUID } from 'node:crypto';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Marks what a crash may leave behind; `gc` removes it. */
export const temporaryMark = '.part-';
/** A name beside `path` that nobody else uses: on the same disk, so that a rename is one step. */
export const besideOf = (path: string): string => join(dirname(path), `${temporaryMark}${basename(path).slice(0, 80)}-${randomUUID()}`);

/** Forces a file's bytes to the disk. */
export async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Lets `fill` write a file beside `path`, syncs it and renames it: a reader sees the whole file or the one before. */
export async function fillAtomic(path: string, fill: (temporary: string) => Promise<void>): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = besideOf(path);
  try {
    await fill(temporary);
    await syncFile(temporary);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Replaces the file at `path` (its folder is made) in one step that a crash cannot halve. */
export const writeAtomic = (path: string, bytes: string | Uint8Array): Promise<void> =>
  fillAtomic(path, async temporary => {
    const handle = await open(temporary, 'wx');
    try {
      await handle.writeFile(bytes);
    } finally {
      await handle.close();
    }
  });
