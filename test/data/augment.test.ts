import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  drawClassification,
  drawDetection,
  flipMatrix,
  hueSaturationMatrix,
  identity4,
  multiply,
  noDetectionAugmentation,
  rotationMatrix,
  type SpatialMatrix,
  transformAnnotation,
  translationMatrix,
  zoomMatrix,
} from '../../src/data/augment.ts';
import { randomAt } from '../../src/data/random.ts';
import { preprocessOf, renderInput } from '../../src/data/render.ts';
import type { Preprocess } from '../../src/graph/network-info.ts';
import type { Annotation } from '../../src/tasks/task.ts';

const plain: Preprocess = { scale: 1, offset: [0, 0, 0], order: 'rgb', resize: 'stretch' };
const size = { width: 64, height: 48 };
const boxesOf = (annotation: Annotation) => (annotation.kind === 'boxes' ? annotation.boxes : []);
const keepAll = { minBoxWidth: 0, minBoxHeight: 0 };

/** Black, with a white block. */
function marked(x1: number, y1: number, x2: number, y2: number) {
  const data = new Uint8Array(size.width * size.height * 3);
  for (let y = y1; y < y2; y++) for (let x = x1; x < x2; x++) data.fill(255, (y * size.width + x) * 3, (y * size.width + x) * 3 + 3);
  return { ...size, data };
}
function render(pixels: ReturnType<typeof marked>, spatial: SpatialMatrix) {
  const out = new Float32Array(3 * size.width * size.height);
  renderInput(pixels, size, plain, out, { spatial, colour: identity4 });
  return out;
}
/** Where the first plane is brighter than half. */
function found(out: Float32Array) {
  let [x1, y1, x2, y2] = [size.width, size.height, -1, -1];
  for (let y = 0; y < size.height; y++)
    for (let x = 0; x < size.width; x++) if (out[y * size.width + x]! > 127) [x1, y1, x2, y2] = [Math.min(x1, x), Math.min(y1, y), Math.max(x2, x + 1), Math.max(y2, y + 1)];
  return { x1, y1, x2, y2 };
}

