import { expect, test } from 'vitest';
import { compareTrainings, comparisonText, startText } from '../../src/pipeline/training-comparison.ts';

const log = (value: number, loss: number, epochs: number, metric = 'top-1') => ({
  history: [
    { epoch: 0, steps: 0, parts: {}, learningRate: 0.1, milliseconds: 0, validation: { metric, value: 0.2, n: 50, decisions: 50 } },
    { epoch: epochs, steps: 10, loss, parts: {}, learningRate: 0.1, milliseconds: 60_000 * epochs, validation: { metric, value, n: 50, decisions: 50 } },
  ],
  best: { epoch: epochs, value },
});
const last = { at: '2026-11-24T08:10:00.000Z', changes: ['plan.epochs 2 → 3'] };

test('a training against the one before: metric, loss, time and what changed', () => {
  const compared = compareTrainings(log(0.8, 0.5, 2), log(0.85, 0.4, 3), last);
  expect(compared).toEqual({ at: last.at, metric: 'top-1', value: [0.8, 0.85], loss: [0.5, 0.4], seconds: [120, 180], changed: last.changes });
  expect(comparisonText(compared)).toBe(
    'Against the training of 2026-11-24 08:10 UTC: top-1 0.8000 → 0.8500 (+5.0 points), last loss 0.500 → 0.400, 2 min → 3 min; changed: plan.epochs 2 → 3.',
  );
});

test('another metric is not compared', () => {
  expect(compareTrainings(log(0.8, 0.5, 2), log(0.85, 0.4, 2, 'mAP'), { ...last, changes: [] })).not.toHaveProperty('value');
});

test('a retraining starts at the pruned network’s score, or says that it does not', () => {
  expect(startText(log(0.8, 1, 1).history, { metric: 'top-1', value: 0.2 })).toMatchObject({ fits: true });
  expect(startText(log(0.8, 1, 1).history, { metric: 'top-1', value: 0.3 })).toMatchObject({ fits: false, text: expect.stringContaining('0.3000') });
  expect(startText(log(0.8, 1, 1).history, { metric: 'mAP', value: 0.2 })).toBeUndefined();
});
