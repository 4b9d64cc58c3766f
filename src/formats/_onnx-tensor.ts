import { EdgeError } from '../core/errors.ts';
import type { DataType, Tensor, TensorData } from '../graph/ir.ts';

/** protobufjs gives a 64-bit integer as a number or as a pair of halves. */
export type Int64 = number | { readonly low: number; readonly high: number; readonly unsigned: boolean };
export interface TensorMessage {
  readonly dims?: readonly Int64[];
  readonly data_type?: number;
  readonly float_data?: readonly number[];
  readonly int32_data?: readonly number[];
  readonly int64_data?: readonly Int64[];
  readonly double_data?: readonly number[];
  readonly uint64_data?: readonly Int64[];
  readonly name?: string;
  readonly raw_data?: Uint8Array;
  readonly external_data?: readonly { readonly key?: string; readonly value?: string }[];
  readonly data_location?: number;
}
export type ExternalData = (location: string) => Uint8Array;

const reexport = 'Export the model again, or check it with: edgeforge inspect FILE';
export const corrupt = (message: string, path?: string, cause?: unknown): EdgeError =>
  new EdgeError('file-corrupt', message, { hint: reexport, where: path === undefined ? undefined : { path }, cause });

export const toNumber = (value: Int64 | undefined): number =>
  value === undefined ? 0 : typeof value === 'number' ? value : value.unsigned ? (value.high >>> 0) * 4294967296 + (value.low >>> 0) : value.high * 4294967296 + (value.low >>> 0);
/** The other way; what a float64 can only say as 2^63 ("to the end") is the greatest int64. */
export const toInt64 = (value: number): Int64 =>
  value >= 2 ** 63 ? { low: -1, high: 0x7fffffff, unsigned: false } : value <= -(2 ** 63) ? { low: 0, high: -0x80000000, unsigned: false } : value;
const toBigInt = (value: Int64): bigint => (typeof value === 'number' ? BigInt(value) : (BigInt(value.high) << 32n) | BigInt(value.low >>> 0));

type ArrayKind = { new (buffer: ArrayBufferLike, byteOffset: number, length: number): TensorData; new (length: number): TensorData; readonly BYTES_PER_ELEMENT: number };
interface Kind {
  readonly code: number;
  readonly array: ArrayKind;
}
/** ONNX's element type codes, and the array that holds each. */
const kinds: Readonly<Partial<Record<DataType, Kind>>> = {
  float32: { code: 1, array: Float32Array as ArrayKind },
  uint8: { code: 2, array: Uint8Array as ArrayKind },
  int8: { code: 3, array: Int8Array as ArrayKind },
  uint16: { code: 4, array: Uint16Array as ArrayKind },
  int16: { code: 5, array: Int16Array as ArrayKind },
  int32: { code: 6, array: Int32Array as ArrayKind },
  int64: { code: 7, array: BigInt64Array as ArrayKind },
  bool: { code: 9, array: Uint8Array as ArrayKind },
  float16: { code: 10, array: Uint16Array as ArrayKind },
  float64: { code: 11, array: Float64Array as ArrayKind },
  uint32: { code: 12, array: Uint32Array as ArrayKind },
  uint64: { code: 13, array: BigUint64Array as ArrayKind },
};
const byCode = new Map<number, DataType>(Object.entries(kinds).map(([name, kind]) => [kind.code, name as DataType]));
byCode.set(8, 'string');

/** The element type that a code of the file names. */
export function dataTypeOf(code: number, path: string): DataType {
  const dataType = byCode.get(code);
  if (dataType === undefined)
    throw new EdgeError('format-unsupported', `${path} has element type ${code}, which edgeforge does not handle.`, {
      hint: 'Export the model in float32, float16 or int8 (no bfloat16, complex, float8 or int4).',
      where: { path },
    });
  return dataType;
}
export const codeOf = (dataType: DataType): number => (dataType === 'string' ? 8 : (kinds[dataType] as Kind).code);

const ownEntries = (message: TensorMessage): Readonly<Record<string, string>> => Object.fromEntries((message.external_data ?? []).map(e => [e.key ?? '', e.value ?? '']));

