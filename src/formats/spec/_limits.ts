import type { SpecMessage, SpecProblem, SpecValue } from './_bind.ts';
import { join, keyed } from './_bind.ts';
import { didYouMean } from './near-miss.ts';
import type { ParsedSpec } from './parse-spec.ts';

/** What is wrong with one value and the mend, or nothing. */
export type Check = (value: SpecValue) => { readonly must: string; readonly hint: string } | undefined;
/** A limit on the fields that a path names; `*` stands for every key of a map and every item of a list. */
export type Limit = readonly [path: string, check: Check];

const numeric =
  (must: string, holds: (value: number) => boolean, hint: (value: number) => string): Check =>
  value =>
    typeof value === 'number' && holds(value) ? undefined : { must, hint: hint(Number(value)) };

export const above = (low: number, example: number | string): Check =>
  numeric(
    `greater than ${low}`,
    value => value > low,
    () => `Write for example ${example}.`,
  );
export const atLeast = (low: number): Check =>
  numeric(
    `at least ${low}`,
    value => value >= low,
    () => `Write ${low} or more.`,
  );
/** Closed range. */
export const between = (low: number, high: number): Check =>
  numeric(
    `between ${low} and ${high}`,
    value => value >= low && value <= high,
    value => `Write a number from ${low} to ${high}${value > high && value / 100 <= high && value <= 100 ? `. Did you mean ${value / 100}?` : '.'}`,
  );
/** [low, high): the end itself is too much. */
export const below = (low: number, high: number): Check =>
  numeric(
    `at least ${low} and less than ${high}`,
    value => value >= low && value < high,
    () => `Write a number from ${low} up to, but not, ${high}.`,
  );
/** (low, high). */
export const inside = (low: number, high: number, example: number): Check =>
  numeric(
    `between ${low} and ${high}, both excluded`,
    value => value > low && value < high,
    () => `Write for example ${example}.`,
  );
/** A multiple of `step` above 0; the hint is the nearest one. */
export const multipleOf = (step: number): Check =>
  numeric(
    `greater than 0 and a multiple of ${step}`,
    value => value > 0 && value % step === 0,
    value => (value > 0 ? `Did you mean ${Math.max(step, Math.round(value / step) * step)}?` : `Write for example ${34 * step}.`),
  );
export const oneOf =
  (allowed: readonly (string | number)[]): Check =>
  value =>
    allowed.includes(value as string | number)
      ? undefined
      : { must: `one of ${allowed.join(', ')}`, hint: typeof value === 'string' ? didYouMean(value, allowed.map(String)) || `Write ${allowed[0]}.` : `Write ${allowed[0]}.` };
export const given =
  (what: string): Check =>
  value =>
    value === '' ? { must: `set: ${what}`, hint: `Name ${what}.` } : undefined;

interface Found {
  readonly path: string;
  readonly value: SpecValue;
}

function* resolve(value: SpecValue | undefined, steps: readonly string[], path: string): Generator<Found> {
  if (value === undefined) return;
  const [step, ...rest] = steps;
  if (step === undefined) return void (yield { path, value });
  if (typeof value !== 'object') return;
  if (Array.isArray(value)) {
    if (step === '*') for (const [index, item] of value.entries()) yield* resolve(item as SpecValue, rest, `${path}[${index}]`);
    return;
  }
  const message = value as SpecMessage;
  if (step === '*') for (const [key, item] of Object.entries(message)) yield* resolve(item, rest, keyed(path, key));
  else if (Object.hasOwn(message, step)) yield* resolve(message[step], rest, join(path, step));
}

/** The line of a field, or of the nearest message around it that the file opens. */
export function lineOf(spec: ParsedSpec, path: string): number | undefined {
  for (let at = path; at !== ''; at = at.replace(/(?:^|\.)[^.[\]]+$|\["(?:[^"\\]|\\.)*"\]$|\[\d+\]$/, '')) {
    const line = spec.lines.get(at);
    if (line !== undefined) return line;
  }
  return undefined;
}

/** A complaint about one path of a spec, with its line. */
export function problemAt(spec: ParsedSpec, path: string, message: string, hint: string): SpecProblem {
  const line = lineOf(spec, path);
  return { code: 'spec-invalid', message, hint, path, ...(line === undefined ? {} : { line }) };
}

/** Checks a message (with defaults) against a table; `spec` gives lines and says what was written. */
export function checkLimits(spec: ParsedSpec, message: SpecMessage, limits: readonly Limit[]): SpecProblem[] {
  return limits.flatMap(([pattern, check]) =>
    [...resolve(message, pattern.split('.'), '')].flatMap(({ path, value }) => {
      const wrong = check(value);
      if (!wrong) return [];
      const shown = spec.lines.has(path) ? `is ${JSON.stringify(value)}` : `is not set (${JSON.stringify(value)})`;
      return [problemAt(spec, path, `${path} ${shown}; it must be ${wrong.must}.`, wrong.hint)];
    }),
  );
}
