import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import { newKeyPair, startServer } from '../../src/deploy/_serve-server.ts';
import type { Transport } from '../../src/deploy/device.ts';
import { type ConnectOptions, hostKeyDigest, planLogin, sshTransport } from '../../src/deploy/transports/ssh.ts';

const publicOf = (text: string): Buffer => {
  const key = ssh2.utils.parseKey(text);
  if (key instanceof Error) throw key;
  return key.getPublicSSH();
};

/** A device in this process: our own SSH server over a fresh home, with programs of `first`(home) found before the machine's own. */
export async function board({ path: first }: { readonly path?: (home: string) => string } = {}) {
  const home = mkdtempSync(join(tmpdir(), 'edge-board-'));
  const host = newKeyPair();
  const client = newKeyPair();
  const server = await startServer({ hostPrivate: host.private, clientPublic: client.public }, home, first ? { path: `${first(home)}:${process.env.PATH}` } : {});
  const hostKey = hostKeyDigest(publicOf(host.private));
  const options = async (port = server.port, more: Partial<ConnectOptions> = {}): Promise<ConnectOptions> => ({
    name: 'bench',
    address: { host: '127.0.0.1', port, user: 'edge', identityFiles: [], jumps: [] },
    pinOf: () => hostKey,
    plan: await planLogin({ keys: [client.private] }),
    ...more,
  });
  return {
    home,
    hostKey,
    client,
    server,
    options,
    async reach(port?: number, more?: Partial<ConnectOptions>): Promise<Transport> {
      return sshTransport(await options(port, more));
    },
    async [Symbol.asyncDispose]() {
      await server.close();
      rmSync(home, { recursive: true, force: true });
    },
  };
}
export const temporary = () => {
  const path = mkdtempSync(join(tmpdir(), 'edge-test-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
};

/** What runs on this machine, by /proc: a small Debian has no ps. The dead that wait for their parent's look are left out. */
export const processes = (): readonly { readonly group: number; readonly args: string }[] =>
  readdirSync('/proc').flatMap(pid => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const [state, , group] = readFileSync(`/proc/${pid}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ');
      return state === 'Z' ? [] : [{ group: Number(group), args: readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ') }];
    } catch {
      return []; // It ended meanwhile.
    }
  });
