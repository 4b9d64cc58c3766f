import protobuf from 'protobufjs';
import { EdgeError } from '../core/errors.ts';
import { maskedCrc32c } from './crc32c.ts';

/** One list of a tf.train.Example. int64 values are numbers; `empty` is a feature whose kind was never set. */
export type Feature =
  | { readonly kind: 'bytes'; readonly values: readonly Uint8Array[] }
  | { readonly kind: 'float'; readonly values: readonly number[] }
  | { readonly kind: 'int64'; readonly values: readonly number[] }
  | { readonly kind: 'empty'; readonly values: readonly [] };
/** A tf.train.Example: features by name. */
export type Example = ReadonlyMap<string, Feature>;

export const maxRecordBytes = 256 << 20;

const exampleType = protobuf
  .parse(
    `syntax = "proto3";
     message BytesList { repeated bytes value = 1; }
     message FloatList { repeated float value = 1; }
     message Int64List { repeated int64 value = 1; }
     message Feature { oneof kind { BytesList bytes_list = 1; FloatList float_list = 2; Int64List int64_list = 3; } }
     message Features { map<string, Feature> feature = 1; }
     message Example { Features features = 1; }`,
    new protobuf.Root(),
    { keepCase: true },
  )
  .root.lookupType('Example');

const corrupt = (what: string, record: number, offset: number, file: string | undefined, cause?: unknown): EdgeError =>
  new EdgeError('file-corrupt', `TFRecord ${record} at byte ${offset}: ${what}`, {
    hint: 'Write the records again: edgeforge detectnet_v2 dataset_convert -d SPEC -o OUTPUT.',
    where: { ...(file === undefined ? {} : { file }), path: `record[${record}]` },
    cause,
  });

/**
 * The payloads of TFRecord framing (uint64 LE length, masked CRC32C of it, data, masked CRC32C of the data), as views into `bytes`, one by one.
 * A bad checksum, a cut-off record or a length above `maxRecordBytes` throws file-corrupt with record index and byte offset.
 */
export function* tfrecordPayloads(bytes: Uint8Array, file?: string): Generator<Uint8Array, void> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let offset = 0;
  for (let record = 0; offset < bytes.length; record++) {
    const left = bytes.length - offset;
    if (left < 16) throw corrupt(`${left} bytes are left, a record needs at least 16.`, record, offset, file);
    if (view.getUint32(offset + 8, true) !== maskedCrc32c(bytes.subarray(offset, offset + 8)))
      throw corrupt('the checksum of its length is wrong: this is no TFRecord file, or it is damaged here.', record, offset, file);
    const length = view.getBigUint64(offset, true);
    if (length > BigInt(maxRecordBytes)) throw corrupt(`it states ${length} bytes; at most ${maxRecordBytes} are read.`, record, offset, file);
    const size = Number(length);
    if (size > left - 16) throw corrupt(`it states ${size} bytes, but only ${left - 16} follow.`, record, offset, file);
    const data = bytes.subarray(offset + 12, offset + 12 + size);
    if (view.getUint32(offset + 12 + size, true) !== maskedCrc32c(data)) throw corrupt(`the checksum of its ${size} bytes is wrong.`, record, offset, file);
    yield data;
    offset += 16 + size;
  }
}

interface DecodedFeature {
  readonly bytes_list?: { readonly value: readonly Uint8Array[] } | null;
  readonly float_list?: { readonly value: readonly number[] } | null;
  readonly int64_list?: { readonly value: readonly (number | { toString(): string })[] } | null;
}

function featureOf(decoded: DecodedFeature): Feature {
  // Own lists only: protobufjs puts defaults on the prototype.
  if (Object.hasOwn(decoded, 'bytes_list') && decoded.bytes_list) return { kind: 'bytes', values: decoded.bytes_list.value.map(value => Uint8Array.from(value)) };
  if (Object.hasOwn(decoded, 'float_list') && decoded.float_list) return { kind: 'float', values: [...decoded.float_list.value] };
  if (!Object.hasOwn(decoded, 'int64_list') || !decoded.int64_list) return { kind: 'empty', values: [] };
  const values = decoded.int64_list.value.map(value => {
    const number = Number(typeof value === 'number' ? value : value.toString());
    if (!Number.isSafeInteger(number)) throw new RangeError(`the int64 ${String(value)} is beyond 2^53.`);
    return number;
  });
  return { kind: 'int64', values };
}

/** One serialized tf.train.Example as features; `record` names it in errors. */
export function decodeExample(payload: Uint8Array, record = 0, offset = 0, file?: string): Example {
  try {
    const decoded = exampleType.decode(payload) as unknown as { features?: { feature: Readonly<Record<string, DecodedFeature>> } | null };
    return new Map(Object.entries(decoded.features?.feature ?? {}).map(([name, feature]) => [name, featureOf(feature)]));
  } catch (cause) {
    throw corrupt(`its data is no tf.train.Example: ${cause instanceof Error ? cause.message : String(cause)}`, record, offset, file, cause);
  }
}

/** Every tf.train.Example of a TFRecord file, checksums verified; throws file-corrupt with record index and offset. */
export function readTfrecords(bytes: Uint8Array, file?: string): Example[] {
  const examples: Example[] = [];
  for (const payload of tfrecordPayloads(bytes, file)) examples.push(decodeExample(payload, examples.length, payload.byteOffset - bytes.byteOffset - 12, file));
  return examples;
}

/** A tf.train.Example as bytes; features in the order of their names, so that equal examples are equal bytes. */
export function encodeExample(example: Example): Uint8Array {
  const feature: Record<string, unknown> = {};
  for (const name of [...example.keys()].sort()) {
    const { kind, values } = example.get(name)!;
    const value = kind === 'empty' ? {} : { [`${kind}_list`]: { value: values } };
    Object.defineProperty(feature, name, { value, enumerable: true });
  }
  return exampleType.encode(exampleType.create({ features: { feature } })).finish();
}

/** Payloads in TFRecord framing. */
export function frameTfrecords(payloads: Iterable<Uint8Array>): Uint8Array {
  const records = [...payloads];
  const bytes = new Uint8Array(records.reduce((sum, { length }) => sum + 16 + length, 0));
  const view = new DataView(bytes.buffer);
  let offset = 0;
  for (const data of records) {
    view.setBigUint64(offset, BigInt(data.length), true);
    view.setUint32(offset + 8, maskedCrc32c(bytes.subarray(offset, offset + 8)), true);
    bytes.set(data, offset + 12);
    view.setUint32(offset + 12 + data.length, maskedCrc32c(data), true);
    offset += 16 + data.length;
  }
  return bytes;
}

/** Examples as a TFRecord file. */
export const writeTfrecords = (examples: Iterable<Example>): Uint8Array => frameTfrecords(Array.from(examples, encodeExample));
