import { createCipheriv, createDecipheriv, pbkdf2Sync, randomBytes } from 'node:crypto';
import { EdgeError } from '../core/errors.ts';
import { looksLike } from './payload.ts';

export { looksLike, type PayloadKind } from './payload.ts';

const nonceBytes = 16;
const longestName = 4096;
// The constants of TLT's stream: PBKDF2-HMAC-SHA-256 over the key's UTF-8 bytes with one fixed salt, then AES-256-CTR.
const salt = Buffer.from('cb3cdc2e858689da908563056a00dbed09ac076c785543c4610f06d31b53a732', 'hex');
const iterations = 100_000;

export interface Etlt {
  /** Input node of a UFF payload; '' for ONNX (TLT's only format flag). */
  readonly inputName: string;
  readonly payload: Uint8Array;
}
export interface EtltSource {
  readonly payload: Uint8Array;
  readonly key: string;
  readonly inputName?: string | undefined;
  /** 16 bytes; random when absent. Give it only to reproduce a file. */
  readonly nonce?: Uint8Array | undefined;
}

/** A TLT key as 32 cipher bytes. Throws `key-missing` for an empty one. */
function cipherKey(key: string): Buffer {
  if (key === '') {
    throw new EdgeError('key-missing', 'The encryption key is empty.', { hint: 'Name a file that holds the key as export.keyFile in edgeforge.yaml, or set EDGEFORGE_KEY.' });
  }
  return pbkdf2Sync(Buffer.from(key, 'utf8'), salt, iterations, 32, 'sha256');
}

function encryptStream(payload: Uint8Array, key: string, nonce: Uint8Array = randomBytes(nonceBytes)): Buffer {
  if (nonce.length !== nonceBytes) {
    throw new EdgeError('usage', `A nonce has ${nonceBytes} bytes, but ${nonce.length} were given.`, { hint: 'Leave the nonce out: a random one is the right choice.' });
  }
  const cipher = createCipheriv('aes-256-ctr', cipherKey(key), nonce);
  return Buffer.concat([nonce, cipher.update(payload), cipher.final()]);
}

function decryptStream(stream: Uint8Array, key: string, what: string): Uint8Array {
  if (stream.length < nonceBytes) {
    throw new EdgeError('file-corrupt', `This ${what} ends after ${stream.length} bytes of its encrypted part; the nonce alone has ${nonceBytes}.`, {
      hint: `Copy the ${what} again: it was cut short, or it is not a ${what}.`,
    });
  }
  const cipher = createDecipheriv('aes-256-ctr', cipherKey(key), stream.subarray(0, nonceBytes));
  const plain = Buffer.concat([cipher.update(stream.subarray(nonceBytes)), cipher.final()]);
  return new Uint8Array(plain.buffer, plain.byteOffset, plain.length);
}

/**
 * Reads an `.etlt`: int32 LE length, input-node name, 16-byte nonce, AES-256-CTR stream. Never judges the payload, because a wrong key cannot be seen: ask `looksLike`.
 * Throws `file-corrupt` for broken framing and `key-missing` for an empty key.
 */
export function decodeEtlt(bytes: Uint8Array, key: string): Etlt {
  const corrupt = (message: string) =>
    new EdgeError('file-corrupt', message, { hint: 'Check that the file is a complete .etlt (TLT or TAO 3 export); plain .onnx needs no decoding.' });
  if (bytes.length < 4) throw corrupt(`An .etlt has at least ${4 + nonceBytes} bytes, this file has ${bytes.length}.`);
  const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getInt32(0, true);
  if (length < 0 || length > longestName || 4 + length > bytes.length) {
    throw corrupt(`The name length in the header is ${length}, but the file has ${bytes.length} bytes and names have 0 to ${longestName}.`);
  }
  const name = bytes.subarray(4, 4 + length);
  if (name.some(byte => byte < 0x20 || byte > 0x7e)) throw corrupt(`The input-node name of ${length} bytes in the header is not printable ASCII.`);
  return { inputName: Buffer.from(name).toString('latin1'), payload: decryptStream(bytes.subarray(4 + length), key, '.etlt') };
}

/** Writes an `.etlt`; without `inputName` it is marked as ONNX. Throws `usage` for a name that is not printable ASCII, `key-missing` for an empty key. */
export function encodeEtlt({ payload, key, inputName = '', nonce }: EtltSource): Uint8Array {
  if (!/^[\x20-\x7e]{0,4096}$/.test(inputName)) {
    throw new EdgeError('usage', `The input name ${JSON.stringify(inputName.slice(0, 80))} cannot stand in an .etlt header.`, {
      hint: `Use at most ${longestName} printable ASCII characters.`,
    });
  }
  const head = Buffer.alloc(4 + inputName.length);
  head.writeInt32LE(inputName.length);
  head.write(inputName, 4, 'latin1');
  return new Uint8Array(Buffer.concat([head, encryptStream(payload, key, nonce)]));
}

/** Our `.tlt`: the same cipher stream, without a header, around ONNX bytes. */
export const encodeTlt = ({ payload, key, nonce }: Omit<EtltSource, 'inputName'>): Uint8Array => new Uint8Array(encryptStream(payload, key, nonce));

/**
 * Reads a `.tlt` that `encodeTlt` wrote and returns its ONNX bytes.
 * NVIDIA's own (Keras HDF5 or a TensorFlow checkpoint inside, or a plain `.hdf5`) is refused with `format-unsupported`; anything else with `file-corrupt`.
 */
export function decodeTlt(bytes: Uint8Array, key: string): Uint8Array {
  const plainKind = looksLike(bytes);
  if (plainKind === 'hdf5') throw foreign('a Keras HDF5 file (.hdf5)');
  if (plainKind === 'onnx') {
    throw new EdgeError('format-unsupported', 'This file is plain ONNX, not an encrypted .tlt.', { hint: 'Give it the ending .onnx and use it as it is: no key is needed.' });
  }
  const payload = decryptStream(bytes, key, '.tlt');
  const kind = looksLike(payload);
  if (kind === 'onnx') return payload;
  if (kind === 'hdf5') throw foreign('NVIDIA’s own .tlt (Keras HDF5 inside)');
  if (kind === 'zip') throw foreign('NVIDIA’s own .tlt (a TensorFlow checkpoint inside)');
  throw new EdgeError('file-corrupt', 'With this key the .tlt does not decrypt to a network.', {
    hint: 'Check the key: the format holds no checksum, so a wrong key and a damaged file look alike.',
  });
}

const foreign = (what: string) =>
  new EdgeError('format-unsupported', `This is ${what}; edgeforge reads only the .tlt files that it wrote itself, which hold ONNX.`, {
    hint: 'Export the model to ONNX or .etlt with TLT or TAO, and use that file as pretrained_model_path.',
  });
