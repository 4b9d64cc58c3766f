import { describe, expect, it } from 'vitest';
import { learningRateAt, type ScheduleSettings } from '../../src/train/schedules.ts';

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
});
