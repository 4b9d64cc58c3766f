import { EdgeError } from '../core/errors.ts';
import { tensorrtOfDigits, tensorrtOfText } from './tensorrt-version.ts';

const largestLog = 256 * 1024 * 1024;

/** Milliseconds of one query. trtexec 7.1 to 7.2 prints no mean of the enqueue time; percentiles depend on version and flags. */
export interface TrtexecTimes {
  readonly min?: number;
  readonly max?: number;
  readonly mean?: number;
  readonly median?: number;
  readonly p90?: number;
  readonly p95?: number;
  readonly p99?: number;
}
/** What one run of trtexec said. Absent is undefined, never 0. */
export interface TrtexecLog {
  /** TensorRT, `major.minor.patch`; 7.x and older do not say it. */
  readonly version?: string;
  /** By the last closing banner; without one, a summary means passed and no summary incomplete. */
  readonly outcome: 'passed' | 'failed' | 'incomplete';
  /** Queries per second: images/s is this × batch for explicit-batch engines (see `imagesPerSecond`). */
  readonly throughputQps?: number;
  /** H2D + GPU + D2H of one query. */
  readonly latencyMs?: TrtexecTimes;
  readonly gpuComputeMs?: TrtexecTimes;
  readonly h2dMs?: TrtexecTimes;
  readonly d2hMs?: TrtexecTimes;
  readonly enqueueMs?: TrtexecTimes;
  readonly built?: { readonly seconds?: number; readonly sizeMiB?: number };
  /** An engine read from a file; the size is rounded to whole MiB by trtexec. */
  readonly loaded?: { readonly seconds?: number; readonly sizeMiB?: number };
  readonly walltimeS?: number;
  readonly queries?: number;
  /** A number on implicit-batch engines (their throughput counts images already), else 'explicit'. */
  readonly batch?: number | 'explicit';
  readonly device?: string;
  readonly precision?: string;
  /** The whole command line, from the banner. */
  readonly command?: string;
  /** A stand-in wrote this log, as its banner says: no figure in it was measured. */
  readonly emulated?: boolean;
  /** Texts without time and level, in order. */
  readonly warnings: readonly string[];
  readonly errors: readonly string[];
  /** How a figure was obtained, where trtexec did not print it. */
  readonly notes: readonly string[];
}

type Block = 'latencyMs' | 'gpuComputeMs' | 'h2dMs' | 'd2hMs' | 'enqueueMs';
interface Draft {
  closing?: 'passed' | 'failed';
  version?: string;
  command?: string;
  emulated?: boolean;
  times: Partial<Record<Block, TrtexecTimes>>;
  throughputQps?: number;
  printedThroughput?: number;
  built?: { seconds?: number; sizeMiB?: number };
  loaded?: { seconds?: number; sizeMiB?: number };
  walltimeS?: number;
  queries?: number;
  batch?: number | 'explicit';
  device?: string;
  precision?: string;
  warnings: string[];
  errors: string[];
  /** The 7.x block we are in: `min:` and its sisters stand in several. */
  block?: Block | undefined;
  averages: { gpu: number[]; host: number[] };
}
const emptyDraft = (): Draft => ({ times: {}, warnings: [], errors: [], averages: { gpu: [], host: [] } });

