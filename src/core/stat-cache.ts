import { readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { z } from 'zod';
import { writeAtomic } from './atomic-file.ts';
import { EdgeError } from './errors.ts';
import { type Digest, digestOfFile } from './fingerprint.ts';

const rowSchema = z.tuple([z.string(), z.number(), z.string(), z.string(), z.string().regex(/^[0-9a-f]{64}$/)]);
interface Entry {
  readonly size: number;
  readonly mtimeNs: string;
  readonly inode: string;
  readonly digest: Digest;
}
// A file system may stamp two writes within this time alike (FAT: 2 s), so a file that young is never believed.
const granularityNs = 2_000_000_000n;

/** Remembers digests of files by (path, size, mtime, inode), so that a big dataset is read once. A file changed within the time stamps' granularity is read again. */
export class StatCache {
  readonly #file: string;
  readonly #entries: Map<string, Entry>;
  #dirty = false;
  /** Files that were really read. */
  hashed = 0;

  private constructor(file: string, entries: Map<string, Entry>) {
    this.#file = file;
    this.#entries = entries;
  }

  /** Opens the cache at `file`; an absent or unreadable one is empty, for it is only a memory. */
  static async open(file: string): Promise<StatCache> {
    const entries = new Map<string, Entry>();
    const text = await readFile(file, 'utf8').catch(() => '');
    for (const line of text.split('\n')) {
      try {
        const [path, size, mtimeNs, inode, digest] = rowSchema.parse(JSON.parse(line));
        entries.set(path, { size, mtimeNs, inode, digest: digest as Digest });
      } catch {
        // One row less is one file read again.
      }
    }
    return new StatCache(file, entries);
  }

  /** SHA-256 of the file's content. Throws `file-missing`. */
  async digestOf(path: string): Promise<Digest> {
    const absolute = resolve(path);
    const before = await this.#stat(absolute);
    const known = this.#entries.get(absolute);
    if (known && known.size === before.size && known.mtimeNs === before.mtimeNs && known.inode === before.inode) return known.digest;
    const startedNs = BigInt(Date.now()) * 1_000_000n;
    this.hashed++;
    const digest = await digestOfFile(absolute);
    const after = await this.#stat(absolute);
    const still = after.size === before.size && after.mtimeNs === before.mtimeNs && after.inode === before.inode;
    if (still && BigInt(before.mtimeNs) < startedNs - granularityNs) {
      this.#entries.set(absolute, { ...before, digest });
      this.#dirty = true;
    } else if (this.#entries.delete(absolute)) this.#dirty = true;
    return digest;
  }

  async #stat(path: string): Promise<Omit<Entry, 'digest'>> {
    const found = await stat(path, { bigint: true }).catch((cause: unknown) => {
      throw new EdgeError('file-missing', `${path} cannot be read.`, { hint: `Check that ${path} is there and readable.`, where: { file: path }, cause });
    });
    if (!found.isFile()) throw new EdgeError('file-missing', `${path} is not a file.`, { hint: 'Name a file, not a folder.', where: { file: path } });
    return { size: Number(found.size), mtimeNs: String(found.mtimeNs), inode: String(found.ino) };
  }

  /** Writes what was learnt. Two processes: the last one wins, the other's files are read once more. */
  async save(): Promise<void> {
    if (!this.#dirty) return;
    const lines = Array.from(this.#entries, ([path, { size, mtimeNs, inode, digest }]) => JSON.stringify([path, size, mtimeNs, inode, digest]));
    await writeAtomic(this.#file, `${lines.join('\n')}\n`);
    this.#dirty = false;
  }
}
