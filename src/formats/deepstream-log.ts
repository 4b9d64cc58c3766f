import { EdgeError, type ErrorCode } from '../core/errors.ts';

/** Frames per second of one stream over the prints that count: all after the first with frames, which covers only part of its second. */
export interface StreamRate {
  readonly n: number;
  readonly mean: number;
  readonly min: number;
  readonly sd: number;
  /** The app's own average over its whole life. */
  readonly average: number;
  /** No frame ever, or none in the last prints. */
  readonly dead: boolean;
}
export interface DeepstreamFailure {
  readonly kind: string;
  readonly line: string;
  readonly error: EdgeError;
}
/** What deepstream-app printed. `running`: it neither ended nor failed in what was read. */
export interface DeepstreamLog {
  readonly streams: readonly StreamRate[];
  readonly prints: number;
  readonly end: 'success' | 'failed' | 'running';
  /** The failure that ended it, the most telling first. */
  readonly failures: readonly DeepstreamFailure[];
  /** What it did otherwise than asked for, without failing. */
  readonly notes: readonly string[];
}

/** So many prints without a frame at the end, and a source is dead. */
const deadPrints = 3;
const mostLine = 65_536;

interface Rule {
  readonly kind: string;
  readonly code?: ErrorCode;
  readonly pattern: RegExp;
  readonly message: (subject: string) => string;
  readonly hint: string;
}
// In order: the most telling first. Patterns look at one line; a named group is the subject.
const rules: readonly Rule[] = [
  {
    kind: 'parser-missing',
    pattern: /(?:dlsym failed to get func (?<subject>\S{1,128}) pointer|Could not find parse func '?(?<other>\S{1,128}))/,
    message: name => `The config names the parser ${name}, which its library does not have.`,
    hint: 'Correct parse-bbox-func-name and custom-lib-path; a network of edgeforge needs neither.',
  },
  {
    kind: 'library-missing',
    pattern: /Could not open (?:custom )?lib:? ?(?<subject>\S{1,256})/,
    message: name => `The library ${name} cannot be opened.`,
    hint: 'Build it on the device for its DeepStream version, and correct custom-lib-path.',
  },
  {
    kind: 'layers-missing',
    code: 'graph-invalid',
    pattern: /Could not find output (?<subject>coverage|bbox) layer/,
    message: name => `nvinfer finds no ${name} layer in this engine.`,
    hint: 'It looks for “cov” and “bbox” in the names: export the network with edgeforge, and build its engine again.',
  },
  {
    kind: 'batch-too-large',
    code: 'device-refused',
    pattern: /Backend has maxBatchSize (?<subject>\d{1,5} whereas \d{1,5}) has been requested/,
    message: sizes => `The engine’s largest batch is ${sizes} was asked for.`,
    hint: 'Set batch-size in the nvinfer config to the engine’s, or benchmark.batch and build it: edgeforge deploy <device>',
  },
  {
    kind: 'model-missing',
    code: 'payload-missing',
    pattern: /failed to build network since there is no model file matched/,
    message: () => 'nvinfer could not open the engine and has no model to build one from.',
    hint: 'Build the engine on this device, for this TensorRT: edgeforge deploy <device>',
  },
  {
    kind: 'engine-rejected',
    code: 'payload-missing',
    pattern: /deserialize (?:backend context from )?engine from file ?:? ?(?<subject>\S{1,512}) failed/,
    message: file => `nvinfer cannot open the engine ${file}.`,
    hint: 'It is not there, or of another TensorRT: build it on this device: edgeforge deploy <device>',
  },
  {
    kind: 'display-missing',
    pattern: /(?:cannot open display|[Cc]ould not (?:open|initiali[sz]e|get).{0,24}display|No EGL Display|Could not create window)/,
    message: () => 'The display sink has no display.',
    hint: 'Run with --sink fake, or with a monitor and DISPLAY set on the device.',
  },
  {
    kind: 'source-failed',
    pattern: /ERROR from (?<subject>\w{0,16}src\w{0,32}|uri\w{1,32}|rtsp\w{1,32}|source\w{0,32})\b/,
    message: name => `The source element ${name} failed: the file or camera cannot be read.`,
    hint: 'Check the URI on the device: a file by ls, a camera by gst-discoverer-1.0 <uri>.',
  },
  {
    kind: 'config-invalid',
    pattern: /(?:Failed to parse (?:config file|group)|Configuration file parsing failed|Could not parse labels file|parse_config_file failed)[: ]*(?<subject>.{0,160})/,
    message: what => `DeepStream cannot read its config${what ? `: ${what.trim()}` : ''}.`,
    hint: 'See what is wrong in it with: edgeforge deepstream lint <config> --deepstream <version>',
  },
  {
    kind: 'out-of-memory',
    pattern: /[Oo]ut of memory|Cuda failure: status=2\b|cudaErrorMemoryAllocation/,
    message: () => 'The GPU’s memory is too small for these streams.',
    hint: 'Take fewer streams, a smaller muxer frame, or a smaller batch.',
  },
  {
    kind: 'pipeline-failed',
    pattern: /ERROR from (?<subject>\w{1,64})/,
    message: name => `The element ${name} of the pipeline failed.`,
    hint: 'The whole log lies on the device, in its job’s folder.',
  },
];

const noteRules: readonly (readonly [RegExp, (subject: string) => string])[] = [
  [
    /Unknown (?:or legacy )?key (?:specified )?'(?<subject>[^']{1,64}' for group \[[\w-]{1,64})/,
    key => `It does not know the key '${key}]: the setting does nothing (edgeforge deepstream lint <config>).`,
  ],
  [/Trying FP16 mode/, () => 'It runs FP16 instead of INT8: no calibration cache, or no INT8 on this GPU.'],
  [/try rebuild/, () => 'It could not use the named engine and tried to build another, which takes minutes at every start: build it first with edgeforge deploy <device>.'],
];

