import { EdgeError } from '../core/errors.ts';
import { tensorrtDigits, tensorrtOfDigits, tensorrtOfText } from './tensorrt-version.ts';

const largestText = 64 * 1024 * 1024;
const algorithms = ['EntropyCalibration2', 'EntropyCalibration', 'MinMaxCalibration', 'LegacyCalibration'] as const;
/** TensorRT's calibrators as the header names them; nvinfer and DLA take EntropyCalibration2 only. */
export type CalibrationAlgorithm = (typeof algorithms)[number];

export interface CalibrationEntry {
  /** Tensor name as TensorRT knows it; may hold blanks, colons and brackets. */
  readonly name: string;
  /** Dynamic range / 127, a float32. */
  readonly scale: number;
  /** The hexadecimal digits as they stood (1 to 8). Written again only while they still mean `scale`. */
  readonly hex?: string;
  /** What stood between name and digits, where it was not ': '. */
  readonly separator?: string;
  /** Blanks after the digits, where there were any. */
  readonly trailing?: string;
  /** This line's end, where it differs from the cache's. '' is a missing final newline. */
  readonly lineEnd?: string;
  /** Blank lines (with their ends) that stood before this entry. */
  readonly blankBefore?: string;
}
/** A calibration cache, complete enough to be written again byte for byte. Duplicates stay, in order. */
export interface CalibrationCache {
  /** Line 1 as it stood: `TRT-8601-EntropyCalibration2`, or `1` in tables of old. */
  readonly header: string;
  /** From the header, `major.minor.patch`. */
  readonly tensorrt?: string;
  readonly algorithm?: string;
  readonly lineEnd: '\n' | '\r\n';
  /** Line 1's end, where it differs from `lineEnd`. */
  readonly headerEnd?: string;
  readonly entries: readonly CalibrationEntry[];
  /** Blank lines after the last entry. */
  readonly blankAfter?: string;
}

const invalid = (message: string, line?: number) =>
  new EdgeError('calibration-invalid', message, {
    hint: 'Calibrate again with: edgeforge export (a cache starts with TRT-<version>-<algorithm>, then one "tensor: hex scale" a line).',
    where: line === undefined ? undefined : { line },
  });

/** The float32 that 1 to 8 hexadecimal digits (most significant first) stand for. */
export function scaleOfHex(hex: string): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, Number.parseInt(hex, 16));
  return view.getFloat32(0);
}
/** A float32 as 8 hexadecimal digits, most significant first. */
export function hexOfScale(scale: number): string {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, scale);
  return view.getUint32(0).toString(16).padStart(8, '0');
}

/** Reads a calibration cache of TensorRT 5 to 10. Throws `calibration-invalid` with the line, `limit-exceeded` above 64 MiB of text. */
export function parseCalibrationCache(text: string): CalibrationCache {
  if (text.length > largestText) {
    throw new EdgeError('limit-exceeded', `This calibration cache has ${text.length} characters; the limit is ${largestText}.`, {
      hint: 'Check that this is a calibration cache.',
    });
  }
  const lines = splitLines(text);
  const [first, ...rest] = lines;
  if (first === undefined || first.text.trim() === '') throw invalid('The calibration cache is empty or has no header in line 1.', 1);
  const lineEnd = first.end === '\r\n' ? '\r\n' : '\n';
  const entries: CalibrationEntry[] = [];
  let blank = '';
  for (const [index, { text: line, end }] of rest.entries()) {
    if (line.trim() === '') {
      blank += line + end;
      continue;
    }
    entries.push({ ...parseEntry(line, index + 2), ...(end === lineEnd ? {} : { lineEnd: end }), ...(blank === '' ? {} : { blankBefore: blank }) });
    blank = '';
  }
  return {
    header: first.text,
    ...parseHeader(first.text),
    lineEnd,
    ...(first.end === lineEnd ? {} : { headerEnd: first.end }),
    entries,
    ...(blank === '' ? {} : { blankAfter: blank }),
  };
}

/** Writes a cache; the exact text again where it was parsed. Throws `calibration-invalid` where a value has no place in the format. */
export function formatCalibrationCache(cache: CalibrationCache): string {
  parseHeader(cache.header);
  const parts = [cache.header, cache.headerEnd ?? cache.lineEnd];
  for (const entry of cache.entries) {
    if (entry.name.trim() === '' || /[\r\n]/.test(entry.name)) throw invalid(`The tensor name ${JSON.stringify(entry.name)} cannot stand in a calibration cache.`);
    const kept = entry.hex !== undefined && /^[0-9a-fA-F]{1,8}$/.test(entry.hex) && Object.is(scaleOfHex(entry.hex), entry.scale) ? entry.hex : hexOfScale(entry.scale);
    parts.push(entry.blankBefore ?? '', entry.name, entry.separator ?? ': ', kept, entry.trailing ?? '', entry.lineEnd ?? cache.lineEnd);
  }
  return parts.join('') + (cache.blankAfter ?? '');
}

