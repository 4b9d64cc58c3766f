import { z } from 'zod';
import { type Attributes, type Dim, ints, sizeOf } from '../ir.ts';
import type { Bound } from '../operator.ts';
import { stridesOf } from './_array.ts';
import { list, wrong } from './_row.ts';

/** Attributes that every sliding window shares. */
export const windowAttributes = z.object({
  auto_pad: z.enum(['NOTSET', 'VALID', 'SAME_UPPER', 'SAME_LOWER', '']).default('NOTSET'),
  strides: list.optional(),
  pads: list.optional(),
  dilations: list.optional(),
  kernel_shape: list.optional(),
  ceil_mode: z.number().default(0),
});
export type WindowAttributes = z.infer<typeof windowAttributes>;

/** A window resolved against an input's spatial sizes. */
export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Begins of all axes, then ends. */
  readonly pads: readonly number[];
  readonly out: readonly Dim[];
}

function samePads(size: Dim, stride: number, extent: number, upper: boolean): readonly [number, number] | undefined {
  if (typeof size !== 'number') return stride === 1 ? split(extent - 1, upper) : undefined;
  return split(Math.max(0, (Math.ceil(size / stride) - 1) * stride + extent - size), upper);
}
const split = (total: number, upper: boolean): readonly [number, number] => {
  const small = Math.floor(total / 2);
  return upper ? [small, total - small] : [total - small, small];
};

/** Output sizes and explicit pads of a window over spatial sizes (ONNX Conv and pooling). */
export function windowOver(bound: Pick<Bound<unknown>, 'node'>, attributes: WindowAttributes, spatial: readonly Dim[], kernel: readonly number[]): Window {
  const rank = spatial.length;
  const one = new Array<number>(rank).fill(1);
  const strides = attributes.strides ?? one;
  const dilations = attributes.dilations ?? one;
  const stated = attributes.pads ?? new Array<number>(2 * rank).fill(0);
  for (const [name, values, length] of [
    ['kernel_shape', kernel, rank],
    ['strides', strides, rank],
    ['dilations', dilations, rank],
    ['pads', stated, 2 * rank],
  ] as const)
    if (values.length !== length || values.some(v => !Number.isInteger(v) || v < (name === 'pads' ? 0 : 1)))
      throw wrong(bound, `${name} [${values}] does not fit ${rank} spatial axes`);
  const begins: number[] = [];
  const ends: number[] = [];
  const out = spatial.map((size, axis): Dim => {
    const stride = strides[axis] as number;
    const extent = ((kernel[axis] as number) - 1) * (dilations[axis] as number) + 1;
    const same = attributes.auto_pad.startsWith('SAME');
    const pads = same
      ? samePads(size, stride, extent, attributes.auto_pad === 'SAME_UPPER')
      : attributes.auto_pad === 'VALID'
        ? ([0, 0] as const)
        : ([stated[axis] as number, stated[axis + rank] as number] as const);
    if (pads === undefined) throw wrong(bound, `auto_pad ${attributes.auto_pad} with stride ${stride} needs a known size, not ${size}`);
    begins.push(pads[0]);
    ends.push(pads[1]);
    return outSize(bound, size, pads, extent, stride, attributes.ceil_mode === 1);
  });
  return { kernel, strides, dilations, pads: [...begins, ...ends], out };
}

function outSize(bound: Pick<Bound<unknown>, 'node'>, size: Dim, pads: readonly [number, number], extent: number, stride: number, ceil: boolean): Dim {
  const slack = pads[0] + pads[1] - extent;
  if (typeof size !== 'number')
    return stride === 1 ? (slack === -1 ? size : `(${size}${slack + 1 < 0 ? '' : '+'}${slack + 1})`) : `((${size}${slack < 0 ? '' : '+'}${slack})/${stride}+1)`;
  let count = (ceil ? Math.ceil((size + slack) / stride) : Math.floor((size + slack) / stride)) + 1;
  // A window that would start in the end padding is dropped (as onnxruntime and PyTorch do).
  if (ceil && (count - 1) * stride >= size + pads[0]) count--;
  if (count < 1) throw wrong(bound, `a window of ${extent} does not fit into ${size} with pads ${pads.join('+')}`);
  return count;
}

/** The window as explicit attributes of an internal operator. */
export const explicitAttributes = (window: Window, more: Attributes = {}): Attributes => ({
  kernel_shape: ints(window.kernel),
  strides: ints(window.strides),
  dilations: ints(window.dilations),
  pads: ints(window.pads),
  ...more,
});

/** For tap t and output place p: `table[t·places + p]` is the place in the input plane, or −1 in the padding. */
export function tapTable(window: Window, spatial: readonly number[]): { readonly table: Int32Array; readonly taps: number; readonly places: number } {
  const out = window.out as readonly number[];
  const taps = sizeOf(window.kernel);
  const places = sizeOf(out);
  const table = new Int32Array(taps * places);
  const inStrides = stridesOf(spatial);
  const outStrides = stridesOf(out);
  const tapStrides = stridesOf(window.kernel);
  for (let t = 0; t < taps; t++)
    for (let p = 0; p < places; p++) {
      let at = 0;
      for (let axis = 0; axis < spatial.length; axis++) {
        const k = Math.floor(t / (tapStrides[axis] as number)) % (window.kernel[axis] as number);
        const o = Math.floor(p / (outStrides[axis] as number)) % (out[axis] as number);
        const i = o * (window.strides[axis] as number) + k * (window.dilations[axis] as number) - (window.pads[axis] as number);
        if (i < 0 || i >= (spatial[axis] as number)) {
          at = -1;
          break;
        }
        at += i * (inStrides[axis] as number);
      }
      table[t * places + p] = at;
    }
  return { table, taps, places };
}
