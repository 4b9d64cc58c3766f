import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EdgeError } from '../../../src/core/errors.ts';
import { type Digest, digestOf } from '../../../src/core/fingerprint.ts';
import type { Transport } from '../../../src/deploy/device.ts';
import { gatherFacts } from '../../../src/deploy/facts.ts';
import type { Device } from '../../../src/deploy/open-device.ts';
import { addDevice, connectionOf, removeDevice } from '../../../src/deploy/registry.ts';
import { onnxruntime } from '../../../src/deploy/runtimes/onnxruntime.ts';
import { targetFor } from '../../../src/deploy/targets.ts';
import { type ConnectOptions, sshTransport } from '../../../src/deploy/transports/ssh.ts';
import { namespaceDevice } from './namespace-device.ts';

/** What a fault came to: the error that the user saw (none where the work went on by itself), and how it ended. */
export interface Outcome {
  readonly error?: EdgeError;
  /** What was kept, and that the second run completed; asserted before it is said. */
  readonly after: string;
}
export interface Row {
  readonly fault: string;
  /** What this machine must be able to do; see `able`. */
  readonly needs?: 'nft' | 'faketime' | 'limits';
  /** The code that the user's script sees; undefined: nothing fails. */
  readonly code?: string;
  meet(bench: Bench): Promise<Outcome>;
}
export type Bench = Awaited<ReturnType<typeof openBench>>;

/** The EdgeError with which this rejects; a value, or an error that we did not expect, is a failure of the test. */
export async function failing(work: Promise<unknown>): Promise<EdgeError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof EdgeError && error.code !== 'internal') return error;
  throw error ?? new Error('Expected a failure.');
}

/** A machine of its own to the product: another host name and machine id. It shares our files and network. */
function secondHost(words: object) {
  const [script, id] = [fileURLToPath(new URL('second-host.ts', import.meta.url)), join(mkdtempSync(join(tmpdir(), 'edge-host-')), 'machine-id')];
  writeFileSync(id, randomBytes(16).toString('hex'));
  const text = 'mount --bind "$1" /etc/machine-id && hostname second && exec "$2" --no-warnings "$3" "$4"';
  const child = spawn('unshare', ['-m', '-u', 'sh', '-c', text, 'sh', id, process.execPath, script, JSON.stringify(words)], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.on('data', chunk => {
    said += chunk;
  });
  return new Promise<unknown>((resolve, reject) => {
    child.once('close', () => {
      rmSync(join(id, '..'), { recursive: true, force: true });
      const { value, error } = JSON.parse(said || '{}') as { value?: unknown; error?: { code: 'internal'; message: string; hint: string } };
      if (error) reject(new EdgeError(error.code, error.message, error));
      else resolve(value);
    });
  });
}

/** A device and a user who has added it; connections notice a silent link within two seconds. */
export async function openBench() {
  const device = await namespaceDevice();
  const folder = mkdtempSync(join(tmpdir(), 'edge-faults-'));
  const config = join(folder, 'config');
  const identityFile = join(device.keys, 'id');
  const definition = { ssh: device.destination, identityFile };
  const options = async (): Promise<ConnectOptions> => ({ ...(await connectionOf('bench', definition, { config })), keepaliveMs: 400, readyTimeoutMs: 1500 });
  const add = () => addDevice('bench', device.destination, { config, identityFile });
  const reach = async (): Promise<Transport> => sshTransport(await options());
  await add();
  return {
    device,
    folder,
    reach,
    add,
    remove: () => removeDevice('bench', config),
    async open(): Promise<Device> {
      const transport = await reach();
      const facts = await gatherFacts(transport);
      return {
        name: 'bench',
        transport,
        facts,
        target: targetFor(facts),
        runtime: onnxruntime,
        setting: {},
        thisMachine: false,
        dry: false,
        [Symbol.asyncDispose]: () => transport[Symbol.asyncDispose](),
      };
    },
    /** A local file of random bytes. */
    file(name: string, bytes: number): { readonly path: string; readonly digest: Digest; readonly content: Buffer } {
      const content = randomBytes(bytes);
      const path = join(folder, name);
      writeFileSync(path, content);
      return { path, digest: digestOf(content), content };
    },
    /** The same work from another computer. */
    elsewhere: (words: object) => secondHost({ ...words, definition, config, folder }),
    /** What differs from run to run, out of a message. */
    plain: (text: string): string =>
      text
        .replaceAll(device.host, 'HOST')
        .replaceAll(device.keys, 'KEYS')
        .replaceAll(hostname(), 'FIRST')
        .replace(/connect EHOSTUNREACH HOST:22( - Local \([^)]*\))?/, 'no answer within 1500 ms')
        .replace(/SHA256:[\w+/]{43}/g, 'SHA256:KEY')
        .replace(/\b[0-9a-f]{12,64}\b/g, 'DIGEST')
        .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'DATE')
        .replace(/\b\d+(?= (MiB|KiB|bytes)\b)/g, 'N'),
    async [Symbol.asyncDispose]() {
      await device[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
export const remoteSize = (path: string): number => Number(execFileSync('sh', ['-c', 'stat -c %s "$1" 2>/dev/null || echo 0', 'sh', path], { encoding: 'utf8' }));
