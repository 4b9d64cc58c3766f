import { mkdir, readdir, readFile, rm, rmdir, utimes } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { writeAtomic } from './atomic-file.ts';
import { EdgeError } from './errors.ts';
import { canonical, type Digest, digestOf, type Fingerprint, type Json } from './fingerprint.ts';
import { acquireLock, lockHolder } from './lock.ts';
import { Objects, type Presence, removeReadOnly } from './objects.ts';
import { StatCache } from './stat-cache.ts';

const digest = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .transform(text => text as Digest);
const causeSchema = z.object({
  fingerprint: z.string().transform(text => text as Fingerprint),
  step: z.string(),
  version: z.number(),
  config: z.json().transform(value => value as Json),
  inputs: z.record(z.string(), z.union([digest, z.array(digest)])),
});
/** Everything a fingerprint is made of, kept in clear so that a later difference can be named. */
export type Cause = z.infer<typeof causeSchema>;
const recordSchema = causeSchema.extend({
  outputs: z.record(z.string(), digest),
  notes: z.array(z.string()),
  milliseconds: z.number(),
  at: z.string(),
});
/** What a finished step left: written only after its outputs lie in the store. */
export type ActionRecord = z.infer<typeof recordSchema>;
export type Recalled = { readonly status: 'present'; readonly record: ActionRecord } | { readonly status: 'absent'; readonly because: string | undefined };

/** A step's folder while one process owns it. */
export interface Scratch {
  /** Survives a crash: checkpoints go here. */
  readonly work: string;
  /** Emptied at the start: outputs are written here. */
  readonly out: string;
  /** Gives the folder back; `done` removes it. */
  release(done: boolean): Promise<void>;
}

/** `objects/` holds bytes by what they are, `actions/` which step made them from what, `latest/` the last action per step id, `scratch/` work in progress. Several processes may share one. */
export class Store {
  readonly root: string;
  readonly objects: Objects;
  #statCache: Promise<StatCache> | undefined;

  constructor(root: string) {
    this.root = resolve(root);
    this.objects = new Objects(join(this.root, 'objects'));
  }

