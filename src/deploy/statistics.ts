import type { LatencyHistogram, LatencyMs } from '../core/evidence.ts';

/** Percentile p (0..1) of ascending values, linear between neighbours (type 7 of Hyndman and Fan, as numpy). */
export function percentile(sorted: ArrayLike<number>, p: number): number {
  const at = (sorted.length - 1) * p;
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low]! + (sorted[high]! - sorted[low]!) * (at - low);
}

/**
 * 95 % confidence interval of the median of ascending values from their order statistics: ranks n/2 ± 1.96·√n/2
 * (normal approximation of the binomial; Conover, Practical Nonparametric Statistics). It takes the values for independent: drift within a measurement makes it too narrow.
 */
export function medianInterval(sorted: ArrayLike<number>): readonly [low: number, high: number] {
  const n = sorted.length;
  const half = 0.98 * Math.sqrt(n);
  const low = Math.max(1, Math.floor(n / 2 - half));
  const high = Math.min(n, Math.ceil(1 + n / 2 + half));
  return [sorted[low - 1]!, sorted[high - 1]!];
}

/** Ascending latencies in 48 bins up to p99: the few beyond would leave no room for the others. */
export function histogramOf(sorted: ArrayLike<number>): LatencyHistogram {
  const [fromMs, toMs] = [sorted[0]!, percentile(sorted, 0.99)];
  const counts = new Array<number>(48).fill(0);
  let beyond = 0;
  for (let at = 0; at < sorted.length; at++) {
    const value = sorted[at]!;
    if (value > toMs) beyond++;
    else counts[toMs > fromMs ? Math.min(47, Math.floor((48 * (value - fromMs)) / (toMs - fromMs))) : 0]!++;
  }
  return { fromMs, toMs, counts, beyond };
}

/** Latencies in milliseconds → their summary; sd with n − 1. Undefined for fewer than two. */
export function latencySummary(latencies: readonly number[]): LatencyMs | undefined {
  const n = latencies.length;
  if (n < 2 || !latencies.every(Number.isFinite)) return undefined;
  const sorted = Float64Array.from(latencies).sort();
  const mean = sorted.reduce((sum, each) => sum + each, 0) / n;
  const sd = Math.sqrt(sorted.reduce((sum, each) => sum + (each - mean) ** 2, 0) / (n - 1));
  return {
    n,
    min: sorted[0]!,
    p50: percentile(sorted, 0.5),
    p90: percentile(sorted, 0.9),
    p95: percentile(sorted, 0.95),
    p99: percentile(sorted, 0.99),
    max: sorted[n - 1]!,
    mean,
    sd,
    cv: mean === 0 ? 0 : sd / mean,
    p50Interval: medianInterval(sorted),
    histogram: histogramOf(sorted),
  };
}
