import type { Preprocess } from '../graph/network-info.ts';
import { identity3, identity4, type SpatialMatrix, type Transform } from './augment.ts';
import type { Pixels } from './decode.ts';
import type { Size } from './placement.ts';

/** makenet's preprocess_mode as offset and scale. torch divides all channels by 255 · 0.224, as NVIDIA's numpy path does. `imageMean` is keyed b, g, r (or l for gray) and concerns caffe only. */
export function preprocessOf(mode: 'caffe' | 'torch' | 'tf', channels: 1 | 3, imageMean: Readonly<Record<string, number>> = {}): Preprocess {
  const gray = channels === 1;
  const same = (value: number): [number, number, number] => [value, value, value];
  if (mode === 'tf') return { scale: 1 / 127.5, offset: same(127.5), order: gray ? 'gray' : 'rgb', resize: 'stretch' };
  if (mode === 'torch')
    return { scale: 1 / (255 * 0.224), offset: gray ? same(255 * 0.449) : [255 * 0.485, 255 * 0.456, 255 * 0.406], order: gray ? 'gray' : 'rgb', resize: 'stretch' };
  if (gray) return { scale: 1, offset: same(imageMean.l ?? 117.3786), order: 'gray', resize: 'stretch' };
  return { scale: 1, offset: [imageMean.b ?? 103.939, imageMean.g ?? 116.779, imageMean.r ?? 123.68], order: 'bgr', resize: 'stretch' };
}

export const channelsOf = (preprocess: Preprocess): 1 | 3 => (preprocess.order === 'gray' ? 1 : 3);

/** Per colour of the source (r, g, b): where it stands among the planes, its offset. */
const planesOf = ({ order, offset }: Preprocess): readonly { readonly plane: number; readonly offset: number }[] =>
  order === 'bgr'
    ? [2, 1, 0].map(plane => ({ plane, offset: offset[plane]! }))
    : [0, 1, 2].map(plane => ({ plane: order === 'gray' ? 0 : plane, offset: offset[order === 'gray' ? 0 : plane]! }));

/** One output row in source colours, 0..255 floats, interleaved; where the picture does not reach it is the fill. */
type RowSampler = (y: number, row: Float32Array) => void;

/**
 * Writes one network input: pixels (the placed content at the input's top-left) through the transform, bilinear, then colour, clip to 0..255, then (x − offset) · scale into planes.
 * `out` holds channels · height · width floats. What lies outside the content is `offset`, so it is 0 after preprocessing unless the colour matrix moves it, as TLT's padding moves.
 */
export function renderInput(
  pixels: Pixels,
  size: Size,
  preprocess: Preprocess,
  out: Float32Array,
  { spatial, colour }: Transform = { spatial: identity3, colour: identity4 },
): void {
  const { width, height } = size;
  const planes = planesOf(preprocess);
  const fill = planes.map(({ offset }) => Math.fround(offset)) as [number, number, number];
  const sample = spatial[1] === 0 && spatial[3] === 0 ? uprightSampler(pixels, size, spatial, fill) : turnedSampler(pixels, size, spatial, fill);
  const row = new Float32Array(width * 3);
  const area = width * height;
  const coloured = colour.some((value, index) => value !== identity4[index]);
  for (let y = 0; y < height; y++) {
    sample(y, row);
    if (coloured) recolour(row, colour);
    if (preprocess.order === 'gray') writeGray(row, out, y * width, fill[0], preprocess.scale);
    else for (let c = 0; c < 3; c++) writePlane(row, c, out, planes[c]!.plane * area + y * width, fill[c]!, preprocess.scale);
  }
}

function writePlane(row: Float32Array, channel: number, out: Float32Array, at: number, offset: number, scale: number): void {
  for (let i = channel, o = at; i < row.length; i += 3, o++) out[o] = (row[i]! - offset) * scale;
}
function writeGray(row: Float32Array, out: Float32Array, at: number, offset: number, scale: number): void {
  for (let i = 0, o = at; i < row.length; i += 3, o++) out[o] = (0.299 * row[i]! + 0.587 * row[i + 1]! + 0.114 * row[i + 2]! - offset) * scale;
}

function recolour(row: Float32Array, m: readonly number[]): void {
  const [m0, m1, m2, m4, m5, m6, m8, m9, m10] = [m[0]!, m[1]!, m[2]!, m[4]!, m[5]!, m[6]!, m[8]!, m[9]!, m[10]!];
  const [b0, b1, b2] = [m[3]! * 255, m[7]! * 255, m[11]! * 255];
  for (let i = 0; i < row.length; i += 3) {
    const r = row[i]!;
    const g = row[i + 1]!;
    const b = row[i + 2]!;
    const x = m0 * r + m1 * g + m2 * b + b0;
    const y = m4 * r + m5 * g + m6 * b + b1;
    const z = m8 * r + m9 * g + m10 * b + b2;
    row[i] = x < 0 ? 0 : Math.min(255, x);
    row[i + 1] = y < 0 ? 0 : Math.min(255, y);
    row[i + 2] = z < 0 ? 0 : Math.min(255, z);
  }
}

