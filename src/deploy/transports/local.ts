import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants, homedir, hostname } from 'node:os';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Digest, digestOf } from '../../core/fingerprint.ts';
import type { Transport } from '../device.ts';
import { cancelledError, type Door, type ShellIo, timeoutError } from './_door.ts';
import { posixTransport } from './_posix.ts';

/** An id of this machine that survives restarts: /etc/machine-id, else the host's name. */
export const machineId: Digest = (() => {
  for (const file of ['/etc/machine-id', '/var/lib/dbus/machine-id'])
    try {
      const text = readFileSync(file, 'utf8').trim();
      if (text) return digestOf(`machine:${text}`);
    } catch {}
  return digestOf(`host:${hostname()}`);
})();

/** Runs shell text in a process group of its own, so that stopping it stops its children. */
function runShell(name: string, home: string, text: string, io: ShellIo, count: (sent: number, received: number) => void): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn('/bin/sh', ['-c', text], { cwd: home, env: { ...process.env, HOME: home }, detached: true, stdio: 'pipe' });
    let failure: Error | undefined;
    const kill = (signal: NodeJS.Signals): void => {
      try {
        process.kill(-child.pid!, signal);
      } catch {}
    };
    const stop = (error: Error): void => {
      failure ??= error;
      kill('SIGTERM');
      setTimeout(() => kill('SIGKILL'), 1500).unref();
    };
    const onAbort = (): void => stop(cancelledError(io.what));
    if (io.signal?.aborted) stop(cancelledError(io.what));
    io.signal?.addEventListener('abort', onAbort, { once: true });
    const timer = io.limitMs === undefined ? undefined : setTimeout(() => stop(timeoutError(name, io.limitMs!, io.what)), io.limitMs);
    child.once('error', reject);
    child.stdout.on('data', (chunk: Buffer) => count(0, chunk.length)).pipe(io.stdout, { end: false });
    child.stderr.pipe(io.stderr, { end: false });
    const input = io.stdin instanceof Uint8Array ? Readable.from([io.stdin]) : io.stdin;
    // A command that does not read its input closes the pipe: that is its right.
    if (input)
      void pipeline(
        input.on('data', (chunk: Buffer) => count(chunk.length, 0)),
        child.stdin,
      ).catch(() => {});
    else child.stdin.end();
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      io.signal?.removeEventListener('abort', onAbort);
      if (failure) reject(failure);
      else resolve(code ?? 128 + ((constants.signals as Record<string, number>)[signal ?? 'SIGHUP'] ?? 1));
    });
  });
}

/** This machine itself, without SSH: `home` is where its ~/.edgeforge lies. */
export function localTransport(name: string, { home = homedir() }: { home?: string } = {}): Transport {
  const traffic = { sent: 0, received: 0, handshake: 0 };
  const door: Door = {
    open: async () => {},
    shell: (text, io) =>
      runShell(name, home, text, io, (sent, received) => {
        traffic.sent += sent;
        traffic.received += received;
      }),
    traffic: () => ({ ...traffic }),
    close: async () => {},
  };
  return posixTransport(name, machineId, door);
}
