import { mkdir } from 'node:fs/promises';
import { basename } from 'node:path';
import { aboutRun, eventsPath, processPath } from './_run-paths.ts';
import { writeAtomic } from './atomic-file.ts';
import { openControl } from './control-socket.ts';
import { asEdgeError } from './errors.ts';
import type { Emit } from './events.ts';
import { identityOf } from './process-identity.ts';
import { exitCodeOf, type RunResult } from './run.ts';
import { RunLog } from './run-log.ts';

export interface RunHost {
  readonly run: string;
  readonly folder: string;
  readonly command: string;
  readonly emit: Emit;
  readonly signal: AbortSignal;
}

/**
 * Lives as the run of `folder`: opens its log and control socket, calls `body`, and sees to it that the log ends in run-finished: after an exception, a SIGTERM, a cancel that nobody heeds (`graceMs`), or a process.exit somewhere. Gives the exit code; the caller passes it to process.exit.
 */
export async function hostRun(folder: string, body: (host: RunHost) => Promise<RunResult>, { graceMs = 30_000 }: { readonly graceMs?: number } = {}): Promise<number> {
  await mkdir(folder, { recursive: true });
  await writeAtomic(processPath(folder), JSON.stringify(identityOf(process.pid)));
  using log = new RunLog(eventsPath(folder));
  const controller = new AbortController();
  const guard = new Guard(log, controller, graceMs);
  try {
    await using _control = await openControl(folder, ask => {
      if (ask === 'cancel') guard.cancel();
    });
    const result = await body({ run: basename(folder), folder, command: (await aboutRun(folder))?.command ?? '', emit: event => log.append(event), signal: controller.signal });
    log.append({ type: 'run-finished', ok: result.ok, exitCode: result.exitCode, out: result.out });
    return result.exitCode;
  } catch (error) {
    return guard.fail(error);
  } finally {
    guard.leave();
  }
}

class Guard {
  readonly #log: RunLog;
  readonly #controller: AbortController;
  readonly #graceMs: number;
  #timer: NodeJS.Timeout | undefined;
  readonly #signals = ['SIGTERM', 'SIGINT'] as const;

  constructor(log: RunLog, controller: AbortController, graceMs: number) {
    this.#log = log;
    this.#controller = controller;
    this.#graceMs = graceMs;
    for (const name of this.#signals) process.on(name, this.cancel);
    process.on('SIGHUP', this.#stay);
    process.on('uncaughtException', this.#crash);
    process.on('unhandledRejection', this.#crash);
    process.on('exit', this.#exited);
  }

  /** First time: asks. What has not ended after the grace is left behind. */
  readonly cancel = (): void => {
    this.#controller.abort();
    this.#timer ??= setTimeout(() => process.exit(130), this.#graceMs);
  };
  // The terminal may close: the run is not its child.
  readonly #stay = (): void => undefined;
  readonly #crash = (error: unknown): void => {
    console.error(error);
    process.exit(this.fail(error));
  };
  readonly #exited = (code: number): void => {
    if (this.#log.finished) return;
    if (this.#controller.signal.aborted) this.#log.append({ type: 'run-finished', ok: false, exitCode: 130 });
    else this.fail(new Error(`The run's process left with exit code ${code} before the run had ended.`));
  };

  fail(error: unknown): number {
    const { code, message, hint } = asEdgeError(error);
    const exitCode = this.#controller.signal.aborted ? 130 : exitCodeOf(code);
    this.#log.append({ type: 'run-finished', ok: false, exitCode, error: { code, message, hint } });
    return exitCode;
  }

  leave(): void {
    clearTimeout(this.#timer);
    for (const name of this.#signals) process.off(name, this.cancel);
    process.off('SIGHUP', this.#stay);
    process.off('uncaughtException', this.#crash);
    process.off('unhandledRejection', this.#crash);
    process.off('exit', this.#exited);
  }
}
