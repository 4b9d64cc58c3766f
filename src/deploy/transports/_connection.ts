import { createHash } from 'node:crypto';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { Client, type ConnectConfig } from 'ssh2';
import { EdgeError } from '../../core/errors.ts';
import type { Digest } from '../../core/fingerprint.ts';
import { type SshAddress, showAddress } from '../ssh-config.ts';
import { gatherWrites } from './_gather.ts';
import { type AuthPlan, authenticator } from './_login.ts';

/** What must be known before a byte is trusted: the pinned digest of a host's key, by `host:port`. */
export type PinOf = (host: string, port: number) => Digest | undefined;
export interface ConnectOptions {
  readonly name: string;
  readonly address: SshAddress;
  readonly pinOf: PinOf;
  readonly plan: AuthPlan;
  readonly readyTimeoutMs?: number;
  readonly keepaliveMs?: number;
  readonly onHostKey?: (host: string, port: number, key: Digest) => void;
}
/** One open connection. `lost` settles (never rejects) when it is over, however that came about: ssh2 leaves operations hanging otherwise. */
export interface Connection {
  readonly client: Client;
  readonly hostKey: Digest;
  readonly lost: Promise<void>;
  alive(): boolean;
  traffic(): { sent: number; received: number; handshake: number };
  close(): void;
}

/** SHA-256 of a host key's wire form; `fingerprint` is the same digest as OpenSSH shows it. */
export const hostKeyDigest = (key: Buffer): Digest => createHash('sha256').update(key).digest('hex') as Digest;
export const fingerprint = (digest: Digest): string => `SHA256:${Buffer.from(digest, 'hex').toString('base64').replace(/=+$/, '')}`;

const dial = (host: string, port: number, timeoutMs: number): Promise<net.Socket> =>
  new Promise((resolve, reject) => {
    const socket = net.connect({ host, port });
    socket.setTimeout(timeoutMs, () => socket.destroy(Object.assign(new Error(`no answer within ${timeoutMs} ms`), { code: 'ETIMEDOUT' })));
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      gatherWrites(socket.setTimeout(0).setNoDelay(true));
      resolve(socket);
    });
  });

/** A TCP connection; one retry where the route was just coming up (EHOSTUNREACH). */
async function reach(address: SshAddress, timeoutMs: number): Promise<net.Socket> {
  try {
    return await dial(address.host, address.port, timeoutMs);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EHOSTUNREACH') throw error;
    await pause(150);
    return dial(address.host, address.port, timeoutMs);
  }
}

const unreachable = (name: string, address: SshAddress, cause: unknown): EdgeError =>
  new EdgeError(
    'device-unreachable',
    `The device "${name}" at ${showAddress(address)} is not reached: ${(cause as Error).message || String((cause as NodeJS.ErrnoException).code)}.`,
    {
      hint: `Check that it is on and that this works: ssh ${address.port === 22 ? '' : `-p ${address.port} `}${address.user}@${address.host} true; then run the same command again: what is finished is kept.`,
      cause,
    },
  );

function keyError(name: string, address: SshAddress, seen: Digest, pinned: Digest | undefined): EdgeError {
  const add = `edgeforge device add ${name} ${address.user}@${address.host}${address.port === 22 ? '' : `:${address.port}`}`;
  if (pinned === undefined)
    return new EdgeError('host-key-unknown', `The host key of ${address.host}:${address.port} (${fingerprint(seen)}) is not pinned.`, {
      hint: `Compare it with the device's own and pin it with: ${add}`,
    });
  return new EdgeError(
    'host-key-changed',
    `The host key of ${address.host}:${address.port} is ${fingerprint(seen)}, but ${fingerprint(pinned)} is pinned: another device, a new installation, or someone in between.`,
    {
      hint: `Only if you know why it changed: edgeforge device remove ${name} && ${add}`,
    },
  );
}

interface Hop {
  readonly client: Client;
  readonly hostKey: Digest;
  readonly lost: Promise<void>;
}

