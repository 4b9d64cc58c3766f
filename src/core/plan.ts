import { judge, needsOf } from './action.ts';
import { asEdgeError } from './errors.ts';
import type { Digest } from './fingerprint.ts';
import { causeOf, listed, ownChanges } from './reason.ts';
import { type Recipe, type RecipeNode, readsOf } from './recipe.ts';
import { selectNodes } from './selection.ts';
import type { ActionRecord, Store } from './store.ts';

export interface PlannedStep {
  readonly step: string;
  readonly status: 'cached' | 'run' | 'unknown';
  /** Why: empty for a cached step. */
  readonly because: string;
}

/** What `runRecipe` would do now and why, without running anything. `unknown`: a device that nobody reaches decides it. */
export async function planRecipe(
  recipe: Recipe,
  { store, only, signal = new AbortController().signal }: { readonly store: Store; readonly only?: readonly string[] | undefined; readonly signal?: AbortSignal },
): Promise<readonly PlannedStep[]> {
  const planned = new Map<string, PlannedStep>();
  const records = new Map<string, ActionRecord>();
  for (const node of selectNodes(recipe, only)) {
    const stale = needsOf(node).filter(id => planned.get(id)?.status === 'run');
    if (stale.length > 0) planned.set(node.id, { step: node.id, status: 'run', because: await downstreamReason(node, stale, store) });
    else planned.set(node.id, await planOne(node, planned, records, { store, signal }));
  }
  return [...planned.values()];
}

/** A step after one that runs: it runs unless the other's bytes come out equal. */
async function downstreamReason(node: RecipeNode, stale: readonly string[], store: Store): Promise<string> {
  const latest = await store.latest(node.id);
  if (latest === undefined) return 'never ran';
  const own = ownChanges(latest, node);
  if (own.length > 0) return listed(own);
  const inputs = Object.entries(node.inputs).filter(([, input]) => (Array.isArray(input) ? input : [input]).some(({ node: from }) => stale.includes(from.id)));
  const more = stale.length > 2 ? `${stale.slice(0, 2).join(', ')} and ${stale.length - 2} more` : stale.join(' and ');
  return `input ${inputs.map(([name]) => name).join(', ')} may change; cut off if ${more} ${stale.length === 1 ? 'gives' : 'give'} equal bytes`;
}

async function planOne(
  node: RecipeNode,
  planned: ReadonlyMap<string, PlannedStep>,
  records: Map<string, ActionRecord>,
  { store, signal }: { readonly store: Store; readonly signal: AbortSignal },
): Promise<PlannedStep> {
  const step = node.id;
  const unsure = needsOf(node).filter(id => planned.get(id)?.status === 'unknown');
  if (readsOf(node).some(({ node: from }) => !records.has(from.id))) return { step, status: 'unknown', because: `depends on ${unsure.join(', ')}` };
  const cause = causeOf(node, (id, output) => records.get(id)?.outputs[output] as Digest);
  try {
    const verdict = await judge(node, cause, { store, signal });
    if (!verdict.fresh) return { step, status: 'run', because: verdict.because };
    records.set(step, verdict.record);
    return unsure.length > 0 ? { step, status: 'unknown', because: `depends on ${unsure.join(', ')}` } : { step, status: 'cached', because: '' };
  } catch (error) {
    const { code, message } = asEdgeError(error);
    if (code !== 'device-unreachable' && code !== 'connection-lost') throw error;
    // What was recorded last stands in, so that the steps after it can be judged too.
    const recalled = await store.recall(cause.fingerprint);
    if (recalled.status === 'present') records.set(step, recalled.record);
    return { step, status: 'unknown', because: message };
  }
}