/** Reads deepstream-app's output: rates per stream, how it ended, why it failed. Pure; lines may carry a prefix. */
export function parseDeepstreamLog(text: string): DeepstreamLog {
  const prints: { readonly now: number[]; readonly average: number[] }[] = [];
  const failures: (DeepstreamFailure & { readonly rank: number })[] = [];
  const notes = new Set<string>();
  let end: DeepstreamLog['end'] = 'running';
  for (const raw of text.split('\n')) {
    const line = raw.slice(0, mostLine);
    if (/\*\*PERF:|PERF\(\d{1,4}\):/.test(line)) {
      const pairs = [...line.matchAll(/(\d{1,9}\.\d{1,6})\s*\((\d{1,9}\.\d{1,6})\)/g)];
      if (pairs.length > 0) prints.push({ now: pairs.map(([, now]) => Number(now)), average: pairs.map(([, , mean]) => Number(mean)) });
      continue;
    }
    if (line.includes('App run successful')) end = 'success';
    if (line.includes('App run failed')) end = 'failed';
    for (const [pattern, say] of noteRules) {
      const found = pattern.exec(line);
      if (found) notes.add(say(found.groups?.subject ?? ''));
    }
    const rank = rules.findIndex(({ pattern }) => pattern.test(line));
    if (rank >= 0) failures.push({ ...failureOf(rules[rank] as Rule, line), rank });
  }
  const ranked = failures.toSorted((a, b) => a.rank - b.rank).map(({ rank: _, ...failure }) => failure);
  const once = ranked.filter(({ kind }, i) => ranked.findIndex(other => other.kind === kind) === i);
  return { streams: ratesOf(prints), prints: prints.length, end, failures: once, notes: [...notes] };
}

function failureOf({ kind, code = 'command-failed', pattern, message, hint }: Rule, line: string): DeepstreamFailure {
  const groups = pattern.exec(line)?.groups;
  return { kind, line: line.trim().slice(0, 400), error: new EdgeError(code, message(groups?.subject ?? groups?.other ?? ''), { hint }) };
}

function ratesOf(prints: readonly { readonly now: readonly number[]; readonly average: readonly number[] }[]): StreamRate[] {
  const last = prints.at(-1);
  if (last === undefined) return [];
  const first = prints.findIndex(({ now }) => now.some(rate => rate > 0));
  // Without a frame at all, every print counts: all are dead.
  const counted = first < 0 ? prints : prints.slice(first + 1);
  return last.now.map((_, stream) => {
    const rates = counted.map(({ now }) => now[stream] ?? 0);
    const n = rates.length;
    const mean = n === 0 ? (last.now[stream] ?? 0) : rates.reduce((sum, rate) => sum + rate, 0) / n;
    const sd = n < 2 ? 0 : Math.sqrt(rates.reduce((sum, rate) => sum + (rate - mean) ** 2, 0) / (n - 1));
    const silent = rates.slice(-deadPrints);
    const dead = (n >= deadPrints || first < 0) && silent.every(rate => rate === 0);
    return { n, mean, min: n === 0 ? mean : Math.min(...rates), sd, average: last.average[stream] ?? 0, dead };
  });
}
