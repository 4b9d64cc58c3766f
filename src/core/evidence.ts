/** How much a number can be trusted: seen here, produced by a stand-in, or quoted from someone else. */
export type Grade = 'measured' | 'emulated' | 'published';
export type Precision = 'fp32' | 'fp16' | 'int8';

/** MLPerf's words (results are MLPerf-style, no MLPerf results): single_stream and multi_stream send the next query, of 1 and of 8 samples, when the last is done and care for its latency; offline has all samples at once and cares for throughput. */
export const scenarios = ['single_stream', 'offline', 'multi_stream'] as const;
export type Scenario = (typeof scenarios)[number];

/** How a benchmark is taken; stored beside every number it yields. */
export interface Protocol {
  readonly warmUpMs: number;
  readonly durationMs: number;
  readonly minIterations: number;
  readonly rounds: number;
  readonly batch: number;
  readonly threads: number;
  /** How long a board may warm up for a steady temperature beyond `warmUpMs`; absent: not at all. */
  readonly steadyMs?: number | undefined;
  /** Name or id of a Jetson's power mode to measure in; absent: the one it is in. */
  readonly powerMode?: string | undefined;
  /** Clock that a card's GPU is held at meanwhile; absent: as found. */
  readonly gpuMHz?: number | undefined;
  /** Absent: batch 1 is single_stream, others offline. */
  readonly scenario?: Scenario | undefined;
}
/** The scenario that a protocol measures. */
export const scenarioOf = ({ scenario, batch }: Pick<Protocol, 'scenario' | 'batch'>): Scenario => scenario ?? (batch === 1 ? 'single_stream' : 'offline');

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

/** What a board was set to while it was measured. */
export interface BoardState {
  /** `locked`: held at the mode's maximum, or a card at what was asked for, seen to be so; `as found`: nobody set them. */
  readonly clocks: 'locked' | 'as found';
  readonly powerMode?: string;
  /** The clocks that were held. */
  readonly gpuMHz?: number;
  readonly cpuMHz?: number;
  readonly emcMHz?: number;
  /** A card's own bounds: the most its GPU may clock, and its power limit. */
  readonly gpuMaxMHz?: number;
  readonly powerLimitW?: number;
  /** The fan as jetson_clocks tells it. */
  readonly fan?: string;
  /** Whether what was set was given back; absent where nothing was set. */
  readonly restored?: boolean;
}

/** Energy of one image: ∫ power dt over the timed windows / images in them. */
export interface Energy {
  readonly perImageMj: number;
  /** Images/s per watt: 1000 / perImageMj. */
  readonly fpsPerW: number;
  readonly meanW: number;
  /** Before anything of ours ran. */
  readonly idleW?: number;
  /** Which rail, or the sum of which. */
  readonly rail: string;
  readonly samples: number;
  readonly sensor: 'board sensor, not wall';
}

/** The hottest sensor while it was measured. */
export interface Heat {
  readonly sensor: string;
  readonly minC: number;
  readonly maxC: number;
}

/** What the sensors said at one time of a round: means over a part of it. */
export interface TrackPoint {
  readonly round: number;
  /** Since the session's first sample. */
  readonly atS: number;
  readonly w?: number;
  readonly gpuMHz?: number;
  /** Of the hottest sensor. */
  readonly heatC?: number;
}

/** One rung of the ladder from the engine alone to the whole application. */
export interface Stage {
  readonly stage: 'engine' | 'engine with copies' | 'deepstream fakesink' | 'deepstream sink';
  readonly imagesPerSecond: number;
  readonly p50Ms?: number;
}

export interface Evidence {
  readonly grade: Grade;
  readonly protocol: string;
  readonly device: string;
  readonly runtime: string;
  readonly at: string;
  readonly notes: readonly string[];
  readonly board?: BoardState;
}

/** One timed artifact. Throughput in images/s = batch / mean latency over the whole timed window. */
export interface Measurement {
  readonly precision: Precision;
  readonly scenario: Scenario;
  readonly batch: number;
  readonly throughput: { readonly value: number; readonly unit: 'images/s' };
  readonly latencyMs: LatencyMs;
  readonly evidence: Evidence;
  readonly energy?: Energy;
  readonly heat?: Heat;
  /** Power, clock and heat through the rounds. */
  readonly track?: readonly TrackPoint[];
  /** From the engine alone upwards. */
  readonly stages?: readonly Stage[];
  /** Why the times do not count, where they do not: foreign load, a throttled clock. */
  readonly voided?: string;
}
