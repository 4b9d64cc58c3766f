import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, rmdir, unlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { temporaryMark } from './atomic-file.ts';
import { EdgeError } from './errors.ts';
import { identityOf, isAlive } from './process-identity.ts';

const noteSchema = z.object({ pid: z.number().int(), host: z.string(), started: z.string().optional(), since: z.string(), what: z.string() });
/** Who holds a lock, since when and for what. */
export type LockNote = z.infer<typeof noteSchema>;

export interface Lock extends AsyncDisposable {
  readonly note: LockNote;
  release(): Promise<void>;
}

interface Held {
  readonly file: string;
  readonly note: LockNote | undefined;
}

async function heldBy(folder: string): Promise<Held | undefined> {
  const names = await readdir(folder).catch(() => [] as string[]);
  const name = names.find(each => each.startsWith('note-'));
  if (name === undefined) return undefined;
  const file = join(folder, name);
  const text = await readFile(file, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return { file, note: noteSchema.parse(JSON.parse(text)) };
  } catch {
    return { file, note: undefined };
  }
}

/** The note of a lock that a living process holds (or one on another machine, which nobody here can judge); undefined where it is free. */
export async function lockHolder(folder: string): Promise<LockNote | undefined> {
  const held = await heldBy(folder);
  return held?.note && isAlive(held.note) !== false ? held.note : undefined;
}

function lockedError(folder: string, what: string, note: LockNote): EdgeError {
  const elsewhere = isAlive(note) === undefined;
  return new EdgeError('locked', `${what}: process ${note.pid} on ${note.host} holds it since ${note.since} (${note.what}).`, {
    hint: elsewhere
      ? `Wait for it to end. Is ${note.host} gone for good? Then run: rm -r '${folder}'`
      : `Wait for it to end, or stop it with: kill ${note.pid}; then run the same command again.`,
    where: { file: folder },
  });
}

/**
 * Takes the lock `folder` for this process, or throws `locked` naming who holds it. A lock whose process has died is taken over.
 * The folder with its note is made aside and renamed into place: rename fails on a folder that is not empty, so exactly one of several wins.
 */
export async function acquireLock(folder: string, what: string): Promise<Lock> {
  const note: LockNote = { ...identityOf(process.pid), since: new Date().toISOString(), what };
  const name = `note-${randomUUID()}.json`;
  for (let attempt = 0; attempt < 100; attempt++) {
    const held = await heldBy(folder);
    if (held?.note && isAlive(held.note) !== false) throw lockedError(folder, `Cannot lock ${folder}`, held.note);
    // Unlinking by the dead note's own name: a lock that someone else took meanwhile has another name and is left alone.
    if (held) await unlink(held.file).catch(() => undefined);
    if (await placed(folder, name, note)) return lockOf(folder, name, note);
  }
  throw new EdgeError('locked', `${folder} could not be locked: others keep taking it.`, { hint: 'Run the same command again.' });
}

async function placed(folder: string, name: string, note: LockNote): Promise<boolean> {
  await mkdir(dirname(folder), { recursive: true });
  const aside = join(dirname(folder), `${temporaryMark}lock-${randomUUID()}`);
  try {
    await mkdir(aside);
    await writeFile(join(aside, name), JSON.stringify(note));
    await rename(aside, folder);
    return true;
  } catch (error) {
    await rm(aside, { recursive: true, force: true });
    const code = (error as NodeJS.ErrnoException).code ?? '';
    // ENOENT: the holder removed the parent while leaving.
    if (['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(code)) return false;
    throw error;
  }
}

function lockOf(folder: string, name: string, note: LockNote): Lock {
  const release = async () => {
    await unlink(join(folder, name)).catch(() => undefined);
    await rmdir(folder).catch(() => undefined); // Not empty: someone has it already.
  };
  return { note, release, [Symbol.asyncDispose]: release };
}
