import type { Preprocess } from '../graph/network-info.ts';
import { type ColourMatrix, identity3, identity4, type SpatialMatrix, type Transform } from './augment.ts';
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
  const fill = planesOf(preprocess).map(({ offset }) => Math.fround(offset)) as [number, number, number];
  const sample = samplerOf(pixels, size, spatial, fill);
  const write = writerOf(out, size, preprocess, colour);
  const row = new Float32Array(width * 3);
  for (let y = 0; y < height; y++) {
    sample(y, row);
    write(row, y * width);
  }
}

/** One output row from source colours into its planes, from position `at` of each. */
type RowWriter = (row: Float32Array, at: number) => void;

function writerOf(out: Float32Array, { width, height }: Size, preprocess: Preprocess, colour: ColourMatrix): RowWriter {
  const coloured = colour.some((value, index) => value !== identity4[index]);
  const planes = planesOf(preprocess);
  const { scale } = preprocess;
  if (preprocess.order === 'gray')
    return (row, at) => {
      if (coloured) recolour(row, colour);
      writeGray(row, out, at, Math.fround(planes[0]!.offset), scale);
    };
  const starts = planes.map(({ plane }) => plane * width * height);
  const offsets = planes.map(({ offset }) => offset);
  const whole = affine(colour, offsets, scale);
  return coloured ? (row, at) => writeColoured(row, out, at, starts, whole) : (row, at) => writePlanes(row, out, at, starts, offsets, scale);
}

/** (x − offset) · scale, exactly 0 where the row holds the offset. */
function writePlanes(row: Float32Array, out: Float32Array, at: number, starts: readonly number[], offsets: readonly number[], scale: number): void {
  const [f0, f1, f2] = offsets.map(Math.fround) as [number, number, number];
  let [a, b, c] = starts.map(start => start + at) as [number, number, number];
  for (let i = 0; i < row.length; i += 3) {
    out[a++] = (row[i]! - f0) * scale;
    out[b++] = (row[i + 1]! - f1) * scale;
    out[c++] = (row[i + 2]! - f2) * scale;
  }
}
function writeGray(row: Float32Array, out: Float32Array, at: number, offset: number, scale: number): void {
  for (let i = 0, o = at; i < row.length; i += 3, o++) out[o] = (0.299 * row[i]! + 0.587 * row[i + 1]! + 0.114 * row[i + 2]! - offset) * scale;
}

/** Colour matrix and preprocessing as one: per output colour three factors, an addend, and the ends that 0 and 255 become. */
type Affine = readonly (readonly [r: number, g: number, b: number, add: number, low: number, high: number])[];
const affine = (m: ColourMatrix, offsets: readonly number[], scale: number): Affine =>
  offsets.map((offset, c) => [m[4 * c]! * scale, m[4 * c + 1]! * scale, m[4 * c + 2]! * scale, (m[4 * c + 3]! * 255 - offset) * scale, -offset * scale, (255 - offset) * scale]);

// One pass and no array in it: three passes over a row (colour, clip, planes) took three times as long.
function writeColoured(row: Float32Array, out: Float32Array, at: number, starts: readonly number[], [red, green, blue]: Affine): void {
  const [r0, r1, r2, r3, lowR, highR] = red!;
  const [g0, g1, g2, g3, lowG, highG] = green!;
  const [b0, b1, b2, b3, lowB, highB] = blue!;
  let [a, b, c] = starts.map(start => start + at) as [number, number, number];
  for (let i = 0; i < row.length; i += 3) {
    const x = row[i]!;
    const y = row[i + 1]!;
    const z = row[i + 2]!;
    const u = r0 * x + r1 * y + r2 * z + r3;
    const v = g0 * x + g1 * y + g2 * z + g3;
    const w = b0 * x + b1 * y + b2 * z + b3;
    out[a++] = Math.min(highR, Math.max(lowR, u));
    out[b++] = Math.min(highG, Math.max(lowG, v));
    out[c++] = Math.min(highB, Math.max(lowB, w));
  }
}

function recolour(row: Float32Array, m: ColourMatrix): void {
  const clip = (value: number) => Math.min(255, Math.max(0, value));
  for (let i = 0; i < row.length; i += 3) {
    const [x, y, z] = [row[i]!, row[i + 1]!, row[i + 2]!];
    for (let c = 0; c < 3; c++) row[i + c] = clip(m[4 * c]! * x + m[4 * c + 1]! * y + m[4 * c + 2]! * z + m[4 * c + 3]! * 255);
  }
}

function samplerOf(pixels: Pixels, size: Size, spatial: SpatialMatrix, fill: readonly [number, number, number]): RowSampler {
  if (spatial[1] !== 0 || spatial[3] !== 0) return turnedSampler(pixels, size, spatial, fill);
  const whole = Math.abs(spatial[0]!) === 1 && spatial[4] === 1 && Number.isInteger(spatial[2]) && Number.isInteger(spatial[5]);
  return whole ? straightSampler(pixels, size, spatial, fill) : uprightSampler(pixels, size, spatial, fill);
}

/** Flips and shifts by whole pixels, the most frequent case: pixels are copied, none is blended. */
function straightSampler({ data, width: w, height: h }: Pixels, { width }: Size, spatial: SpatialMatrix, fill: readonly [number, number, number]): RowSampler {
  const step = spatial[0]!;
  const shift = step > 0 ? spatial[2]! : spatial[2]! - 1;
  // Output pixel x shows source pixel step · x + shift: the span of x for which there is one.
  const from = Math.min(width, Math.max(0, step > 0 ? -shift : shift - w + 1));
  const to = Math.max(from, Math.min(width, step > 0 ? w - shift : shift + 1));
  return (y, row) => {
    const line = y + spatial[5]!;
    if (line < 0 || line >= h || to <= from) return fillRow(row, fill, 0, width);
    fillRow(row, fill, 0, from);
    fillRow(row, fill, to, width);
    const start = (line * w + step * from + shift) * 3;
    if (step > 0) return row.set(data.subarray(start, start + (to - from) * 3), from * 3);
    for (let o = from * 3, p = start; o < to * 3; o += 3, p -= 3) {
      row[o] = data[p]!;
      row[o + 1] = data[p + 1]!;
      row[o + 2] = data[p + 2]!;
    }
  };
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
    if (y0 < 0) return fillRow(row, fill, 0, width);
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

function fillRow(row: Float32Array, [r, g, b]: readonly [number, number, number], from: number, to: number): void {
  for (let i = from * 3; i < to * 3; i += 3) {
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
