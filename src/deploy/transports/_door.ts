import { type Readable, Writable } from 'node:stream';
import { EdgeError } from '../../core/errors.ts';

/** What one shell command on a machine needs: bytes in, bytes out, a limit and a way to stop it. */
export interface ShellIo {
  /** What messages call it. */
  readonly what: string;
  readonly stdin?: Readable | Uint8Array | undefined;
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly signal?: AbortSignal | undefined;
  readonly limitMs?: number | undefined;
}
/** The narrow gap between us and a machine with a POSIX shell: ssh and local differ only here. */
export interface Door {
  /** Runs shell text to its end and gives the exit code (128 + n for a signal). Rejects with `connection-lost`, `cancelled` or `timeout`, always within seconds of the cause. */
  shell(text: string, io: ShellIo): Promise<number>;
  /** Opens the way again where it was lost; nothing where it is open. */
  open(signal?: AbortSignal): Promise<void>;
  traffic(): { readonly sent: number; readonly received: number; readonly handshake: number };
  close(): Promise<void>;
}

const mostText = 64 << 20;

/** Collects a stream as text, `onLine` called for each line; the end is kept where it is too long for memory. */
export class TextSink extends Writable {
  #chunks: Buffer[] = [];
  #held = 0;
  #rest = '';
  readonly #decoder = new TextDecoder();
  readonly #onLine: ((line: string) => void) | undefined;

  constructor(onLine?: (line: string) => void) {
    super();
    this.#onLine = onLine;
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#chunks.push(chunk);
    this.#held += chunk.length;
    while (this.#held > mostText && this.#chunks.length > 1) this.#held -= this.#chunks.shift()!.length;
    if (this.#onLine) {
      const lines = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split(/\r?\n/);
      // A "line" without an end must not fill memory either.
      this.#rest = lines.pop()!.slice(-(1 << 20));
      for (const line of lines) this.#onLine(line);
    }
    done();
  }

  override _final(done: () => void): void {
    if (this.#onLine && this.#rest !== '') this.#onLine(this.#rest);
    this.#rest = '';
    done();
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString('utf8');
  }
}

export const lostError = (name: string, what: string, cause?: unknown): EdgeError =>
  new EdgeError('connection-lost', `The connection to "${name}" was lost during: ${what.length > 120 ? `${what.slice(0, 120)}…` : what}`, {
    hint: 'Run the same command again: what is finished is kept, uploads go on where they stopped.',
    ...(cause === undefined ? {} : { cause }),
  });
export const cancelledError = (what: string): EdgeError =>
  new EdgeError('cancelled', `Cancelled: ${what.length > 120 ? `${what.slice(0, 120)}…` : what}`, { hint: 'Run the same command again to go on.' });
export const timeoutError = (name: string, limitMs: number, what: string): EdgeError =>
  new EdgeError('timeout', `On "${name}" this took longer than ${Math.round(limitMs / 1000)} s: ${what.length > 120 ? `${what.slice(0, 120)}…` : what}`, {
    hint: 'Look at the device (is it swapping, throttled, stuck?) and run the same command again.',
  });
