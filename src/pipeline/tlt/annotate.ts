import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import sharp from 'sharp';

/** A box to draw: pixels of the image, a colour of CSS, a caption. */
export interface DrawnBox {
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
  readonly colour: string;
  readonly caption: string;
}

const escaped = (text: string): string => text.replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`);

/** Writes a copy of an image in its full size with boxes drawn on it, as TLT's images_annotated. */
export async function annotateImage(
  image: string,
  output: string,
  boxes: readonly DrawnBox[],
  size: { readonly width: number; readonly height: number },
  lineWidth: number,
): Promise<void> {
  const text = Math.max(10, Math.round(size.height / 40));
  const shapes = boxes.map(({ x1, y1, x2, y2, colour, caption }) => {
    const at = y1 > text + 2 ? y1 - 3 : y1 + text;
    return `<rect x="${x1}" y="${y1}" width="${x2 - x1}" height="${y2 - y1}" fill="none" stroke="${colour}" stroke-width="${lineWidth}"/><text x="${x1}" y="${at}" font-family="sans-serif" font-size="${text}" fill="${colour}" stroke="#000" stroke-width="2" paint-order="stroke">${escaped(caption)}</text>`;
  });
  const overlay = `<svg xmlns="http://www.w3.org/2000/svg" width="${size.width}" height="${size.height}">${shapes.join('')}</svg>`;
  await mkdir(dirname(output), { recursive: true });
  await sharp(image)
    .rotate()
    .toColourspace('srgb')
    .composite([{ input: Buffer.from(overlay) }])
    .toFile(output);
}
