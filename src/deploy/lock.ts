import { randomUUID } from 'node:crypto';
import { hostname, userInfo } from 'node:os';
import { z } from 'zod';
import { EdgeError } from '../core/errors.ts';
import type { Transport } from './device.ts';
import { script } from './quote.ts';
import { machineId } from './transports/local.ts';

const noteSchema = z.object({ id: z.string(), who: z.string(), machine: z.string(), pid: z.int(), purpose: z.string(), at: z.string(), boot: z.string() });
type Note = z.infer<typeof noteSchema>;
/** A lock whose owner has not refreshed it for this long is stale; owners refresh it every third of that. */
const staleSeconds = 900;

const takeScript = `b=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo none)
if mkdir lock 2>/dev/null; then printf '%s' "$1" | sed "s/@BOOT@/$b/" > lock/note; echo taken; else echo "held $b $(( $(date +%s) - $(stat -c %Y lock/note 2>/dev/null || stat -c %Y lock) ))"; cat lock/note 2>/dev/null; fi`;
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
  if (ageSeconds > (note ? staleSeconds : 30)) return `nobody refreshed it for ${ageSeconds} s`;
  return undefined;
}

/** Runs `work` as the only one on the device. Throws `device-busy` with who and since when; a stale lock is taken over and said through `onTakeover`. */
export async function withDeviceLock<T>(transport: Transport, purpose: string, work: () => Promise<T>, { onTakeover }: { onTakeover?: (why: string) => void } = {}): Promise<T> {
  const id = randomUUID();
  const note: Note = { id, who: `${userInfo().username}@${hostname()}`, machine: machineId, pid: process.pid, purpose, at: new Date().toISOString(), boot: '@BOOT@' };
  for (let attempt = 0; ; attempt++) {
    const { stdout } = await transport.exec(script(takeScript, JSON.stringify(note)));
    if (stdout.startsWith('taken')) break;
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
    await transport.exec(script(breakScript, text, id));
  }
  const refresh = setInterval(() => void transport.exec(['touch', '-c', 'lock/note']).catch(() => {}), (staleSeconds * 1000) / 3);
  refresh.unref();
  try {
    return await work();
  } finally {
    clearInterval(refresh);
    await transport.exec(script(releaseScript, id)).catch(() => {});
  }
}
