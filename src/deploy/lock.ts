import { randomUUID } from 'node:crypto';
import { hostname, userInfo } from 'node:os';
import { z } from 'zod';
import { EdgeError } from '../core/errors.ts';
import type { Transport } from './device.ts';
import { script } from './quote.ts';
import { fullError, spaceGone } from './transports/_posix.ts';
import { machineId } from './transports/local.ts';

const noteSchema = z.object({ id: z.string(), who: z.string(), machine: z.string(), pid: z.int(), purpose: z.string(), at: z.string(), boot: z.string() });
type Note = z.infer<typeof noteSchema>;
/** A lock whose owner has not refreshed it for this long is stale; owners refresh it every third of that. */
const staleSeconds = 900;
/** The locks that this process holds or tries to take: any other one that names it was left when its connection broke. */
const ours = new Set<string>();

/** Age by the time since boot where the lock has it: boards without a battery start in 1970 and jump when the network tells them the time. */
const takeScript = `b=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo none); up=$(cut -d. -f1 /proc/uptime)
if m=$(mkdir lock 2>&1); then if printf '%s' "$1" | sed "s/@BOOT@/$b/" > lock/note && [ -s lock/note ] && echo $up > lock/seen; then echo taken; else rm -rf lock; exit 73; fi
elif [ ! -d lock ]; then echo "$m" >&2; exit 73
else s=$(cat lock/seen 2>/dev/null); if [ -n "$s" ]; then a=$((up-s)); else a=$(( $(date +%s) - $(stat -c %Y lock/note 2>/dev/null || stat -c %Y lock) )); fi; echo "held $b $a"; cat lock/note 2>/dev/null; fi`;
const refreshScript = '[ ! -f lock/seen ] || cut -d. -f1 /proc/uptime > lock/seen';
/** Removes the lock only while it is still the one we judged: the rename lets exactly one of several heirs win. */
const breakScript = 'if [ "$(cat lock/note 2>/dev/null)" = "$1" ]; then mv lock "lock.$2" 2>/dev/null && rm -rf "lock.$2"; fi';
const releaseScript = 'if grep -q "$1" lock/note 2>/dev/null; then rm -rf lock; fi';

const dead = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
};
const parseNote = (text: string): Note | undefined => {
  try {
    return noteSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
};
/** Why a held lock no longer counts: the device has restarted, its owner here is dead, or nobody refreshed it; undefined while it counts. */
function staleBecause(note: Note | undefined, boot: string, ageSeconds: number): string | undefined {
  if (note && note.boot !== boot) return 'the device has restarted since';
  if (note && note.machine === machineId && dead(note.pid)) return 'its owner on this machine is gone';
  if (note && note.machine === machineId && note.pid === process.pid && !ours.has(note.id)) return 'it was left when a connection broke';
  if (ageSeconds > (note ? staleSeconds : 30)) return `nobody refreshed it for ${ageSeconds} s`;
  return undefined;
}

const refusedError = (name: string, said: string): EdgeError =>
  new EdgeError('device-refused', `"${name}" cannot keep files in ~/.edgeforge: ${said}.`, {
    hint: 'Is its home folder writable and its disk healthy? Try there: touch ~/.edgeforge/x',
  });

/** Runs `work` as the only one on the device. Throws `device-busy` with who and since when; a stale lock is taken over and said through `onTakeover`. */
export async function withDeviceLock<T>(transport: Transport, purpose: string, work: () => Promise<T>, { onTakeover }: { onTakeover?: (why: string) => void } = {}): Promise<T> {
  const id = randomUUID();
  const note: Note = { id, who: `${userInfo().username}@${hostname()}`, machine: machineId, pid: process.pid, purpose, at: new Date().toISOString(), boot: '@BOOT@' };
  ours.add(id);
  try {
    await take(transport, note, onTakeover);
    const refresh = setInterval(() => void transport.exec(script(refreshScript)).catch(() => {}), (staleSeconds * 1000) / 3);
    refresh.unref();
    try {
      return await work();
    } finally {
      clearInterval(refresh);
      await transport.exec(script(releaseScript, id)).catch(() => {});
    }
  } finally {
    ours.delete(id);
  }
}

async function take(transport: Transport, note: Note, onTakeover: ((why: string) => void) | undefined): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    const { stdout, stderr, exitCode } = await transport.exec(script(takeScript, JSON.stringify(note)));
    if (exitCode !== 0) throw spaceGone(stderr) ? fullError(transport.name, stderr) : refusedError(transport.name, stderr.trim() || `exit code ${exitCode}`);
    if (stdout.startsWith('taken')) return;
    const [first = '', ...rest] = stdout.split('\n');
    const [, boot = '', age = '0'] = first.split(' ');
    const text = rest.join('\n');
    const holder = parseNote(text);
    const why = staleBecause(holder, boot, Number(age));
    if (why === undefined || attempt >= 3)
      throw new EdgeError('device-busy', `"${transport.name}" is in use by ${holder?.who ?? 'somebody'} since ${holder?.at ?? 'a moment'}: ${holder?.purpose ?? 'unknown work'}.`, {
        hint: 'Wait for it to end. If it is surely dead, remove the lock on the device: rm -r ~/.edgeforge/lock',
      });
    onTakeover?.(`the lock of ${holder?.who ?? 'somebody'} was taken over: ${why}`);
    await transport.exec(script(breakScript, text, note.id));
  }
}
