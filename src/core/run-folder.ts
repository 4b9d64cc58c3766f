import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { mkdir, open, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { type AboutRun, aboutPath, aboutRun, eventsPath, folderVariable, processLogPath, processPath, readParsed, runsFolder } from './_run-paths.ts';
import { writeAtomic } from './atomic-file.ts';
import { askControl } from './control-socket.ts';
import { EdgeError } from './errors.ts';
import type { RunEvent } from './events.ts';
import { identityOf, isAlive } from './process-identity.ts';
import { runEventSchema } from './run-events-schema.ts';
import { EventReader } from './run-log.ts';

export { hostRun, type RunHost } from './host-run.ts';

const processSchema = z.object({ pid: z.number().int(), host: z.string(), started: z.string().optional() });

/** The event log of the run in a folder. */
export const eventsOf = (folder: string): string => eventsPath(folder);

export interface StartedRun {
  readonly id: string;
  readonly folder: string;
  readonly pid: number;
}
export interface RunSummary {
  readonly id: string;
  readonly folder: string;
  readonly command: string;
  readonly startedAt: string;
  /** `died`: its process ended without a last word. */
  readonly status: 'running' | 'ok' | 'failed' | 'cancelled' | 'died';
  readonly exitCode?: number;
}

/** A name that sorts by time: 20261124-042731-123-5f3a1c (UTC). */
export const newRunId = (at = new Date()): string => `${at.toISOString().replace(/[-:Z]/g, '').replace(/[T.]/g, '-')}-${randomBytes(3).toString('hex')}`;

/** Makes a run's folder and starts `node moduleFile ...args` in it as a process of its own that outlives this one; what it prints goes to process.log. It finds its folder with `ownRunFolder` and calls `hostRun`. `root`: the store's. */
export async function startRun(options: {
  readonly root: string;
  readonly moduleFile: string;
  readonly args: readonly string[];
  readonly cwd: string;
  /** The words that a person typed, for lists and screens. */
  readonly command?: string;
  readonly env?: Readonly<Record<string, string>>;
}): Promise<StartedRun> {
  const { root, moduleFile, args, cwd, command = args.join(' '), env = {} } = options;
  const id = newRunId();
  const folder = join(runsFolder(root), id);
  await mkdir(folder, { recursive: true });
  const about: AboutRun = { id, command, module: moduleFile, args: [...args], cwd, startedAt: new Date().toISOString() };
  await writeAtomic(aboutPath(folder), `${JSON.stringify(about, undefined, 2)}\n`);
  const output = openSync(processLogPath(folder), 'a');
  try {
    const child = spawn(process.execPath, [moduleFile, ...args], {
      cwd,
      detached: true,
      stdio: ['ignore', output, output],
      env: { ...process.env, ...env, [folderVariable]: folder },
    });
    const pid = await new Promise<number>((done, failed) => {
      child.once('error', cause => failed(new EdgeError('internal', `The run could not be started in ${cwd}: ${cause.message}.`, { hint: `Check that ${cwd} is there.`, cause })));
      child.once('spawn', () => done(child.pid ?? 0));
    });
    await writeAtomic(processPath(folder), JSON.stringify(identityOf(pid)));
    child.unref();
    return { id, folder, pid };
  } finally {
    closeSync(output);
  }
}

/** The folder of the run that this process is. Throws `usage` where it was not started by `startRun`. */
export function ownRunFolder(): string {
  const folder = process.env[folderVariable];
  if (folder) return folder;
  throw new EdgeError('usage', 'This process is no run.', { hint: 'Start it with: edgeforge run' });
}
/** Whether the run's process lives. One that was only just made counts as alive for ten seconds. */
export async function runIsAlive(folder: string): Promise<boolean> {
  const owner = await readParsed(processSchema, processPath(folder));
  if (owner) return isAlive(owner) !== false;
  const about = await aboutRun(folder);
  return about !== undefined && Date.now() - Date.parse(about.startedAt) < 10_000;
}

async function tailOf(path: string, bytes: number): Promise<string> {
  const handle = await open(path).catch(() => undefined);
  if (!handle) return '';
  try {
    const { size } = await handle.stat();
    const buffer = Buffer.alloc(Math.min(bytes, size));
    await handle.read(buffer, 0, buffer.length, size - buffer.length);
    return buffer.toString('utf8');
  } finally {
    await handle.close();
  }
}

const pause = (ms: number, signal?: AbortSignal) =>
  new Promise<void>(done => {
    const timer = setTimeout(end, ms);
    function end() {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      done();
    }
    signal?.addEventListener('abort', end, { once: true });
  });

/** Follows a run from its first event to run-finished; ends early, quietly, when `signal` says so. Throws `run-unknown` without such a run, and `internal` where its process died without a last word. */
export async function* tailRun(folder: string, { signal, pollMs = 40 }: { readonly signal?: AbortSignal; readonly pollMs?: number } = {}): AsyncGenerator<RunEvent, void> {
  if (!(await aboutRun(folder)) && (await tailOf(eventsPath(folder), 1)) === '') throw unknownRun(folder);
  const reader = new EventReader(eventsPath(folder));
  const buffer = Buffer.alloc(256 << 10);
  let position = 0;
  let idleRounds = 0;
  let wasAlive = true;
  while (!signal?.aborted) {
    const handle = await open(eventsPath(folder)).catch(() => undefined);
    const bytesRead = handle ? (await handle.read(buffer, 0, buffer.length, position).finally(() => handle.close())).bytesRead : 0;
    position += bytesRead;
    for (const event of reader.read(buffer.subarray(0, bytesRead))) {
      yield event;
      if (event.type === 'run-finished') return;
    }
    if (bytesRead > 0) {
      idleRounds = 0;
      wasAlive = true;
      continue;
    }
    // Dead, and nothing came in a whole reading after it was seen dead: there is no more to come.
    if (!wasAlive) throw await diedSilently(folder);
    if (idleRounds++ % 5 === 0) wasAlive = await runIsAlive(folder);
    if (wasAlive) await pause(pollMs, signal);
  }
}

const unknownRun = (folder: string) => new EdgeError('run-unknown', `There is no run in ${folder}.`, { hint: 'List the runs with: edgeforge watch', where: { file: folder } });

async function diedSilently(folder: string): Promise<EdgeError> {
  const last = (await tailOf(processLogPath(folder), 2000)).trim();
  return new EdgeError('internal', `Run ${basename(folder)} ended without a last word: its process was killed or crashed.${last === '' ? '' : `\n${last}`}`, {
    hint: 'Run the same command again: finished steps are kept, and a training goes on from its checkpoint.',
    where: { file: processLogPath(folder) },
  });
}

/** Asks a run to cancel, or tells it that its viewer leaves. Throws `run-unknown` where nothing listens. */
export const askRun = (folder: string, ask: 'cancel' | 'detach'): Promise<void> => askControl(folder, ask);

async function summaryOf(folder: string): Promise<RunSummary | undefined> {
  const about = await aboutRun(folder);
  if (!about) return undefined;
  const { id, command, startedAt } = about;
  const end = lastEvent(await tailOf(eventsPath(folder), 64 << 10));
  if (end?.type === 'run-finished') return { id, folder, command, startedAt, status: end.ok ? 'ok' : end.exitCode === 130 ? 'cancelled' : 'failed', exitCode: end.exitCode };
  return { id, folder, command, startedAt, status: (await runIsAlive(folder)) ? 'running' : 'died' };
}

function lastEvent(text: string): RunEvent | undefined {
  const line = text.slice(0, text.lastIndexOf('\n')).split('\n').at(-1);
  try {
    return runEventSchema.parse(JSON.parse(line ?? ''));
  } catch {
    return undefined;
  }
}

/** The runs of a store, newest first. */
export async function listRuns(root: string): Promise<readonly RunSummary[]> {
  const names = await readdir(runsFolder(root)).catch(() => [] as string[]);
  const summaries = await Promise.all(names.sort().map(name => summaryOf(join(runsFolder(root), name))));
  return summaries.filter(summary => summary !== undefined).reverse();
}

/** The run whose id starts with `name`, or the newest for 'last'. Throws `run-unknown`. */
export async function findRun(root: string, name: string): Promise<RunSummary> {
  const runs = await listRuns(root);
  const found = name === 'last' ? runs.slice(0, 1) : runs.filter(({ id }) => id.startsWith(name));
  if (found.length === 1 && found[0]) return found[0];
  const known = runs.slice(0, 5).map(({ id }) => id);
  throw new EdgeError('run-unknown', found.length === 0 ? `There is no run "${name}".` : `"${name}" fits ${found.length} runs.`, {
    hint: known.length === 0 ? 'Start one with: edgeforge run' : `The newest are: ${known.join(', ')}.`,
  });
}
