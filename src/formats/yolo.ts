import { EdgeError } from '../core/errors.ts';

/** A box of a YOLO label file: class id and corners in pixels. */
export interface YoloObject {
  readonly classId: number;
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
  /** Results only. */
  readonly score?: number;
}
export interface YoloImage {
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  /** Number of classes: ids must be below it, where given. */
  readonly classes?: number;
  readonly file?: string;
}

/** Reads `class cx cy w h [score]` lines (centre and size as parts of the image, 0..1) into pixel boxes; throws dataset-invalid with file and line. */
export function readYoloLabels(text: string, { width, height, classes, file }: YoloImage): YoloObject[] {
  const objects: YoloObject[] = [];
  text.split(/\r\n|\n|\r/).forEach((content, index) => {
    const complain = (message: string, hint: string) => new EdgeError('dataset-invalid', message, { hint, where: { ...(file === undefined ? {} : { file }), line: index + 1 } });
    const words = content.split(/[ \t]+/).filter(word => word !== '');
    if (words.length === 0) return;
    if (words.length !== 5 && words.length !== 6) throw complain(`${words.length} fields; a YOLO label has 5, a result 6.`, 'Write: class cx cy w h, sizes as parts of the image.');
    const values = words.map(word => (/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(word) ? Number(word) : Number.NaN));
    const bad = values.findIndex(value => !Number.isFinite(value));
    if (bad >= 0) throw complain(`Field ${bad + 1} is "${words[bad]!.slice(0, 40)}", not a number.`, 'Write a number.');
    const [classId, cx, cy, w, h, score] = values as [number, number, number, number, number, number | undefined];
    if (!Number.isInteger(classId) || classId < 0 || (classes !== undefined && classId >= classes))
      throw complain(`The class id ${words[0]} is not a whole number from 0${classes === undefined ? '' : ` to ${classes - 1}`}.`, 'Count classes from 0.');
    const outside = [cx, cy, w, h].findIndex(part => part < 0 || part > 1);
    if (outside >= 0) throw complain(`Field ${outside + 2} is ${words[outside + 1]}, outside 0..1.`, 'YOLO sizes are parts of the image, not pixels.');
    const box = { x1: (cx - w / 2) * width, y1: (cy - h / 2) * height, x2: (cx + w / 2) * width, y2: (cy + h / 2) * height };
    objects.push({ classId, ...box, ...(score === undefined ? {} : { score }) });
  });
  return objects;
}

/** Pixel boxes as YOLO label lines with six decimals (1e-6 of the image). */
export const formatYoloLabels = (objects: readonly YoloObject[], { width, height }: Pick<YoloImage, 'width' | 'height'>): string =>
  objects
    .map(({ classId, x1, y1, x2, y2, score }) => {
      const parts = [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height].map(part => part.toFixed(6));
      return `${[classId, ...parts, ...(score === undefined ? [] : [score.toFixed(6)])].join(' ')}\n`;
    })
    .join('');
