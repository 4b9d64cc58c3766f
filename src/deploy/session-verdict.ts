import type { BoardState, Energy, Heat, TrackPoint } from '../core/evidence.ts';
import type { SessionLog, SessionRun, SessionSample } from './session-log.ts';

/** Of all processors: what others may use before times are void. The SSH session and the run's own process need a few percent. */
const mostForeignLoad = 0.15;
/** Of the GPU, while nothing of ours runs on it. */
const mostIdleGpuPercent = 20;
/** A clock this far under the set one is throttled; this share of the samples may be before times are void. */
const throttledBelow = 0.95;
const mostThrottled = 0.1;
/** nvidia-smi's clocks_throttle_reasons (NVML's nvmlClocksThrottleReason…) that are faults of the moment; the power cap (0x4) is the card's own nature and only noted. */
const throttleReasons: readonly (readonly [bit: number, name: string])[] = [
  [0x8, 'hardware slowdown'],
  [0x20, 'software thermal slowdown'],
  [0x40, 'hardware thermal slowdown'],
  [0x80, 'hardware power brake'],
];
const powerCap = 0x4;

/** Why times are void, as the report says it: the reason, and the command that measures again. */
export const voidBecause = (reasons: readonly string[]): { readonly voided?: string } =>
  reasons.length === 0 ? {} : { voided: `${reasons.join('; ')}; measure again when that is over: edgeforge benchmark --again` };
/** The reason where others used the processors while we measured. */
export const foreignLoadReasons = (share: number | undefined): readonly string[] =>
  share !== undefined && share > mostForeignLoad ? [`other programs used ${(100 * share).toFixed(0)} % of the processors meanwhile (at most ${100 * mostForeignLoad} % may)`] : [];

/** When an engine was measured, in seconds of the board's uptime, the warm-up apart, and how many images it computed then. */
export interface Window {
  readonly fromS: number;
  readonly toS: number;
  readonly images: number;
}
const within = (samples: readonly SessionSample[], windows: readonly Pick<Window, 'fromS' | 'toS'>[]): SessionSample[] =>
  samples.filter(({ atS }) => windows.some(({ fromS, toS }) => fromS <= atS && atS <= toS));

/** ∫ power dt over a window in mJ: between samples straight lines, before the first and after the last one level. Undefined without a sample in it. */
function millijoules(samples: readonly { readonly atS: number; readonly mw: number }[], { fromS, toS }: Window): number | undefined {
  const inside = samples.filter(({ atS }) => fromS <= atS && atS <= toS);
  const [first, last] = [inside[0], inside.at(-1)];
  if (!first || !last) return undefined;
  const points = [{ atS: fromS, mw: first.mw }, ...inside, { atS: toS, mw: last.mw }];
  return points.slice(1).reduce((sum, { atS, mw }, i) => sum + ((points[i]!.mw + mw) / 2) * (atS - points[i]!.atS), 0);
}

/** Energy of an engine's images by the board's own sensor; undefined where there is none, or it gave fewer than two samples. */
export function energyOf(windows: readonly Window[], { samples, idleS }: Pick<SessionLog, 'samples' | 'idleS'>): Energy | undefined {
  const powered = samples.flatMap(({ atS, mw, rail }) => (mw === undefined || rail === undefined ? [] : [{ atS, mw, rail }]));
  const parts = windows.flatMap(window => {
    const mj = millijoules(powered, window);
    return mj === undefined ? [] : [{ mj, ...window }];
  });
  const [images, seconds, mj] = [
    parts.reduce((sum, part) => sum + part.images, 0),
    parts.reduce((sum, part) => sum + part.toS - part.fromS, 0),
    parts.reduce((sum, part) => sum + part.mj, 0),
  ];
  const count = powered.filter(({ atS }) => parts.some(({ fromS, toS }) => fromS <= atS && atS <= toS)).length;
  if (count < 2 || images <= 0 || seconds <= 0 || mj <= 0) return undefined;
  const idle = idleS ? powered.filter(({ atS }) => idleS[0] <= atS && atS <= idleS[1]) : [];
  return {
    perImageMj: mj / images,
    fpsPerW: (1000 * images) / mj,
    meanW: mj / seconds / 1000,
    ...(idle.length > 0 ? { idleW: idle.reduce((sum, { mw }) => sum + mw, 0) / idle.length / 1000 } : {}),
    rail: powered[0]!.rail,
    samples: count,
    sensor: 'board sensor, not wall',
  };
}

