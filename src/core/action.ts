import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { EdgeError } from './errors.ts';
import type { Emit } from './events.ts';
import type { Digest } from './fingerprint.ts';
import { becauseOf, changesSince, goneReason } from './reason.ts';
import { type OutputPorts, type Ports, type RecipeNode, readsOf, type StepContext } from './recipe.ts';
import type { ActionRecord, Cause, Store } from './store.ts';

export interface ActionSurroundings {
  readonly store: Store;
  readonly emit: Emit;
  readonly signal: AbortSignal;
}
/** Whether an action's result is at hand: a valid record, or the reason to run. */
export type Verdict =
  | { readonly fresh: true; readonly record: ActionRecord }
  | { readonly fresh: false; readonly because: string /** The record stands, but what it speaks of is gone elsewhere. */; readonly gone: boolean };

const pathsOf = (store: Store, digests: Readonly<Record<string, Digest>>): Record<string, string> =>
  Object.fromEntries(Object.entries(digests).map(([name, digest]) => [name, store.path(digest)]));

/** Looks an action up: the record and its outputs in the store, then the step's own recall. Throws what the recall throws. */
export async function judge(node: RecipeNode, cause: Cause, { store, signal }: Pick<ActionSurroundings, 'store' | 'signal'>): Promise<Verdict> {
  const recalled = await store.recall(cause.fingerprint);
  if (recalled.status === 'absent') return { fresh: false, because: becauseOf(node, cause, await store.latest(node.id), recalled.because), gone: false };
  const { record } = recalled;
  const missing = Object.keys(node.step.outputs).find(name => record.outputs[name] === undefined);
  if (missing !== undefined) return { fresh: false, because: `output "${missing}" is not in its record`, gone: true };
  const { recall } = node.step;
  if (recall) {
    const answer = await recall.call(node.step, { step: node.id, config: node.config, outputs: pathsOf(store, record.outputs), signal });
    if (answer === 'gone') return { fresh: false, because: goneReason(node), gone: true };
  }
  return { fresh: true, record };
}

/** Runs a step in its own folder: outputs are stored first, the record last. */
export async function perform(
  node: RecipeNode,
  cause: Cause,
  { because, gone }: Verdict & { readonly fresh: false },
  surroundings: ActionSurroundings,
): Promise<ActionRecord & { readonly cached?: boolean }> {
  const { store, emit, signal } = surroundings;
  const scratch = await store.scratch(cause.fingerprint, `step ${node.id}`);
  let done = false;
  try {
    // Another process may have finished this very action while we waited for its folder.
    if (!gone) {
      const again = await store.recall(cause.fingerprint);
      if (again.status === 'present') {
        done = true;
        return { ...again.record, cached: true };
      }
    }
    emit({ type: 'step-started', step: node.id, because });
    const startedAt = performance.now();
    await store.forget(cause.fingerprint);
    const notes: string[] = [];
    const outputs = Object.fromEntries(Object.keys(node.step.outputs).map(name => [name, join(scratch.out, name)]));
    await node.step.run(contextOf(node, cause, { outputs, work: scratch.work, notes }, surroundings));
    if (signal.aborted) throw cancelled(node.id);
    const stored = await storeOutputs(node, outputs, store);
    const record: ActionRecord = { ...cause, outputs: stored, notes, milliseconds: Math.round(performance.now() - startedAt), at: new Date().toISOString() };
    await store.remember(node.id, record);
    done = true;
    return record;
  } finally {
    await scratch.release(done);
  }
}

async function storeOutputs(node: RecipeNode, outputs: Readonly<Record<string, string>>, store: Store): Promise<Record<string, Digest>> {
  const stored: Record<string, Digest> = {};
  for (const [name, path] of Object.entries(outputs)) {
    await stat(path).catch((cause: unknown) => {
      throw new EdgeError('output-missing', `"${node.id}" finished without writing its output "${name}".`, {
        hint: `The step "${node.step.name}" must write ${path}: please report it.`,
        cause,
      });
    });
    stored[name] = await store.put(path, { move: true });
  }
  return stored;
}

function contextOf(
  node: RecipeNode,
  cause: Cause,
  { outputs, work, notes }: { readonly outputs: Record<string, string>; readonly work: string; readonly notes: string[] },
  { store, emit, signal }: ActionSurroundings,
): StepContext<unknown, Ports, OutputPorts> {
  const step = node.id;
  const inputs = Object.fromEntries(
    Object.entries(cause.inputs).map(([name, digest]) => [name, Array.isArray(digest) ? digest.map(each => store.path(each)) : store.path(digest)]),
  );
  // The one place where erased ports meet the typed ones: `Recipe.add` checked that names and kinds fit.
  return {
    step,
    config: node.config,
    inputs,
    digests: cause.inputs,
    outputs,
    scratch: work,
    signal,
    progress: (done: number, total: number, metrics = {}, unit = '') => emit({ type: 'step-progress', step, done, total, unit, metrics }),
    log: (level, message) => emit({ type: 'step-log', step, level, message }),
    previous: async () => {
      const latest = await store.latest(node.id);
      const recalled = latest && (await store.recall(latest.fingerprint));
      if (recalled?.status !== 'present') return undefined;
      return { at: recalled.record.at, outputs: pathsOf(store, recalled.record.outputs), changes: changesSince(latest as Cause, node, cause) };
    },
    note: (message: string) => {
      if (notes.includes(message)) return;
      notes.push(message);
      emit({ type: 'step-log', step, level: 'note', message });
    },
  } as StepContext<unknown, Ports, OutputPorts>;
}

export const cancelled = (step: string): EdgeError => new EdgeError('cancelled', `"${step}" was cancelled.`, { hint: 'Run the same command again to go on from here.' });

/** The ids of the steps whose outputs a node reads. */
export const needsOf = (node: RecipeNode): string[] => [...new Set(readsOf(node).map(({ node: from }) => from.id))];
