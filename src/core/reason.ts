import { canonical, type Digest, digestOf, type Fingerprint, type Json } from './fingerprint.ts';
import { mapInputs, type RecipeNode } from './recipe.ts';
import type { Cause } from './store.ts';

/** Everything that the node's outputs follow from, once the digests of its inputs are known. */
export function causeOf(node: RecipeNode, digestFor: (stepId: string, output: string) => Digest): Cause {
  const { step, identity } = node;
  const made = { step: step.name, version: step.version ?? 0, config: identity, inputs: mapInputs(node, ({ node: from, output }) => digestFor(from.id, output)) };
  return { fingerprint: digestOf(canonical(made)) as string as Fingerprint, ...made };
}

const shown = (value: Json | undefined): string => {
  if (value === undefined) return 'absent';
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > 40 ? `${text.slice(0, 37)}…` : text;
};
const isObject = (value: Json | undefined): value is { readonly [key: string]: Json } => typeof value === 'object' && value !== null && !Array.isArray(value);

/** The settings that differ, as `path old → new`. */
export function settingChanges(before: Json | undefined, after: Json | undefined, path = ''): string[] {
  if (isObject(before) && isObject(after)) {
    const names = new Set([...Object.keys(before), ...Object.keys(after)]);
    return [...names].sort().flatMap(name => settingChanges(before[name], after[name], path === '' ? name : `${path}.${name}`));
  }
  if (canonical(before ?? null) === canonical(after ?? null)) return [];
  return [`${path === '' ? 'settings' : path} ${shown(before)} → ${shown(after)}`];
}

/** The first of several reasons, and how many more there are. */
export const listed = (reasons: readonly string[]): string => (reasons.length <= 3 ? reasons.join(', ') : `${reasons.slice(0, 3).join(', ')} and ${reasons.length - 3} more`);

/** What changed in the step itself since its last action: name, version, settings. */
export function ownChanges(before: Cause, node: RecipeNode): string[] {
  const { step, identity } = node;
  if (before.step !== step.name) return [`the step is ${step.name}, was ${before.step}`];
  const version = step.version ?? 0;
  return [...(before.version === version ? [] : [`${step.name} version ${before.version} → ${version}`]), ...settingChanges(before.config, identity)];
}

/** Everything that differs from an earlier action: the step itself, its settings, its inputs. */
export function changesSince(latest: Cause, node: RecipeNode, cause: Cause): string[] {
  const inputs = new Set([...Object.keys(latest.inputs), ...Object.keys(cause.inputs)]);
  const changed = [...inputs].filter(name => canonical(latest.inputs[name] ?? null) !== canonical(cause.inputs[name] ?? null));
  return [...ownChanges(latest, node), ...changed.map(name => `input ${name} changed`)];
}

/** Why an action without a usable record runs. `absent`: what the store says of a record that was there. */
export function becauseOf(node: RecipeNode, cause: Cause, latest: Cause | undefined, absent: string | undefined): string {
  if (absent !== undefined) return absent;
  if (latest === undefined) return 'never ran';
  const reasons = changesSince(latest, node, cause);
  return reasons.length > 0 ? listed(reasons) : 'its record was deleted';
}

/** What the recall of a step said no to, by the names of its outputs. */
export const goneReason = (node: RecipeNode): string => `device says the ${Object.keys(node.step.outputs).join(' and ')} is gone`;
