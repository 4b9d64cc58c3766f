import { type JetsonClocks, parseJetsonClocks } from '../formats/jetson-clocks.ts';
import { parseTegrastats, powerMw } from '../formats/tegrastats.ts';
import { powerModeOf } from './_parse-facts.ts';

/** Begins the session's own lines in the log. */
export const sessionMark = '\u001e';

/** One timed query in ms: when the GPU began it, how long it computed, and the latency with copies. */
export interface SessionQuery {
  readonly startMs: number;
  readonly computeMs: number;
  readonly latencyMs: number;
}
/** One engine in one round. Moments are seconds of the board's uptime. */
export interface SessionRun {
  readonly engine: number;
  /** What the program said. */
  readonly text: string;
  /** When it began to infer, warm-up included. */
  readonly beganS: number;
  readonly queries: readonly SessionQuery[];
  /** Share of all processors that others used meanwhile, 0..1. */
  readonly foreignLoad?: number;
  /** Under-voltage and over-current events of the board meanwhile, and its thermal ones: trips counted, or a throttle at work. */
  readonly alarms: { readonly current: number; readonly thermal: number };
}
/** What the board said of itself at one moment. */
export interface SessionSample {
  readonly atS: number;
  readonly mw?: number;
  readonly rail?: string;
  readonly gpuMHz?: number;
  readonly gpuPercent?: number;
  readonly temperaturesC: Readonly<Record<string, number>>;
  /** nvidia-smi's bits for what holds the clock down. */
  readonly throttleBits?: number;
}
/** Everything a measuring session left in its log. */
export interface SessionLog {
  readonly runs: readonly SessionRun[];
  readonly samples: readonly SessionSample[];
  /** While nothing of ours ran: from, to. */
  readonly idleS?: readonly [number, number];
  readonly powerMode?: string;
  /** Clocks after they were set; undefined where they were not, or nobody may ask. */
  readonly clocks?: JetsonClocks;
  /** What a card says of its own bounds. */
  readonly card?: { readonly gpuMaxMHz?: number; readonly powerLimitW?: number };
  /** The clock that a card was told to hold. */
  readonly cardMHz?: number;
  /** They were set here, and given back or not, as jetson_clocks itself shows it afterwards; a card's by nvidia-smi's exit code, for a lock cannot be asked for. */
  readonly restored?: boolean;
  readonly warm?: { readonly seconds: number; readonly state: 'steady' | 'rising' | 'unknown'; readonly heatC?: number };
  /** Programs on the GPU beside ours, `PID, NAME`. */
  readonly neighbours: readonly string[];
}

interface Section {
  readonly name: string;
  readonly words: readonly string[];
  readonly text: string;
}
const sectionsOf = (log: string): Section[] =>
  log.split(sessionMark).map(section => {
    const end = section.indexOf('\n');
    const [name = '', ...words] = (end < 0 ? section : section.slice(0, end)).split(' ');
    return { name, words, text: end < 0 ? '' : section.slice(end + 1) };
  });

/** `BUSY ALL 0m1.25s 0m0.50s` → seconds of all processors busy and in all, and of our own children; /proc/stat counts hundredths. */
function cpuOf([busy, all, ...own]: readonly string[]) {
  const seconds = own.map(text => /^(\d+)m([\d.]+)s$/.exec(text)).reduce((sum, match) => sum + (match ? 60 * Number(match[1]) + Number(match[2]) : 0), 0);
  return { busy: Number(busy) / 100, all: Number(all) / 100, own: seconds };
}
type Cpu = ReturnType<typeof cpuOf>;
const foreignOf = (before: Cpu | undefined, after: Cpu): number | undefined =>
  before && after.all > before.all ? Math.max(0, after.busy - before.busy - (after.own - before.own)) / (after.all - before.all) : undefined;

/** One line of the sampler: `UPTIME [Hz] | what tegrastats or nvidia-smi printed`. Undefined where it is neither. */
export function parseSample(line: string): SessionSample | undefined {
  const [, at, hz, said = ''] = /^([\d.]{1,16}) (\d{0,15}) ?\| (.*)$/.exec(line) ?? [];
  if (at === undefined) return undefined;
  const clock = hz === '' || hz === undefined ? {} : { gpuMHz: Number(hz) / 1e6 };
  const card = /^\s*([\d.]+|\[[^\]]*\]), *(\d+|\[[^\]]*\]), *(\d+|\[[^\]]*\]), *(\d+|\[[^\]]*\]), *(0x[\da-f]+|\[[^\]]*\])/i.exec(said);
  if (card) {
    const [watts, load, heat, mhz, bits] = card.slice(1).map(text => (text.startsWith('[') ? undefined : Number(text)));
    return {
      atS: Number(at),
      temperaturesC: heat === undefined ? {} : { GPU: heat },
      ...(watts === undefined ? {} : { mw: watts * 1000, rail: 'power.draw of the card' }),
      ...(load === undefined ? {} : { gpuPercent: load }),
      ...(mhz === undefined ? {} : { gpuMHz: mhz }),
      ...(bits === undefined ? {} : { throttleBits: bits }),
    };
  }
  try {
    const sample = parseTegrastats(said);
    const mhz = typeof sample.gr3d?.mhz === 'number' ? sample.gr3d.mhz : sample.gr3d?.mhz?.[0];
    return {
      atS: Number(at),
      temperaturesC: Object.fromEntries(Object.entries(sample.temperaturesC).filter(([name]) => name !== 'PMIC')),
      ...powerMw(sample),
      ...clock,
      ...(mhz === undefined ? {} : { gpuMHz: mhz }),
      ...(sample.gr3d?.loadPercent === undefined ? {} : { gpuPercent: sample.gr3d.loadPercent }),
    };
  } catch {
    // A line cut off when the sampler was ended.
    return undefined;
  }
}

