import type { Annotation, Box } from '../tasks/task.ts';
import { clipBox, type Size } from './placement.ts';
import type { Random } from './random.ts';

/** TLT's augmentation_config. Angles: hue in degrees, rotation in radians; colour amounts on a 0..1 pixel; translation in pixels of the input. */
export interface DetectionAugmentation {
  readonly kind: 'detection';
  readonly hflipProbability: number;
  readonly translateMaxX: number;
  readonly translateMaxY: number;
  readonly zoomMin: number;
  readonly zoomMax: number;
  readonly rotateRadMax: number;
  readonly rotateProbability: number;
  readonly colorShiftStddev: number;
  readonly hueRotationMax: number;
  readonly saturationShiftMax: number;
  readonly contrastScaleMax: number;
  readonly contrastCenter: number;
  readonly minBoxWidth: number;
  readonly minBoxHeight: number;
}
/** makenet's: colour only together with the random crop, as there. */
export interface ClassificationAugmentation {
  readonly kind: 'classification';
  readonly randomCrop: boolean;
  readonly hflipProbability: number;
  readonly color: boolean;
}
export type Augmentation = DetectionAugmentation | ClassificationAugmentation;

/** Nothing moves, nothing changes: the start for a spec that sets only some fields. */
export const noDetectionAugmentation: DetectionAugmentation = {
  kind: 'detection',
  hflipProbability: 0,
  translateMaxX: 0,
  translateMaxY: 0,
  zoomMin: 1,
  zoomMax: 1,
  rotateRadMax: 0,
  rotateProbability: 1,
  colorShiftStddev: 0,
  hueRotationMax: 0,
  saturationShiftMax: 0,
  contrastScaleMax: 0,
  contrastCenter: 0.5,
  minBoxWidth: 0,
  minBoxHeight: 0,
};

/** Row-major 3×3: [x, y, 1] of the output (continuous pixels, edges at integers) → [x, y, 1] of the source. */
export type SpatialMatrix = readonly number[];
/** Row-major 4×4 on [r, g, b, 1] of a 0..1 pixel. */
export type ColourMatrix = readonly number[];
export interface Transform {
  readonly spatial: SpatialMatrix;
  readonly colour: ColourMatrix;
}

/** Product of two row-major square matrices of order n. */
export function multiply(a: readonly number[], b: readonly number[], n: number): number[] {
  return Array.from({ length: n * n }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < n; k++) sum += a[Math.floor(i / n) * n + k]! * b[k * n + (i % n)]!;
    return sum;
  });
}
export const identity3: SpatialMatrix = [1, 0, 0, 0, 1, 0, 0, 0, 1];
export const identity4: ColourMatrix = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
export const flipMatrix = (width: number): SpatialMatrix => [-1, 0, width, 0, 1, 0, 0, 0, 1];
/** The picture moves by (x, y). */
export const translationMatrix = (x: number, y: number): SpatialMatrix => [1, 0, -x, 0, 1, -y, 0, 0, 1];
/** The window at (left, top), 1/ratio of the frame, fills the frame. */
export const zoomMatrix = (ratio: number, left: number, top: number): SpatialMatrix => [1 / ratio, 0, left, 0, 1 / ratio, top, 0, 0, 1];
/** Turn about the middle of the frame. */
export function rotationMatrix(radians: number, { width, height }: Size): SpatialMatrix {
  const [cos, sin, cx, cy] = [Math.cos(radians), Math.sin(radians), width / 2, height / 2];
  return [cos, -sin, cx - cos * cx + sin * cy, sin, cos, cy - sin * cx - cos * cy, 0, 0, 1];
}
export const brightnessMatrix = (shift: number): ColourMatrix => [1, 0, 0, shift, 0, 1, 0, shift, 0, 0, 1, shift, 0, 0, 0, 1];
/** x·(1 + scale) − scale·center. */
export const contrastMatrix = (scale: number, center: number): ColourMatrix => {
  const [gain, shift] = [1 + scale, -scale * center];
  return [gain, 0, 0, shift, 0, gain, 0, shift, 0, 0, gain, shift, 0, 0, 0, 1];
};
/** Hue turned by degrees and chroma scaled, both in the YIQ plane, so luminance (0.299, 0.587, 0.114) stays. */
export function hueSaturationMatrix(degrees: number, saturation: number): ColourMatrix {
  const u = saturation * Math.cos((degrees * Math.PI) / 180);
  const w = saturation * Math.sin((degrees * Math.PI) / 180);
  const luma = [0.299, 0.587, 0.114];
  // Columns of (YIQ⁻¹ · quarter turn in I,Q · YIQ), written out; each row of it sums to 0, so grey stays grey.
  const turn = [0.168, 0.33, -0.498, -0.328, 0.035, 0.293, 1.25, -1.05, -0.2];
  const out: number[] = [...identity4];
  for (let row = 0; row < 3; row++)
    for (let column = 0; column < 3; column++) out[row * 4 + column] = luma[column]! * (1 - u) + (row === column ? u : 0) + w * turn[row * 3 + column]!;
  return out;
}