/** The least and the most of the hottest sensor while an engine was measured. */
export function heatOf(windows: readonly Window[], samples: readonly SessionSample[]): Heat | undefined {
  const seen = within(samples, windows).flatMap(({ temperaturesC }) => Object.entries(temperaturesC));
  const [sensor] = seen.toSorted(([, a], [, b]) => b - a)[0] ?? [];
  if (sensor === undefined) return undefined;
  const values = seen.filter(([name]) => name === sensor).map(([, value]) => value);
  return { sensor, minC: Math.min(...values), maxC: Math.max(...values) };
}

/** At most this many points of one engine's rounds are told: a quarter of a second apart they would be thousands. */
const mostTrackPoints = 120;
const meanOf = (values: readonly (number | undefined)[]): number | undefined => {
  const told = values.filter(value => value !== undefined);
  return told.length === 0 ? undefined : told.reduce((sum, value) => sum + value, 0) / told.length;
};

/** Power, GPU clock and the heat of one sensor through an engine's rounds: means over equal parts of each window, parts without a sample left out. */
export function trackOf(windows: readonly Window[], samples: readonly SessionSample[], sensor: string | undefined): readonly TrackPoint[] {
  const start = samples[0]?.atS ?? 0;
  const parts = Math.max(1, Math.floor(mostTrackPoints / Math.max(1, windows.length)));
  return windows.flatMap(({ fromS, toS }, round) => {
    const seen = within(samples, [{ fromS, toS }]);
    const count = Math.min(parts, seen.length);
    return Array.from({ length: count }, (_, part) => {
      const [from, to] = [fromS + ((toS - fromS) * part) / count, fromS + ((toS - fromS) * (part + 1)) / count];
      const inside = seen.filter(({ atS }) => from <= atS && (atS < to || part === count - 1));
      const [mw, gpuMHz, heatC] = [
        meanOf(inside.map(({ mw }) => mw)),
        meanOf(inside.map(({ gpuMHz }) => gpuMHz)),
        meanOf(inside.map(({ temperaturesC }) => temperaturesC[sensor ?? ''])),
      ];
      const told = { ...(mw === undefined ? {} : { w: mw / 1000 }), ...(gpuMHz === undefined ? {} : { gpuMHz }), ...(heatC === undefined ? {} : { heatC }) };
      return Object.keys(told).length === 0 ? [] : [{ round: round + 1, atS: (from + to) / 2 - start, ...told }];
    }).flat();
  });
}

const shareOf = <T>(all: readonly T[], held: (each: T) => boolean): number => (all.length === 0 ? 0 : all.filter(held).length / all.length);

/** The GPU's clocks meanwhile, where the board tells them; an idle GPU says 0. */
const gpuClocksOf = (samples: readonly SessionSample[], windows: readonly Window[]): readonly number[] =>
  within(samples, windows).flatMap(({ gpuMHz }) => (gpuMHz === undefined || gpuMHz === 0 ? [] : [gpuMHz]));

/** Why the times of an engine do not count: a throttled clock, an alarm, programs of others. */
export function voidReasons(runs: readonly SessionRun[], windows: readonly Window[], log: SessionLog): readonly string[] {
  const samples = within(log.samples, windows);
  const setMHz = log.clocks?.locked ? log.clocks.gpu?.maxMHz : log.cardMHz;
  const clocks = gpuClocksOf(log.samples, windows);
  const slow = setMHz === undefined ? 0 : shareOf(clocks, mhz => mhz < throttledBelow * setMHz);
  const reasons = throttleReasons.filter(([bit]) => shareOf(samples, ({ throttleBits = 0 }) => (throttleBits & bit) !== 0) > mostThrottled).map(([, name]) => name);
  const count = (kind: 'current' | 'thermal') => runs.reduce((sum, run) => sum + run.alarms[kind], 0);
  const idle = log.idleS ? within(log.samples, [{ fromS: log.idleS[0], toS: log.idleS[1] }]).flatMap(({ gpuPercent }) => (gpuPercent === undefined ? [] : [gpuPercent])) : [];
  const least = Math.min(...idle);
  const loads = runs.flatMap(({ foreignLoad }) => foreignLoad ?? []);
  return [
    ...(slow > mostThrottled
      ? [`the GPU ran below its set ${setMHz} MHz for ${(100 * slow).toFixed(0)} % of the time (down to ${Math.min(...clocks).toFixed(0)} MHz): it was throttled`]
      : []),
    ...(reasons.length > 0 ? [`the card was throttled (${reasons.join(', ')})`] : []),
    ...(count('thermal') > 0 ? ['the board throttled itself for its heat meanwhile'] : []),
    ...(count('current') > 0 ? [`the board counted ${count('current')} under-voltage or over-current events meanwhile`] : []),
    ...(log.neighbours.length > 0 ? [`other programs were on the GPU (${log.neighbours.map(line => line.replace(/^(\d+), */, '$1 ')).join(', ')})`] : []),
    ...(idle.length > 0 && least > mostIdleGpuPercent ? [`the GPU was ${least} % busy before anything of ours ran`] : []),
    ...foreignLoadReasons(loads.length === 0 ? undefined : loads.reduce((sum, load) => sum + load, 0) / loads.length),
  ];
}

