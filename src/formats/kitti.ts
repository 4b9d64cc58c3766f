import { EdgeError } from '../core/errors.ts';

/** One line of a KITTI label file. Boxes in pixels of the image, dimensions and location in metres, angles in radians; −1, −10, −1000 stand for unknown (DontCare). */
export interface KittiObject {
  readonly className: string;
  readonly truncated: number;
  readonly occluded: number;
  readonly alpha: number;
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
  readonly height: number;
  readonly width: number;
  readonly length: number;
  readonly x: number;
  readonly y: number;
  readonly z: number;
  readonly rotationY: number;
  /** Results only: the sixteenth field. */
  readonly score?: number;
}
export interface KittiOptions {
  /** Named in complaints. */
  readonly file?: string;
  /** labels: exactly 15 fields; results: exactly 16, the last a score; either: both. */
  readonly fields?: 'labels' | 'results' | 'either';
}

const names = ['truncated', 'occluded', 'alpha', 'x1', 'y1', 'x2', 'y2', 'height', 'width', 'length', 'x', 'y', 'z', 'rotationY', 'score'] as const;
const numberPattern = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const maxCharacters = 16 << 20;

const expectedFields = { labels: [15], results: [16], either: [15, 16] } as const;

/** A KITTI label file as objects, in file order; blank lines are skipped. Any other deviation throws dataset-invalid with file and line. */
export function readKittiLabels(text: string, { file, fields = 'labels' }: KittiOptions = {}): KittiObject[] {
  const complain = (line: number, message: string, hint: string) => new EdgeError('dataset-invalid', message, { hint, where: { ...(file === undefined ? {} : { file }), line } });
  if (text.length > maxCharacters) {
    throw new EdgeError('limit-exceeded', `The label file has ${text.length} characters; at most ${maxCharacters} are read.`, {
      hint: 'Check that this is a label file.',
      where: file === undefined ? undefined : { file },
    });
  }
  const objects: KittiObject[] = [];
  text.split(/\r\n|\n|\r/).forEach((content, index) => {
    const line = index + 1;
    const words = content.split(/[ \t]+/).filter(word => word !== '');
    if (words.length === 0) return;
    const wanted: readonly number[] = expectedFields[fields];
    if (!wanted.includes(words.length)) {
      const spaced = words.length > 1 && !numberPattern.test(words[1]!);
      throw complain(
        line,
        `${words.length} fields; a KITTI ${fields === 'results' ? 'result' : 'label'} has ${wanted.join(' or ')}.`,
        spaced ? 'Write the class name without spaces.' : `Write: class truncated occluded alpha x1 y1 x2 y2 h w l x y z rotation_y${fields === 'results' ? ' score' : ''}.`,
      );
    }
    const [className, ...numbers] = words as [string, ...string[]];
    const object: Record<string, string | number> = { className };
    numbers.forEach((word, at) => {
      const name = names[at]!;
      const value = numberPattern.test(word) ? Number(word) : Number.NaN;
      if (!Number.isFinite(value)) throw complain(line, `Field ${at + 2} (${name}) is "${word.slice(0, 40)}", not a number.`, `Write a number for ${name}.`);
      if (name === 'occluded' && !Number.isInteger(value))
        throw complain(line, `Field 3 (occluded) is ${word}, not a whole number.`, 'Write 0 visible, 1 partly, 2 largely occluded, 3 unknown.');
      object[name] = value;
    });
    objects.push(object as unknown as KittiObject);
  });
  return objects;
}

const two = (value: number): string => value.toFixed(2);

/** Objects as KITTI label lines with KITTI's two decimals; DontCare keeps KITTI's whole numbers outside the box. Coordinates are rounded to 0.01. */
export function formatKittiLabels(objects: readonly KittiObject[]): string {
  const lines = objects.map(object => {
    const plain = object.className === 'DontCare' ? (value: number) => (Number.isInteger(value) ? String(value) : two(value)) : two;
    const { truncated, occluded, alpha, x1, y1, x2, y2, height, width, length, x, y, z, rotationY, score } = object;
    const words = [object.className, plain(truncated), String(occluded), plain(alpha), ...[x1, y1, x2, y2].map(two), ...[height, width, length, x, y, z, rotationY].map(plain)];
    return [...words, ...(score === undefined ? [] : [String(score)])].join(' ');
  });
  return lines.map(line => `${line}\n`).join('');
}

/** A detection in pixels of the original image. */
export interface KittiDetection {
  readonly className: string;
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
  readonly confidence: number;
}

/** Detections as the label lines that TLT's `inference` writes: sixteen fields, three decimals, zeros where a 2-D detector knows nothing. */
export const formatInferenceLabels = (detections: readonly KittiDetection[]): string =>
  detections
    .map(
      ({ className, x1, y1, x2, y2, confidence }) =>
        `${className} 0.00 0 0.00 ${[x1, y1, x2, y2].map(value => value.toFixed(3)).join(' ')} ${'0.00 '.repeat(7)}${confidence.toFixed(3)}\n`,
    )
    .join('');
