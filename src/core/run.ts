import { cancelled, judge, needsOf, perform } from './action.ts';
import { asEdgeError, type EdgeError, type ErrorCode } from './errors.ts';
import type { Emit } from './events.ts';
import type { Digest, Fingerprint } from './fingerprint.ts';
import { causeOf } from './reason.ts';
import type { Recipe, RecipeNode } from './recipe.ts';
import { Resources } from './resources.ts';
import { selectNodes } from './selection.ts';
import type { ActionRecord, Cause, Store } from './store.ts';

export interface RunResult {
  readonly ok: boolean;
  readonly exitCode: number;
  /** Where the run left files for people, if it did. */
  readonly out?: string | undefined;
}
/** What the steps left, for the last words of a run. */
export interface RunOutcome extends RunResult {
  /** Records of the steps that are up to date now, by step id. */
  readonly records: ReadonlyMap<string, ActionRecord>;
}
export interface RunOptions {
  readonly store: Store;
  readonly emit: Emit;
  readonly signal: AbortSignal;
  /** Step ids: run these and what they need. */
  readonly only?: readonly string[] | undefined;
  /** The run's id and the words that started it, for `run-started`. */
  readonly run?: string;
  readonly command?: string;
  /** Called when every step has ended, before `run-finished`; returns the folder of files for people, and a failure of the whole (a missed gate) where there is one. */
  readonly after?: (outcome: RunOutcome) => Promise<string | undefined | { readonly out?: string; readonly failure?: EdgeError }>;
}

/** The process exit code that a failure asks for: 2 usage, 3 device unreachable, 4 gate missed, 130 cancelled, otherwise 1. */
export function exitCodeOf(code: ErrorCode): number {
  switch (code) {
    case 'usage':
      return 2;
    case 'device-unreachable':
    case 'connection-lost':
      return 3;
    case 'gate-missed':
      return 4;
    case 'cancelled':
      return 130;
    default:
      return 1;
  }
}

/** One exit code for several failures: cancelled before broken before unreachable before a missed gate. */
function exitCodeOfAll(codes: readonly ErrorCode[], aborted: boolean): number {
  const asked = new Set(codes.map(exitCodeOf));
  if (aborted || asked.has(130)) return 130;
  return [1, 2, 3, 4].find(code => asked.has(code)) ?? 0;
}

type Ended = { readonly record: ActionRecord } | { readonly failed: string; readonly how: 'failed' | 'was cancelled' };

/** Brings the recipe up to date: fresh steps are recalled, stale ones run as soon as their inputs and resources allow, what depends on a failure is skipped. Emits run-started … run-finished; throws only for an unknown step in `only`. */
export async function runRecipe(recipe: Recipe, options: RunOptions): Promise<RunOutcome> {
  const { store, emit, signal, run = '', command = '', after } = options;
  const nodes = selectNodes(recipe, options.only);
  emit({ type: 'run-started', run, command, steps: nodes.map(node => node.id) });
  const codes: ErrorCode[] = [];
  let out: string | undefined;
  let failure: EdgeError | undefined;
  const records = new Map<string, ActionRecord>();
  const result = (): RunOutcome => {
    const exitCode = exitCodeOfAll(codes, signal.aborted && (codes.length > 0 || records.size < nodes.length));
    return { ok: exitCode === 0, exitCode, records };
  };
  try {
    await using _using = await store.use(`run ${run}`.trim());
    await new Steps(options, codes, records).bring(nodes);
    await store.saveStatCache();
    const last = await after?.(result());
    if (typeof last === 'object') ({ out, failure } = last);
    else out = last;
  } catch (error) {
    failure = asEdgeError(error);
  }
  if (failure) codes.push(failure.code);
  const { ok, exitCode } = result();
  emit({ type: 'run-finished', ok, exitCode, out, error: failure && { code: failure.code, message: failure.message, hint: failure.hint } });
  return { ok, exitCode, records, ...(out === undefined ? {} : { out }) };
}

class Steps {
  readonly #options: RunOptions;
  readonly #codes: ErrorCode[];
  readonly #records: Map<string, ActionRecord>;
  readonly #resources = new Resources();
  readonly #ended = new Map<string, Promise<Ended>>();
  readonly #underWay = new Map<Fingerprint, Promise<Ended>>();

  constructor(options: RunOptions, codes: ErrorCode[], records: Map<string, ActionRecord>) {
    this.#options = options;
    this.#codes = codes;
    this.#records = records;
  }

  async bring(nodes: readonly RecipeNode[]): Promise<void> {
    for (const node of nodes) this.#ended.set(node.id, this.#one(node));
    await Promise.all(this.#ended.values());
  }

  async #one(node: RecipeNode): Promise<Ended> {
    for (const id of needsOf(node)) {
      const ended = await this.#ended.get(id);
      if (ended && 'failed' in ended) return this.#skip(node, ended);
    }
    try {
      const cause = causeOf(node, (id, output) => this.#records.get(id)?.outputs[output] as Digest);
      // Two steps of one recipe may be the same action under two names: the second waits and recalls.
      const twin = this.#underWay.get(cause.fingerprint);
      const turn = (twin ?? Promise.resolve()).then(() => this.#bringOne(node, cause));
      this.#underWay.set(cause.fingerprint, turn);
      return await turn;
    } catch (error) {
      return this.#fail(node, error);
    }
  }

  async #bringOne(node: RecipeNode, cause: Cause): Promise<Ended> {
    const { store, emit, signal } = this.#options;
    const startedAt = performance.now();
    try {
      if (signal.aborted) return this.#skip(node, { failed: 'the run', how: 'was cancelled' });
      const verdict = await judge(node, cause, this.#options);
      const finish = (record: ActionRecord, outcome: 'ran' | 'cached'): Ended => {
        this.#records.set(node.id, record);
        emit({
          type: 'step-finished',
          step: node.id,
          outcome,
          milliseconds: outcome === 'ran' ? record.milliseconds : Math.round(performance.now() - startedAt),
          notes: record.notes,
        });
        return { record };
      };
      if (verdict.fresh) {
        await store.pointLatest(node.id, verdict.record);
        return finish(verdict.record, 'cached');
      }
      return await this.#resources.holding(node.step.exclusive?.(node.config) ?? [], async () => {
        if (signal.aborted) return this.#skip(node, { failed: 'the run', how: 'was cancelled' });
        const record = await perform(node, cause, verdict, this.#options);
        return finish(record, record.cached ? 'cached' : 'ran');
      });
    } catch (error) {
      return this.#fail(node, error);
    }
  }

  #skip(node: RecipeNode, ended: { readonly failed: string; readonly how: 'failed' | 'was cancelled' }): Ended {
    this.#options.emit({ type: 'step-skipped', step: node.id, because: `${ended.failed} ${ended.how}` });
    return ended;
  }

  #fail(node: RecipeNode, error: unknown): Ended {
    const known = asEdgeError(error);
    // A step that gives up because of the signal may say so in any words.
    const { code, message, hint } = this.#options.signal.aborted && (known.code === 'internal' || known.code === 'command-failed') ? cancelled(node.id) : known;
    this.#codes.push(code);
    this.#options.emit({ type: 'step-failed', step: node.id, code, message, hint });
    return { failed: node.id, how: code === 'cancelled' ? 'was cancelled' : 'failed' };
  }
}
