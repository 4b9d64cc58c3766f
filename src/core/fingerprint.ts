import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';

/** SHA-256, lower-case hexadecimal. */
export type Digest = string & { readonly __digest: unique symbol };
/** Digest of a step, its settings, its inputs' content and the identity facts it rests on. */
export type Fingerprint = string & { readonly __fingerprint: unique symbol };
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

export const digestOf = (bytes: string | Uint8Array): Digest => createHash('sha256').update(bytes).digest('hex') as Digest;

export async function digestOfFile(path: string): Promise<Digest> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex') as Digest;
}

/** JSON with sorted keys: equal values have equal text. undefined members are left out; what JSON cannot carry (NaN, a Map, a function) throws, for two of them would look equal. */
export function canonical(value: unknown): string {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new RangeError(`${value} has no canonical form.`);
  if (value === null || typeof value === 'number' || typeof value === 'string' || typeof value === 'boolean') return JSON.stringify(value);
  if (typeof value !== 'object') throw new TypeError(`A ${typeof value} has no canonical form.`);
  if (Array.isArray(value)) return `[${Array.from(value, item => canonical(item ?? null)).join(',')}]`;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) throw new TypeError(`A ${value.constructor?.name ?? 'strange object'} has no canonical form.`);
  const entries = Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join(',')}}`;
}
