import type { Emit, RunEvent } from './events.ts';
import type { RunResult } from './run.ts';

export interface StartedRun {
  readonly id: string;
  readonly folder: string;
  readonly pid: number;
}
export interface RunSummary {
  readonly id: string;
  readonly folder: string;
  readonly command: string;
  readonly startedAt: string;
  readonly status: 'running' | 'ok' | 'failed' | 'cancelled' | 'died';
  readonly exitCode?: number;
}
/** Starts a module as a run's own, detached process. It finds its folder with `ownRunFolder()` and calls `hostRun`. `root` is the store's root. */
export function startRun(_options: {
  readonly root: string;
  readonly moduleFile: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly command?: string;
  readonly env?: Readonly<Record<string, string>>;
}): Promise<StartedRun> {
  throw new Error('not yet');
}
export function ownRunFolder(): string {
  throw new Error('not yet');
}
export function hostRun(
  _folder: string,
  _body: (host: { readonly run: string; readonly folder: string; readonly command: string; readonly emit: Emit; readonly signal: AbortSignal }) => Promise<RunResult>,
): Promise<number> {
  throw new Error('not yet');
}
export function tailRun(_folder: string, _options?: { readonly signal?: AbortSignal }): AsyncIterable<RunEvent> {
  throw new Error('not yet');
}
export function askRun(_folder: string, _ask: 'cancel' | 'detach'): Promise<void> {
  throw new Error('not yet');
}
export function listRuns(_root: string): Promise<readonly RunSummary[]> {
  throw new Error('not yet');
}
/** The run whose id starts with `name`, or the newest for 'last'. Throws `run-unknown`. */
export function findRun(_root: string, _name: string): Promise<RunSummary> {
  throw new Error('not yet');
}
