import { type Dirent, existsSync } from 'node:fs';
import { lstat, readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { temporaryMark } from './atomic-file.ts';
import type { Digest, Fingerprint } from './fingerprint.ts';
import { acquireLock, lockHolder } from './lock.ts';
import { removeReadOnly } from './objects.ts';
import { listRuns } from './run-folder.ts';
import type { Store } from './store.ts';

export interface CollectOptions {
  /** The newest runs that stay with all they used (default 10). */
  readonly keepRuns?: number;
  /** Whatever was used within so many days stays too (default 30). */
  readonly keepDays?: number;
  /** Only tell. */
  readonly dryRun?: boolean;
  readonly now?: Date;
}
export interface Collected {
  readonly kind: 'object' | 'action' | 'scratch' | 'run' | 'left-over';
  readonly path: string;
  readonly bytes: number;
}
export interface Collection {
  readonly items: readonly Collected[];
  readonly bytes: number;
}

const latestSchema = z.object({ fingerprint: z.string() });
const outputsSchema = z.object({ outputs: z.record(z.string(), z.string()) });
const dayMs = 86_400_000;
// What nobody refers to yet may be about to be recorded by a process that never declared itself.
const youngMs = 3_600_000;

/**
 * Removes what no kept action refers to. Kept: the latest action of every step, and every action used since the oldest of `keepRuns` runs, within `keepDays` days, or since the oldest living user of the store began. Scratch stays while it is owned, or young enough to be resumed.
 * Throws `locked` where another collection is under way.
 */
export async function collectGarbage(store: Store, options: CollectOptions = {}): Promise<Collection> {
  const { keepRuns = 10, keepDays = 30, dryRun = false, now = new Date() } = options;
  await using _lock = await acquireLock(store.collectorPath, 'edgeforge gc');
  const usedSince = (await store.usedSince())?.getTime() ?? Number.POSITIVE_INFINITY;
  const runs = await listRuns(store.root);
  const ageLimit = now.getTime() - keepDays * dayMs;
  const oldestKeptRun = Date.parse(runs[Math.min(keepRuns, runs.length) - 1]?.startedAt ?? '') || Number.POSITIVE_INFINITY;
  const cutoff = Math.min(ageLimit, keepRuns > 0 ? oldestKeptRun : Number.POSITIVE_INFINITY, usedSince);

  const items: Collected[] = [];
  const { stale, marked } = await markActions(store, cutoff);
  for (const path of stale) items.push(await item('action', path));
  const safeSince = Math.min(now.getTime() - youngMs, usedSince);
  for (const path of await unmarkedObjects(store, marked, keepDays > 0 ? safeSince : usedSince)) items.push(await item('object', path));
  for (const path of await freeScratch(store, ageLimit)) items.push(await item('scratch', path));
  for (const run of runs.slice(keepRuns)) if (run.status !== 'running' && Date.parse(run.startedAt) < ageLimit) items.push(await item('run', run.folder));
  for (const path of await leftOvers(store, safeSince)) items.push(await item('left-over', path));
  if (!dryRun) for (const { path } of items) await removeReadOnly(path);
  return { items, bytes: items.reduce((sum, { bytes }) => sum + bytes, 0) };
}

/** When something was last changed, ms since 1970; never, for what others removed meanwhile. */
const changedAt = (path: string): Promise<number> =>
  lstat(path).then(
    info => info.ctimeMs,
    () => Number.POSITIVE_INFINITY,
  );
const namesIn = (folder: string): Promise<string[]> => readdir(folder).catch(() => []);

async function markActions(store: Store, cutoff: number): Promise<{ stale: string[]; marked: Set<string> }> {
  const kept = new Set<string>();
  for (const name of await namesIn(join(store.root, 'latest'))) {
    const text = await readFile(join(store.root, 'latest', name), 'utf8').catch(() => '');
    const latest = latestSchema.safeParse(json(text));
    if (latest.success) kept.add(latest.data.fingerprint);
  }
  const stale: string[] = [];
  const marked = new Set<string>();
  for (const name of await namesIn(join(store.root, 'actions'))) {
    if (!name.endsWith('.json') || name.startsWith(temporaryMark)) continue;
    const path = join(store.root, 'actions', name);
    // Recall touches the record: its mtime is its last use.
    const lastUse = await stat(path).then(
      info => info.mtimeMs,
      () => 0,
    );
    if (!kept.has(name.slice(0, -5)) && lastUse < cutoff) stale.push(path);
    else for (const digest of await outputsOf(path)) await mark(store, digest, marked);
  }
  return { stale, marked };
}

async function outputsOf(path: string): Promise<string[]> {
  const parsed = outputsSchema.safeParse(json(await readFile(path, 'utf8').catch(() => '')));
  return parsed.success ? Object.values(parsed.data.outputs) : [];
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function mark(store: Store, digest: string, marked: Set<string>): Promise<void> {
  if (marked.has(digest)) return;
  marked.add(digest);
  const tree = await store.objects.tree(digest as Digest);
  if (tree && tree !== 'corrupt') for (const file of tree.files) marked.add(file.digest);
}

async function unmarkedObjects(store: Store, marked: ReadonlySet<string>, safeSince: number): Promise<string[]> {
  const found: string[] = [];
  for (const prefix of await namesIn(store.objects.folder)) {
    if (prefix.startsWith(temporaryMark)) continue;
    for (const name of await namesIn(join(store.objects.folder, prefix))) {
      if (name.startsWith(temporaryMark) || marked.has(name.replace(/\.tree$/, ''))) continue;
      const path = join(store.objects.folder, prefix, name);
      // ctime, for an object's mtime is its seal.
      if ((await changedAt(path)) < safeSince) found.push(path);
    }
  }
  return found;
}

async function freeScratch(store: Store, ageLimit: number): Promise<string[]> {
  const root = join(store.root, 'scratch');
  const found: string[] = [];
  for (const name of await namesIn(root)) {
    const folder = join(root, name);
    if (await lockHolder(join(folder, 'owner'))) continue;
    const done = existsSync(store.actionPath(name as Fingerprint));
    if (done || (await newestIn(folder)) < ageLimit) found.push(folder);
  }
  return found;
}

async function newestIn(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true }).catch(() => [] as string[]);
  const times = await Promise.all(
    [folder, ...entries.map(entry => join(folder, entry))].map(path =>
      lstat(path).then(
        info => info.mtimeMs,
        () => 0,
      ),
    ),
  );
  return times.reduce((newest, time) => Math.max(newest, time), 0);
}

