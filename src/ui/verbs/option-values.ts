import { InvalidArgumentError } from 'commander';
import type { Precision } from '../../core/evidence.ts';
import type { Size } from '../../data/placement.ts';
import { type DeepstreamVersion, deepstreamVersions } from '../../formats/deepstream-version.ts';

// What an option's text stands for. Each throws InvalidArgumentError with what it takes.

/** A whole number from 1 on. */
export function countOf(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('A whole number from 1 on.');
  return value;
}
/** A part of a whole, 0 to 1. */
export function shareOf(text: string): number {
  const value = Number(text);
  if (!(value >= 0 && value <= 1)) throw new InvalidArgumentError('A number from 0 to 1.');
  return value;
}
/** A precision by name. */
export function precisionOf(text: string): Precision {
  if (text === 'fp32' || text === 'fp16' || text === 'int8') return text;
  throw new InvalidArgumentError('fp32, fp16 or int8.');
}
/** A DeepStream version that we know. */
export function versionOf(text: string): DeepstreamVersion {
  const found = deepstreamVersions.find(version => version === text);
  if (found === undefined) throw new InvalidArgumentError(`Known versions: ${deepstreamVersions.join(', ')}.`);
  return found;
}
/** Width and height, as 1920x1080. */
export function sizeOf(text: string): Size {
  const [, width, height] = /^(\d{1,5})x(\d{1,5})$/.exec(text) ?? [];
  if (!width || !height) throw new InvalidArgumentError('Width and height, such as 1920x1080.');
  return { width: Number(width), height: Number(height) };
}
