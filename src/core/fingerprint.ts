import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';

/** SHA-256, lower-case hexadecimal. */
export type Digest = string & { readonly __digest: unique symbol };
/** Digest of a step, its settings, its inputs' content and the identity facts it rests on. */
export type Fingerprint = string & { readonly __fingerprint: unique symbol };
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

export const digestOf = (bytes: string | Uint8Array): Digest => createHash('sha256').update(bytes).digest('hex') as Digest;

/** SHA-256 of a file's content, read piece by piece. */
export async function digestOfFile(path: string): Promise<Digest> {
  const handle = await open(path);
  try {
    const hash = createHash('sha256');
    // A stream costs a small file more than its bytes do, and data sets are many small files.
    const buffer = Buffer.allocUnsafe(Math.min(1 << 20, Math.max(1, (await handle.stat()).size)));
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, null);
      if (bytesRead === 0) return hash.digest('hex') as Digest;
      hash.update(buffer.subarray(0, bytesRead));
    }
  } finally {
    await handle.close();
  }
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
