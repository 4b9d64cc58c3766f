/** How well the letters of `query` appear in `text` in their order: the higher the better, undefined where they do not. Starts of words and runs of letters count more. */
export function fuzzyScore(query: string, text: string): number | undefined {
  const [wanted, given] = [query.toLowerCase().replaceAll(' ', ''), text.toLowerCase()];
  let [at, score] = [0, 0];
  for (const letter of wanted) {
    const found = given.indexOf(letter, at);
    if (found < 0) return undefined;
    const startsWord = found === 0 || /[^a-z0-9]/.test(given[found - 1] as string);
    score += startsWord ? 8 : found === at ? 5 : 0;
    score -= Math.min(4, found - at);
    at = found + 1;
  }
  return score - given.length / 100;
}

/** The items that fit a query, best first; all, in their order, for an empty one. */
export function fuzzyFind<T>(query: string, items: readonly T[], textOf: (item: T) => string): readonly T[] {
  if (query.trim() === '') return items;
  const scored = items.flatMap(item => {
    const score = fuzzyScore(query, textOf(item));
    return score === undefined ? [] : [{ item, score }];
  });
  return scored.sort((a, b) => b.score - a.score).map(({ item }) => item);
}

/** Whether a line passes a filter: every word of it appears; a word after `!` must not. */
export function passesFilter(filter: string, text: string): boolean {
  const given = text.toLowerCase();
  return filter
    .toLowerCase()
    .split(/\s+/)
    .filter(word => word !== '' && word !== '!')
    .every(word => (word.startsWith('!') ? !given.includes(word.slice(1)) : given.includes(word)));
}
