import { EdgeError } from '../../core/errors.ts';
import type { SpecMessage, SpecValue } from './_bind.ts';
import type { ParsedSpec } from './parse-spec.ts';

// Readers of a message that withDefaults has filled: a scalar that is absent there is a mistake of ours, not of the user.

const isMessage = (value: SpecValue | undefined): value is SpecMessage => typeof value === 'object' && !Array.isArray(value);

/** A member message, or undefined when the file does not set it. */
export const part = (message: SpecMessage | undefined, name: string): SpecMessage | undefined => {
  const value = message && Object.hasOwn(message, name) ? message[name] : undefined;
  return isMessage(value) ? value : undefined;
};
export const numberOf = (message: SpecMessage | undefined, name: string): number => (typeof message?.[name] === 'number' ? message[name] : 0);
export const textOf = (message: SpecMessage | undefined, name: string): string => (typeof message?.[name] === 'string' ? message[name] : '');
export const flagOf = (message: SpecMessage | undefined, name: string): boolean => message?.[name] === true;
/** Text, or undefined where it is empty: proto3 cannot tell the two apart. */
export const textOrNone = (message: SpecMessage | undefined, name: string): string | undefined => textOf(message, name) || undefined;
export const numbersOf = (message: SpecMessage | undefined, name: string): number[] => {
  const value = message?.[name];
  return Array.isArray(value) ? value.filter((item): item is number => typeof item === 'number') : [];
};
export const textsOf = (message: SpecMessage | undefined, name: string): string[] => {
  const value = message?.[name];
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];
};
export const partsOf = (message: SpecMessage | undefined, name: string): SpecMessage[] => {
  const value = message?.[name];
  return Array.isArray(value) ? (value as readonly SpecValue[]).filter(isMessage) : [];
};
/** The entries of a map field, in the order of the file. */
export const entriesOf = (message: SpecMessage | undefined, name: string): [string, SpecValue][] => Object.entries(part(message, name) ?? {});
/** A map of messages, each read by `read`. */
export const recordOf = <T>(message: SpecMessage | undefined, name: string, read: (entry: SpecMessage) => T): Record<string, T> =>
  Object.fromEntries(entriesOf(message, name).flatMap(([key, value]) => (isMessage(value) ? [[key, read(value)] as const] : [])));
/** A map of scalars of one type. */
export const scalarRecordOf = <T extends number | string>(message: SpecMessage | undefined, name: string, type: T extends number ? 'number' : 'string'): Record<string, T> =>
  Object.fromEntries(entriesOf(message, name).filter(([, value]) => typeof value === type)) as Record<string, T>;

/** A member that is left out where its value is absent. */
export const optional = <K extends string, T>(key: K, value: T | undefined): { [P in K]?: T } => (value === undefined ? {} : ({ [key]: value } as { [P in K]?: T }));

/** The complaint about a spec of another task than the command is for. */
export const wrongTask = (spec: ParsedSpec, wanted: string): EdgeError =>
  new EdgeError('spec-invalid', `This is a spec for ${spec.task}, not for ${wanted}.`, {
    hint: `Name a ${wanted} spec; edgeforge spec explain FILE shows what a file is.`,
    where: spec.file === undefined ? undefined : { file: spec.file },
  });
