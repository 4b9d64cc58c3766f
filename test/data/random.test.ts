import { expect, test } from 'vitest';
import { randomAt, shuffled } from '../../src/data/random.ts';

test('equal keys give equal streams, any other key another one', () => {
  const draw = (...keys: number[]) => Array.from({ length: 8 }, randomAt(...keys).bits);
  expect(draw(1, 2, 3)).toEqual(draw(1, 2, 3));
  const streams = [draw(1, 2, 3), draw(1, 3, 2), draw(2, 2, 3), draw(1, 2), draw(1, 2, 3, 0), draw(1 + 2 ** 32, 2, 3)];
  expect(new Set(streams.map(String)).size).toBe(streams.length);
});

test('the numbers are spread as stated', () => {
  const random = randomAt(42);
  const n = 50_000;
  const uniform = Array.from({ length: n }, () => random.uniform());
  expect(uniform.reduce((a, b) => a + b) / n).toBeCloseTo(0.5, 2);
  const buckets = new Array<number>(20).fill(0);
  for (const value of uniform) buckets[Math.floor(value * 20)]!++;
  // χ² with 19 degrees of freedom: 43.8 is exceeded once in a thousand.
  expect(buckets.reduce((sum, seen) => sum + (seen - n / 20) ** 2 / (n / 20), 0)).toBeLessThan(43.8);
  const normal = Array.from({ length: n }, () => random.truncatedNormal(2));
  expect(Math.max(...normal.map(Math.abs))).toBeLessThanOrEqual(4);
  // Cut at 2σ a standard normal keeps a standard deviation of 0.880.
  expect(Math.sqrt(normal.reduce((sum, z) => sum + z * z, 0) / n)).toBeCloseTo(2 * 0.8796, 1);
  expect(Array.from({ length: 500 }, () => random.integer(-2, 2)).every(i => i >= -2 && i <= 2 && Number.isInteger(i))).toBe(true);
});

test('neighbouring indices under one seed are not correlated', () => {
  const firsts = Array.from({ length: 5000 }, (_, index) => randomAt(7, 2, 0, index).uniform());
  const mean = firsts.reduce((a, b) => a + b) / firsts.length;
  let lag = 0;
  let variance = 0;
  for (let i = 1; i < firsts.length; i++) {
    lag += (firsts[i]! - mean) * (firsts[i - 1]! - mean);
    variance += (firsts[i]! - mean) ** 2;
  }
  expect(Math.abs(lag / variance)).toBeLessThan(0.05);
});

test('a shuffle is a permutation', () => {
  const order = shuffled(100, randomAt(3));
  expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i));
  expect(order).not.toEqual([...order].sort((a, b) => a - b));
});