/** Taps along one axis: source indices and the weight of the second; −1 where the source does not reach. */
function taps(count: number, extent: number, factor: number, shift: number) {
  const first = new Int32Array(count);
  const second = new Int32Array(count);
  const weight = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const at = factor * (i + 0.5) + shift;
    if (at < 0 || at >= extent) {
      first[i] = -1;
      continue;
    }
    const centre = Math.min(extent - 1, Math.max(0, at - 0.5));
    first[i] = Math.floor(centre);
    second[i] = Math.min(extent - 1, first[i]! + 1);
    weight[i] = centre - first[i]!;
  }
  return { first, second, weight };
}

/** Flip, shift and zoom keep rows rows: blend two source rows once, then walk the taps of x. */
function uprightSampler(pixels: Pixels, { width, height }: Size, spatial: SpatialMatrix, fill: readonly [number, number, number]): RowSampler {
  const source = pixels.data;
  const across = taps(width, pixels.width, spatial[0]!, spatial[2]!);
  const down = taps(height, pixels.height, spatial[4]!, spatial[5]!);
  const stride = pixels.width * 3;
  const blended = new Float32Array(stride);
  const [f0, f1, f2] = fill;
  return (y, row) => {
    const y0 = down.first[y]!;
    if (y0 < 0) return fillRow(row, fill);
    const a = y0 * stride;
    const b = down.second[y]! * stride;
    const w = down.weight[y]!;
    if (w === 0) for (let i = 0; i < stride; i++) blended[i] = source[a + i]!;
    else for (let i = 0; i < stride; i++) blended[i] = source[a + i]! + (source[b + i]! - source[a + i]!) * w;
    for (let x = 0, o = 0; x < width; x++, o += 3) {
      const p = across.first[x]! * 3;
      if (p < 0) {
        row[o] = f0;
        row[o + 1] = f1;
        row[o + 2] = f2;
        continue;
      }
      const q = across.second[x]! * 3;
      const t = across.weight[x]!;
      row[o] = blended[p]! + (blended[q]! - blended[p]!) * t;
      row[o + 1] = blended[p + 1]! + (blended[q + 1]! - blended[p + 1]!) * t;
      row[o + 2] = blended[p + 2]! + (blended[q + 2]! - blended[p + 2]!) * t;
    }
  };
}

function fillRow(row: Float32Array, [r, g, b]: readonly [number, number, number]): void {
  for (let i = 0; i < row.length; i += 3) {
    row[i] = r;
    row[i + 1] = g;
    row[i + 2] = b;
  }
}

/** The general case: four taps per pixel. */
function turnedSampler({ data, width: w, height: h }: Pixels, { width }: Size, spatial: SpatialMatrix, fill: readonly [number, number, number]): RowSampler {
  const [a, b, c, d, e, f] = [spatial[0]!, spatial[1]!, spatial[2]!, spatial[3]!, spatial[4]!, spatial[5]!];
  return (y, row) => {
    for (let x = 0, o = 0; x < width; x++, o += 3) {
      const sx = a * (x + 0.5) + b * (y + 0.5) + c;
      const sy = d * (x + 0.5) + e * (y + 0.5) + f;
      if (sx < 0 || sy < 0 || sx >= w || sy >= h) {
        row[o] = fill[0];
        row[o + 1] = fill[1];
        row[o + 2] = fill[2];
        continue;
      }
      const px = sx < 0.5 ? 0 : sx > w - 0.5 ? w - 1 : sx - 0.5;
      const py = sy < 0.5 ? 0 : sy > h - 0.5 ? h - 1 : sy - 0.5;
      const x0 = px | 0;
      const y0 = py | 0;
      const u = px - x0;
      const v = py - y0;
      const p = (y0 * w + x0) * 3;
      const right = x0 + 1 < w ? 3 : 0;
      const below = y0 + 1 < h ? w * 3 : 0;
      for (let k = 0; k < 3; k++) {
        const top = data[p + k]! + (data[p + right + k]! - data[p + k]!) * u;
        const bottom = data[p + below + k]! + (data[p + below + right + k]! - data[p + below + k]!) * u;
        row[o + k] = top + (bottom - top) * v;
      }
    }
  };
}
