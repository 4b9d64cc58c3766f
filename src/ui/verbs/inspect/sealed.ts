import { EdgeError } from '../../../core/errors.ts';
import { decodeEtlt, decodeTlt } from '../../../formats/etlt.ts';
import { looksLike, type PayloadKind } from '../../../formats/payload.ts';
import { bytesText } from '../../output.ts';
import type { Inspection } from './inspection.ts';
import { inspectOnnx } from './onnx.ts';

const noKey = 'To look inside, set EDGEFORGE_KEY or add --key-file FILE.';
const kinds: Readonly<Record<PayloadKind, string>> = {
  onnx: 'ONNX',
  uff: 'UFF (TensorRT up to 8 reads it)',
  caffe: 'Caffe',
  hdf5: 'Keras HDF5',
  zip: 'a ZIP archive',
  engine: 'a TensorRT engine',
};

/** An .etlt: its frame, and with a key what its payload is. A wrong key cannot be seen, so it only "looks like". */
export function inspectEtlt(bytes: Uint8Array, key: string | undefined): Inspection {
  // The frame does not depend on the key.
  const { inputName, payload } = decodeEtlt(bytes, key ?? 'frame only');
  const written = inputName === '' ? 'ONNX (no input name)' : `UFF (input ${inputName})`;
  const facts: (readonly [string, string])[] = [
    ['frame', `name of ${inputName.length} bytes, nonce of 16, payload of ${bytesText(payload.length)}`],
    ['input name', inputName === '' ? '(none)' : inputName],
    ['header says', written],
  ];
  const data = { inputName, payloadBytes: payload.length };
  if (key === undefined) return { kind: '.etlt, encrypted network of TLT or TAO 3', facts, tables: [], notes: [noKey], data };
  const kind = looksLike(payload);
  const within = kind === 'onnx' ? inspectOnnx(payload) : undefined;
  return {
    kind: '.etlt, encrypted network of TLT or TAO 3',
    facts: [...facts, ['payload looks like', kind === undefined ? 'nothing known' : kinds[kind]], ...(within?.facts ?? [])],
    tables: within?.tables ?? [],
    notes: kind === undefined ? ['With this key the payload is no network: the key is wrong or the file is damaged (the format holds no checksum).'] : (within?.notes ?? []),
    data: { ...data, looksLike: kind, network: within?.data },
  };
}

/** A .tlt: ours opens with its key; NVIDIA's own is named as such. */
export function inspectTlt(bytes: Uint8Array, key: string | undefined): Inspection {
  const frame: readonly (readonly [string, string])[] = [['frame', `nonce of 16 bytes, payload of ${bytesText(Math.max(0, bytes.length - 16))}`]];
  const kind = '.tlt, encrypted network';
  if (key === undefined)
    return {
      kind,
      facts: frame,
      tables: [],
      notes: [noKey, 'Only .tlt files that edgeforge wrote can be used here; NVIDIA’s own hold Keras HDF5.'],
      data: { payloadBytes: bytes.length - 16 },
    };
  try {
    const within = inspectOnnx(decodeTlt(bytes, key));
    return { ...within, kind: `${kind} of edgeforge (ONNX inside)`, facts: [...frame, ...within.facts] };
  } catch (error) {
    if (!(error instanceof EdgeError)) throw error;
    return { kind, facts: frame, tables: [], notes: [error.message], mend: error.hint, data: { payloadBytes: bytes.length - 16, problem: error } };
  }
}

/** Files that are recognised and not read: engines, Keras, UFF, Caffe, archives. */
export function inspectForeign(kind: Exclude<PayloadKind, 'onnx'>, bytes: Uint8Array): Inspection {
  const rows: Readonly<Record<Exclude<PayloadKind, 'onnx'>, readonly [kind: string, note: string, mend: string]>> = {
    engine: [
      'TensorRT engine plan',
      'It runs only on the GPU model and the TensorRT that built it, and says neither in a readable form.',
      'Build it on its device from the ONNX or .etlt: edgeforge deploy DEVICE',
    ],
    hdf5: [
      'HDF5 file (Keras .hdf5, or a tensorfile of TLT)',
      'It is not read here.',
      'Export the model to ONNX where it was made: python -m tf2onnx.convert --keras MODEL --opset 13 --output x.onnx',
    ],
    uff: ['UFF network', 'TensorRT up to version 8 reads it; edgeforge can carry it in an .etlt, not change it.', 'Export the model to ONNX.'],
    caffe: ['Caffe network', 'It is not read here.', 'Convert it to ONNX.'],
    zip: ['ZIP archive', 'A TensorFlow checkpoint of TLT (.ckzip), a PyTorch file or any other archive.', 'Unpack it to see; a network must be ONNX.'],
  };
  const [name, note, mend] = rows[kind];
  return { kind: name, facts: [['size', bytesText(bytes.length)]], tables: [], notes: [note], mend, data: { bytes: bytes.length } };
}
