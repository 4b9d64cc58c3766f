import { sizeOf, type Tensor } from '../../graph/ir.ts';
import type { StoredLayout } from '../lowering.ts';

/**
 * How a value lies in memory. Block b is 16 or 8 channels; counts are rounded up to whole blocks and the rest is zero.
 * plain: as ONNX says. blocked: activations (N, C/b, H, W, b). matrix: weights (O/b, I/b, kH, kW, o, i). vector: weights of few or one input channel
 * (O/b, I, kH, kW, o). channel: a vector per channel (C), padded.
 */
export type Layout = 'plain' | 'blocked' | 'matrix' | 'vector' | 'channel';

/** Packing of a weight of logical shape `dims` (O, I, kH, kW) into a stored layout and back. */
export function storedLayout(layout: 'matrix' | 'vector', dims: readonly number[], block: number): StoredLayout {
  const [o = 1, i = 1, kh = 1, kw = 1] = dims;
  const up = (count: number) => Math.ceil(count / block) * block;
  const taps = kh * kw;
  const stored = [up(o), layout === 'matrix' ? up(i) : i, kh, kw];
  const place =
    layout === 'matrix'
      ? (co: number, ci: number, tap: number) =>
          (((Math.floor(co / block) * ((stored[1] as number) / block) + Math.floor(ci / block)) * taps + tap) * block + (co % block)) * block + (ci % block)
      : (co: number, ci: number, tap: number) => ((Math.floor(co / block) * i + ci) * taps + tap) * block + (co % block);
  const copy = (from: Float32Array, to: Float32Array, back: boolean) => {
    for (let co = 0, at = 0; co < o; co++) {
      for (let ci = 0; ci < i; ci++) {
        for (let tap = 0; tap < taps; tap++, at++) {
          if (back) to[at] = from[place(co, ci, tap)] as number;
          else to[place(co, ci, tap)] = from[at] as number;
        }
      }
    }
    return to;
  };
  return {
    dims: stored,
    pack: (tensor: Tensor) => ({ dataType: 'float32', dims: stored, data: copy(tensor.data as Float32Array, new Float32Array(sizeOf(stored)), false) }),
    unpack: (tensor: Tensor) => ({ dataType: 'float32', dims, data: copy(tensor.data as Float32Array, new Float32Array(sizeOf(dims)), true) }),
  };
}
