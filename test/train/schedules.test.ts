import { describe, expect, it } from 'vitest';
import { learningRateAt, patienceOf, type ScheduleSettings } from '../../src/train/schedules.ts';

const at = (schedule: ScheduleSettings, steps: readonly number[], total: number) => steps.map(step => Number(learningRateAt(schedule, step, total).toPrecision(6)));

describe('learning rates', () => {
  it('soft-start annealing is TLT’s: exponential ramp, hold, exponential fall', () => {
    const schedule = { kind: 'soft-start-annealing', minimum: 5e-6, maximum: 5e-4, softStart: 0.1, annealing: 0.7 } as const;
    // exp(ln 5e-6 + t·ln 100) with t = p/0.1, 1, (1 − p)/0.3
    expect(at(schedule, [0, 5, 10, 69, 70, 85, 99], 100)).toEqual([5e-6, 5e-5, 5e-4, 5e-4, 5e-4, 5e-5, 0.00000582957]);
  });
  it('soft-start annealing without a ramp starts at the maximum', () => {
    expect(at({ kind: 'soft-start-annealing', minimum: 1e-5, maximum: 1e-3, softStart: 0, annealing: 0.5 }, [0, 4], 8)).toEqual([1e-3, 1e-3]);
  });
  it('step falls at each whole stepSize percent, or smoothly as TAO 5 does it', () => {
    const step = { kind: 'step', base: 0.01, gamma: 0.1, stepSize: 25 } as const;
    expect(at(step, [0, 24, 25, 50, 99], 100)).toEqual([0.01, 0.01, 0.001, 1e-4, 1e-5]);
    expect(at({ ...step, smooth: true }, [0, 25, 50], 100)).toEqual([0.01, 0.001, 1e-4]);
    expect(at({ ...step, smooth: true }, [12.5], 100)[0]).toBeCloseTo(0.01 * 10 ** -0.5, 8);
  });
  it('soft anneal divides at each point that was passed', () => {
    const soft = { kind: 'soft-anneal', base: 0.05, softStart: 0.1, divider: 10, points: [0.3, 0.6] } as const;
    expect(at(soft, [0, 5, 10, 30, 31, 61], 100)).toEqual([3e-4, 0.02515, 0.05, 0.05, 0.005, 5e-4]);
  });
  it('cosine ramps up and returns to the minimum', () => {
    const cosine = { kind: 'cosine', base: 0.1, minimumRatio: 0.01, softStart: 0.2 } as const;
    expect(at(cosine, [0, 10, 20, 60, 100], 100)).toEqual([0.001, 0.0505, 0.1, 0.0505, 0.001]);
  });
  it('constant is constant', () => expect(at({ kind: 'constant', learningRate: 0.3 }, [0, 9], 10)).toEqual([0.3, 0.3]));
  it('a warm-up multiplies the first rates', () => {
    expect(at({ kind: 'step', base: 1, gamma: 0.1, stepSize: 50, warmUp: 0.04 }, [0, 1, 3, 4, 50], 100)).toEqual([0.25, 0.5, 1, 1, 0.1]);
  });
});

describe('early stopping', () => {
  const schedule = { kind: 'early-stopping-annealing', minimum: 1e-5, maximum: 1e-3, softStartEpochs: 2, annealingEpochs: 4, patienceEpochs: 2 } as const;
  const history = (...values: number[]) => values.map((value, index) => ({ epoch: index + 1, value }));
  const rates = (patience: ReturnType<typeof patienceOf>, epochs: readonly number[]) =>
    epochs.map(epoch => Number(learningRateAt(schedule, epoch * 10, 1000, { stepsPerEpoch: 10, patience }).toPrecision(6)));
  it('rises, holds, and falls once the metric has not improved for the patience', () => {
    expect(patienceOf(schedule, history(0.1, 0.2, 0.3, 0.29))).toEqual({});
    expect(rates({}, [0, 1, 2, 50])).toEqual([1e-5, 1e-4, 1e-3, 1e-3]);
    const falling = patienceOf(schedule, history(0.1, 0.2, 0.3, 0.29, 0.3));
    expect(falling).toEqual({ annealingFrom: 5 });
    expect(rates(falling, [5, 7, 9, 30])).toEqual([1e-3, 1e-4, 1e-5, 1e-5]);
  });
  it('starts counting anew with the fall, and ends after it', () => {
    const values = [0.3, 0.2, 0.1, 0.2, 0.25, 0.24, 0.23];
    // Annealing from epoch 3 with 0.1 as the new best; 0.25 at epoch 5 is the last improvement.
    expect(patienceOf(schedule, history(...values))).toEqual({ annealingFrom: 3 });
    expect(patienceOf(schedule, history(...values, 0.22))).toEqual({ annealingFrom: 3, stopAfter: 8 });
  });
  it('does not fall before the soft start is over, nor count epoch 0', () => {
    expect(patienceOf({ ...schedule, softStartEpochs: 4 }, history(0.3, 0.2, 0.1))).toEqual({});
    expect(patienceOf(schedule, [{ epoch: 0, value: 0.9 }, ...history(0.1, 0.2)])).toEqual({});
  });
});
