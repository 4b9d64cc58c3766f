import { execFileSync, spawn } from 'node:child_process';
import { closeSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, readlinkSync, rmSync, statfsSync, writeFileSync, writeSync } from 'node:fs';
import net from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const init = fileURLToPath(new URL('namespace-init.sh', import.meta.url));
const run = (program: string, ...words: string[]): string => execFileSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const tried = (program: string, ...words: string[]): boolean => {
  try {
    run(program, ...words);
    return true;
  } catch {
    return false;
  }
};
const has = (program: string): boolean => tried('sh', '-c', `command -v ${program}`);
const faketime = '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1';
const cgroups = '/sys/fs/cgroup';

/** Why no device can be made of namespaces here; empty where it can. */
export const noNamespaces: string =
  userInfo().uid !== 0
    ? 'it needs root'
    : !['ip', 'unshare', 'ssh-keygen'].every(has) || !existsSync('/usr/sbin/sshd')
      ? 'openssh-server or iproute2 is absent (apt-get install openssh-server openssh-client iproute2)'
      : tried('unshare', '-m', '-n', '-p', '-u', '-i', '--fork', 'true')
        ? ''
        : 'this machine lets nobody make namespaces';
/** What single faults need; each row that lacks it says so. */
export const able = {
  /** Packets dropped by chance, and addresses cut off. */
  nft: has('nft'),
  /** A clock of its own. */
  faketime: existsSync(faketime),
  /** Limits on processor and memory (version 1 of control groups). */
  limits: existsSync(`${cgroups}/cpu/cpu.cfs_quota_us`) || existsSync(`${cgroups}/memory/memory.limit_in_bytes`),
};

const programOf = (pid: string): string => {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return '';
  }
};

/** Takes a free number: the veth of that number can be made once on the machine. */
function network(): { readonly n: number; readonly space: string; readonly near: string; readonly far: string } {
  for (let attempt = 0; attempt < 50; attempt++) {
    const n = 1 + Math.floor(Math.random() * 250);
    const [space, near, far] = [`edge-${n}`, `edge${n}h`, `edge${n}d`];
    // A device whose veth is gone would be reached by the default route: traffic meant for it would leave this machine.
    if (!tried('ip', 'route', 'add', 'unreachable', `10.213.${n}.0/30`, 'metric', '4096')) continue;
    run('ip', 'netns', 'add', space);
    run('ip', 'link', 'add', near, 'type', 'veth', 'peer', 'name', far, 'netns', space);
    run('ip', 'addr', 'add', `10.213.${n}.1/30`, 'dev', near);
    run('ip', 'link', 'set', near, 'up');
    run('ip', '-n', space, 'addr', 'add', `10.213.${n}.2/30`, 'dev', far);
    run('ip', '-n', space, 'link', 'set', far, 'up');
    run('ip', '-n', space, 'link', 'set', 'lo', 'up');
    return { n, space, near, far };
  }
  throw new Error('No network 10.213.n.0/30 is free.');
}

/** Lets a link pass this many megabits per second; 0: what it can. */
function shape(mbit: number, link: string, space?: string): void {
  const inside = space === undefined ? [] : ['-n', space];
  tried('tc', ...inside, 'qdisc', 'del', 'dev', link, 'root');
  if (mbit > 0) run('tc', ...inside, 'qdisc', 'add', 'dev', link, 'root', 'tbf', 'rate', `${mbit}mbit`, 'burst', '32kb', 'latency', '200ms');
}

/** Limits of the device's control groups (version 1); -1 lifts one. */
function limits(space: string) {
  const folders = ['cpu', 'memory'].map(kind => join(cgroups, kind, space));
  if (able.limits) for (const folder of folders) mkdirSync(folder, { recursive: true });
  return {
    /** Shell text by which a process enters them. */
    enter: able.limits ? folders.map(folder => `echo $$ > ${folder}/cgroup.procs; `).join('') : '',
    /** Percent of one processor. */
    processor: (percent: number) => writeFileSync(join(folders[0]!, 'cpu.cfs_quota_us'), String(percent < 0 ? -1 : percent * 1000)),
    /** MiB beyond what the device's processes and disk (it lies in memory) hold now. */
    memory(moreMiB: number): void {
      const used = Number(readFileSync(join(folders[1]!, 'memory.usage_in_bytes'), 'utf8'));
      writeFileSync(join(folders[1]!, 'memory.limit_in_bytes'), String(moreMiB < 0 ? -1 : used + moreMiB * 2 ** 20));
    },
    end: () => tried('rmdir', ...folders),
  };
}

