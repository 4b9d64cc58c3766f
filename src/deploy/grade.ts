import type { Grade } from '../core/evidence.ts';
import type { Facts } from './device.ts';

/** Something a number passed through on its way here, and whether that was a stand-in. */
export interface Witness {
  readonly emulated?: boolean | undefined;
}

/**
 * The grade of a number that comes from a device: `measured` only where neither the device nor any program along the way was played by something else.
 * The one place that says `measured` of a device: whoever wants the word must bring the facts.
 */
export const gradeOf = (facts: Pick<Facts, 'emulated'>, ...witnesses: readonly Witness[]): Grade =>
  [facts, ...witnesses].some(each => each.emulated === true) ? 'emulated' : 'measured';
