/** How much a number can be trusted: seen here, produced by a stand-in, or quoted from someone else. */
export type Grade = 'measured' | 'emulated' | 'published';
export type Precision = 'fp32' | 'fp16' | 'int8';

/** How a benchmark is taken; stored beside every number it yields. */
export interface Protocol {
  readonly warmUpMs: number;
  readonly durationMs: number;
  readonly minIterations: number;
  readonly rounds: number;
  readonly batch: number;
  readonly threads: number;
}

/** Where the latencies lie: `counts` in equal bins from `fromMs` (the least) to `toMs` (p99), and how many lie beyond. */
export interface LatencyHistogram {
  readonly fromMs: number;
  readonly toMs: number;
  readonly counts: readonly number[];
  readonly beyond: number;
}

/** Latency of one batch, in milliseconds, over n timed inferences. */
export interface LatencyMs {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly mean: number;
  readonly sd: number;
  readonly n: number;
  /** What older reports lack: the ends, p95, sd / mean, and the 95 % confidence interval of the median. */
  readonly min?: number;
  readonly max?: number;
  readonly p95?: number;
  readonly cv?: number;
  readonly p50Interval?: readonly [low: number, high: number];
  readonly histogram?: LatencyHistogram;
}

export interface Evidence {
  readonly grade: Grade;
  readonly protocol: string;
  readonly device: string;
  readonly runtime: string;
  readonly at: string;
  readonly notes: readonly string[];
}

/** One timed artifact. Throughput in images/s = batch / mean latency over the whole timed window. */
export interface Measurement {
  readonly precision: Precision;
  readonly scenario: 'single_stream' | 'offline';
  readonly batch: number;
  readonly throughput: { readonly value: number; readonly unit: 'images/s' };
  readonly latencyMs: LatencyMs;
  readonly evidence: Evidence;
  /** Why the times do not count, where they do not: foreign load, a throttled clock. */
  readonly voided?: string;
}
