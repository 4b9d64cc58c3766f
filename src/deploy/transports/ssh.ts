import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import type { ClientChannel } from 'ssh2';
import { EdgeError } from '../../core/errors.ts';
import type { Transport } from '../device.ts';
import { type Connection, type ConnectOptions, connect } from './_connection.ts';
import { cancelledError, type Door, lostError, type ShellIo, timeoutError } from './_door.ts';
import { posixTransport } from './_posix.ts';

export { type ConnectOptions, fingerprint, hostKeyDigest, lookAtHostKey, type PinOf } from './_connection.ts';
export { gatherWrites } from './_gather.ts';
export { type AuthPlan, planLogin } from './_login.ts';

/** sshd's MaxSessions is 10 by default; further channels are refused, so the rest waits. */
const mostChannels = 8;

class Gate {
  #free: number;
  readonly #waiting: (() => void)[] = [];
  constructor(free: number) {
    this.#free = free;
  }
  async enter(): Promise<void> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>(resolve => this.#waiting.push(resolve));
  }
  leave(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#free++;
  }
}

const signalCode = (name: string): number => 128 + ((constants.signals as Record<string, number | undefined>)[name.startsWith('SIG') ? name : `SIG${name}`] ?? 1);

const refusedError = (name: string, cause: Error): EdgeError =>
  new EdgeError('device-refused', `"${name}" opened no channel: ${cause.message}.`, { hint: 'Other programs may use all sessions of this login: try again.', cause });

/** One command over one channel, settled by its end, the connection's end, a cancel or its limit, whichever is first. */
function overChannel(name: string, connection: Connection, text: string, io: ShellIo): Promise<number> {
  return new Promise((resolve, reject) => {
    let channel: ClientChannel | undefined;
    let code: number | undefined;
    let stopped: EdgeError | undefined;
    let ended = false;
    // The channel's close and the ends of both its streams: a close may overtake bytes that wait for a slow reader.
    let open = 3;
    const timers: NodeJS.Timeout[] = [];
    const settle = (finish: () => void): void => {
      if (ended) return;
      ended = true;
      for (const timer of timers) clearTimeout(timer);
      io.signal?.removeEventListener('abort', onAbort);
      if (channel) for (const stream of [channel, channel.stderr]) stream.unpipe();
      finish();
    };
    /** Closing a channel leaves the process running, so it is asked, then killed; the channel's close settles it, or three seconds do. */
    const stop = (error: EdgeError): void => {
      if (ended || code !== undefined || stopped) return;
      stopped = error;
      channel?.signal('TERM');
      if (!channel) settle(() => reject(error));
      else
        timers.push(
          setTimeout(() => channel?.signal('KILL'), 1500),
          setTimeout(() => settle(() => reject(error)), 3000),
        );
    };
    const onAbort = (): void => stop(cancelledError(io.what));
    void connection.lost.then(() => (code === undefined || open === 3 ? settle(() => reject(stopped ?? lostError(name, io.what))) : undefined));
    if (!connection.alive()) return settle(() => reject(lostError(name, io.what)));
    if (io.signal?.aborted) return settle(() => reject(cancelledError(io.what)));
    io.signal?.addEventListener('abort', onAbort, { once: true });
    if (io.limitMs !== undefined) timers.push(setTimeout(() => stop(timeoutError(name, io.limitMs!, io.what)), io.limitMs));
    // Without input the program reads /dev/null and our side of the channel stays open: ssh2 sends no signal over a channel it has ended.
    // A dead client throws here at once instead of calling back.
    connection.client.exec(io.stdin === undefined ? `${text} </dev/null` : text, (error, opened) => {
      // A connection that dies answers pending requests with an error first and says so a moment later.
      if (error) return void setImmediate(() => settle(() => reject(connection.alive() ? refusedError(name, error) : lostError(name, io.what, error))));
      channel = opened;
      if (ended) return opened.close();
      opened.on('exit', (exit: number | null, signal?: string) => {
        code = exit ?? signalCode(signal ?? 'HUP');
      });
      join(opened, io, () => {
        if (--open === 0) settle(() => (stopped ? reject(stopped) : code === undefined ? reject(lostError(name, io.what)) : resolve(code)));
      });
      feed(opened, io.stdin, cause =>
        stop(new EdgeError('file-missing', `Reading what to send to "${name}" failed: ${cause.message}`, { hint: 'Is the file still there?', cause })),
      );
    });
  });
}

/** Carries a channel's streams to their readers; `part` is called for its close and for each stream's end. */
function join(channel: ClientChannel, io: ShellIo, part: () => void): void {
  channel.on('error', () => {});
  channel.stderr.on('error', () => {});
  channel.once('close', part);
  for (const stream of [channel, channel.stderr]) stream.once('end', part);
  channel.pipe(io.stdout, { end: false });
  channel.stderr.pipe(io.stderr, { end: false });
}

function feed(channel: ClientChannel, stdin: Readable | Uint8Array | undefined, onError: (error: Error) => void): void {
  if (stdin === undefined) return;
  if (stdin instanceof Uint8Array) channel.end(Buffer.from(stdin.buffer, stdin.byteOffset, stdin.byteLength));
  else {
    stdin.once('error', onError);
    channel.once('close', () => stdin.destroy());
    stdin.pipe(channel);
  }
}

function sshDoor(options: ConnectOptions, first: Connection): Door {
  let connection = first;
  let opening: Promise<Connection> | undefined;
  const gate = new Gate(mostChannels);
  const past = { sent: 0, received: 0, handshake: 0 };
  const add = (more: { sent: number; received: number; handshake: number }): void => {
    past.sent += more.sent;
    past.received += more.received;
    past.handshake += more.handshake;
  };
  let closed = false;
  const open = async (): Promise<void> => {
    if (closed) throw lostError(options.name, 'a command after closing');
    if (connection.alive()) return;
    opening ??= connect(options).finally(() => {
      opening = undefined;
    });
    const fresh = await opening;
    if (fresh === connection) return;
    add(connection.traffic());
    connection = fresh;
  };
  return {
    open,
    async shell(text, io) {
      await open();
      await gate.enter();
      try {
        return await overChannel(options.name, connection, text, io);
      } finally {
        gate.leave();
      }
    },
    traffic() {
      const now = connection.traffic();
      return { sent: past.sent + now.sent, received: past.received + now.received, handshake: past.handshake + now.handshake };
    },
    async close() {
      closed = true;
      connection.client.end();
      const timer = setTimeout(() => connection.close(), 500);
      await connection.lost;
      clearTimeout(timer);
    },
  };
}

/** A device over SSH: one connection, opened again by the next operation where it was lost. Its id is the digest of its host key. */
export async function sshTransport(options: ConnectOptions): Promise<Transport> {
  const connection = await connect(options);
  return posixTransport(options.name, connection.hostKey, sshDoor(options, connection));
}
