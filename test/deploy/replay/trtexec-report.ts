import { since } from './options.ts';

/** Milliseconds of one query of the stand-in. */
export interface Query {
  readonly h2d: number;
  readonly compute: number;
  readonly d2h: number;
  readonly enqueue: number;
}

const figure = (value: number): string => String(Number(value.toPrecision(6)));
const at = (sorted: readonly number[], share: number): number => sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(sorted.length * share) - 1))] ?? 0;
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
const ascending = (values: readonly number[]): number[] => values.toSorted((a, b) => a - b);

/** One line of the summary of 8.0 and later. */
function line(name: string, values: readonly number[], version: string): string {
  const sorted = ascending(values);
  const shares = since(version, '8.5') ? [90, 95, 99] : [99];
  const parts = [
    `min = ${figure(at(sorted, 0))} ms`,
    `max = ${figure(at(sorted, 1))} ms`,
    `mean = ${figure(mean(values))} ms`,
    `median = ${figure(at(sorted, 0.5))} ms`,
    ...shares.map(share => `percentile(${share}%) = ${figure(at(sorted, share / 100))} ms`),
  ];
  return `${name}: ${parts.join(', ')}`;
}

/** One block of 7.x. */
function block(name: string, values: readonly number[], { all = true, endToEnd = false } = {}): string[] {
  const sorted = ascending(values);
  const end = (value: number, more = '') => (endToEnd ? ` (end to end ${figure(value * 1.001)} ms${more})` : '');
  return [
    name,
    `min: ${figure(at(sorted, 0))} ms${end(at(sorted, 0))}`,
    `max: ${figure(at(sorted, 1))} ms${end(at(sorted, 1))}`,
    ...(all ? [`mean: ${figure(mean(values))} ms${end(mean(values))}`] : []),
    `median: ${figure(at(sorted, 0.5))} ms${end(at(sorted, 0.5))}`,
    ...(all ? [`percentile: ${figure(at(sorted, 0.99))} ms at 99%${end(at(sorted, 0.99), ' at 99%')}`] : []),
  ];
}

/** The performance summary as that release prints it, without time and level. `transfers`: whether copies were timed. */
export function summaryOf(version: string, queries: readonly Query[], walltimeS: number): string[] {
  const latency = queries.map(({ h2d, compute, d2h }) => h2d + compute + d2h);
  const of = (key: keyof Query) => queries.map(query => query[key]);
  if (!since(version, '8.0'))
    return [
      ...block('Host Latency', latency, { endToEnd: true }),
      // With explicit batch 7.x counts no queries.
      'throughput: 0 qps',
      `walltime: ${figure(walltimeS)} s`,
      ...(since(version, '7.1') ? block('Enqueue Time', of('enqueue'), { all: false }) : []),
      ...block('GPU Compute', of('compute')),
      `total compute time: ${figure(of('compute').reduce((sum, each) => sum + each, 0) / 1000)} s`,
    ];
  return [
    '',
    '=== Performance summary ===',
    `Throughput: ${figure(queries.length / walltimeS)} qps`,
    line('Latency', latency, version),
    ...(since(version, '8.4')
      ? []
      : [
          line(
            'End-to-End Host Latency',
            latency.map(each => each * 1.8),
            version,
          ),
        ]),
    line('Enqueue Time', of('enqueue'), version),
    line('H2D Latency', of('h2d'), version),
    line('GPU Compute Time', of('compute'), version),
    line('D2H Latency', of('d2h'), version),
    `Total Host Walltime: ${figure(walltimeS)} s`,
    `Total GPU Compute Time: ${figure(of('compute').reduce((sum, each) => sum + each, 0) / 1000)} s`,
    'Explanations of the performance metrics are printed in the verbose logs.',
    '',
  ];
}

/** --exportTimes as that release writes it: names and fields changed in 7.1, 8.0 and 8.4; 7.1 and 7.2 swap two of them. */
export function timesJson(version: string, queries: readonly Query[]): string {
  let now = 0;
  const rows = queries.map(({ h2d, compute, d2h, enqueue }) => {
    const [start, computing, out, end] = [now, now + h2d, now + h2d + compute, now + h2d + compute + d2h];
    now = end;
    const latencyMs = h2d + compute + d2h;
    if (!since(version, '8.0'))
      return {
        startInMs: start,
        endInMs: start + enqueue,
        startEnqMs: start,
        endEnqMs: start + h2d,
        startComputeMs: computing,
        endComputeMs: out,
        startOutMs: out,
        endOutMs: end,
        inMs: h2d,
        computeMs: compute,
        outMs: d2h,
        latencyMs,
        endToEndMs: latencyMs * 1.001,
      };
    return {
      startEnqMs: start,
      endEnqMs: start + enqueue,
      startH2dMs: start,
      endH2dMs: computing,
      startComputeMs: computing,
      endComputeMs: out,
      startD2hMs: out,
      endD2hMs: end,
      h2dMs: h2d,
      computeMs: compute,
      d2hMs: d2h,
      latencyMs,
      ...(since(version, '8.4') ? {} : { endToEndMs: latencyMs * 1.8 }),
    };
  });
  return `[\n${rows.map(row => JSON.stringify(row)).join(',\n')}\n]\n`;
}