/** `Enabled, 585, 1590, 70.00`: persistence, clock now and at most, power limit; what a card does not tell stands in brackets. */
function cardOf(text: string): NonNullable<SessionLog['card']> {
  const [, , max, limit] = text.split(',').map(part => (/^\s*[\d.]+\s*$/.test(part) ? Number(part) : undefined));
  return { ...(max === undefined ? {} : { gpuMaxMHz: max }), ...(limit === undefined ? {} : { powerLimitW: limit }) };
}

/** Whether two `jetson_clocks --show` leave the same bounds; where one says nothing, the exit code has to do. */
function sameBounds(before: string, after: string): boolean {
  const [was, is] = [parseJetsonClocks(before), parseJetsonClocks(after)];
  const bounds = ({ cpu, gpu, emc }: JetsonClocks): string => JSON.stringify([...cpu, gpu].map(range => [range?.minMHz, range?.maxMHz]).concat([[Number(emc?.override ?? false)]]));
  return !was || !is || bounds(was) === bounds(is);
}

const queriesOf = (text: string): SessionQuery[] =>
  text.split('\n').flatMap(line => {
    const [startMs, computeMs, latencyMs] = line.split(' ').map(Number);
    return latencyMs === undefined ? [] : [{ startMs: startMs!, computeMs: computeMs!, latencyMs }];
  });

const warmOf = ([seconds, state, heat]: readonly string[]): SessionLog['warm'] =>
  state === 'steady' || state === 'rising' || state === 'unknown' ? { seconds: Number(seconds), state, ...(heat ? { heatC: Number(heat) } : {}) } : undefined;

/** Reads the log of a session, also one cut short: what is missing is absent. */
export function parseSessionLog(log: string): SessionLog {
  const sections = sectionsOf(log);
  const of = (name: string): Section | undefined => sections.find(section => section.name === name);
  const runs: SessionRun[] = [];
  let [cpu, alarms, run]: [Cpu | undefined, readonly number[], { engine: number; text: string } | undefined] = [undefined, [], undefined];
  for (const { name, words, text } of sections) {
    const last = runs.at(-1);
    if (name === 'run') run = { engine: Number(words[0]), text };
    else if (name === 'times' && run) {
      runs.push({ ...run, beganS: Number(words[0]), queries: queriesOf(text), alarms: { current: 0, thermal: 0 } });
    } else if (name === 'cpu') {
      const now = cpuOf(words);
      const foreignLoad = foreignOf(cpu, now);
      if (run && last && foreignLoad !== undefined) runs[runs.length - 1] = { ...last, foreignLoad };
      cpu = now;
    } else if (name === 'alarms') {
      const now = words.map(Number);
      const [current = 0, trips = 0, hot = 0] = now;
      const [currentBefore = 0, tripsBefore = 0, hotBefore = 0] = alarms;
      if (run && last) runs[runs.length - 1] = { ...last, alarms: { current: current - currentBefore, thermal: trips - tripsBefore + hot + hotBefore } };
      [alarms, run] = [now, undefined];
    }
  }
  const [idle, warm, restored, card, holds] = [of('idle'), warmOf(of('warm')?.words ?? []), of('restored'), of('card'), of('holds')];
  const powerMode = powerModeOf(of('mode')?.text ?? '');
  const clocks = parseJetsonClocks(of('during')?.text ?? '');
  return {
    runs,
    samples: (of('samples')?.text ?? '').split('\n').flatMap(line => parseSample(line) ?? []),
    neighbours: [...new Set(sections.filter(({ name }) => name === 'neighbours').flatMap(({ text }) => text.split('\n').filter(line => /^\d/.test(line))))],
    ...(idle ? { idleS: [Number(idle.words[0]), Number(idle.words[1])] } : {}),
    ...(powerMode === undefined ? {} : { powerMode }),
    ...(clocks ? { clocks } : {}),
    ...(card ? { card: cardOf(card.text) } : {}),
    ...(holds ? { cardMHz: Number(holds.words[0]) } : {}),
    ...(restored ? { restored: restored.words[0] === 'yes' && sameBounds(of('before')?.text ?? '', restored.text) } : {}),
    ...(warm ? { warm } : {}),
  };
}
