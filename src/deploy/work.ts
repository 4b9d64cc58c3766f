import type { Measurement } from '../core/evidence.ts';
import type { BenchEntry, BuildProgress, EngineSpec, Passport, TensorSet } from './device.ts';
import type { Device } from './open-device.ts';

/** What the callers of long work may give: cancel, and hear of progress. */
export interface WorkOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: BuildProgress) => void;
}
/** Pushes a local file by content and returns its path on the device; nothing is sent where it is there. */
export async function pushFile(_device: Device, _local: string, _options?: WorkOptions): Promise<{ path: string; digest: string; sent: number }> { throw new Error('not yet'); }
/** Refuses early, brings the payload, builds, returns the passport. Throws EdgeError. */
export async function buildEngine(_device: Device, _spec: EngineSpec, _options?: WorkOptions): Promise<Passport> { throw new Error('not yet'); }
/** Measures several engines in alternating rounds; the measurements come in the entries' order. */
export async function benchEngines(_device: Device, _entries: readonly BenchEntry[], _options?: WorkOptions): Promise<readonly Measurement[]> { throw new Error('not yet'); }
/** Runs n images (a local raw little-endian float32 file [n, …]) through the very engine and brings the raw outputs back, each [n, …]. */
export async function inferOnDevice(_device: Device, _passport: Passport, _local: string, _n: number, _options?: WorkOptions): Promise<TensorSet> { throw new Error('not yet'); }
/** Which of these engines still lie on the device with the digest of their passport: one round trip. */
export async function enginesThere(_device: Device, _passports: readonly Passport[]): Promise<readonly boolean[]> { throw new Error('not yet'); }
