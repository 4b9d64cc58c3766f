import type { Tensor } from '../graph/ir.ts';

/** A kernel on the symmetric int8 grid, one scale per index of an axis: scale = max|w|/127, −127…127. */
export interface QuantizedKernel {
  readonly values: Tensor;
  readonly scales: readonly number[];
}

/** Largest |integer bias|: leaves the accumulator of a convolution room in int32. */
const biasLimit = 2 ** 30;

/**
 * Quantizes a kernel per channel. With an integer bias, a channel whose weights are so small that its bias would not fit int32 gets a coarser scale.
 */
export function quantizedKernel(weight: Tensor, axis: number, integer?: { readonly bias: Tensor; readonly inputScale: number }): QuantizedKernel {
  const channels = weight.dims[axis] as number;
  const inner = weight.dims.slice(axis + 1).reduce((a, b) => a * b, 1);
  const data = weight.data as Float32Array;
  const amax = new Float64Array(channels);
  const channelOf = (i: number) => Math.floor(i / inner) % channels;
  for (let i = 0; i < data.length; i++) {
    const channel = channelOf(i);
    amax[channel] = Math.max(amax[channel] as number, Math.abs(data[i] as number));
  }
  const scales = Array.from(amax, (max, channel) => {
    // Below the smallest normal float32 a scale would round to 0.
    const scale = Math.max((max > 0 ? max : 1) / 127, 2 ** -126);
    const bias = Math.abs(Number(integer?.bias.data[channel] ?? 0));
    return Math.fround(integer ? Math.max(scale, bias / integer.inputScale / biasLimit) : scale);
  });
  const values = new Int8Array(data.length);
  for (let i = 0; i < data.length; i++) values[i] = Math.max(-127, Math.min(127, roundEven((data[i] as number) / (scales[channelOf(i)] as number))));
  return { values: { dataType: 'int8', dims: weight.dims, data: values }, scales };
}

/** The bias in units of inputScale·weightScale, int32. */
export const quantizedBias = (bias: Tensor, scales: readonly number[], inputScale: number): Tensor => ({
  dataType: 'int32',
  dims: bias.dims,
  data: Int32Array.from(bias.data as Float32Array, (value, channel) => roundEven(value / (inputScale * (scales[channel] as number)))),
});

/** Round half to even, as QuantizeLinear does. */
export function roundEven(value: number): number {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
