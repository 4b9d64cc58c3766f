import { mkdir, readFile } from 'node:fs/promises';
import { dirname, extname } from 'node:path';
import { writeAtomic } from '../../core/atomic-file.ts';
import { EdgeError } from '../../core/errors.ts';
import { decodeEtlt, decodeTlt, encodeEtlt, encodeTlt } from '../../formats/etlt.ts';
import { readOnnx, writeOnnx } from '../../formats/onnx.ts';
import { looksLike } from '../../formats/payload.ts';
import type { Graph } from '../../graph/ir.ts';
import { pretrainedSource } from '../../zoo/pretrained.ts';

const giveKey = 'Set EDGEFORGE_KEY, or name a file that holds the key: --key_file FILE (-k KEY works too, but every user of this machine can read it).';

/** The bytes of a file that a flag or a spec names. */
export async function readNamed(file: string, what: string): Promise<Buffer> {
  return readFile(file).catch((cause: NodeJS.ErrnoException) => {
    throw new EdgeError('file-missing', `The ${what} ${file} cannot be read (${cause.code ?? cause.message}).`, {
      hint: 'Check the path; relative ones start where the command runs.',
      where: { file },
      cause,
    });
  });
}

/** A network from an `.onnx`, or from a `.tlt` or `.etlt` of our own making with its key. NVIDIA's own files are refused with `format-unsupported` and the way out. */
export async function readModel(file: string, key: string | undefined): Promise<Graph> {
  const { kind } = pretrainedSource(file);
  const bytes = await readNamed(file, 'network');
  try {
    if (kind === 'onnx') return readOnnx(bytes);
    if (looksLike(bytes) === 'onnx') return readOnnx(bytes);
    if (key === undefined) throw new EdgeError('key-missing', `${file} is encrypted, and no key is given.`, { hint: giveKey });
    return readOnnx(kind === 'tlt' ? decodeTlt(bytes, key) : etltPayload(bytes, key));
  } catch (error) {
    // The formats know no file names; the user needs one.
    if (error instanceof EdgeError && error.where?.file === undefined)
      throw new EdgeError(error.code, `${file}: ${error.message}`, { hint: error.hint, where: { ...error.where, file }, cause: error });
    throw error;
  }
}

function etltPayload(bytes: Uint8Array, key: string): Uint8Array {
  const { payload } = decodeEtlt(bytes, key);
  const kind = looksLike(payload);
  if (kind === 'onnx') return payload;
  if (kind === undefined)
    throw new EdgeError('file-corrupt', 'With this key the .etlt does not decrypt to a network.', {
      hint: 'Check the key: the format holds no checksum, so a wrong key and a damaged file look alike.',
    });
  throw new EdgeError('format-unsupported', `This .etlt holds ${kind.toUpperCase()}, not ONNX; it can be deployed, not trained or evaluated here.`, {
    hint: 'Deploy it with: edgeforge deploy DEVICE --model FILE.etlt',
  });
}

/**
 * Writes a network where TLT would. `.tlt`: our cipher stream around the ONNX bytes, and the plain `.onnx` beside it; `.onnx`: plain; no ending: `.tlt` with a key, else `.onnx`.
 * Returns the files. Throws `key-missing` for a `.tlt` without a key, `format-unsupported` for other endings.
 */
export async function writeModel(file: string, graph: Graph, key: string | undefined): Promise<readonly string[]> {
  const ending = extname(file).toLowerCase();
  const bytes = writeOnnx(graph);
  await mkdir(dirname(file), { recursive: true });
  if (ending === '.onnx') {
    await writeAtomic(file, bytes);
    return [file];
  }
  if (ending === '.hdf5' || ending === '.h5') {
    throw new EdgeError('format-unsupported', `Keras files (${ending}) are not written here: ${file}.`, {
      hint: `Name it ${file.slice(0, -ending.length)}.tlt or .onnx.`,
      where: { file },
    });
  }
  const stem = ending === '.tlt' ? file.slice(0, -4) : file;
  const plain = `${stem}.onnx`;
  if (key === undefined) {
    if (ending === '.tlt')
      throw new EdgeError('key-missing', `${file} would be encrypted, and no key is given.`, { hint: `${giveKey} Or name an .onnx: ${plain}.`, where: { file } });
    await writeAtomic(plain, bytes);
    return [plain];
  }
  await writeAtomic(`${stem}.tlt`, encodeTlt({ payload: bytes, key }));
  await writeAtomic(plain, bytes);
  return [`${stem}.tlt`, plain];
}

/** ONNX bytes as an `.etlt`, marked as ONNX by its empty input name (tlt-formats §1.1). */
export const etltBytes = (graph: Graph, key: string): Uint8Array => encodeEtlt({ payload: writeOnnx(graph), key });
