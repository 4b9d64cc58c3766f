/** The text padded, or cut with a mark, to a width. */
export const fitted = (text: string, width: number, more = '…'): string => (text.length > width ? `${text.slice(0, Math.max(0, width - 1))}${more}` : text.padEnd(width));

/** A time as a person in this terminal reads it: 2026-11-24 10:00 (UTC). */
export const when = (iso: string): string => iso.slice(0, 16).replace('T', ' ');

/** A function that remembers its last answer: for what is drawn again and again from the same values. */
export function remembered<A extends readonly unknown[], R>(work: (...given: A) => R): (...given: A) => R {
  let last: { readonly given: A; readonly result: R } | undefined;
  return (...given) => {
    if (last?.given.every((value, index) => Object.is(value, given[index]))) return last.result;
    last = { given, result: work(...given) };
    return last.result;
  };
}
