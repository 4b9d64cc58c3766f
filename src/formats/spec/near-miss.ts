/** Edits (insert, delete, replace, swap of neighbours) between two words, given up as Infinity beyond `limit`. */
function edits(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return Number.POSITIVE_INFINITY;
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let least = Math.min(previous[j]! + 1, row[j - 1]! + 1, previous[j - 1]! + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) least = Math.min(least, before[j - 2]! + 1);
      row.push(least);
    }
    before = previous;
    previous = row;
  }
  return previous[b.length]!;
}

/** The known name that a misspelt one most likely means, or undefined; words split at `_` may also be shared (n_layers → num_layers). */
export function nearMiss(word: string, known: Iterable<string>): string | undefined {
  if (word.length > 100) return undefined;
  const lower = word.toLowerCase();
  let best: { name: string; score: number } | undefined;
  for (const name of known) {
    const other = name.toLowerCase();
    const limit = Math.max(1, Math.floor(Math.max(lower.length, other.length) / 3));
    let score = edits(lower, other, limit);
    if (score > limit) {
      const parts = new Set(lower.split('_').filter(part => part.length > 3));
      const shared = other.split('_').filter(part => parts.has(part)).length;
      if (shared === 0) continue;
      score = 100 - shared;
    }
    if (!best || score < best.score) best = { name, score };
  }
  return best?.name;
}

/** ` Did you mean x?` or an empty string: to append to a hint. */
export const didYouMean = (word: string, known: Iterable<string>): string => {
  const name = nearMiss(word, known);
  return name === undefined ? '' : `Did you mean ${name}?`;
};
