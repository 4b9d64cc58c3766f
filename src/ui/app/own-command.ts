import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { EdgeError } from '../../core/errors.ts';
import { siblingModule } from '../../core/package-root.ts';

/** How a command of edgeforge's own ended, and what it printed. */
export interface Printed {
  readonly exitCode: number;
  readonly out: string;
  readonly err: string;
}

/** Our own program, and the environment that its children get: without what was set for React alone. */
export function ownProgram(): { readonly main: string; readonly env: NodeJS.ProcessEnv } {
  const { NODE_ENV: _, ...env } = process.env;
  return { main: siblingModule(import.meta.url, '../../main'), env };
}

interface OwnOptions {
  readonly cwd: string;
  readonly signal?: AbortSignal;
  /** Hears what it prints line by line, as it comes. */
  readonly onLine?: (line: string) => void;
}

/** Runs edgeforge with these words as a child process, without a terminal. It ends with `signal`, and with us. */
export function ownCommand(words: readonly string[], { cwd, signal, onLine }: OwnOptions): Promise<Printed> {
  const { main, env } = ownProgram();
  const child = spawn(process.execPath, [main, ...words], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], ...(signal ? { signal } : {}) });
  const [out, err]: [Buffer[], Buffer[]] = [[], []];
  if (onLine) createInterface({ input: child.stdout }).on('line', onLine);
  else child.stdout.on('data', (piece: Buffer) => out.push(piece));
  child.stderr.on('data', (piece: Buffer) => err.push(piece));
  const text = (pieces: readonly Buffer[]) => Buffer.concat(pieces).toString('utf8');
  return new Promise((done, failed) => {
    child.once('error', cause =>
      failed(new EdgeError('internal', `edgeforge ${words.join(' ')} could not be started in ${cwd}: ${cause.message}.`, { hint: `Check that ${cwd} is there.`, cause })),
    );
    child.once('close', code => done({ exitCode: code ?? 1, out: text(out), err: text(err) }));
  });
}

/** The JSON that a verb prints with --json. Throws what the verb says went wrong. */
export async function ownJson(words: readonly string[], options: { readonly cwd: string; readonly signal?: AbortSignal }): Promise<unknown> {
  const { exitCode, out, err } = await ownCommand([...words, '--json'], options);
  try {
    const value = JSON.parse(out) as unknown;
    if (typeof value === 'object' && value !== null && 'error' in value) throw edgeErrorOf(value.error);
    return value;
  } catch (cause) {
    if (cause instanceof EdgeError) throw cause;
    throw new EdgeError('internal', `edgeforge ${words.join(' ')} ended with exit code ${exitCode}: ${(err || out).trim().slice(-500) || 'no word'}.`, {
      hint: `See what it says: edgeforge ${words.join(' ')}`,
      cause,
    });
  }
}

function edgeErrorOf(value: unknown): EdgeError {
  const { code, message, hint } = value as { readonly code?: EdgeError['code']; readonly message?: string; readonly hint?: string };
  return new EdgeError(code ?? 'internal', message ?? 'It failed without a word.', { hint: hint ?? 'Run it in a terminal to see more.' });
}