/** What would make TensorRT refuse or misuse a cache that parses: one sentence each, with the tensor. */
export function calibrationProblems(cache: CalibrationCache): readonly string[] {
  const seen = new Map<string, number>();
  return cache.entries.flatMap(({ name, scale }) => {
    const before = seen.get(name);
    seen.set(name, scale);
    const problems: string[] = [];
    if (Number.isNaN(scale)) problems.push(`The scale of "${name}" is not a number.`);
    else if (scale < 0 || Object.is(scale, -0)) problems.push(`The scale of "${name}" is negative (${scale}): TensorRT cannot read it.`);
    else if (scale === Number.POSITIVE_INFINITY) problems.push(`The scale of "${name}" is infinite.`);
    if (before !== undefined && !Object.is(before, scale)) problems.push(`"${name}" stands twice with different scales (${before} and ${scale}).`);
    return problems;
  });
}

/** The header line of a calibrator of one TensorRT version. Throws `calibration-invalid` for no version, `format-unsupported` from TensorRT 11 on, which has no calibrators. */
export function calibrationHeader(tensorrt: string, algorithm: CalibrationAlgorithm): string {
  const version = tensorrtOfText(tensorrt);
  if (version === undefined) throw invalid(`"${tensorrt}" is not a TensorRT version such as 8.6.1.`);
  if (version.major >= 11) {
    throw new EdgeError('format-unsupported', `TensorRT ${version.text} reads no calibration cache: INT8 needs Q/DQ nodes in the model there.`, {
      hint: 'Export the Q/DQ model instead: edgeforge export --precision int8 --qdq.',
    });
  }
  return `TRT-${tensorrtDigits(version)}-${algorithm}`;
}

type Ranges = Readonly<Record<string, { readonly amax: number }>> | ReadonlyMap<string, { readonly amax: number }>;
/**
 * A fresh cache text for one TensorRT version: scale = amax / 127 as float32 in 8 hexadecimal digits, tensors in the order given.
 * Throws `calibration-invalid` for a range that is negative, not finite, or above float32.
 */
export function cacheFor(ranges: Ranges, { tensorrt, algorithm = 'EntropyCalibration2' }: { readonly tensorrt: string; readonly algorithm?: CalibrationAlgorithm }): string {
  const pairs = ranges instanceof Map ? [...ranges] : Object.entries(ranges);
  if (pairs.length === 0)
    throw new EdgeError('calibration-missing', 'There are no ranges to write into a calibration cache.', { hint: 'Calibrate first with: edgeforge run calibrate' });
  const entries = pairs.map(([name, { amax }]): CalibrationEntry => {
    const scale = Math.fround(amax / 127);
    if (!(amax >= 0) || !Number.isFinite(scale)) throw invalid(`The range of "${name}" is ${amax}; it must be a finite number ≥ 0.`);
    return { name, scale };
  });
  return formatCalibrationCache({ header: calibrationHeader(tensorrt, algorithm), lineEnd: '\n', entries });
}

/** The same cache under another version's header: what the field does with sed when a device's TensorRT differs. */
export const withHeader = (cache: CalibrationCache, tensorrt: string, algorithm: CalibrationAlgorithm = 'EntropyCalibration2'): CalibrationCache => {
  const header = calibrationHeader(tensorrt, algorithm);
  return { ...cache, header, ...parseHeader(header) };
};

function parseHeader(line: string): { readonly tensorrt?: string; readonly algorithm?: string } {
  const text = line.replace(/^\uFEFF/, '').trim();
  if (/^\d{1,3}$/.test(text)) return {};
  const [, digits, algorithm] = /^TRT-(\d{1,7})-([A-Za-z][A-Za-z0-9_]{0,63})$/.exec(text) ?? [];
  if (digits === undefined || algorithm === undefined) throw invalid(`Line 1 is ${JSON.stringify(text.slice(0, 80))}, not TRT-<version>-<algorithm>.`, 1);
  const version = tensorrtOfDigits(digits);
  return { ...(version ? { tensorrt: version.text } : {}), algorithm };
}

function parseEntry(line: string, number: number): CalibrationEntry {
  const colon = line.lastIndexOf(':'); // the last one: names hold colons themselves
  const hex = line.slice(colon + 1).trim();
  const name = line.slice(0, Math.max(colon, 0));
  if (colon < 0 || name.trim() === '' || !/^[0-9a-fA-F]{1,8}$/.test(hex))
    throw invalid(`Line ${number} is not "tensor: hex scale": ${JSON.stringify(line.slice(0, 120))}.`, number);
  const at = line.indexOf(hex, colon + 1);
  const separator = line.slice(colon, at);
  const trailing = line.slice(at + hex.length);
  return { name, scale: scaleOfHex(hex), hex, ...(separator === ': ' ? {} : { separator }), ...(trailing === '' ? {} : { trailing }) };
}

function splitLines(text: string): { text: string; end: string }[] {
  const lines: { text: string; end: string }[] = [];
  for (let from = 0; from < text.length; ) {
    const feed = text.indexOf('\n', from);
    const stop = feed < 0 ? text.length : feed;
    const carriage = feed > from && text[feed - 1] === '\r';
    lines.push({ text: text.slice(from, carriage ? stop - 1 : stop), end: feed < 0 ? '' : carriage ? '\r\n' : '\n' });
    from = stop + 1;
  }
  return lines;
}