describe('geometry', () => {
  test('flipping twice is the identity, for pixels and boxes', () => {
    const flip = flipMatrix(size.width);
    expect(multiply(flip, flip, 3)).toEqual([1, 0, 0, 0, 1, 0, 0, 0, 1]);
    const once = render(marked(5, 7, 20, 22), flip);
    const back = render({ ...size, data: Uint8Array.from({ length: once.length }, (_, i) => once[(i % 3) * size.width * size.height + Math.floor(i / 3)]!) }, flip);
    expect(back).toEqual(render(marked(5, 7, 20, 22), [1, 0, 0, 0, 1, 0, 0, 0, 1]));
  });

  test('a box stays on its object through any flip, shift, zoom and small turn', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e6 }), fc.integer({ min: 12, max: 34 }), fc.integer({ min: 10, max: 24 }), (seed, x, y) => {
        const draw = drawDetection(
          { ...noDetectionAugmentation, hflipProbability: 0.5, translateMaxX: 6, translateMaxY: 6, zoomMin: 0.8, zoomMax: 1.25, rotateRadMax: 0.12 },
          size,
          randomAt(seed),
        );
        const seen = found(render(marked(x, y, x + 14, y + 12), draw.spatial));
        const [box] = boxesOf(transformAnnotation({ kind: 'boxes', boxes: [{ classIndex: 0, x1: x, y1: y, x2: x + 14, y2: y + 12 }], ignored: [] }, draw.spatial, size, keepAll));
        if (!box || seen.x2 < 0) return;
        for (const side of ['x1', 'y1', 'x2', 'y2'] as const) expect(Math.abs(seen[side] - box[side])).toBeLessThanOrEqual(2);
      }),
      { numRuns: 60 },
    );
  });

  test.each<[string, SpatialMatrix, { x1: number; y1: number; x2: number; y2: number }]>([
    ['flip', flipMatrix(64), { x1: 44, y1: 20, x2: 54, y2: 30 }],
    ['translation', translationMatrix(7, -3), { x1: 17, y1: 17, x2: 27, y2: 27 }],
    ['zoom', zoomMatrix(2, 8, 16), { x1: 4, y1: 8, x2: 24, y2: 28 }],
    ['quarter turn', rotationMatrix(Math.PI / 2, size), { x1: 28, y1: 36, x2: 38, y2: 46 }],
  ])('%s moves pixels and box to the same place', (_, spatial, expected) => {
    const [box] = boxesOf(
      transformAnnotation({ kind: 'boxes', boxes: [{ classIndex: 0, x1: 10, y1: 20, x2: 20, y2: 30 }], ignored: [] }, spatial, { width: 64, height: 64 }, keepAll),
    );
    for (const side of ['x1', 'y1', 'x2', 'y2'] as const) expect(box![side]).toBeCloseTo(expected[side], 9);
    const seen = found(render(marked(10, 20, 20, 30), spatial));
    for (const side of ['x1', 'y1', 'x2', 'y2'] as const) expect(seen[side]).toBe(expected[side]);
  });

  test('boxes are clipped to the frame, and dropped below the least size', () => {
    const annotation: Annotation = {
      kind: 'boxes',
      boxes: [
        { classIndex: 0, x1: 50, y1: 10, x2: 64, y2: 30 },
        { classIndex: 1, x1: 58, y1: 10, x2: 64, y2: 30 },
        { classIndex: 2, x1: 0, y1: 0, x2: 5, y2: 5 },
      ],
      ignored: [{ x1: 60, y1: 0, x2: 64, y2: 4 }],
    };
    const moved = transformAnnotation(annotation, translationMatrix(8, 0), size, { minBoxWidth: 3, minBoxHeight: 6 });
    expect(moved).toEqual({ kind: 'boxes', boxes: [{ classIndex: 0, x1: 58, y1: 10, x2: 64, y2: 30 }], ignored: [] });
  });
});

describe('draws', () => {
  test('stay within TLT’s bounds', () => {
    const a = { ...noDetectionAugmentation, translateMaxX: 8, translateMaxY: 4, colorShiftStddev: 0.1 };
    let widest = 0;
    for (let i = 0; i < 2000; i++) {
      const { spatial, colour } = drawDetection(a, size, randomAt(1, i));
      expect(Number.isInteger(spatial[2]) && Math.abs(spatial[2]!) <= 8 && Math.abs(spatial[5]!) <= 4).toBe(true);
      expect(Math.abs(colour[3]!)).toBeLessThanOrEqual(0.2);
      widest = Math.max(widest, Math.abs(spatial[2]!));
    }
    expect(widest).toBe(8);
    for (let i = 0; i < 500; i++) {
      const { spatial } = drawDetection({ ...noDetectionAugmentation, zoomMin: 1, zoomMax: 2 }, size, randomAt(2, i));
      // A window of the frame, wholly inside it.
      expect(spatial[2]!).toBeGreaterThanOrEqual(0);
      expect(spatial[2]! + spatial[0]! * size.width).toBeLessThanOrEqual(size.width + 1e-9);
    }
  });

  test('one setting does not shift another one’s randomness', () => {
    const base = { ...noDetectionAugmentation, hflipProbability: 0.5, translateMaxX: 8, translateMaxY: 8 };
    expect(drawDetection({ ...base, hueRotationMax: 20 }, size, randomAt(5)).spatial).toEqual(drawDetection(base, size, randomAt(5)).spatial);
  });

  test('makenet’s crop takes 0.45 to 1 of the image; colour comes only with it', () => {
    for (let i = 0; i < 200; i++) {
      const { crop, colour } = drawClassification({ kind: 'classification', randomCrop: true, hflipProbability: 0.5, color: true }, size, randomAt(i));
      expect(crop!.fraction).toBeGreaterThanOrEqual(0.45);
      expect(crop!.fraction).toBeLessThan(1);
      expect(colour).not.toEqual(identity4);
    }
    expect(drawClassification({ kind: 'classification', randomCrop: false, hflipProbability: 0, color: true }, size, randomAt(1)).colour).toEqual(identity4);
  });
});