async function leftOvers(store: Store, safeSince: number): Promise<string[]> {
  const found: string[] = [];
  const look = async (entry: Dirent) => {
    const path = join(entry.parentPath, entry.name);
    if (entry.name.startsWith(temporaryMark) && (await changedAt(path)) < safeSince) found.push(path);
  };
  for (const folder of ['', 'objects', 'actions', 'latest', 'scratch', 'users'].map(name => join(store.root, name))) {
    for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
      await look(entry);
      if (basename(folder) !== 'objects' || !entry.isDirectory() || entry.name.startsWith(temporaryMark)) continue;
      for (const inner of await readdir(join(folder, entry.name), { withFileTypes: true }).catch(() => [])) await look(inner);
    }
  }
  for (const name of await namesIn(join(store.root, 'users'))) {
    const path = join(store.root, 'users', name);
    // Left by a process that was killed.
    if (!name.startsWith(temporaryMark) && !(await lockHolder(path)) && (await changedAt(path)) < safeSince) found.push(path);
  }
  return found;
}

/** Files that objects share by hard links are counted where they are an object of their own; what others removed meanwhile counts nothing. */
async function item(kind: Collected['kind'], path: string): Promise<Collected> {
  const info = await lstat(path).catch(() => undefined);
  if (!info?.isDirectory()) return { kind, path, bytes: info?.size ?? 0 };
  let bytes = 0;
  for (const entry of await readdir(path, { recursive: true, withFileTypes: true }).catch(() => [])) {
    const file = entry.isFile() ? await lstat(join(entry.parentPath, entry.name)).catch(() => undefined) : undefined;
    if (file && (kind !== 'object' || file.nlink === 1)) bytes += file.size;
  }
  return { kind, path, bytes };
}