function shake(address: SshAddress, sock: net.Socket | Duplex, { name, pinOf, plan, onHostKey, readyTimeoutMs = 20_000, keepaliveMs = 15_000 }: ConnectOptions): Promise<Hop> {
  const pinned = pinOf(address.host, address.port);
  const login = authenticator(address, plan);
  let seen: Digest | undefined;
  const client = new Client();
  const lost = new Promise<void>(resolve => client.once('close', () => resolve()));
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      client.destroy();
      if (seen !== undefined && seen !== pinned) reject(keyError(name, address, seen, pinned));
      else if ((error as { level?: string }).level === 'client-authentication') reject(login.refusal(name));
      else reject(unreachable(name, address, error));
    };
    client.on('error', fail);
    client.once('close', () => fail(new Error('the connection closed during the handshake')));
    client.once('ready', () => {
      client.off('error', fail).on('error', () => client.destroy());
      resolve({ client, hostKey: seen!, lost });
    });
    const config: ConnectConfig = {
      sock: sock as net.Socket,
      username: address.user,
      readyTimeout: readyTimeoutMs,
      keepaliveInterval: keepaliveMs,
      keepaliveCountMax: 3,
      hostVerifier: (key: Buffer) => {
        seen = hostKeyDigest(key);
        onHostKey?.(address.host, address.port, seen);
        return seen === pinned;
      },
      // The types of ssh2 know a narrower callback than the library calls.
      authHandler: login.next as unknown as NonNullable<ConnectConfig['authHandler']>,
    };
    try {
      client.connect(config);
    } catch (error) {
      fail(error);
    }
  });
}

const throughHop = (hop: Hop, to: SshAddress): Promise<Duplex> =>
  new Promise((resolve, reject) => {
    void hop.lost.then(() => reject(new Error('the jump host closed the connection')));
    hop.client.forwardOut('127.0.0.1', 0, to.host, to.port, (error, stream) => (error ? reject(error) : resolve(stream)));
  });

/** Connects, through every jump host in order, each with its own pinned key. Throws `device-unreachable`, `host-key-*`, `login-refused`. */
export async function connect(options: ConnectOptions): Promise<Connection> {
  const path = [...options.address.jumps, options.address];
  const first = path[0]!;
  const socket = await reach(first, options.readyTimeoutMs ?? 20_000).catch((error: unknown) => {
    throw unreachable(options.name, first, error);
  });
  const hops: Hop[] = [];
  const close = (): void => {
    for (const hop of hops.toReversed()) hop.client.destroy();
    socket.destroy();
  };
  try {
    for (const address of path) {
      const last = hops.at(-1);
      const sock = last
        ? await throughHop(last, address).catch((error: unknown) => {
            throw unreachable(options.name, address, error);
          })
        : socket;
      hops.push(await shake(address, sock, options));
    }
  } catch (error) {
    close();
    throw error;
  }
  const shaken = { sent: socket.bytesWritten, received: socket.bytesRead };
  let open = true;
  const lost = Promise.race(hops.map(hop => hop.lost)).then(() => {
    open = false;
    close();
  });
  const end = hops.at(-1)!;
  return {
    client: end.client,
    hostKey: end.hostKey,
    lost,
    alive: () => open,
    traffic: () => ({ sent: socket.bytesWritten - shaken.sent, received: socket.bytesRead - shaken.received, handshake: shaken.sent + shaken.received }),
    close,
  };
}

/** The digest of a host's key as the network shows it now, through its jump hosts (which must be pinned): the one place that looks before it trusts. */
export async function lookAtHostKey(options: ConnectOptions): Promise<Digest> {
  const target = options.address;
  let seen: Digest | undefined;
  const isTarget = (host: string, port: number): boolean => host === target.host && port === target.port;
  try {
    const connection = await connect({
      ...options,
      pinOf: (host, port) => (isTarget(host, port) ? undefined : options.pinOf(host, port)),
      onHostKey: (host, port, key) => {
        if (isTarget(host, port)) seen = key;
      },
    });
    connection.close();
  } catch (error) {
    if (seen === undefined) throw error;
  }
  return seen!;
}