/** Draws TLT's spatial and colour matrices (tlt-formats §5.4: flip, translate, zoom, rotate; brightness, hue, saturation, contrast). Every number is drawn whether used or not, so one setting does not shift another's randomness. */
export function drawDetection(a: DetectionAugmentation, { width, height }: Size, random: Random): Transform {
  const flip = random.chance(a.hflipProbability);
  const [moveX, moveY] = [random.integer(-a.translateMaxX, a.translateMaxX), random.integer(-a.translateMaxY, a.translateMaxY)];
  const ratio = random.uniform(a.zoomMin, a.zoomMax);
  const [left, top] = [random.uniform() * (width - width / ratio), random.uniform() * (height - height / ratio)];
  const turned = random.chance(a.rotateProbability);
  const angle = random.uniform(-a.rotateRadMax, a.rotateRadMax);
  // The output pixel walks back through the last change first, hence the order of the product.
  let spatial: SpatialMatrix = flip ? flipMatrix(width) : identity3;
  if (moveX !== 0 || moveY !== 0) spatial = multiply(spatial, translationMatrix(moveX, moveY), 3);
  if (ratio !== 1) spatial = multiply(spatial, zoomMatrix(ratio, left, top), 3);
  if (turned && angle !== 0) spatial = multiply(spatial, rotationMatrix(angle, { width, height }), 3);
  return { spatial, colour: drawColour(a, random) };
}

function drawColour(
  a: Pick<DetectionAugmentation, 'colorShiftStddev' | 'hueRotationMax' | 'saturationShiftMax' | 'contrastScaleMax' | 'contrastCenter'>,
  random: Random,
): ColourMatrix {
  const brightness = random.truncatedNormal(a.colorShiftStddev);
  const hue = random.truncatedNormal(a.hueRotationMax / 2);
  const saturation = 1 + random.uniform(-a.saturationShiftMax, a.saturationShiftMax);
  const contrast = random.truncatedNormal(a.contrastScaleMax / 2);
  let colour: ColourMatrix = identity4;
  if (a.colorShiftStddev > 0) colour = multiply(brightnessMatrix(brightness), colour, 4);
  if (a.hueRotationMax > 0 || a.saturationShiftMax > 0) colour = multiply(hueSaturationMatrix(hue, saturation), colour, 4);
  if (a.contrastScaleMax > 0) colour = multiply(contrastMatrix(contrast, a.contrastCenter), colour, 4);
  return colour;
}

/** makenet's crop fraction, flip and colour. `fraction` is of the largest window with the input's aspect; `left` and `top` are shares of the room that is left. */
export interface ClassificationDraw extends Transform {
  readonly crop?: { readonly fraction: number; readonly left: number; readonly top: number };
}
export function drawClassification(a: ClassificationAugmentation, { width }: Size, random: Random): ClassificationDraw {
  const crop = { fraction: random.uniform(0.45, 1), left: random.uniform(), top: random.uniform() };
  const flip = random.chance(a.hflipProbability);
  const colour = drawColour({ colorShiftStddev: 0, hueRotationMax: 25, saturationShiftMax: 0.2, contrastScaleMax: 0.1, contrastCenter: 0.5 }, random);
  return { spatial: flip ? flipMatrix(width) : identity3, colour: a.color && a.randomCrop ? colour : identity4, ...(a.randomCrop ? { crop } : {}) };
}

/** The inverse of an affine spatial matrix: source → output. */
export function invert([a = 1, b = 0, c = 0, d = 0, e = 1, f = 0]: SpatialMatrix): SpatialMatrix {
  const determinant = a * e - b * d;
  return [e / determinant, -b / determinant, (b * f - c * e) / determinant, -d / determinant, a / determinant, (c * d - a * f) / determinant, 0, 0, 1];
}

/** Boxes carried by the same matrix: the upright frame around the moved corners, clipped, and dropped below the least size. */
export function transformAnnotation(
  annotation: Annotation,
  spatial: SpatialMatrix,
  frame: Size,
  least: { readonly minBoxWidth: number; readonly minBoxHeight: number },
): Annotation {
  if (annotation.kind === 'class') return annotation;
  const [a = 1, b = 0, c = 0, d = 0, e = 1, f = 0] = invert(spatial);
  const carry = <B extends Omit<Box, 'classIndex'>>(boxes: readonly B[], minWidth: number, minHeight: number): B[] =>
    boxes.flatMap(box => {
      const xs = [box.x1, box.x2].flatMap(x => [a * x + b * box.y1 + c, a * x + b * box.y2 + c]);
      const ys = [box.x1, box.x2].flatMap(x => [d * x + e * box.y1 + f, d * x + e * box.y2 + f]);
      const clipped = clipBox({ ...box, x1: Math.min(...xs), y1: Math.min(...ys), x2: Math.max(...xs), y2: Math.max(...ys) }, frame, minWidth, minHeight);
      return clipped ? [clipped] : [];
    });
  return { kind: 'boxes', boxes: carry(annotation.boxes, least.minBoxWidth, least.minBoxHeight), ignored: carry(annotation.ignored, 0, 0) };
}
