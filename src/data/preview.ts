import sharp from 'sharp';
import { EdgeError } from '../core/errors.ts';
import type { Preprocess } from '../graph/network-info.ts';
import type { Box, ScoredBox } from '../tasks/task.ts';
import { inParallel } from './_in-parallel.ts';
import type { Batch } from './batches.ts';
import type { Pixels } from './decode.ts';

/** One picture of a sheet: a file, or raw RGB pixels; boxes in pixels of that picture. Truth is drawn solid, predictions dashed with their score. */
export interface Picture {
  readonly source: string | { readonly data: Uint8Array; readonly width: number; readonly height: number };
  readonly title?: string;
  readonly boxes?: readonly Box[];
  readonly ignored?: readonly Omit<Box, 'classIndex'>[];
  readonly predictions?: readonly ScoredBox[];
}
export interface SheetOptions {
  readonly labels: readonly string[];
  readonly columns?: number;
  readonly tileWidth?: number;
  readonly format?: 'jpeg' | 'png';
  /** A line above the pictures, with the labels in their colours under it. */
  readonly caption?: string;
}
const colours = ['#ff3b30', '#34c759', '#0a84ff', '#ffcc00', '#bf5af2', '#ff9f0a', '#64d2ff', '#ff6482'] as const;
const escaped = (text: string): string => text.replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`);

function boxSvg(box: Box | ScoredBox, labels: readonly string[], scale: number): string {
  const colour = colours[box.classIndex % colours.length]!;
  const scored = 'score' in box;
  const [x, y, w, h] = [box.x1 * scale, box.y1 * scale, (box.x2 - box.x1) * scale, (box.y2 - box.y1) * scale];
  const text = `${labels[box.classIndex] ?? box.classIndex}${scored ? ` ${box.score.toFixed(2)}` : ''}`;
  const frame = `<rect x="${x}" y="${y}" width="${w}" height="${h}" fill="none" stroke="${colour}" stroke-width="1.5"${scored ? ' stroke-dasharray="4 2"' : ''}/>`;
  const at = y > 11 ? y - 2 : y + h + 9;
  return `${frame}<text x="${x}" y="${at}" font-family="sans-serif" font-size="9" fill="${colour}" stroke="#000" stroke-width="2" paint-order="stroke">${escaped(text)}</text>`;
}

async function tile(picture: Picture, labels: readonly string[], tileWidth: number): Promise<{ readonly data: Buffer; readonly width: number; readonly height: number }> {
  const { source } = picture;
  const image = typeof source === 'string' ? sharp(source) : sharp(source.data, { raw: { width: source.width, height: source.height, channels: 3 } });
  const { width = 1, height = 1 } = typeof source === 'string' ? await image.metadata() : source;
  const scale = tileWidth / width;
  const tileHeight = Math.max(1, Math.round(height * scale));
  const ignored = (picture.ignored ?? []).map(
    b => `<rect x="${b.x1 * scale}" y="${b.y1 * scale}" width="${(b.x2 - b.x1) * scale}" height="${(b.y2 - b.y1) * scale}" fill="#8886" stroke="#ddd" stroke-dasharray="2 2"/>`,
  );
  const boxes = [...(picture.boxes ?? []), ...(picture.predictions ?? [])].map(box => boxSvg(box, labels, scale));
  const title = picture.title
    ? `<text x="3" y="${tileHeight - 4}" font-family="sans-serif" font-size="10" fill="#fff" stroke="#000" stroke-width="2" paint-order="stroke">${escaped(picture.title)}</text>`
    : '';
  const overlay = `<svg xmlns="http://www.w3.org/2000/svg" width="${tileWidth}" height="${tileHeight}">${ignored.join('')}${boxes.join('')}${title}</svg>`;
  const data = await image
    .resize(tileWidth, tileHeight, { fit: 'fill' })
    .toColourspace('srgb')
    .removeAlpha()
    .composite([{ input: Buffer.from(overlay) }])
    .png({ compressionLevel: 1 })
    .toBuffer();
  return { data, width: tileWidth, height: tileHeight };
}

/** The caption and, in as many lines as they need, the labels in the colours of their boxes. */
function heading(caption: string, labels: readonly string[], width: number): { readonly input: Buffer; readonly height: number } {
  const words: string[] = [];
  let [x, y] = [6, 36];
  labels.forEach((label, index) => {
    const room = 24 + 8 * label.length;
    if (x + room > width && x > 6) [x, y] = [6, y + 18];
    words.push(`<rect x="${x}" y="${y - 9}" width="10" height="10" fill="${colours[index % colours.length]}"/><text x="${x + 14}" y="${y}">${escaped(label)}</text>`);
    x += room;
  });
  const height = y + 8;
  const text = `<g font-family="sans-serif" font-size="13" fill="#eee"><text x="6" y="17">${escaped(caption)}</text>${words.join('')}</g>`;
  return { input: Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${text}</svg>`), height };
}