/** Splits a line into its level and text; several orphan timestamps may stand before it, a `# ` where the log was quoted. */
export function trtexecLine(line: string): { readonly level?: 'V' | 'I' | 'W' | 'E' | 'F'; readonly text: string } {
  const [prefix = '', level] = /^(?:# )?(?:\[\d\d\/\d\d\/\d{4}-\d\d:\d\d:\d\d\] ?)*(?:\[([VIWEF])\] ?)?/.exec(line) ?? [];
  const text = line.slice(prefix.length).trimEnd();
  return level === undefined ? { text } : { level: level as 'V', text };
}

/** Reads stdout and stderr of trtexec, 5.x to 11.x, also cut short or with several runs in it (the last counts). Throws only `limit-exceeded`, above 256 Mi characters. */
export function parseTrtexecLog(text: string): TrtexecLog {
  if (text.length > largestLog) {
    throw new EdgeError('limit-exceeded', `This log has ${text.length} characters; the limit is ${largestLog}.`, {
      hint: 'Run trtexec without --verbose, or keep only the end of the log.',
    });
  }
  let draft = emptyDraft();
  let started = false;
  for (const line of linesOf(text)) {
    const banner = line.indexOf('&&&& ');
    if (banner >= 0 && readBanner(line.slice(banner), word => onBanner(word))) continue;
    readLine(draft, line);
  }
  return finish(draft);

  function onBanner({ word, version, command, emulated }: Banner): void {
    // stderr of the first run may come before its own RUNNING banner, so only a second run starts afresh.
    if (word === 'RUNNING' && (started || draft.closing !== undefined)) draft = emptyDraft();
    if (word === 'RUNNING') started = true;
    else draft.closing = word === 'PASSED' ? 'passed' : 'failed';
    if (version !== undefined) draft.version = version;
    if (emulated) draft.emulated = true;
    draft.command = command;
  }
}

/** images/s of a log at the batch its engine was run with; undefined where the log has no throughput. */
export const imagesPerSecond = (log: TrtexecLog, batch: number): number | undefined =>
  log.throughputQps === undefined ? undefined : typeof log.batch === 'number' ? log.throughputQps : log.throughputQps * batch;

function* linesOf(text: string): Generator<string> {
  for (let from = 0; from <= text.length; ) {
    const feed = text.indexOf('\n', from);
    const stop = feed < 0 ? text.length : feed;
    yield text.slice(from, text[stop - 1] === '\r' && stop > from ? stop - 1 : stop);
    from = stop + 1;
  }
}

interface Banner {
  readonly word: 'RUNNING' | 'PASSED' | 'FAILED';
  readonly version?: string;
  readonly command: string;
  readonly emulated: boolean;
}
function readBanner(text: string, use: (banner: Banner) => void): boolean {
  const [whole, word, digits, mark] = /^&&&& (RUNNING|PASSED|FAILED) TensorRT\.trtexec(?: \[TensorRT v(\d{4,7})\])?(?: \[b\d{1,6}\])?( \[emulated\])?/.exec(text) ?? [];
  if (whole === undefined) return false;
  const version = digits === undefined ? undefined : tensorrtOfDigits(digits)?.text;
  use({
    word: word as 'PASSED',
    emulated: mark !== undefined,
    command: text
      .slice(whole.length)
      .replace(/^ ?# ?/, '')
      .trim(),
    ...(version === undefined ? {} : { version }),
  });
  return true;
}

function readLine(draft: Draft, line: string): void {
  if (line === '') return;
  const { level, text } = trtexecLine(line);
  if (level === 'V') return;
  if (level === 'W' || (level === undefined && text.startsWith('WARNING: '))) draft.warnings.push(text);
  else if (level === 'E' || level === 'F' || (level === undefined && /^(?:ERROR: |\[\d{1,3}\] Assertion failed)/.test(text))) draft.errors.push(text);
  else if (!readSummary(draft, text) && !readOldSummary(draft, text)) readMilestone(draft, text);
}

const summaryNames: readonly (readonly [string, Block | 'other'])[] = [
  ['Latency: ', 'latencyMs'],
  ['GPU Compute Time: ', 'gpuComputeMs'],
  ['H2D Latency: ', 'h2dMs'],
  ['D2H Latency: ', 'd2hMs'],
  ['Enqueue Time: ', 'enqueueMs'],
  ['End-to-End Host Latency: ', 'other'],
];

/** The summary of 8.0 and later, one line per quantity. The verbose explanations repeat the names with prose: those have no figures and are passed over. */
function readSummary(draft: Draft, text: string): boolean {
  const qps = after(text, 'Throughput: ', ' qps');
  if (qps !== undefined) setThroughput(draft, qps);
  const walltime = after(text, 'Total Host Walltime: ', ' s');
  if (walltime !== undefined) draft.walltimeS = walltime;
  const name = summaryNames.find(([start]) => text.startsWith(start));
  if (name === undefined) return qps !== undefined || walltime !== undefined;
  const times = timesOf(text.slice(name[0].length));
  if (times !== undefined && name[1] !== 'other') draft.times[name[1]] = times;
  return true;
}

function timesOf(list: string): TrtexecTimes | undefined {
  const times: Record<string, number> = {};
  for (const part of list.split(', ', 64)) {
    const [, name, percent, value] = /^(min|max|mean|median|percentile\((\d{1,3}(?:\.\d{1,6})?)%\)) = (\S{1,32}) ms$/.exec(part) ?? [];
    const number = figure(value);
    const key = percent === undefined ? name : ['90', '95', '99'].includes(percent) ? `p${percent}` : undefined;
    if (key !== undefined && number !== undefined) times[key] = number;
  }
  return Object.keys(times).length > 0 ? times : undefined;
}

const oldBlocks: Readonly<Record<string, Block>> = { 'Host latency': 'latencyMs', 'Host Latency': 'latencyMs', 'Enqueue Time': 'enqueueMs', 'GPU Compute': 'gpuComputeMs' };

/** The summary of 7.x (a heading, then one figure a line), and the averages of 5.x and 6.x. */
function readOldSummary(draft: Draft, text: string): boolean {
  if (Object.hasOwn(oldBlocks, text)) {
    draft.block = oldBlocks[text];
    return true;
  }
  const qps = after(text, 'throughput: ', ' qps');
  if (qps !== undefined) setThroughput(draft, qps);
  const walltime = after(text, 'walltime: ', ' s');
  if (walltime !== undefined) draft.walltimeS = walltime;
  const [, name, value, percent] = /^(min|max|mean|median|percentile): (\S{1,32}) ms(?: at (\d{1,3})%)?(?: \(.{0,120}\))?$/.exec(text) ?? [];
  const number = figure(value);
  const key = name !== 'percentile' ? name : percent === '90' || percent === '95' || percent === '99' ? `p${percent}` : undefined;
  if (draft.block !== undefined && key !== undefined && number !== undefined) draft.times[draft.block] = { ...draft.times[draft.block], [key]: number };
  const [, gpu, host] = /^Average over \d{1,9} runs is (\S{1,32}) ms \(host walltime is (\S{1,32}) ms,/.exec(text) ?? [];
  const [gpuMean, hostMean] = [figure(gpu), figure(host)];
  if (gpuMean !== undefined) draft.averages.gpu.push(gpuMean);
  if (hostMean !== undefined) draft.averages.host.push(hostMean);
  return qps !== undefined || walltime !== undefined || name !== undefined || gpu !== undefined;
}

function readMilestone(draft: Draft, text: string): void {
  const seconds = after(text, 'Engine built in ', ' sec');
  if (seconds !== undefined) draft.built = { ...draft.built, seconds };
  const size = after(text, 'Created engine with size: ', ' MiB');
  if (size !== undefined) draft.built = { ...draft.built, sizeMiB: size };
  const loadSeconds = after(text, 'Engine loaded in ', ' sec');
  if (loadSeconds !== undefined) draft.loaded = { ...draft.loaded, seconds: loadSeconds };
  const loadSize = after(text, '[TRT] Loaded engine size: ', ' M');
  if (loadSize !== undefined) draft.loaded = { ...draft.loaded, sizeMiB: loadSize };
  const [, queries, walltime] = /^Timing trace has (\d{1,15}) queries over (\S{1,32}) s/.exec(text) ?? [];
  if (queries !== undefined && Number(queries) > 0) draft.queries = Number(queries);
  const traced = figure(walltime);
  if (traced !== undefined) draft.walltimeS ??= traced;
  const [, batch] = /^(?:Batch|Max batch): (\d{1,6}|[Ee]xplicit)/.exec(text) ?? [];
  if (batch !== undefined) draft.batch = /^\d/.test(batch) ? Number(batch) : 'explicit';
  const [, device] = /^Selected Device: (.{1,120})$/.exec(text) ?? [];
  if (device !== undefined) draft.device = device;
  const [, precision] = /^Precision: (.{1,120})$/.exec(text) ?? [];
  if (precision !== undefined) draft.precision = precision;
  const [, version] = /^TensorRT version: (\S{1,32})/.exec(text) ?? [];
  if (version !== undefined) draft.version ??= (tensorrtOfText(version) ?? tensorrtOfDigits(version))?.text ?? version;
}

function setThroughput(draft: Draft, qps: number): void {
  draft.printedThroughput = qps;
  if (qps > 0) draft.throughputQps = qps;
}

/** 7.x prints 0 qps and 0 queries for explicit batch: then 1000 / mean, which holds for one stream. */
function finish(draft: Draft): TrtexecLog {
  const notes: string[] = [];
  const times = { ...draft.times };
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  if (draft.averages.gpu.length > 0) times.gpuComputeMs ??= { mean: mean(draft.averages.gpu) };
  if (draft.averages.host.length > 0) times.latencyMs ??= { mean: mean(draft.averages.host) };
  let throughputQps = draft.throughputQps;
  const meanMs = times.latencyMs?.mean;
  if (throughputQps === undefined && draft.printedThroughput === 0 && draft.queries !== undefined && draft.walltimeS !== undefined) {
    throughputQps = draft.queries / draft.walltimeS;
    notes.push('trtexec printed 0 qps (a 7.x fault with explicit batch); the throughput is queries / walltime.');
  } else if (throughputQps === undefined && draft.printedThroughput === 0 && meanMs !== undefined && meanMs > 0) {
    throughputQps = 1000 / meanMs;
    notes.push('trtexec printed 0 qps (a 7.x fault with explicit batch); the throughput is 1000 / mean latency.');
  }
  const summary = throughputQps !== undefined || times.latencyMs !== undefined || times.gpuComputeMs !== undefined;
  const { version, built, loaded, walltimeS, queries, batch, device, precision, command, emulated, warnings, errors } = draft;
  const found = { version, throughputQps, ...times, built, loaded, walltimeS, queries, batch, device, precision, command, emulated };
  return {
    outcome: draft.closing ?? (summary ? 'passed' : 'incomplete'),
    ...(Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined)) as Partial<TrtexecLog>),
    warnings,
    errors,
    notes,
  };
}

/** A printed float that is a figure: `1e-05` is one; `inf`, `nan` and words are not. */
function figure(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,20}(?:\.\d{0,20})?(?:e[+-]?\d{1,3})?$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isFinite(value) ? value : undefined;
}

function after(text: string, start: string, unit: string): number | undefined {
  if (!text.startsWith(start)) return undefined;
  const end = text.indexOf(unit, start.length);
  return end < 0 ? undefined : figure(text.slice(start.length, end));
}
