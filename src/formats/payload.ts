/** What an unencrypted model file is, told from its structure. */
export type PayloadKind = 'onnx' | 'uff' | 'caffe' | 'hdf5' | 'zip' | 'engine';

const magics: readonly (readonly [PayloadKind, readonly number[]])[] = [
  ['hdf5', [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a]],
  ['zip', [0x50, 0x4b, 0x03, 0x04]],
  ['engine', [0x70, 0x74, 0x72, 0x74]], // "ptrt", TensorRT's serialized engine
  ['engine', [0x66, 0x74, 0x72, 0x74]], // "ftrt", the same in other releases
];

interface Field {
  readonly number: number;
  readonly wire: number;
  /** A varint's value; the length of a length-delimited field. */
  readonly value: number;
}

/** The kind of a payload, or undefined where it is none we know (with an encrypted file: most likely the wrong key). Reads the whole outline, copies nothing. */
export function looksLike(payload: Uint8Array): PayloadKind | undefined {
  for (const [kind, magic] of magics) if (magic.every((byte, at) => payload[at] === byte)) return kind;
  if ([0x08, 0x01, 0x10, 0x01, 0x1a].every((byte, at) => payload[at] === byte)) return 'uff';
  const fields = outline(payload);
  if (fields === undefined) return undefined;
  if (isOnnx(fields)) return 'onnx';
  return isCaffe(fields) ? 'caffe' : undefined;
}

// ModelProto: 1 ir_version, 2-4 and 6 strings, 5 model_version, 7 graph, 8 opset_import, later messages above. One member besides ir_version is asked for.
function isOnnx(fields: readonly Field[]): boolean {
  const version = fields.find(field => field.number === 1);
  const shaped = fields.every(({ number, wire }) => wire === (number === 1 || number === 5 ? 0 : 2) && number <= 64);
  return shaped && version !== undefined && version.value >= 1 && version.value <= 255 && fields.some(({ number }) => number === 2 || number === 7 || number === 8);
}

// NetParameter: 1 name, 2 the old layers, 100 layer; the name stands once.
function isCaffe(fields: readonly Field[]): boolean {
  const known = fields.every(({ number, wire }) => (number === 100 ? wire === 2 : number <= 8 && (wire === 2 || wire === 0)));
  return known && fields.filter(({ number, wire }) => number === 1 && wire === 2).length === 1 && fields.some(({ number, wire }) => number === 100 && wire === 2);
}

/** Top-level fields of a protobuf message that parses to its last byte, else undefined. */
function outline(bytes: Uint8Array): readonly Field[] | undefined {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): number | undefined => {
    let value = 0;
    for (let shift = 0; shift < 10; shift++) {
      const byte = bytes[at++];
      if (byte === undefined) return undefined;
      value += (byte & 0x7f) * 2 ** (7 * shift);
      if (byte < 0x80) return value;
    }
    return undefined;
  };
  while (at < bytes.length) {
    const tag = varint();
    if (tag === undefined || tag < 8 || fields.length > 100_000) return undefined;
    const wire = tag % 8;
    const value = wire === 5 ? 4 : wire === 1 ? 8 : wire === 0 || wire === 2 ? varint() : undefined;
    if (value === undefined) return undefined;
    if (wire !== 0) at += value;
    if (at > bytes.length) return undefined;
    fields.push({ number: Math.floor(tag / 8), wire, value });
  }
  return fields.length > 0 ? fields : undefined;
}
