import { EdgeError } from '../core/errors.ts';
import type { Annotation, Box } from '../tasks/task.ts';
import type { ClassMap } from './class-map.ts';
import { isIgnoredClass, type Sample } from './sample.ts';

/**
 * How an image meets the network's input. stretch: both sides scaled apart. letterbox: aspect kept, top-left. none: unscaled, cut or padded at right and bottom (TLT without
 * enable_auto_resize). centre-crop: makenet's, the short side covers target + 32 and the middle is cut out.
 */
export type Fit = 'stretch' | 'letterbox' | 'none' | 'centre-crop';
/** How pixels are mixed where an image is scaled to the input; makenet's resize_interpolation_method. */
export type Filter = 'bilinear' | 'bicubic';
export interface Size {
  readonly width: number;
  readonly height: number;
}
/** Where an original image lies in the network's input: input = original · scale − cut; content is the part of the input that it covers, from the top-left corner. */
export interface Placement {
  readonly scaleX: number;
  readonly scaleY: number;
  readonly cutX: number;
  readonly cutY: number;
  /** Size the whole original is resized to before the cut. */
  readonly resized: Size;
  readonly content: Size;
}

/** The placement of an original of one size in an input of another. */
export function placementOf(original: Size, input: Size, fit: Fit): Placement {
  for (const side of [original.width, original.height, input.width, input.height])
    if (!Number.isInteger(side) || side < 1)
      throw new EdgeError('dataset-invalid', `A side of ${side} pixels is no image size.`, { hint: 'Widths and heights are positive integers.' });
  const resized = resizedTo(original, input, fit);
  const content = { width: Math.min(resized.width, input.width), height: Math.min(resized.height, input.height) };
  const middle = fit === 'centre-crop';
  return {
    scaleX: resized.width / original.width,
    scaleY: resized.height / original.height,
    cutX: middle ? Math.floor((resized.width - content.width) / 2) : 0,
    cutY: middle ? Math.floor((resized.height - content.height) / 2) : 0,
    resized,
    content,
  };
}

function resizedTo({ width, height }: Size, input: Size, fit: Fit): Size {
  if (fit === 'stretch') return input;
  if (fit === 'none') return { width, height };
  const cropMargin = 32;
  const scale = fit === 'letterbox' ? Math.min(input.width / width, input.height / height) : Math.max((input.width + cropMargin) / width, (input.height + cropMargin) / height);
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}

type Edges = Omit<Box, 'classIndex'>;
/** A box of the original in input pixels, not clipped. */
export const placeBox = <B extends Edges>(box: B, { scaleX, scaleY, cutX, cutY }: Placement): B => ({
  ...box,
  x1: box.x1 * scaleX - cutX,
  y1: box.y1 * scaleY - cutY,
  x2: box.x2 * scaleX - cutX,
  y2: box.y2 * scaleY - cutY,
});
/** The inverse: a box in input pixels back in pixels of the original (a prediction drawn where the user looks). */
export const unplaceBox = <B extends Edges>(box: B, { scaleX, scaleY, cutX, cutY }: Placement): B => ({
  ...box,
  x1: (box.x1 + cutX) / scaleX,
  y1: (box.y1 + cutY) / scaleY,
  x2: (box.x2 + cutX) / scaleX,
  y2: (box.y2 + cutY) / scaleY,
});
/** A box cut to a frame from (0, 0), or undefined where nothing of the least size is left. */
export function clipBox<B extends Edges>(box: B, frame: Size, leastWidth = 0, leastHeight = 0): B | undefined {
  const x1 = Math.max(0, box.x1);
  const y1 = Math.max(0, box.y1);
  const x2 = Math.min(frame.width, box.x2);
  const y2 = Math.min(frame.height, box.y2);
  return x2 > x1 && y2 > y1 && x2 - x1 >= leastWidth && y2 - y1 >= leastHeight ? { ...box, x1, y1, x2, y2 } : undefined;
}

/** What is true of a sample, as labels, in pixels of the original. A classification sample whose class is unmapped throws `class-unmapped`. */
export function annotationOf(sample: Sample, { indexOf }: Pick<ClassMap, 'indexOf'>): Annotation {
  if (sample.className !== undefined) {
    const classIndex = indexOf[sample.className.toLowerCase()];
    if (classIndex === undefined || classIndex < 0)
      throw new EdgeError('class-unmapped', `"${sample.image}" is of the class "${sample.className}", which maps to no label.`, {
        hint: 'Take the folder out, or give its class a label.',
      });
    return { kind: 'class', classIndex };
  }
  const boxes: Box[] = [];
  const ignored: Edges[] = [];
  for (const { className, x1, y1, x2, y2 } of sample.objects ?? []) {
    const classIndex = isIgnoredClass(className) ? -1 : indexOf[className.toLowerCase()];
    if (classIndex === undefined || !(x2 > x1 && y2 > y1)) continue;
    if (classIndex < 0) ignored.push({ x1, y1, x2, y2 });
    else boxes.push({ classIndex, x1, y1, x2, y2 });
  }
  return { kind: 'boxes', boxes, ignored };
}

/** The same truth in input pixels, clipped to the placed content. */
export function placeAnnotation(annotation: Annotation, placement: Placement): Annotation {
  if (annotation.kind === 'class') return annotation;
  const place = <B extends Edges>(boxes: readonly B[]): B[] => boxes.map(box => clipBox(placeBox(box, placement), placement.content)).filter(box => box !== undefined);
  return { kind: 'boxes', boxes: place(annotation.boxes), ignored: place(annotation.ignored) };
}
