import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import net from 'node:net';
import { homedir, userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const maker = fileURLToPath(new URL('make-image.sh', import.meta.url));
const has = (program: string): boolean => {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`]);
    return true;
  } catch {
    return false;
  }
};
/** Where images are kept between runs, by the content of the script that makes them. */
const image = join(
  process.env.EDGEFORGE_TEST_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'edgeforge-test'),
  `aarch64-${createHash('sha256').update(readFileSync(maker)).digest('hex').slice(0, 16)}`,
);
const made = (): boolean => existsSync(join(image, 'complete'));
const missing = (programs: readonly string[]): string[] => programs.filter(program => !has(program));

/** Why there is no aarch64 machine here; empty where there is one, or can be made. */
export const noVm: string = (() => {
  if (!has('qemu-system-aarch64')) return 'qemu-system-aarch64 is absent (apt-get install qemu-system-arm)';
  if (made()) return '';
  if (userInfo().uid !== 0) return `making its image needs root once (${maker} ${image})`;
  const lacks = missing(['apt-get', 'dpkg-deb', 'cpio', 'ssh-keygen', 'mkfs.ext4']);
  return lacks.length > 0 ? `making its image needs ${lacks.join(', ')}` : '';
})();

const freePort = (): Promise<number> =>
  new Promise(resolve => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as net.AddressInfo;
      server.close(() => resolve(port));
    });
  });

/** Makes the machine's disk, kernel and keys out of Debian's packages where they are not there yet; gives the milliseconds it took. */
export function makeImage(): number {
  const start = performance.now();
  if (made()) return 0;
  const part = `${image}.${process.pid}`;
  mkdirSync(part, { recursive: true });
  try {
    execFileSync('bash', [maker, part], { stdio: ['ignore', 'ignore', 'inherit'] });
    renameSync(part, image);
  } finally {
    rmSync(part, { recursive: true, force: true });
  }
  return performance.now() - start;
}

/** An aarch64 Debian under QEMU's processor emulation: its own kernel, real OpenSSH on a loopback port, no way out of the machine. What it writes is forgotten. */
export async function vm({ clock }: { readonly clock?: string } = {}) {
  makeImage();
  const start = performance.now();
  const port = await freePort();
  const at = (name: string): string => join(image, name);
  const words = [
    ...['-M', 'virt', '-cpu', 'cortex-a72', '-smp', '2', '-m', '1536', '-accel', 'tcg,thread=multi,tb-size=512'],
    ...['-kernel', at('kernel'), '-initrd', at('initrd.gz'), '-append', 'console=ttyAMA0 quiet loglevel=3 random.trust_cpu=on'],
    ...['-drive', `file=${at('root.img')},format=raw,if=none,id=d,cache=unsafe,snapshot=on`, '-device', 'virtio-blk-pci,drive=d'],
    ...['-netdev', `user,id=n,restrict=on,hostfwd=tcp:127.0.0.1:${port}-10.0.2.15:22`, '-device', 'virtio-net-pci,netdev=n,romfile=', '-device', 'virtio-rng-pci'],
    ...(clock === undefined ? [] : ['-rtc', `base=${clock}`]),
    ...['-display', 'none', '-serial', 'stdio', '-monitor', 'none'],
  ];
  const machine = spawn('qemu-system-aarch64', words, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  await new Promise<void>((resolve, reject) => {
    const hear = (chunk: Buffer): void => {
      said += chunk;
      if (said.includes('EDGE-READY')) resolve();
    };
    machine.stdout.on('data', hear);
    machine.stderr.on('data', hear);
    machine.once('exit', () => reject(new Error(`qemu ended: ${said}`)));
    setTimeout(() => reject(new Error(`The machine did not come up: ${said}`)), 180_000).unref();
  });
  return {
    destination: `edge@127.0.0.1:${port}`,
    identityFile: at('id'),
    bootMs: performance.now() - start,
    async [Symbol.asyncDispose]() {
      if (machine.exitCode !== null) return;
      const ended = new Promise(resolve => machine.once('exit', resolve));
      machine.kill('SIGKILL');
      await ended;
    },
  };
}