describe('colour', () => {
  test('hue and saturation keep luminance and grey', () => {
    for (const [degrees, saturation] of [
      [0, 1],
      [25, 1],
      [-40, 0.7],
      [10, 1.3],
    ] as const) {
      const m = hueSaturationMatrix(degrees, saturation);
      const apply = (rgb: number[]) => [0, 4, 8].map(row => rgb.reduce((sum, value, i) => sum + m[row + i]! * value, m[row + 3]!));
      const luma = ([r = 0, g = 0, b = 0]: number[]) => 0.299 * r + 0.587 * g + 0.114 * b;
      for (const value of apply([0.4, 0.4, 0.4])) expect(value).toBeCloseTo(0.4, 3);
      expect(luma(apply([0.9, 0.2, 0.4]))).toBeCloseTo(luma([0.9, 0.2, 0.4]), 2);
    }
    for (const [i, value] of hueSaturationMatrix(0, 1).entries()) expect(value).toBeCloseTo(identity4[i]!, 9);
  });

  test.each([
    ['caffe', [3, 2, 1], 1],
    ['tf', [1, 2, 3], 1 / 127.5],
    ['torch', [1, 2, 3], 1 / (255 * 0.224)],
  ] as const)('%s preprocessing', (mode, channelOrder, scale) => {
    const preprocess = preprocessOf(mode, 3);
    const out = new Float32Array(3);
    renderInput({ data: Uint8Array.from([1, 2, 3]), width: 1, height: 1 }, { width: 1, height: 1 }, preprocess, out);
    channelOrder.forEach((pixel, plane) => {
      expect(out[plane]).toBeCloseTo((pixel - preprocess.offset[plane]!) * scale, 4);
    });
  });

  test('what lies beyond the content is 0 after preprocessing, exactly', () => {
    for (const preprocess of [preprocessOf('caffe', 3), preprocessOf('torch', 3), plain]) {
      const out = new Float32Array(3 * 4).fill(9);
      renderInput({ data: new Uint8Array(3).fill(200), width: 1, height: 1 }, { width: 2, height: 2 }, preprocess, out);
      for (const plane of [0, 1, 2]) expect([...out.subarray(plane * 4 + 1, plane * 4 + 4)].map(Math.abs)).toEqual([0, 0, 0]);
    }
  });

  test('colour, clipping and preprocessing in one pass are what they are one after the other', () => {
    const random = randomAt(77);
    const { colour } = drawDetection({ ...noDetectionAugmentation, hueRotationMax: 40, contrastScaleMax: 1.5, colorShiftStddev: 0.3 }, size, random);
    const pixel = [250, 3, 120] as const;
    const preprocess = preprocessOf('caffe', 3);
    const out = new Float32Array(3);
    renderInput({ data: Uint8Array.from(pixel), width: 1, height: 1 }, { width: 1, height: 1 }, preprocess, out, { spatial: [-1, 0, 1, 0, 1, 0, 0, 0, 1], colour });
    [2, 1, 0].forEach((plane, c) => {
      const value = 255 * (pixel.reduce((sum, each, i) => sum + (colour[4 * c + i]! * each) / 255, 0) + colour[4 * c + 3]!);
      expect(out[plane]).toBeCloseTo(Math.min(255, Math.max(0, value)) - preprocess.offset[plane]!, 3);
    });
  });

  test('gray takes luminance into one plane', () => {
    const out = new Float32Array(1);
    renderInput({ data: Uint8Array.from([100, 50, 200]), width: 1, height: 1 }, { width: 1, height: 1 }, { ...plain, order: 'gray' }, out);
    expect(out[0]).toBeCloseTo(29.9 + 29.35 + 22.8, 3);
  });
});