  /** Where an object lies, file or folder, read-only. */
  path(digest: Digest): string {
    return this.objects.path(digest);
  }
  /** Stores a file or a folder by content; the original stays unless it is given away by `move`. */
  put(path: string, options: { readonly move?: boolean } = {}): Promise<Digest> {
    return this.objects.put(path, options);
  }
  /** Whether an object is there and whole; a damaged one is removed. */
  has(digest: Digest): Promise<Presence> {
    return this.objects.state(digest);
  }
  /** The project's memory of digests of files outside the store. `runRecipe` saves it; other processes do it themselves. */
  statCache(): Promise<StatCache> {
    this.#statCache ??= StatCache.open(join(this.root, 'stat-cache'));
    return this.#statCache;
  }
  async saveStatCache(): Promise<void> {
    await (await this.#statCache)?.save();
  }

  actionPath(fingerprint: Fingerprint): string {
    return join(this.root, 'actions', `${fingerprint}.json`);
  }
  latestPath(stepId: string): string {
    const name = encodeURIComponent(stepId);
    return join(this.root, 'latest', `${name.length > 200 ? `${name.slice(0, 120)}~${digestOf(stepId)}` : name}.json`);
  }

  /** The record of an action whose outputs are all here and whole; else why there is none (undefined: it never ran). */
  async recall(fingerprint: Fingerprint): Promise<Recalled> {
    const path = this.actionPath(fingerprint);
    const text = await readFile(path, 'utf8').catch(() => undefined);
    if (text === undefined) return { status: 'absent', because: undefined };
    const record = parsed(recordSchema, text);
    if (record?.fingerprint !== fingerprint) return { status: 'absent', because: 'its record in the store was damaged' };
    for (const [name, digest] of Object.entries(record.outputs)) {
      const state = await this.has(digest);
      if (state === 'absent') return { status: 'absent', because: `output "${name}" was deleted` };
      if (state === 'corrupt') return { status: 'absent', because: `output "${name}" was damaged in the store` };
    }
    const now = new Date();
    await utimes(path, now, now).catch(() => undefined); // Last use, for gc.
    return { status: 'present', record };
  }

  async remember(stepId: string, record: ActionRecord): Promise<void> {
    await writeAtomic(this.actionPath(record.fingerprint), canonical(record));
    await this.pointLatest(stepId, record);
  }
  /** Says that this action is now what the step id stands for. */
  async pointLatest(stepId: string, { fingerprint, step, version, config, inputs }: Cause): Promise<void> {
    const path = this.latestPath(stepId);
    const text = canonical({ stepId, fingerprint, step, version, config, inputs });
    if ((await readFile(path, 'utf8').catch(() => undefined)) !== text) await writeAtomic(path, text);
  }
  /** Removes an action's record, so that a crash during its second run does not leave the first one's word. */
  forget(fingerprint: Fingerprint): Promise<void> {
    return rm(this.actionPath(fingerprint), { force: true });
  }
  /** What the step of this id was made from last time. */
  async latest(stepId: string): Promise<Cause | undefined> {
    const text = await readFile(this.latestPath(stepId), 'utf8').catch(() => undefined);
    return text === undefined ? undefined : parsed(causeSchema, text);
  }

  /** Every action on record, oldest first; damaged records are left out, and whether outputs are still here is not asked. */
  async actions(): Promise<readonly ActionRecord[]> {
    const names = await readdir(join(this.root, 'actions')).catch(() => [] as string[]);
    const texts = await Promise.all(names.filter(name => name.endsWith('.json')).map(name => readFile(join(this.root, 'actions', name), 'utf8').catch(() => '')));
    const records = texts.map(text => parsed(recordSchema, text)).filter(record => record !== undefined);
    return records.sort((a, b) => (a.at < b.at ? -1 : 1));
  }

  /** The step's own folder, held until released. Throws `locked` where another run is at the same work. */
  async scratch(fingerprint: Fingerprint, what: string): Promise<Scratch> {
    const folder = join(this.root, 'scratch', fingerprint);
    const lock = await acquireLock(join(folder, 'owner'), what);
    const work = join(folder, 'work');
    const out = join(folder, 'out');
    await removeReadOnly(out);
    await mkdir(work, { recursive: true });
    await mkdir(out);
    return {
      work,
      out,
      release: async done => {
        await removeReadOnly(out);
        if (done) await removeReadOnly(work);
        await lock.release();
        await rmdir(folder).catch(() => undefined);
      },
    };
  }

  /** Declares that this process uses the store, so that nothing is collected under it; waits while something is being collected. */
  async use(what: string, { limitMs = 120_000 }: { readonly limitMs?: number } = {}): Promise<AsyncDisposable> {
    const mine = await acquireLock(join(this.root, 'users', `${process.pid}-${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}`), what);
    const until = Date.now() + limitMs;
    for (;;) {
      const collector = await lockHolder(this.collectorPath);
      if (!collector || collector.pid === process.pid) return mine;
      if (Date.now() > until) {
        await mine.release();
        throw new EdgeError('locked', `Process ${collector.pid} has been collecting garbage in ${this.root} since ${collector.since}.`, {
          hint: `Wait for it, or stop it with: kill ${collector.pid}`,
        });
      }
      await new Promise(done => setTimeout(done, 50));
    }
  }
  get collectorPath(): string {
    return join(this.root, 'collector');
  }
  /** Since when the processes that use the store now have been using it. */
  async usedSince(): Promise<Date | undefined> {
    const users = await readdir(join(this.root, 'users')).catch(() => [] as string[]);
    const notes = await Promise.all(users.map(name => lockHolder(join(this.root, 'users', name))));
    const times = notes.flatMap(note => (note ? [Date.parse(note.since)] : []));
    return times.length > 0 ? new Date(Math.min(...times)) : undefined;
  }
}

function parsed<T>(schema: z.ZodType<T>, text: string): T | undefined {
  try {
    return schema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
