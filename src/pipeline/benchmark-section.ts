import { z } from 'zod';
import { type Protocol, type Scenario, scenarios } from '../core/evidence.ts';

type Timing = Readonly<Record<'warmUpMs' | 'durationMs' | 'minIterations' | 'rounds' | 'steadyMs', number>>;
/** How long is measured, by name: quick is indicative, standard waits for a steady temperature, full is for figures to publish. */
export const benchmarkModes = {
  quick: { warmUpMs: 500, durationMs: 3000, minIterations: 50, rounds: 5, steadyMs: 0 },
  standard: { warmUpMs: 10_000, durationMs: 60_000, minIterations: 100, rounds: 5, steadyMs: 120_000 },
  full: { warmUpMs: 10_000, durationMs: 600_000, minIterations: 1000, rounds: 10, steadyMs: 300_000 },
} as const satisfies Readonly<Record<string, Timing>>;

/** More builds of one engine than this tell nothing new. */
export const mostBuilds = 20;
/** Samples in a query of MLPerf's MultiStream. */
const multiStreamBatch = 8;

/** The project file's `benchmark:`; what it says itself goes before its mode. */
export const benchmarkSchema = z
  .strictObject({
    mode: z.enum(['quick', 'standard', 'full']).default('quick'),
    warmUpMs: z.int().nonnegative().optional(),
    durationMs: z.int().positive().optional(),
    minIterations: z.int().positive().optional(),
    rounds: z.int().positive().optional(),
    /** Warm up until the board's temperature is steady, at most so long. */
    steadyMs: z.int().nonnegative().optional(),
    batch: z.array(z.int().positive()).nonempty().default([1]),
    /** Left out: batch 1 is single_stream, others offline. single_stream is batch 1; multi_stream a query of 8 samples; offline every `batch`. */
    scenarios: z.array(z.enum(scenarios)).nonempty().optional(),
    threads: z.int().positive().default(2),
    /** Builds of each TensorRT engine: their spread is reported, the median one is kept. */
    builds: z.int().min(1).max(mostBuilds).default(1),
    /** Validation images that the device sees. */
    images: z.int().positive().default(200),
  })
  .transform(({ mode, warmUpMs, durationMs, minIterations, rounds, steadyMs, ...rest }) => {
    const own = Object.fromEntries(Object.entries({ warmUpMs, durationMs, minIterations, rounds, steadyMs }).filter(([, value]) => value !== undefined)) as Partial<Timing>;
    const changed = Object.keys(own);
    const timing: Timing = { ...benchmarkModes[mode], ...own };
    return { ...rest, ...timing, name: `${mode}${mode === 'quick' ? ' (indicative)' : ''}${changed.length > 0 ? `, with its own ${changed.join(', ')}` : ''}` };
  });
export type BenchmarkSettings = z.output<typeof benchmarkSchema>;

/** How anything is measured unless the project says otherwise. */
export const defaultBenchmark: BenchmarkSettings = benchmarkSchema.parse({});

/** What decides the times of one engine, its batch apart. */
export const protocolOf = ({ warmUpMs, durationMs, minIterations, rounds, threads, steadyMs }: BenchmarkSettings): Omit<Protocol, 'batch'> => ({
  warmUpMs,
  durationMs,
  minIterations,
  rounds,
  threads,
  ...(steadyMs > 0 ? { steadyMs } : {}),
});

/** Which batches are measured, each in which scenario; no scenario: the batch says it. */
export function wishesOf({ batch, scenarios: wanted }: Pick<BenchmarkSettings, 'batch' | 'scenarios'>): readonly { readonly batch: number; readonly scenario?: Scenario }[] {
  if (!wanted) return batch.map(each => ({ batch: each }));
  const batches: Readonly<Record<Scenario, readonly number[]>> = { single_stream: [1], offline: batch, multi_stream: [multiStreamBatch] };
  return [...new Set(wanted)].flatMap(scenario => batches[scenario].map(each => ({ batch: each, scenario })));
}
/** The batches of `wishesOf`, each once: one engine per batch. */
export const batchesOf = (settings: Pick<BenchmarkSettings, 'batch' | 'scenarios'>): readonly number[] => [...new Set(wishesOf(settings).map(({ batch }) => batch))];
