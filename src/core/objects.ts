import { constants } from 'node:fs';
import { chmod, copyFile, link, lstat, mkdir, readdir, readFile, realpath, rename, rm, stat, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { besideOf, syncFile, temporaryMark, writeAtomic } from './atomic-file.ts';
import { EdgeError } from './errors.ts';
import { canonical, type Digest, digestOf, digestOfFile } from './fingerprint.ts';

const digestSchema = z.string().regex(/^[0-9a-f]{64}$/);
const relativePath = z.string().refine(path => path !== '' && !path.split('/').some(part => part === '' || part === '.' || part === '..'), 'leads outside its folder');
const treeSchema = z.object({
  tree: z.literal(1),
  folders: z.array(relativePath),
  files: z.array(z.object({ path: relativePath, digest: digestSchema, bytes: z.number().int().nonnegative() })),
});
/** A folder as an object: what lies in it by relative POSIX path and digest. */
export type Tree = z.infer<typeof treeSchema>;
interface Staged {
  readonly temporary: string;
  readonly digest: Digest;
  readonly bytes: number;
}
export type Presence = 'present' | 'absent' | 'corrupt';

// Every object carries this modification time (2001-09-09). Any later write gives it another, so damage shows without reading the bytes.
const sealSeconds = 1_000_000_000;

/** Files and folders by content. An object never changes: it is written beside, synced, sealed (read-only, fixed mtime) and renamed. */
export class Objects {
  readonly folder: string;
  readonly #made = new Set<string>();

  constructor(folder: string) {
    this.folder = folder;
  }

  /** Where an object lies: a read-only file, or a read-only folder of hard links. Says nothing about whether it is there. */
  path(digest: Digest): string {
    return join(this.folder, digest.slice(0, 2), digest);
  }
  /** The list behind a folder object. */
  treePath(digest: Digest): string {
    return `${this.path(digest)}.tree`;
  }

  /** Stores a file or a folder. `move`: the caller gives it away, so it is renamed where that is possible. */
  async put(path: string, { move = false }: { readonly move?: boolean } = {}): Promise<Digest> {
    const found = await stat(path).catch((cause: unknown) => {
      throw new EdgeError('file-missing', `${path} cannot be stored: it is not there.`, { hint: `Check that ${path} is there and readable.`, where: { file: path }, cause });
    });
    if (found.isDirectory()) return this.#putFolder(path, move);
    if (found.isFile()) return this.#putFile(path, move);
    throw new EdgeError('format-unsupported', `${path} is neither a file nor a folder.`, { hint: 'Store only files and folders of files.', where: { file: path } });
  }

  async #putFile(path: string, move: boolean): Promise<Digest> {
    const staged = await this.#stage(path, move);
    await this.#settle(staged);
    return staged.digest;
  }

  /** A file's bytes under a temporary name in the store, and what they are. */
  async #stage(path: string, move: boolean): Promise<Staged> {
    await this.#make(this.folder);
    const temporary = besideOf(join(this.folder, 'object'));
    try {
      // What has another name elsewhere (a hard link, a symbolic link) is not only ours: sealing it would change someone's file.
      const own = move && (await lstat(path).then(info => info.isFile() && info.nlink === 1));
      if (!own || !(await renamed(path, temporary))) await copyFile(path, temporary, constants.COPYFILE_FICLONE);
      return { temporary, digest: await digestOfFile(temporary), bytes: (await stat(temporary)).size };
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }

  // Once is enough: nothing removes the folders of objects.
  async #make(folder: string): Promise<void> {
    if (this.#made.has(folder)) return;
    await mkdir(folder, { recursive: true });
    this.#made.add(folder);
  }

  async #settle({ temporary, digest }: Staged): Promise<void> {
    if ((await this.#fileState(digest)) === 'present') return rm(temporary, { force: true });
    await chmod(temporary, 0o444);
    await syncFile(temporary);
    await utimes(temporary, sealSeconds, sealSeconds);
    await this.#make(dirname(this.path(digest)));
    await rename(temporary, this.path(digest));
  }

  async #putFolder(root: string, move: boolean): Promise<Digest> {
    const { folders, files } = await walk(root);
    // All bytes first, then all syncs: one by one the disk would wait for every file.
    const staged = await each(files, async path => ({ path, ...(await this.#stage(join(root, path), move)) }));
    await each(staged, file => this.#settle(file));
    const text = canonical({ tree: 1, folders, files: staged.map(({ path, digest, bytes }) => ({ path, digest, bytes })) } satisfies Tree);
    const digest = digestOf(text);
    await writeAtomic(this.treePath(digest), text);
    if ((await this.state(digest)) !== 'present')
      throw new EdgeError('store-corrupt', `${root} was stored but cannot be read back.`, { hint: `Check the disk that holds ${this.folder}.` });
    return digest;
  }

  /** Whether an object is whole. A damaged one is removed, so that it counts as absent from now on. A folder is laid out again where only its links are missing. */
  async state(digest: Digest): Promise<Presence> {
    const tree = await this.tree(digest);
    if (tree === 'corrupt') return 'corrupt';
    if (tree === undefined) return this.#fileState(digest);
    const states = await each(tree.files, file => this.#fileState(file.digest as Digest, file.bytes));
    if (states.some(state => state !== 'present')) {
      await removeReadOnly(this.path(digest));
      return states.includes('corrupt') ? 'corrupt' : 'absent';
    }
    if (!(await this.#laidOut(digest, tree))) await this.#layOut(digest, tree);
    return 'present';
  }

  /** The list of a folder object; undefined where the object is no folder. */
  async tree(digest: Digest): Promise<Tree | 'corrupt' | undefined> {
    const text = await readFile(this.treePath(digest), 'utf8').catch(() => undefined);
    if (text === undefined) return undefined;
    if (digestOf(text) === digest) {
      const parsed = treeSchema.safeParse(JSON.parse(text));
      if (parsed.success) return parsed.data;
    }
    await rm(this.treePath(digest), { force: true });
    await removeReadOnly(this.path(digest));
    return 'corrupt';
  }

  async #fileState(digest: Digest, bytes?: number): Promise<Presence> {
    const path = this.path(digest);
    const found = await stat(path).catch(() => undefined);
    if (!found?.isFile()) return 'absent';
    const sealed = found.mtimeMs === sealSeconds * 1000;
    if (sealed && (bytes === undefined || found.size === bytes)) return 'present';
    if ((await digestOfFile(path)) === digest) {
      await utimes(path, sealSeconds, sealSeconds);
      return 'present';
    }
    await rm(path, { force: true });
    return 'corrupt';
  }

  async #laidOut(digest: Digest, tree: Tree): Promise<boolean> {
    const root = this.path(digest);
    const entries = await readdir(root, { recursive: true }).catch(() => [] as string[]);
    if (entries.length !== tree.files.length + tree.folders.length || !(await stat(root).catch(() => undefined))?.isDirectory()) return false;
    const same = await each(tree.files, async file => {
      const [here, object] = await Promise.all([stat(join(root, file.path)).catch(() => undefined), stat(this.path(file.digest as Digest))]);
      // Copied where links were not possible: then the seal speaks for it.
      return here !== undefined && (here.ino === object.ino || (here.size === object.size && here.mtimeMs === sealSeconds * 1000));
    });
    return same.every(Boolean);
  }

  async #layOut(digest: Digest, tree: Tree): Promise<void> {
    const root = this.path(digest);
    await mkdir(dirname(root), { recursive: true });
    const temporary = besideOf(root);
    await mkdir(temporary);
    for (const folder of tree.folders) await mkdir(join(temporary, folder), { recursive: true });
    await each(tree.files, async file => {
      const to = join(temporary, file.path);
      await link(this.path(file.digest as Digest), to).catch(async () => {
        await copyFile(this.path(file.digest as Digest), to, constants.COPYFILE_FICLONE);
        await utimes(to, sealSeconds, sealSeconds);
      });
    });
    for (const folder of [...tree.folders].reverse()) await chmod(join(temporary, folder), 0o555);
    await removeReadOnly(root);
    // Another process may have laid it out meanwhile; equal digests, equal folders.
    if (!(await renamed(temporary, root))) await removeReadOnly(temporary);
    else await chmod(root, 0o555);
  }
}

/** Relative POSIX paths of everything below `root`, sorted. Links to files count as files; links to folders are refused, for they may go in circles. */
async function walk(root: string): Promise<{ folders: string[]; files: string[] }> {
  const folders: string[] = [];
  const files: string[] = [];
  const base = await realpath(root);
  const visit = async (relative: string): Promise<void> => {
    for (const entry of await readdir(join(base, relative), { withFileTypes: true })) {
      if (entry.name.startsWith(temporaryMark)) continue;
      const path = relative === '' ? entry.name : `${relative}/${entry.name}`;
      if (entry.isDirectory()) {
        folders.push(path);
        await visit(path);
      } else if (entry.isFile() || (entry.isSymbolicLink() && (await stat(join(base, path)).catch(() => undefined))?.isFile())) files.push(path);
      else
        throw new EdgeError('format-unsupported', `${join(base, path)} is no file and no folder.`, {
          hint: 'Replace links to folders, sockets and devices by plain files.',
          where: { file: join(base, path) },
        });
    }
  };
  await visit('');
  return { folders: folders.sort(), files: files.sort() };
}

/** Maps with at most 16 at a time, results in order. */
async function each<T, U>(items: readonly T[], work: (item: T) => Promise<U>): Promise<U[]> {
  const results: U[] = new Array(items.length);
  let next = 0;
  const lane = async () => {
    for (let index = next++; index < items.length; index = next++) results[index] = await work(items[index] as T);
  };
  await Promise.all(Array.from({ length: Math.min(16, items.length) }, lane));
  return results;
}

async function renamed(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if (['EXDEV', 'ENOTEMPTY', 'EEXIST', 'ENOTDIR', 'EISDIR', 'EPERM', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
}

/** Removes a file or folder whose folders are read-only. */
export async function removeReadOnly(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (!found) return;
  if (found.isDirectory()) {
    await chmod(path, 0o755);
    for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) if (entry.isDirectory()) await chmod(join(entry.parentPath, entry.name), 0o755);
  }
  await rm(path, { recursive: true, force: true });
}
