import type { NvinferReading } from '../formats/nvinfer-read.ts';
import type { Box } from '../tasks/task.ts';
import type { Pixels } from './decode.ts';
import type { Size } from './placement.ts';

/** Where nvinfer puts a frame in the network's input: `width` × `height` pixels from (`left`, `top`), scaled from the whole frame. */
export interface NvinferPlacement extends Size {
  readonly left: number;
  readonly top: number;
  readonly frame: Size;
}
type Scaling = Pick<NvinferReading, 'keepsAspect' | 'symmetric' | 'filter'>;

/** The placement of a frame, as gst-nvinfer's get_converted_buffer: sides are cut to whole pixels, padding lies right or below, or on both sides where it is symmetric. */
export function nvinferPlacement(frame: Size, input: Size, { keepsAspect, symmetric }: Scaling): NvinferPlacement {
  if (!keepsAspect) return { left: 0, top: 0, ...input, frame };
  const height = (input.width * frame.height) / frame.width;
  const wide = height <= input.height;
  const cut = (side: number) => Math.max(1, Math.trunc(side));
  const size = wide ? { width: input.width, height: cut(height) } : { width: cut((input.height * frame.width) / frame.height), height: input.height };
  const before = (whole: number, part: number) => (symmetric ? Math.trunc((whole - part) / 2) : 0);
  return { left: before(input.width, size.width), top: before(input.height, size.height), ...size, frame };
}

/** A box of the network's input in pixels of the frame, cut to it. */
export function nvinferBox<B extends Omit<Box, 'classIndex'>>(box: B, { left, top, width, height, frame }: NvinferPlacement): B {
  const x = (value: number) => Math.min(frame.width, Math.max(0, ((value - left) * frame.width) / width));
  const y = (value: number) => Math.min(frame.height, Math.max(0, ((value - top) * frame.height) / height));
  return { ...box, x1: x(box.x1), y1: y(box.y1), x2: x(box.x2), y2: y(box.y2) };
}

/**
 * A frame as nvinfer's network input, written into `out` (channels · height · width floats): scaled to 8-bit pixels, padded with black, then
 * y = scale · (x − offset) per channel in the config's colour order. Of NVIDIA's filters only nearest and bilinear are known; others are taken as bilinear.
 */
export function nvinferInput(pixels: Pixels, input: Size, config: Pick<NvinferReading, 'scale' | 'offsets' | 'order'> & Scaling, out: Float32Array): NvinferPlacement {
  const placement = nvinferPlacement(pixels, input, config);
  const plane = input.width * input.height;
  const { order, scale, offsets } = config;
  const channels = order === 'gray' ? 1 : 3;
  for (let c = 0; c < channels; c++) out.fill(scale * -(offsets[c] ?? 0), c * plane, (c + 1) * plane);
  const sample = sampler(pixels, placement, config.filter);
  for (let y = 0; y < placement.height; y++)
    for (let x = 0; x < placement.width; x++) {
      const at = (placement.top + y) * input.width + placement.left + x;
      const colour = (c: number) => sample(x, y, c);
      if (order === 'gray') out[at] = scale * (Math.round(0.299 * colour(0) + 0.587 * colour(1) + 0.114 * colour(2)) - (offsets[0] ?? 0));
      else for (let c = 0; c < 3; c++) out[c * plane + at] = scale * (colour(order === 'bgr' ? 2 - c : c) - (offsets[c] ?? 0));
    }
  return placement;
}

/** Colour c of the scaled frame at (x, y), 0…255 in whole numbers. Centres of pixels lie on centres; nothing is averaged where it shrinks. */
function sampler({ data, width, height }: Pixels, to: Size, filter: NvinferReading['filter']): (x: number, y: number, c: number) => number {
  const [stepX, stepY] = [width / to.width, height / to.height];
  const clamp = (value: number, size: number) => Math.min(size - 1, Math.max(0, value));
  const at = (x: number, y: number, c: number) => data[(clamp(y, height) * width + clamp(x, width)) * 3 + c]!;
  if (filter === 'nearest') return (x, y, c) => at(Math.floor((x + 0.5) * stepX), Math.floor((y + 0.5) * stepY), c);
  return (x, y, c) => {
    const [u, v] = [(x + 0.5) * stepX - 0.5, (y + 0.5) * stepY - 0.5];
    const [left, top] = [Math.floor(u), Math.floor(v)];
    const [fx, fy] = [u - left, v - top];
    return Math.round((at(left, top, c) * (1 - fx) + at(left + 1, top, c) * fx) * (1 - fy) + (at(left, top + 1, c) * (1 - fx) + at(left + 1, top + 1, c) * fx) * fy);
  };
}
