import type { ErrorCode } from './errors.ts';
import type { Emit } from './events.ts';
import type { Recipe } from './recipe.ts';
import type { Store } from './store.ts';

export interface RunResult {
  readonly ok: boolean;
  readonly exitCode: number;
  /** Where the run left files for people, if it did. */
  readonly out?: string;
}
export interface RunOptions {
  readonly store: Store;
  readonly emit: Emit;
  readonly signal: AbortSignal;
  /** Step ids: run these and what they need. */
  readonly only?: readonly string[];
  /** The run's id and the words that started it, for `run-started`. */
  readonly run?: string;
  readonly command?: string;
  /** Called when every step has ended, before `run-finished`; returns the folder of files for people. */
  readonly after?: (result: RunResult) => Promise<string | undefined>;
}

/** The process exit code that a failure asks for: 2 usage, 3 device unreachable, 4 gate missed, 130 cancelled, otherwise 1. */
export function exitCodeOf(_code: ErrorCode): number {
  throw new Error('not yet');
}
/** Brings the recipe up to date. Emits run-started … run-finished. Never throws for a step's failure. */
export function runRecipe(_recipe: Recipe, _options: RunOptions): Promise<RunResult> {
  throw new Error('not yet');
}
