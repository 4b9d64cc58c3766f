import { readFile, stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { EdgeError } from '../../../core/errors.ts';
import { looksLike } from '../../../formats/payload.ts';
import { bytesText } from '../../output.ts';
import type { Inspection } from './inspection.ts';
import { inspectOnnx } from './onnx.ts';
import { inspectTfrecords, isTfrecords } from './records.ts';
import { inspectEtlt, inspectForeign, inspectTlt } from './sealed.ts';
import { inspectText } from './texts.ts';

const mostBytes = 2 ** 31 - 1;

/** Looks into a file, whatever it is: by content first, by its name only where the content is encrypted. Throws where it is of a known kind and broken. */
export async function inspectFile(file: string, key: string | undefined): Promise<Inspection> {
  const about = await stat(file).catch((cause: unknown) => {
    throw new EdgeError('file-missing', `${file} cannot be read.`, { hint: 'Check the path.', where: { file }, cause });
  });
  if (about.isDirectory()) throw new EdgeError('usage', `${file} is a folder.`, { hint: 'Name a file inside. A dataset is checked by: edgeforge run dataset' });
  if (about.size > mostBytes)
    throw new EdgeError('limit-exceeded', `${file} has ${bytesText(about.size)}; at most 2 GiB are read.`, { hint: 'Inspect a smaller file.', where: { file } });
  const bytes = await readFile(file);
  return named(file, () => inspectBytes(bytes, file, key));
}

/** The same for bytes that lie in memory; `file` gives the ending and the name in errors. */
export function inspectBytes(bytes: Uint8Array, file: string, key: string | undefined): Inspection {
  const ending = extname(file).toLowerCase();
  if (bytes.length === 0) return { kind: 'an empty file', facts: [], tables: [], notes: [], mend: 'Make it again: whatever wrote it was cut off.', data: {} };
  const kind = looksLike(bytes);
  if (kind === 'onnx') return inspectOnnx(bytes);
  if (kind !== undefined) return inspectForeign(kind, bytes);
  if (ending === '.etlt') return inspectEtlt(bytes, key);
  if (ending === '.tlt') return inspectTlt(bytes, key);
  if (ending === '.onnx') return inspectOnnx(bytes);
  if (isTfrecords(bytes)) return inspectTfrecords(bytes, file);
  const text = textOf(bytes);
  return (text === undefined ? undefined : inspectText(text, file)) ?? unknown(bytes, text, ending);
}

const textOf = (bytes: Uint8Array): string | undefined => {
  if (bytes.length > 64 * 2 ** 20 || bytes.subarray(0, 4096).includes(0)) return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
};

const magics: readonly (readonly [string, readonly number[]])[] = [
  ['a JPEG image', [0xff, 0xd8, 0xff]],
  ['a PNG image', [0x89, 0x50, 0x4e, 0x47]],
  ['a gzip archive', [0x1f, 0x8b]],
  ['an ELF program or library', [0x7f, 0x45, 0x4c, 0x46]],
];

function unknown(bytes: Uint8Array, text: string | undefined, ending: string): Inspection {
  const magic = magics.find(([, head]) => head.every((byte, at) => bytes[at] === byte))?.[0];
  const looks =
    magic ??
    (text === undefined ? 'binary data of no format known here' : /^\s*[{[]/.test(text) ? 'JSON or text with braces, of no format known here' : 'a text of no format known here');
  const head =
    text === undefined
      ? Buffer.from(bytes.subarray(0, 16))
          .toString('hex')
          .replace(/(..)(?=.)/g, '$1 ')
      : JSON.stringify(text.slice(0, 60));
  return {
    kind: `it looks like ${looks}`,
    facts: [
      ['size', bytesText(bytes.length)],
      ['begins with', head],
    ],
    tables: [],
    notes: [],
    mend: `Known here: .onnx, .etlt, .tlt, calibration caches, TLT specs, TFRecords, KITTI labels, labels.txt, DeepStream configs, trtexec logs, tegrastats, report.json.${ending === '' || text === undefined ? ' An encrypted network needs its ending (.etlt or .tlt).' : ''}`,
    data: { looksLike: looks, bytes: bytes.length },
  };
}

function named<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof EdgeError) || error.where?.file !== undefined) throw error;
    throw new EdgeError(error.code, `${file}: ${error.message}`, { hint: error.hint, where: { ...error.where, file }, cause: error });
  }
}
