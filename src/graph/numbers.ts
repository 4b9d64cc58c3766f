import { EdgeError } from '../core/errors.ts';
import type { DataType, F64Tensor, Tensor, TensorData } from './ir.ts';

const scratchFloat = new Float32Array(1);
const scratchBits = new Uint32Array(scratchFloat.buffer);

/** The number that 16 bits of IEEE half precision stand for. */
export function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The half-precision bits nearest to a number, ties to even. */
export function toHalf(value: number): number {
  scratchFloat[0] = value;
  const bits = scratchBits[0] as number;
  const sign = (bits >>> 16) & 0x8000;
  if (Number.isNaN(value)) return sign | 0x7e00;
  const magnitude = Math.abs(value);
  if (magnitude >= 65520) return sign | 0x7c00;
  if (magnitude < 2 ** -14) return sign | roundEven(magnitude * 2 ** 24);
  const exponent = Math.floor(Math.log2(magnitude));
  const shift = magnitude < 2 ** exponent ? exponent - 1 : magnitude >= 2 ** (exponent + 1) ? exponent + 1 : exponent;
  // A fraction that rounds up to 1024 carries into the exponent by itself.
  return sign | (((shift + 15) << 10) + roundEven((magnitude / 2 ** shift - 1) * 1024));
}

/** Rounds to the nearest integer, halves to even, as ONNX's Round and QuantizeLinear do. */
export function roundEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}

/** A tensor's elements as float64 (int64 beyond 2^53 loses its last bits; shapes never get there). */
export function toF64(tensor: Tensor): F64Tensor {
  const { data, dims, dataType } = tensor;
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) return { dims, data: Float64Array.from(data as ArrayLike<bigint>, Number) };
  if (dataType === 'float16') return { dims, data: Float64Array.from(data as Uint16Array, fromHalf) };
  return { dims, data: Float64Array.from(data as ArrayLike<number>) };
}

const ranges: Partial<Record<DataType, readonly [number, number]>> = {
  int8: [-128, 127],
  uint8: [0, 255],
  int16: [-32768, 32767],
  uint16: [0, 65535],
  int32: [-2147483648, 2147483647],
  uint32: [0, 4294967295],
};
/** Least and greatest value of an integer type. */
export const rangeOf = (dataType: DataType): readonly [number, number] => ranges[dataType] ?? [-(2 ** 63), 2 ** 63];
export const isFloat = (dataType: DataType): boolean => dataType === 'float32' || dataType === 'float64' || dataType === 'float16';

const toBig = (value: number): bigint => (value >= 2 ** 63 ? 2n ** 63n - 1n : value <= -(2 ** 63) ? -(2n ** 63n) : BigInt(Math.trunc(value)));

/** Float64 elements as a tensor of `dataType`; integers are truncated. */
export function fromF64({ dims, data }: F64Tensor, dataType: DataType): Tensor {
  const make = (): TensorData => {
    switch (dataType) {
      case 'float32':
        return Float32Array.from(data);
      case 'float64':
        return data;
      case 'float16':
        return Uint16Array.from(data, toHalf);
      case 'int64':
        return BigInt64Array.from(Array.from(data, v => (Number.isNaN(v) ? 0n : toBig(v))));
      case 'uint64':
        return BigUint64Array.from(Array.from(data, v => (Number.isNaN(v) ? 0n : toBig(v))));
      case 'int32':
        return Int32Array.from(data);
      case 'uint32':
        return Uint32Array.from(data);
      case 'int16':
        return Int16Array.from(data);
      case 'uint16':
        return Uint16Array.from(data);
      case 'int8':
        return Int8Array.from(data);
      case 'uint8':
        return Uint8Array.from(data);
      case 'bool':
        return Uint8Array.from(data, v => (v === 0 ? 0 : 1));
      case 'string':
        throw new EdgeError('operator-unsupported', 'Strings are no numbers.', { hint: 'Remove string tensors from the model.' });
    }
  };
  return { dims, dataType, data: make() };
}

/** The integers of a tensor, as plain numbers. */
export const integersOf = (tensor: Tensor): number[] => Array.from(tensor.data as ArrayLike<number | bigint>, Number);
