import { spawn } from 'node:child_process';
import { chmodSync, closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import ssh2 from 'ssh2';
import { z } from 'zod';
import { EdgeError } from '../core/errors.ts';
import type { Digest } from '../core/fingerprint.ts';
import { siblingModule } from '../core/package-root.ts';
import { storeRoot } from '../core/store-root.ts';
import { identOf, newKeyPair } from './_serve-server.ts';
import { hostKeyDigest } from './transports/ssh.ts';

/** A device of our own making that is up now. */
export interface Served {
  readonly host: '127.0.0.1';
  readonly port: number;
  readonly user: 'edge';
  readonly clientKey: string;
  readonly hostKey: Digest;
  readonly folder: string;
}
export interface ServeOptions {
  /** Seconds without a connection after which it ends. */
  readonly idleSeconds?: number;
}
const stateSchema = z.object({ pid: z.int().positive(), port: z.int().positive() });

/** Where a served device keeps its keys, its state and its home. */
export const servedFolder = (project: string, name: string): string => {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,60}$/.test(name))
    throw new EdgeError('usage', `${JSON.stringify(name)} is no name for a device.`, { hint: 'Use letters, digits, dots, dashes and underscores.' });
  return join(storeRoot(project), 'served', name);
};

const stateOf = (folder: string): z.infer<typeof stateSchema> | undefined => {
  try {
    return stateSchema.parse(JSON.parse(readFileSync(join(folder, 'state.json'), 'utf8')));
  } catch {
    return undefined;
  }
};

/** The keys are made once: they are what makes this device this device. */
function makeKeys(folder: string): void {
  mkdirSync(join(folder, 'home'), { recursive: true, mode: 0o700 });
  chmodSync(folder, 0o700);
  for (const name of ['client_ed25519', 'host_ed25519']) {
    if (existsSync(join(folder, name))) continue;
    const pair = newKeyPair(`edgeforge ${name}`);
    writeFileSync(join(folder, `${name}.pub`), `${pair.public}\n`);
    writeFileSync(join(folder, name), pair.private, { mode: 0o600 });
  }
}

/** Does our server, and no other program, listen there? It says the head of its key's digest in its first line. */
const answers = (port: number, ident: string): Promise<boolean> =>
  new Promise(resolve => {
    const socket = net.connect({ host: '127.0.0.1', port, timeout: 1000 });
    let said = '';
    const finish = (yes: boolean): void => {
      socket.destroy();
      resolve(yes);
    };
    socket.on('data', chunk => {
      said += chunk.toString('latin1');
      if (said.includes('\n') || said.length > 300) finish(said.startsWith(`SSH-2.0-${ident}`));
    });
    socket
      .on('error', () => finish(false))
      .on('timeout', () => finish(false))
      .on('end', () => finish(false));
  });

function startProcess(folder: string, idleSeconds: number): void {
  const log = openSync(join(folder, 'serve.log'), 'a');
  const child = spawn(process.execPath, [siblingModule(import.meta.url, 'serve-main'), folder, String(idleSeconds)], { detached: true, stdio: ['ignore', log, log], cwd: folder });
  closeSync(log);
  child.unref();
}

/** One starter at a time; the mark of one that died is old and goes. */
async function starting<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const mark = join(folder, 'starting');
  for (;;) {
    try {
      mkdirSync(mark);
      break;
    } catch {
      const age = statSync(mark, { throwIfNoEntry: false });
      if (age && Date.now() - age.mtimeMs > 10_000) rmSync(mark, { recursive: true, force: true });
      await pause(20);
    }
  }
  try {
    return await work();
  } finally {
    try {
      rmdirSync(mark);
    } catch {}
  }
}

const hostKeyOf = (folder: string): { ident: string; digest: Digest } => {
  const text = readFileSync(join(folder, 'host_ed25519'), 'utf8');
  const key = ssh2.utils.parseKey(text);
  if (key instanceof Error)
    throw new EdgeError('file-corrupt', `${join(folder, 'host_ed25519')} is no key: ${key.message}`, {
      hint: `Delete ${folder} and run again: a new device is made.`,
      where: { file: join(folder, 'host_ed25519') },
    });
  return { ident: identOf(text), digest: hostKeyDigest(key.getPublicSSH()) };
};

/** The served device `name` of a project, started where it is not up (detached, it outlives us) and found again by its key. */
export async function ensureServed(project: string, name: string, { idleSeconds = 600 }: ServeOptions = {}): Promise<Served> {
  const folder = servedFolder(project, name);
  if (!existsSync(join(folder, 'host_ed25519')) || !existsSync(join(folder, 'client_ed25519'))) {
    mkdirSync(folder, { recursive: true });
    await starting(folder, async () => makeKeys(folder));
  }
  const { ident, digest } = hostKeyOf(folder);
  const up = async (): Promise<number | undefined> => {
    const state = stateOf(folder);
    return state && (await answers(state.port, ident)) ? state.port : undefined;
  };
  const port =
    (await up()) ??
    (await starting(folder, async () => {
      const already = await up();
      if (already !== undefined) return already;
      rmSync(join(folder, 'state.json'), { force: true });
      startProcess(folder, idleSeconds);
      for (let waited = 0; waited < 10_000; waited += 10) {
        await pause(10);
        if (existsSync(join(folder, 'state.json'))) {
          const now = await up();
          if (now !== undefined) return now;
        }
      }
      throw new EdgeError('device-unreachable', `The served device "${name}" did not come up within 10 s.`, { hint: `Look at ${join(folder, 'serve.log')}` });
    }));
  return { host: '127.0.0.1', port, user: 'edge', clientKey: readFileSync(join(folder, 'client_ed25519'), 'utf8'), hostKey: digest, folder };
}

/** Ends a served device; false where it was not up. What it holds stays for the next start. */
export async function stopServed(project: string, name: string): Promise<boolean> {
  const folder = servedFolder(project, name);
  const state = stateOf(folder);
  if (!state || !existsSync(join(folder, 'host_ed25519')) || !(await answers(state.port, hostKeyOf(folder).ident))) return false;
  try {
    process.kill(state.pid, 'SIGTERM');
  } catch {
    return false;
  }
  for (let waited = 0; waited < 5000 && stateOf(folder)?.pid === state.pid; waited += 20) await pause(20);
  return true;
}

/** The served devices of a project and whether each is up. */
export async function listServed(project: string): Promise<readonly { readonly name: string; readonly up: boolean; readonly port?: number }[]> {
  const root = join(storeRoot(project), 'served');
  if (!existsSync(root)) return [];
  const names = readdirSync(root).filter(name => existsSync(join(root, name, 'host_ed25519')));
  return Promise.all(
    names.map(async name => {
      const state = stateOf(join(root, name));
      const up = state !== undefined && (await answers(state.port, hostKeyOf(join(root, name)).ident));
      return { name, up, ...(up ? { port: state!.port } : {}) };
    }),
  );
}
