import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { RunEvent, UntimedEvent } from '../../src/core/events.ts';
import { etaMs, failuresOf, initialRunState, notesOf, type RunState, reduceRun, stepCount } from '../../src/core/run-state.ts';
import { emptySeries, extendSeries } from '../../src/core/series.ts';

const startMs = Date.parse('2026-01-01T00:00:00Z');
const fold = (events: readonly (readonly [seconds: number, event: UntimedEvent])[], from: RunState = initialRunState) =>
  events.reduce((state, [seconds, event]) => reduceRun(state, { time: new Date(startMs + seconds * 1000).toISOString(), ...event } as RunEvent), from);
const progress = (done: number, total: number, metrics: Record<string, number> = {}, unit = 'epoch') =>
  ({ type: 'step-progress', step: 'train', done, total, unit, metrics }) as const;

test('status, notes, failures and result are folds', () => {
  const state = fold([
    [0, { type: 'run-started', run: 'r', command: 'edgeforge run', steps: ['import', 'train', 'prune'] }],
    [1, { type: 'step-finished', step: 'import', outcome: 'cached', milliseconds: 3, notes: ['two images left out'] }],
    [1, { type: 'step-started', step: 'train', because: 'epochs 1 → 2' }],
    [2, { type: 'step-log', step: 'train', level: 'warning', message: 'slow' }],
    [3, { type: 'step-failed', step: 'train', code: 'not-finite', message: 'loss is NaN', hint: 'lower the learning rate' }],
    [3, { type: 'step-skipped', step: 'prune', because: 'train failed' }],
    [4, { type: 'run-finished', ok: false, exitCode: 1 }],
  ]);
  expect([...state.steps].map(([id, step]) => `${id} ${step.status}`)).toEqual(['import cached', 'train failed', 'prune skipped']);
  expect(notesOf(state)).toEqual([{ step: 'import', note: 'two images left out' }]);
  expect(failuresOf(state)).toEqual([{ step: 'train', code: 'not-finite', message: 'loss is NaN', hint: 'lower the learning rate' }]);
  expect(stepCount(state)).toEqual({ ended: 3, total: 3 });
  expect(state.result).toMatchObject({ ok: false, exitCode: 1 });
});

test('the ETA follows the pace since this process began, not the epochs of an earlier one', () => {
  const resumed = fold([
    [0, { type: 'step-started', step: 'train', because: 'never ran' }],
    [10, progress(50, 100)],
  ]);
  expect(etaMs(resumed.steps.get('train')!, startMs + 10_000)).toBeUndefined();
  const going = fold([[20, progress(55, 100)]], resumed);
  expect(etaMs(going.steps.get('train')!, startMs + 20_000)).toBeCloseTo(90_000);
  expect(etaMs(going.steps.get('train')!, startMs + 30_000)).toBeCloseTo(80_000);
  // A new phase has no pace yet.
  expect(etaMs(fold([[21, progress(1, 9, {}, 'image')]], going).steps.get('train')!, startMs + 21_000)).toBeUndefined();
});

test('a curve keeps its mean and its ends in bounded memory', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4000 }), n => {
      let series = emptySeries;
      let sum = 0;
      for (let x = 1; x <= n; x++) {
        series = extendSeries(series, x, Math.sin(x));
        sum += Math.sin(x);
      }
      const { points } = series;
      expect(points.length).toBeLessThanOrEqual(512);
      expect(points.reduce((count, point) => count + point.n, 0)).toBe(n);
      expect(points.reduce((total, point) => total + point.y * point.n, 0)).toBeCloseTo(sum, 6);
      expect(points.at(-1)!.x).toBe(n);
      expect(points.every((point, index) => index === 0 || points[index - 1]!.x < point.x)).toBe(true);
    }),
    { numRuns: 20 },
  );
});

test('logs are a tail', () => {
  const state = fold(Array.from({ length: 500 }, (_, index) => [index, { type: 'step-log', step: 's', level: 'info', message: `${index}` }] as const));
  expect(state.steps.get('s')!.logs.length).toBe(200);
  expect(state.steps.get('s')!.logs.at(-1)!.message).toBe('499');
});