function externalBytes(message: TensorMessage, size: number, path: string, externalData: ExternalData | undefined): Uint8Array {
  const { location = '', offset = '0', length } = ownEntries(message);
  if (location === '' || location.startsWith('/') || /^[a-z]:/i.test(location) || location.split(/[\\/]/).includes('..'))
    throw corrupt(`${path} names the external file "${location}", which is not a path below the model's folder.`, path);
  if (externalData === undefined)
    throw new EdgeError('file-missing', `${path} lies in the external file "${location}", which was not given.`, { hint: `Put "${location}" beside the model.`, where: { path } });
  const bytes = externalData(location);
  const from = Number(offset === '' ? '0' : offset);
  const count = length === undefined || length === '' ? size : Number(length);
  if (!Number.isSafeInteger(from) || from < 0 || count !== size || from + count > bytes.byteLength)
    throw corrupt(`${path} wants ${size} bytes at ${offset} (length ${length ?? 'not stated'}) of "${location}", which has ${bytes.byteLength}.`, path);
  return bytes.subarray(from, from + count);
}

/** A view where the bytes are aligned, one copy where they are not. */
function fromBytes(bytes: Uint8Array, kind: Kind, count: number): TensorData {
  const align = kind.array.BYTES_PER_ELEMENT;
  if (bytes.byteOffset % align === 0) return new kind.array(bytes.buffer, bytes.byteOffset, count);
  const copy = new Uint8Array(bytes);
  return new kind.array(copy.buffer, 0, count);
}

function fromFields(message: TensorMessage, dataType: DataType, kind: Kind, count: number, path: string): TensorData {
  const wide = dataType === 'int64' ? message.int64_data : dataType === 'uint64' || dataType === 'uint32' ? message.uint64_data : undefined;
  const field = wide ?? (dataType === 'float32' ? message.float_data : dataType === 'float64' ? message.double_data : message.int32_data) ?? [];
  if (field.length !== count) throw corrupt(`${path} has ${field.length} elements, its dims want ${count}.`, path);
  const data = new kind.array(count);
  if (data instanceof BigInt64Array || data instanceof BigUint64Array)
    (field as readonly Int64[]).forEach((v, i) => {
      data[i] = toBigInt(v);
    });
  else for (let i = 0; i < count; i++) data[i] = toNumber(field[i]);
  return data;
}

/** A tensor from its message; data are views into the file where alignment allows it. */
export function readTensor(message: TensorMessage, path: string, externalData?: ExternalData): Tensor {
  const dataType = dataTypeOf(message.data_type ?? 0, path);
  const kind = kinds[dataType];
  if (kind === undefined)
    throw new EdgeError('format-unsupported', `${path} is a tensor of strings.`, { hint: 'Remove the label mapping (ZipMap and the like) from the model.', where: { path } });
  const dims = (message.dims ?? []).map(toNumber);
  let count = 1;
  for (const dim of dims) {
    if (!Number.isSafeInteger(dim) || dim < 0) throw corrupt(`${path} has the dimension ${dim}.`, path);
    count *= dim;
  }
  const size = count * kind.array.BYTES_PER_ELEMENT;
  if (!Number.isSafeInteger(size)) throw corrupt(`${path} has dims [${dims}], more than can be held.`, path);
  if (message.data_location === 1) return { dataType, dims, data: fromBytes(externalBytes(message, size, path, externalData), kind, count) };
  if (message.raw_data === undefined || (message.raw_data.length === 0 && count > 0)) return { dataType, dims, data: fromFields(message, dataType, kind, count, path) };
  if (message.raw_data.length !== size) throw corrupt(`${path} has ${message.raw_data.length} bytes, [${dims}] of ${dataType} want ${size}.`, path);
  return { dataType, dims, data: fromBytes(message.raw_data, kind, count) };
}

/** The message of a tensor; its bytes are raw_data, little endian. */
export function writeTensor(name: string, tensor: Tensor): TensorMessage {
  const { data, dims, dataType } = tensor;
  return { dims, data_type: codeOf(dataType), name, raw_data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
}
