import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import { EdgeError, type ErrorCode, type Where } from '../core/errors.ts';
import { siblingModule } from '../core/package-root.ts';

export interface IsolationOptions {
  readonly signal: AbortSignal;
  readonly onMessage?: (message: unknown) => void;
  readonly env?: Readonly<Record<string, string>>;
  /** How long the child may take to end after the signal before it is killed (default 5000). */
  readonly graceMs?: number;
}
/** What the called export gets as its second argument. */
export interface IsolatedContext {
  readonly send: (message: unknown) => void;
  readonly signal: AbortSignal;
}
/** What the two processes say to each other. */
export type ToChild = { readonly type: 'call'; readonly argument: unknown } | { readonly type: 'abort' };
export type FromChild =
  | { readonly type: 'message'; readonly message: unknown }
  | { readonly type: 'result'; readonly value: unknown }
  | { readonly type: 'error'; readonly error: { readonly code: ErrorCode; readonly message: string; readonly hint: string; readonly where?: Where } };

const tailLength = 4000;
const hintAgain = 'Run the same command again to go on from here.';

/**
 * Calls `export(argument, {send, signal})` of the module `file` in a child process of its own and gives its result; typed arrays pass both ways.
 * The child ends with this process, however that ends. After the signal it is asked, then killed; the promise rejects with `cancelled`.
 * A child killed for want of memory rejects with `limit-exceeded`, any other sudden end with `internal`.
 */
export async function isolated<T>(file: string, exportName: string, argument: unknown, options: IsolationOptions): Promise<T> {
  const { signal, onMessage, env = {}, graceMs = 5000 } = options;
  const what = `${exportName} of ${file}`;
  if (signal.aborted) throw new EdgeError('cancelled', `${exportName} was cancelled before it started.`, { hint: hintAgain });
  // Loaded here: a run whose steps are all cached starts no process and need not wait for it.
  const { execaNode } = await import('execa');
  const child = execaNode(siblingModule(import.meta.url, '_isolation-child'), [file, exportName], {
    ipc: true,
    serialization: 'advanced',
    nodeOptions: [],
    stdin: 'ignore',
    stdout: 'inherit',
    stderr: 'pipe',
    buffer: false,
    reject: false,
    forceKillAfterDelay: false,
    env,
  });
  const { nodeChildProcess: channel } = child;
  const words = tailOf(child.stderr);
  let answer: Exclude<FromChild, { type: 'message' }> | undefined;
  let killer: NodeJS.Timeout | undefined;
  let mishap: unknown;
  const abort = () => {
    // A channel that is closed already needs no message: the end is on its way.
    if (channel.connected) channel.send({ type: 'abort' } satisfies ToChild, () => undefined);
    killer ??= setTimeout(() => child.kill('SIGKILL'), graceMs);
  };
  channel.on('message', (message: FromChild) => {
    if (message.type !== 'message') answer = message;
    else {
      try {
        onMessage?.(message.message);
      } catch (error) {
        mishap = error;
        abort();
      }
    }
  });
  signal.addEventListener('abort', abort, { once: true });
  try {
    channel.send({ type: 'call', argument } satisfies ToChild, error => {
      if (error) child.kill('SIGKILL');
    });
    const end = await child;
    if (mishap) throw mishap;
    if (answer?.type === 'result' && !signal.aborted) return answer.value as T;
    if (signal.aborted) throw new EdgeError('cancelled', `${exportName} was cancelled.`, { hint: hintAgain });
    if (answer?.type === 'error') throw new EdgeError(answer.error.code, answer.error.message, answer.error);
    throw suddenEnd(what, end, words());
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  } finally {
    clearTimeout(killer);
    signal.removeEventListener('abort', abort);
  }
}

/** Passes the child's error lines on and keeps the last of them for a message. */
function tailOf(stream: Readable): () => string {
  let tail = '';
  stream.on('data', (piece: Buffer) => {
    process.stderr.write(piece);
    tail = (tail + piece.toString('utf8')).slice(-tailLength);
  });
  return () => tail.trim();
}

/** How execa says that a child ended. */
interface Ending {
  readonly exitCode?: number | undefined;
  readonly signal?: NodeJS.Signals | undefined;
  readonly cause?: unknown;
}

function suddenEnd(what: string, { exitCode, signal, cause }: Ending, words: string): EdgeError {
  const heapFull = words.includes('heap out of memory') || (exitCode === 128 + constants.signals.SIGABRT && words.includes('Allocation failed'));
  if (signal === 'SIGKILL' || heapFull) {
    return new EdgeError('limit-exceeded', `${what} was ended by ${heapFull ? 'its own full heap' : 'SIGKILL'}, most likely for want of memory.`, {
      hint: 'Choose a smaller batch size or input size, or close other programs; then run the same command again. `dmesg | grep -i oom` tells whether the system did it.',
    });
  }
  if (exitCode === undefined && signal === undefined) {
    return new EdgeError('internal', `${what} could not be run in a process of its own${cause instanceof Error ? `: ${cause.message}` : ''}.`, {
      hint: 'Close other programs and run the same command again.',
      cause,
    });
  }
  const how = signal ? `was ended by ${signal}` : `left with exit code ${exitCode} without an answer`;
  return new EdgeError('internal', `${what} ${how}.${words === '' ? '' : `\n${words}`}`, {
    hint: 'Run the same command again; if it happens twice, please report it with the run folder’s process.log.',
  });
}