/** A contact sheet: pictures with their boxes in a grid, as JPEG (default) or PNG bytes. */
export async function contactSheet(pictures: readonly Picture[], { labels, columns = 4, tileWidth = 320, format = 'jpeg', caption }: SheetOptions): Promise<Buffer> {
  if (pictures.length === 0) throw new EdgeError('dataset-invalid', 'There is no picture to show.', { hint: 'Check the folder and the split.' });
  const tiles = await inParallel(pictures, 3, picture => tile(picture, labels, tileWidth));
  const across = Math.min(columns, tiles.length);
  const gap = 4;
  const layers: { input: Buffer; left: number; top: number }[] = [];
  const width = gap + across * (tileWidth + gap);
  const head = caption === undefined ? undefined : heading(caption, labels, width);
  if (head) layers.push({ input: head.input, left: 0, top: 0 });
  let top = gap + (head?.height ?? 0);
  for (let row = 0; row < tiles.length; row += across) {
    const line = tiles.slice(row, row + across);
    line.forEach(({ data }, column) => {
      layers.push({ input: data, left: gap + column * (tileWidth + gap), top });
    });
    top += Math.max(...line.map(({ height }) => height)) + gap;
  }
  const sheet = sharp({ create: { width, height: top, channels: 3, background: '#1b1d20' } }).composite(layers);
  return format === 'png' ? sheet.png().toBuffer() : sheet.jpeg({ quality: 88 }).toBuffer();
}

/** One picture with its boxes, `width` pixels wide: as PNG bytes and as pixels. */
export async function drawPicture(picture: Picture, labels: readonly string[], width: number): Promise<{ readonly png: Buffer; readonly pixels: Pixels }> {
  const drawn = await tile(picture, labels, width);
  const { data, info } = await sharp(drawn.data).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  return { png: drawn.data, pixels: { data, width: info.width, height: info.height } };
}

/** The images of a batch as pictures, its preprocessing undone: what the network sees, augmented, with its boxes, or with its class in the title. */
export function picturesOfBatch({ images, n, ids, annotations }: Omit<Batch, 'release'>, { scale, offset, order }: Preprocess, labels: readonly string[] = []): Picture[] {
  const [, channels = 3, height = 1, width = 1] = images.dims;
  const values = images.data as Float32Array;
  const area = width * height;
  return Array.from({ length: n }, (_, row) => {
    const data = new Uint8Array(area * 3);
    for (let c = 0; c < 3; c++) {
      const plane = channels === 1 ? 0 : order === 'bgr' ? 2 - c : c;
      const from = (row * channels + plane) * area;
      for (let i = 0; i < area; i++) data[i * 3 + c] = Math.min(255, Math.max(0, Math.round(values[from + i]! / scale + offset[plane]!)));
    }
    const annotation = annotations[row];
    const truth = annotation?.kind === 'boxes' ? { boxes: annotation.boxes, ignored: annotation.ignored } : {};
    const name = annotation?.kind === 'class' ? labels[annotation.classIndex] : undefined;
    return { source: { data, width, height }, title: [ids[row], name].filter(word => word !== undefined).join(': '), ...truth };
  });
}
