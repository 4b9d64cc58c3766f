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

/** JSON with sorted keys: equal values have equal text. undefined members are left out; a number that JSON cannot carry throws. */
export function canonical(value: unknown): string {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new RangeError(`${value} has no canonical form.`);
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(item => canonical(item ?? null)).join(',')}]`;
  const entries = Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join(',')}}`;
}
