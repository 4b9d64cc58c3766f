import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';

/** One process, told apart from a later one with the same number. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly host: string;
  /** Boot and start time, where /proc tells them. */
  readonly started?: string | undefined;
}

const bootId = (() => {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return undefined;
  }
})();

/** State letter and start time of a process from /proc/<pid>/stat (proc(5), fields 3 and 22); undefined where there is none. */
function procStat(pid: number): { state: string; started: string } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name in brackets and may hold anything, brackets too.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0] ?? '', started: `${bootId}:${fields[19] ?? ''}` };
  } catch {
    return undefined;
  }
}

/** Who a process is now. Take it while the process is known to live. */
export function identityOf(pid: number): ProcessIdentity {
  return { pid, host: hostname(), started: procStat(pid)?.started };
}

/** Whether that very process still runs. Undefined where it lives on another machine and nobody here can tell. */
export function isAlive({ pid, host, started }: ProcessIdentity): boolean | undefined {
  if (host !== hostname()) return undefined;
  if (started !== undefined) {
    const stat = procStat(pid);
    // A zombie has ended: only its parent has not looked yet.
    return stat !== undefined && stat.started === started && stat.state !== 'Z' && stat.state !== 'X';
  }
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
