import { EdgeError } from '../core/errors.ts';

const longestLine = 65_536;

export interface CpuLoad {
  readonly loadPercent: number;
  readonly mhz?: number;
}
/** Power on one rail in milliwatts; `average` since tegrastats started, `peak` from JetPack 7.2 on. */
export interface RailPower {
  readonly now: number;
  readonly average: number;
  readonly peak?: number;
}
/** One line of tegrastats. What the line does not say is absent: memory and GPU clocks need root, swap may not exist. */
export interface Tegrastats {
  /** Local time as printed, MM-DD-YYYY HH:MM:SS; from L4T 35 on. */
  readonly timestamp?: string;
  readonly ramUsedMB: number;
  readonly ramTotalMB: number;
  readonly swapUsedMB?: number;
  readonly swapTotalMB?: number;
  /** One per core; null is a core that is off-line. */
  readonly cpu: readonly (CpuLoad | null)[];
  readonly emc?: { readonly loadPercent?: number; readonly mhz?: number };
  /** GPU; `mhz` is an array where the line names one clock per cluster. */
  readonly gr3d?: { readonly loadPercent?: number; readonly mhz?: number | readonly number[] };
  /** °C by sensor, spelled as printed; a sensor that is off (-256C) is left out. PMIC is a constant 100 on old boards. */
  readonly temperaturesC: Readonly<Record<string, number>>;
  readonly railsMw: Readonly<Record<string, RailPower>>;
  /** The rail that feeds the whole module, where the board has one; else the sum of the rails is the best there is. */
  readonly totalRail?: string;
}

const totalRails = ['VDD_IN', 'POM_5V_IN', 'VIN'];

/** Reads one line of tegrastats, Nano to Thor, L4T 28 to 39. Throws `file-corrupt` where the line is not one, `limit-exceeded` above 64 KiB. */
export function parseTegrastats(line: string): Tegrastats {
  if (line.length > longestLine) {
    throw new EdgeError('limit-exceeded', `A tegrastats line of ${line.length} characters is over the limit of ${longestLine}.`, {
      hint: 'Give one line of tegrastats at a time.',
    });
  }
  const ram = amounts(/(?:^|\s)RAM (\d{1,9})\/(\d{1,9})MB/.exec(line));
  const cpu = cpuLoads(line);
  if (ram === undefined || cpu === undefined) {
    throw new EdgeError('file-corrupt', `This is not a tegrastats line (no RAM or CPU field): ${JSON.stringify(line.slice(0, 120))}.`, {
      hint: 'Run tegrastats --interval 1000 on the Jetson and give one line of its output.',
    });
  }
  const [timestamp] = /^\s{0,8}\d{2}-\d{2}-\d{4} \d{2}:\d{2}:\d{2}(?=\s)/.exec(line) ?? [];
  const swap = amounts(/(?:^|\s)SWAP (\d{1,9})\/(\d{1,9})MB/.exec(line));
  const emc = loadAndClock(/(?:^|\s)EMC(?:_FREQ)? ([\d@%.]{1,24})(?=\s|$)/.exec(line)?.[1]);
  const gr3d = loadAndClock(/(?:^|\s)GR3D(?:_FREQ)? ([\d@%.]{1,24}|[\d%]{0,6}@\[[\d,]{0,200}\])(?=\s|$)/.exec(line)?.[1]);
  const railsMw = rails(line);
  const totalRail = totalRails.find(name => Object.hasOwn(railsMw, name));
  return {
    ...(timestamp === undefined ? {} : { timestamp: timestamp.trim() }),
    ramUsedMB: ram[0],
    ramTotalMB: ram[1],
    ...(swap === undefined ? {} : { swapUsedMB: swap[0], swapTotalMB: swap[1] }),
    cpu,
    ...(emc === undefined ? {} : { emc: emc as NonNullable<Tegrastats['emc']> }),
    ...(gr3d === undefined ? {} : { gr3d }),
    temperaturesC: temperatures(line),
    railsMw,
    ...(totalRail === undefined ? {} : { totalRail }),
  };
}

