import fc from 'fast-check';
import { expect, test } from 'vitest';
import { canonical } from '../../src/core/fingerprint.ts';

const shuffled = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(shuffled);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, item]) => [key, shuffled(item)]),
  );
};

test('canonical: the order of keys does not matter, and the text is JSON of the same value', () => {
  fc.assert(
    fc.property(fc.jsonValue(), value => {
      expect(canonical(shuffled(value))).toBe(canonical(value));
      expect(JSON.parse(canonical(value))).toEqual(JSON.parse(JSON.stringify(value)));
      expect(canonical(JSON.parse(canonical(value)))).toBe(canonical(value));
    }),
  );
});

test('canonical: different values have different text', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
      const same = JSON.stringify(shuffled(shuffled(a))) === JSON.stringify(b);
      if (same) expect(canonical(a)).toBe(canonical(b));
      if (canonical(a) === canonical(b)) expect(JSON.parse(canonical(a))).toEqual(JSON.parse(canonical(b)));
    }),
  );
  expect(canonical([1, 23])).not.toBe(canonical([12, 3]));
  expect(canonical({ a: undefined, b: 1 })).toBe('{"b":1}');
});

test('canonical: what JSON cannot tell apart throws', () => {
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, new Map(), new Date(), new Uint8Array(2), () => 1, 1n, undefined, { deep: [new Set()] }])
    expect(() => canonical(value)).toThrow();
});
