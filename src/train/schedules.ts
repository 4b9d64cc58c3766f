/** The learning rate over a whole training; `p` below is step/total, so the first step has p = 0. */
export type ScheduleSettings =
  | { readonly kind: 'constant'; readonly learningRate: number }
  /** TLT's soft-start annealing (DetectNet_v2): exponential ramp min→max until softStart, max until annealing, exponential fall to min. Fractions of the training. */
  | { readonly kind: 'soft-start-annealing'; readonly minimum: number; readonly maximum: number; readonly softStart: number; readonly annealing: number }
  /** TLT's soft_anneal (classification): linear ramp from `start` (TLT: 3e-4) to base until softStart, then divided at each point passed. */
  | {
      readonly kind: 'soft-anneal';
      readonly base: number;
      readonly softStart: number;
      readonly divider: number;
      readonly points: readonly number[];
      readonly start?: number;
    }
  /** base·gamma^⌊100·p/stepSize⌋, stepSize in percent of the training. `smooth` leaves the exponent a fraction, as TAO 5's published code does under Python 3. */
  | { readonly kind: 'step'; readonly base: number; readonly gamma: number; readonly stepSize: number; readonly smooth?: boolean }
  /** Linear ramp from base·minimumRatio to base until softStart, then half a cosine back. */
  | { readonly kind: 'cosine'; readonly base: number; readonly minimumRatio: number; readonly softStart: number };

/** The learning rate of step `step` (from 0) of `total`. Formulas: TAO core/hooks/utils.py, cv/common/utils.py, cv/makenet/utils. */
export function learningRateAt(schedule: ScheduleSettings, step: number, total: number): number {
  const p = total === 0 ? 0 : step / total;
  switch (schedule.kind) {
    case 'constant':
      return schedule.learningRate;
    case 'soft-start-annealing': {
      const t = p < schedule.softStart ? p / schedule.softStart : p < schedule.annealing ? 1 : (1 - p) / (1 - schedule.annealing);
      const [low, high] = [Math.log(schedule.minimum), Math.log(schedule.maximum)];
      return Math.exp(low + t * (high - low));
    }
    case 'soft-anneal': {
      const start = schedule.start ?? 3e-4;
      if (p < schedule.softStart) return start + ((schedule.base - start) * p) / schedule.softStart;
      return schedule.base / schedule.divider ** schedule.points.filter(point => p > point).length;
    }
    case 'step': {
      const exponent = (100 * p) / schedule.stepSize;
      return schedule.base * schedule.gamma ** (schedule.smooth ? exponent : Math.floor(exponent + 1e-9));
    }
    case 'cosine': {
      const low = schedule.base * schedule.minimumRatio;
      if (p < schedule.softStart) return low + ((schedule.base - low) * p) / schedule.softStart;
      const t = (p - schedule.softStart) / (1 - schedule.softStart);
      return low + 0.5 * (schedule.base - low) * (1 + Math.cos(Math.PI * t));
    }
  }
}