/** Power now, in mW: of the rail that feeds the module, else the sum of all; undefined where no rail is read. Board sensors, not the wall. */
export function powerMw(sample: Tegrastats): { readonly mw: number; readonly rail: string } | undefined {
  const names = Object.keys(sample.railsMw);
  if (sample.totalRail !== undefined) return { mw: sample.railsMw[sample.totalRail]?.now ?? 0, rail: sample.totalRail };
  return names.length === 0 ? undefined : { mw: names.reduce((sum, name) => sum + (sample.railsMw[name]?.now ?? 0), 0), rail: `sum of ${names.join(' + ')}` };
}

const amounts = (match: RegExpExecArray | null): readonly [number, number] | undefined => (match ? [Number(match[1]), Number(match[2])] : undefined);

/** `[12%@1510,off,0%@729]`, or the form of L4T 28 with one clock for all: `[0%,0%]@1734`. */
function cpuLoads(line: string): readonly (CpuLoad | null)[] | undefined {
  const [, list, shared] = /(?:^|\s)cpu {0,4}\[([^\]\n]{0,4096})\](?:@(\d{1,6}))?/i.exec(line) ?? [];
  if (list === undefined) return undefined;
  const loads = list.split(',').map(text => {
    const [, load, mhz = shared] = /^\s*(\d{1,3})%(?:@(\d{1,6}))?\s*$/.exec(text) ?? [];
    if (load !== undefined) return { loadPercent: Number(load), ...(mhz === undefined ? {} : { mhz: Number(mhz) }) };
    return text.trim() === 'off' ? null : undefined;
  });
  return loads.every(load => load !== undefined) ? (loads as (CpuLoad | null)[]) : undefined;
}

/** `43%@2133`, `0%`, `@2133`, `12%@[1300,1300]`. */
function loadAndClock(text: string | undefined): { loadPercent?: number; mhz?: number | number[] } | undefined {
  const [, load, mhz, list] = /^(?:(\d{1,3})%)?(?:@(?:(\d{1,6})|\[((?:\d{1,6},?){1,32})\]))?$/.exec(text ?? '') ?? [];
  if (load === undefined && mhz === undefined && list === undefined) return undefined;
  const clocks =
    list === undefined
      ? undefined
      : list
          .split(',')
          .filter(part => part !== '')
          .map(Number);
  return {
    ...(load === undefined ? {} : { loadPercent: Number(load) }),
    ...(mhz !== undefined ? { mhz: Number(mhz) } : clocks !== undefined ? { mhz: clocks } : {}),
  };
}

function temperatures(line: string): Record<string, number> {
  const found = line.matchAll(/(?<=^|\s)([A-Za-z][\w.-]{0,31})@(-?\d{1,4}(?:\.\d{1,6})?)C(?:\/-?\d{1,4}(?:\.\d{1,6})?C)?(?=\s|$)/g);
  return Object.fromEntries([...found].map(([, name, value]) => [name, Number(value)] as const).filter(([, value]) => value > -256));
}

/** A name, then `now/average[/peak]` in mW; L4T 32 leaves the unit out. The memory fields end in MB or kB and so do not match. */
function rails(line: string): Record<string, RailPower> {
  const words = line.split(/\s+/);
  const pairs = words.flatMap((word, at) => {
    const [, now, average, peak] = /^(-?\d{1,9})(?:mW)?\/(-?\d{1,9})(?:mW)?(?:\/(-?\d{1,9})(?:mW)?)?$/.exec(word) ?? [];
    const name = words[at - 1] ?? '';
    if (now === undefined || !/^[A-Za-z][\w.+-]{0,63}$/.test(name)) return [];
    return [[name, { now: Number(now), average: Number(average), ...(peak === undefined ? {} : { peak: Number(peak) }) }] as const];
  });
  return Object.fromEntries(pairs);
}
