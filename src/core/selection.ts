import { EdgeError } from './errors.ts';
import { type Recipe, type RecipeNode, readsOf } from './recipe.ts';

/** The nodes named by `only` and what they need, in recipe order; all without it. Throws `usage` for a step that does not exist. */
export function selectNodes(recipe: Recipe, only?: readonly string[]): readonly RecipeNode[] {
  if (only === undefined || only.length === 0) return recipe.nodes;
  const byId = new Map(recipe.nodes.map(node => [node.id, node]));
  const chosen = new Set<RecipeNode>();
  const choose = (node: RecipeNode): void => {
    if (chosen.has(node)) return;
    chosen.add(node);
    for (const { node: from } of readsOf(node)) choose(from);
  };
  for (const id of only) {
    const node = byId.get(id);
    if (!node) {
      const near = nearest(id, [...byId.keys()]);
      throw new EdgeError('usage', `There is no step "${id}".`, { hint: `${near === undefined ? '' : `Did you mean "${near}"? `}The steps are: ${[...byId.keys()].join(', ')}.` });
    }
    choose(node);
  }
  return recipe.nodes.filter(node => chosen.has(node));
}

/** The candidate closest to `word` by edit distance, where one is close enough to be meant. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: { readonly candidate: string; readonly distance: number } | undefined;
  for (const candidate of candidates) {
    const distance = candidate.startsWith(word) && word.length > 1 ? 1 : editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance <= Math.max(2, Math.floor(candidate.length / 3)) && (best === undefined || distance < best.distance)) best = { candidate, distance };
  }
  return best?.candidate;
}

/** Levenshtein's distance, on at most the first 200 characters. */
function editDistance(a: string, b: string): number {
  const [from, to] = [a.slice(0, 200), b.slice(0, 200)];
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) next[j] = Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1));
    row = next;
  }
  return row[to.length]!;
}