const answers = (host: string): Promise<boolean> =>
  new Promise(resolve => {
    const socket = net.connect({ host, port: 22, timeout: 500 });
    const end = (ok: boolean) => () => {
      socket.destroy();
      resolve(ok);
    };
    socket.once('data', end(true)).once('error', end(false)).once('timeout', end(false)).once('close', end(false));
  });

/**
 * A device on this machine that is reached over a network of its own: real OpenSSH in namespaces, with a disk of `diskMiB`, its own keys, its own boots.
 * Every fault is of the outside (link, power, disk, clock, limits): the product is not told.
 */
export async function namespaceDevice({ diskMiB = 768 }: { readonly diskMiB?: number } = {}) {
  const state = mkdtempSync(join(tmpdir(), 'edge-device-'));
  const keys = join(state, 'keys');
  for (const folder of ['keys', 'disk', 'root']) mkdirSync(join(state, folder));
  const newKey = (name: string): void => {
    rmSync(join(keys, name), { force: true });
    run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', join(keys, name));
  };
  for (const name of ['host', 'id', 'other']) newKey(name);
  copyFileSync(join(keys, 'id.pub'), join(keys, 'authorized'));
  run('mount', '-t', 'tmpfs', '-o', `size=${diskMiB}m,mode=755`, 'edge-disk', join(state, 'disk'));
  for (const folder of ['up', 'work']) mkdirSync(join(state, 'disk', folder));
  const { n, space, near, far } = network();
  const group = limits(space);
  const host = `10.213.${n}.2`;
  let first: ReturnType<typeof spawn> | undefined;
  let log = '';
  const processes = (): string[] => run('ip', 'netns', 'pids', space).split('\n').filter(Boolean);
  /** All at once: what is left for a moment could still answer. */
  const signal = (name: string, pids: readonly string[]): unknown => pids.length > 0 && tried('kill', '-s', name, ...pids);
  async function stop(): Promise<void> {
    for (let left = processes(); left.length > 0; left = processes()) {
      signal('KILL', left);
      await pause(20);
    }
    first = undefined;
  }
  async function start(): Promise<void> {
    const words = ['-c', `${group.enter}exec ip netns exec ${space} unshare -m -p -u -i --fork --kill-child sh ${init}`];
    log = '';
    first = spawn('sh', words, { env: { PATH: process.env.PATH, NAME: `edge${n}`, ADDRESS: host, STATE: state }, stdio: ['ignore', 'ignore', 'pipe'] });
    first.stderr!.on('data', chunk => {
      log += chunk;
    });
    for (let waited = 0; !(await answers(host)); waited += 50) {
      if (waited > 10_000 || first.exitCode !== null) throw new Error(`The device did not start: ${log}`);
      await pause(50);
    }
  }
  const statOf = (pid: string): { readonly name?: string; readonly parent?: string } => {
    try {
      const [, name, parent] = /\((.*)\) \S+ (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))!;
      return { name: name!, parent: parent! };
    } catch {
      return {};
    }
  };
  /** The listening sshd: the device's first process. */
  const listener = (): string => processes().find(pid => statOf(pid).name === 'sshd' && statOf(statOf(pid).parent!).name === 'unshare')!;
  /** A path of the device as it lies on this machine. */
  const path = (...parts: string[]): string => join(`/proc/${listener()}/root`, ...parts);
  await start();
  return {
    host,
    user: 'edge',
    destination: `edge@${host}`,
    keys,
    /** A path of ours on the device. */
    remote: (...parts: string[]) => path('home/edge/.edgeforge', ...parts),
    /** Writes on its disk until so many MiB are free. */
    fill(leaveMiB: number): void {
      const hog = openSync(path('hog'), 'a');
      const free = (): number => {
        const { bavail, bsize } = statfsSync(join(state, 'disk'));
        return bavail * bsize - leaveMiB * 2 ** 20;
      };
      try {
        for (let left = free(); left > 0; left = free()) writeSync(hog, Buffer.alloc(Math.min(left, 1 << 22)));
      } finally {
        closeSync(hog);
      }
    },
    has: (...parts: string[]) => existsSync(path('home/edge/.edgeforge', ...parts)),
    processor: group.processor,
    memory: group.memory,
    /** Power off and on again: every process is gone, the disk stays. */
    async reboot(): Promise<void> {
      await stop();
      await start();
    },
    stop,
    start,
    link: (to: 'up' | 'down') => run('ip', '-n', space, 'link', 'set', far, to),
    /** Every process stands still; the kernel still answers. */
    freeze: () => signal('STOP', processes()),
    thaw: () => signal('CONT', processes()),
    /** Waits for a program of this name to run there and makes it stand still; gives what lets it go on. */
    async hold(program: string): Promise<() => void> {
      for (let waited = 0; waited < 20_000; waited += 10) {
        const pid = processes().find(each => programOf(each).endsWith(`/${program}`));
        if (pid !== undefined) {
          signal('STOP', [pid]);
          return () => signal('CONT', [pid]);
        }
        await pause(10);
      }
      throw new Error(`No ${program} ran on the device.`);
    },
    /** Ends the connections' own sshd processes, not what listens. */
    dropConnections(): void {
      const listening = listener();
      signal(
        'KILL',
        processes().filter(pid => pid !== listening && statOf(pid).name === 'sshd'),
      );
    },
    /** Moves the device's clock by this (`-6y`, `+2d`, libfaketime's words), for connections from now on; empty: as it was. */
    async clock(by: string): Promise<void> {
      // The sessions' clock: sshd itself is kept in a sandbox that the library does not know.
      const file = path('etc/edge/sshd_config');
      const lines = readFileSync(file, 'utf8')
        .split('\n')
        .filter(line => line !== '' && !line.startsWith('SetEnv'));
      if (by) lines.push(`SetEnv LD_PRELOAD=${faketime} FAKETIME=${by} FAKETIME_DONT_FAKE_MONOTONIC=1`);
      writeFileSync(file, `${lines.join('\n')}\n`);
      const listenings = (): number => log.split('listening on').length;
      const before = listenings();
      signal('HUP', [listener()]);
      while (listenings() === before) await pause(20);
    },
    /** From now on this key alone opens the device. */
    trust: (key: 'id' | 'other') => writeFileSync(path('home/edge/.ssh/authorized_keys'), readFileSync(join(keys, `${key}.pub`))),
    /** A new installation: the next start shows another host key. */
    newHostKey: () => newKey('host'),
    /** Drops this part of the packets that arrive. */
    loss: (percent: number) =>
      execFileSync('ip', ['netns', 'exec', space, 'nft', '-f', '-'], {
        input:
          percent > 0
            ? `table inet fault {\n chain in {\n type filter hook input priority 0; policy accept;\n meta l4proto tcp${percent < 100 ? ` numgen random mod 100 < ${percent}` : ''} counter drop\n }\n}\n`
            : 'delete table inet fault\n',
      }),
    /** Megabits per second towards the device, and from it; 0: as it was. */
    rate: (mbit: number) => shape(mbit, near),
    rateBack: (mbit: number) => shape(mbit, far, space),
    /** Every fault taken away. */
    async calm(): Promise<void> {
      run('ip', '-n', space, 'link', 'set', far, 'up');
      signal('CONT', processes());
      if (processes().length === 0) await start();
      if (able.nft) run('ip', 'netns', 'exec', space, 'nft', 'flush', 'ruleset');
      shape(0, near);
      shape(0, far, space);
      if (able.limits) {
        group.processor(-1);
        group.memory(-1);
      }
      rmSync(path('hog'), { force: true });
    },
    async [Symbol.asyncDispose]() {
      await stop();
      tried('ip', 'netns', 'del', space);
      tried('ip', 'link', 'del', near);
      tried('ip', 'route', 'del', 'unreachable', `10.213.${n}.0/30`, 'metric', '4096');
      for (let attempt = 0; attempt < 20 && !tried('umount', join(state, 'disk')); attempt++) await pause(50);
      group.end();
      rmSync(state, { recursive: true, force: true });
    },
  };
}