/** A card's lock is believed where its sensor shows the clock: a card may take the words and run free, or take the nearest of its steps (15 MHz apart). */
function cardHeldAt(windows: readonly Window[], { cardMHz, samples }: SessionLog): number | undefined {
  const seen = gpuClocksOf(samples, windows);
  return cardMHz !== undefined && seen.length > 0 && seen.every(mhz => mhz <= cardMHz + 15) ? cardMHz : undefined;
}

/** What the board was set to, for the evidence. */
export function boardStateOf(windows: readonly Window[], log: SessionLog): BoardState {
  const { powerMode, clocks, card, restored } = log;
  const held = clocks?.locked === true;
  const cardMHz = cardHeldAt(windows, log);
  const cpuMHz = clocks?.cpu.map(({ maxMHz }) => maxMHz) ?? [];
  return {
    clocks: held || cardMHz !== undefined ? 'locked' : 'as found',
    ...(powerMode === undefined ? {} : { powerMode }),
    ...(held && clocks.gpu ? { gpuMHz: clocks.gpu.maxMHz } : cardMHz === undefined ? {} : { gpuMHz: cardMHz }),
    ...(held && cpuMHz.length > 0 ? { cpuMHz: Math.max(...cpuMHz) } : {}),
    ...(held && clocks.emc ? { emcMHz: clocks.emc.maxMHz } : {}),
    ...card,
    ...(clocks?.fan ? { fan: clocks.fan } : {}),
    ...(restored === undefined ? {} : { restored }),
  };
}

/** What a reader must know of the conditions that does not void the times. */
export function conditionNotes(windows: readonly Window[], log: SessionLog, { locks, mend }: { readonly locks: boolean; readonly mend: string }): readonly string[] {
  const samples = within(log.samples, windows);
  const clocks = gpuClocksOf(log.samples, windows);
  const seen = clocks.length > 0 ? ` (the GPU ran at ${Math.min(...clocks).toFixed(0)} to ${Math.max(...clocks).toFixed(0)} MHz)` : '';
  const { gpu } = log.clocks ?? {};
  return [
    ...(locks && !log.clocks?.locked ? [`jetson_clocks did not hold the clocks${gpu ? ` (GPU ${gpu.minMHz} to ${gpu.maxMHz} MHz)` : ''}: measured as found${seen}`] : []),
    ...(!locks && log.cardMHz === undefined ? [`clocks are as found, nobody set them${seen}; ${mend}`] : []),
    ...(log.cardMHz !== undefined && cardHeldAt(windows, log) === undefined ? [`nvidia-smi did not hold the GPU at ${log.cardMHz} MHz: measured as found${seen}`] : []),
    ...(log.restored === false
      ? [`the clocks could not be given back: run sudo ${log.cardMHz === undefined ? 'jetson_clocks --restore /root/edgeforge-clocks.conf' : 'nvidia-smi -i 0 -rgc'} on the board`]
      : []),
    ...(log.warm?.state === 'rising'
      ? [`the GPU still grew warmer after ${log.warm.seconds.toFixed(0)} s of warm-up${log.warm.heatC === undefined ? '' : ` (${log.warm.heatC} °C)`}`]
      : []),
    ...(shareOf(samples, ({ throttleBits = 0 }) => (throttleBits & powerCap) !== 0) > mostThrottled ? ['the card’s power limit held its clock down'] : []),
  ];
}
