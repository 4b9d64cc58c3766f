import { expect, test } from 'vitest';
import { randomAt } from '../../src/data/random.ts';
import { latencySummary } from '../../src/deploy/statistics.ts';

test('the summary of a hundred known latencies', () => {
  const summary = latencySummary(Array.from({ length: 100 }, (_, index) => index + 1));
  expect(summary).toMatchObject({ n: 100, min: 1, max: 100, p50: 50.5, mean: 50.5, p95: expect.closeTo(95.05, 9), sd: expect.closeTo(29.011, 3), p50Interval: [40, 61] });
  expect(latencySummary([1])).toBeUndefined();
});

test('the interval covers the true median in about 95 of 100 measurements', () => {
  const random = randomAt(7);
  let covered = 0;
  for (let round = 0; round < 400; round++) {
    const [low, high] = latencySummary(Array.from({ length: 61 }, () => -Math.log(1 - random.uniform())))!.p50Interval!;
    if (low <= Math.LN2 && Math.LN2 <= high) covered++;
  }
  expect(covered / 400).toBeGreaterThan(0.92);
});
