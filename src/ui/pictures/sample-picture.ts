import { decodeScaled } from '../../data/decode.ts';
import { drawPicture } from '../../data/preview.ts';
import type { SampleView } from '../../pipeline/views/dataset.ts';
import type { Look } from '../look.ts';
import { kittyPicture, sixelPicture } from './graphics.ts';
import { cellsFor, pictureLines } from './half-blocks.ts';

interface Space {
  readonly columns: number;
  readonly rows: number;
  readonly look: Look;
  /** All class names in one order, so that a class keeps its colour from image to image. */
  readonly classes: readonly string[];
}
const indexOf = (classes: readonly string[], label: string): number => Math.max(0, classes.indexOf(label));

/** A sample with its boxes as text lines that fit the space; safe inside a layout. Throws `image-corrupt` or `file-missing`. */
export async function sampleLines({ file, objects, ...original }: SampleView, { columns, rows, look, classes }: Space): Promise<string[]> {
  const size = cellsFor(original, columns, rows);
  const pixels = await decodeScaled(file, { width: size.columns, height: 2 * size.rows });
  return pictureLines(pixels, { boxes: objects.map(object => ({ ...object, tone: indexOf(classes, object.label) })), original, look });
}

/** The same at the terminal's best: pixels by kitty's protocol or sixels where there is one, text lines elsewhere. Not for a layout: it moves the cursor. */
export async function samplePicture(sample: SampleView, space: Space): Promise<string> {
  if (space.look.graphics === 'none') return (await sampleLines(sample, space)).join('\n');
  const boxes = sample.objects.map(({ label, ...box }) => ({ ...box, classIndex: indexOf(space.classes, label) }));
  // A cell is about 9 pixels wide.
  const { png, pixels } = await drawPicture({ source: sample.file, boxes }, space.classes, Math.min(1200, 9 * space.columns));
  return space.look.graphics === 'kitty' ? kittyPicture(png) : sixelPicture(pixels);
}
