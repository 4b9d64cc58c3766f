import type { LatencyMs } from '../core/evidence.ts';

/** Percentile p (0..1) of ascending values, linear between neighbours (type 7 of Hyndman and Fan, as numpy). */
export function percentile(sorted: ArrayLike<number>, p: number): number {
  const at = (sorted.length - 1) * p;
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low]! + (sorted[high]! - sorted[low]!) * (at - low);
}

/** Latencies in milliseconds → their summary; sd with n − 1. Undefined for fewer than two. */
export function latencySummary(latencies: readonly number[]): LatencyMs | undefined {
  const n = latencies.length;
  if (n < 2 || !latencies.every(Number.isFinite)) return undefined;
  const sorted = Float64Array.from(latencies).sort();
  const mean = sorted.reduce((sum, each) => sum + each, 0) / n;
  const sd = Math.sqrt(sorted.reduce((sum, each) => sum + (each - mean) ** 2, 0) / (n - 1));
  return { p50: percentile(sorted, 0.5), p90: percentile(sorted, 0.9), p99: percentile(sorted, 0.99), mean, sd, n };
}
