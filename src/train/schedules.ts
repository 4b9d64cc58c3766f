import { z } from 'zod';

const rate = z.number().positive();
const share = z.number().min(0).lt(1);
const epochs = z.number().min(0);
/** warmUp, ours, may stand in front of each: a linear factor that reaches 1 after this share of the training. */
const schedule = <K extends string, S extends z.ZodRawShape>(kind: K, shape: S) => z.strictObject({ kind: z.literal(kind), warmUp: share.optional(), ...shape });

/** The learning rate over a whole training; `p` below is step/total, so the first step has p = 0. Shares are of the training. */
export const scheduleSchema = z.discriminatedUnion('kind', [
  schedule('constant', { learningRate: rate }),
  /** TLT's soft-start annealing (DetectNet_v2): exponential ramp min→max until softStart, max until annealing, exponential fall to min. */
  schedule('soft-start-annealing', { minimum: rate, maximum: rate, softStart: share, annealing: z.number().min(0).max(1) }),
  /**
   * TLT's early-stopping annealing (DetectNet_v2): the same ramp over softStartEpochs, then the maximum until the validation metric has not improved for
   * patienceEpochs; then the fall over annealingEpochs (0: none), the minimum, and the end after as long again without improvement.
   */
  schedule('early-stopping-annealing', { minimum: rate, maximum: rate, softStartEpochs: epochs, annealingEpochs: epochs, patienceEpochs: z.number().positive() }),
  /** TLT's soft_anneal (classification): linear ramp from `start` (TLT: 3e-4) to base until softStart, then divided at each point passed. */
  schedule('soft-anneal', { base: rate, softStart: share, divider: rate, points: z.array(z.number()).readonly(), start: rate.optional() }),
  /** base·gamma^⌊100·p/stepSize⌋, stepSize in percent of the training. `smooth` leaves the exponent a fraction, as TAO 5's published code does under Python 3. */
  schedule('step', { base: rate, gamma: rate, stepSize: rate, smooth: z.boolean().optional() }),
  /** Linear ramp from base·minimumRatio to base until softStart, then half a cosine back. */
  schedule('cosine', { base: rate, minimumRatio: z.number().min(0).max(1), softStart: share }),
]);
export type ScheduleSettings = z.output<typeof scheduleSchema>;
type EarlyStopping = Extract<ScheduleSettings, { kind: 'early-stopping-annealing' }>;

/** What early stopping has decided so far: the epoch after which the rate falls, and the one that ends the training. */
export interface Patience {
  readonly annealingFrom?: number;
  readonly stopAfter?: number;
}
/** Reads patience off the validated epochs, in order; a higher value is better. TAO's early_stopping_hook.py, with our metric in place of its validation cost; nothing falls before the soft start is over. */
export function patienceOf(schedule: ScheduleSettings, validated: readonly { readonly epoch: number; readonly value: number }[]): Patience {
  if (schedule.kind !== 'early-stopping-annealing') return {};
  let best: { epoch: number; value: number } | undefined;
  let annealingFrom: number | undefined;
  for (const { epoch, value } of validated) {
    if (epoch === 0) continue;
    if (best === undefined || value > best.value) best = { epoch, value };
    else if (epoch - best.epoch < schedule.patienceEpochs || epoch < schedule.softStartEpochs) continue;
    else if (annealingFrom === undefined) {
      annealingFrom = epoch;
      best = { epoch, value };
    } else if (epoch - annealingFrom > schedule.annealingEpochs) return { annealingFrom, stopAfter: epoch };
  }
  return annealingFrom === undefined ? {} : { annealingFrom };
}

/** The learning rate of step `step` (from 0) of `total`. Early stopping also needs the steps of an epoch and what patience says. Formulas: TAO core/hooks/utils.py, cv/common/utils.py, cv/makenet/utils. */
export function learningRateAt(
  schedule: ScheduleSettings,
  step: number,
  total: number,
  early: { readonly stepsPerEpoch: number; readonly patience: Patience } = { stepsPerEpoch: 1, patience: {} },
): number {
  const plain = schedule.kind === 'early-stopping-annealing' ? earlyRate(schedule, step, early) : plainRate(schedule, total === 0 ? 0 : step / total);
  return plain * Math.min(1, (step + 1) / Math.max(1, (schedule.warmUp ?? 0) * total));
}

/** min·(max/min)^t: linear in the logarithm. */
const between = (minimum: number, maximum: number, t: number): number => Math.exp(Math.log(minimum) + t * (Math.log(maximum) - Math.log(minimum)));

function earlyRate(
  { minimum, maximum, softStartEpochs, annealingEpochs }: EarlyStopping,
  step: number,
  { stepsPerEpoch, patience }: { stepsPerEpoch: number; patience: Patience },
): number {
  const epoch = step / stepsPerEpoch;
  const rising = softStartEpochs === 0 ? 1 : Math.min(1, epoch / softStartEpochs);
  if (patience.annealingFrom === undefined || annealingEpochs === 0) return between(minimum, maximum, rising);
  return between(minimum, maximum, Math.max(0, 1 - (epoch - patience.annealingFrom) / annealingEpochs));
}

function plainRate(schedule: Exclude<ScheduleSettings, EarlyStopping>, p: number): number {
  switch (schedule.kind) {
    case 'constant':
      return schedule.learningRate;
    case 'soft-start-annealing': {
      const t = p < schedule.softStart ? p / schedule.softStart : p < schedule.annealing ? 1 : (1 - p) / (1 - schedule.annealing);
      return between(schedule.minimum, schedule.maximum, t);
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
