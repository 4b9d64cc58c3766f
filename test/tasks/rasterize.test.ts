import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { iou } from '../../src/tasks/average-precision.ts';
import { openDetectnet } from '../../src/tasks/detectnet.ts';
import { targetNames } from '../../src/tasks/detectnet-loss.ts';
import { rasterClassSchema } from '../../src/tasks/detectnet-settings.ts';
import { createRasterizer, ellipsesOf, type Raster } from '../../src/tasks/rasterize.ts';
import type { Box } from '../../src/tasks/task.ts';

const [gridWidth, gridHeight, stride] = [12, 8, 16];
const cells = gridWidth * gridHeight;
const raster = (boxes: readonly Box[], options: { classes?: number; minRadius?: number; deadzone?: number } = {}): Raster => {
  const { classes = 1, minRadius = 1, deadzone = 0.67 } = options;
  const into = { coverage: new Float32Array(classes * cells), coverageNorm: new Float32Array(classes * cells), boxes: new Float32Array(4 * classes * cells) };
  const each = rasterClassSchema.parse({ bboxMinRadius: minRadius });
  createRasterizer({ gridWidth, gridHeight, stride, scale: 35, offset: 0.5, deadzoneRadius: deadzone, classes: Array.from({ length: classes }, () => each) })(boxes, into);
  return into;
};
const filled = (values: Float32Array): [cell: number, value: number][] => [...values].flatMap((value, cell) => (value === 0 ? [] : [[cell, value] as [number, number]]));
const box = (x1: number, y1: number, x2: number, y2: number, classIndex = 0): Box => ({ classIndex, x1, y1, x2, y2 });
const at = (x: number, y: number) => y * gridWidth + x;

describe('rasterizer', () => {
  test('paints a circle of radius 1 over the four cells about a corner: 13 of 16 samples each', () => {
    // 64×64 px = 4×4 cells about the grid corner (4, 3): radius .4·2 = .8, grown to 1. Samples at odd eighths: only (7,7), (7,5) and (5,7) lie outside.
    const { coverage, coverageNorm, boxes } = raster([box(32, 16, 96, 80)]);
    expect(filled(coverage)).toEqual([at(3, 2), at(4, 2), at(3, 3), at(4, 3)].map(cell => [cell, 13 / 16]));
    expect(filled(coverageNorm)).toEqual([at(3, 2), at(4, 2), at(3, 3), at(4, 3)].map(cell => [cell, 13 / 16 / 4]));
    const sides = [0, 1, 2, 3].map(k => boxes[k * cells + at(3, 2)]!);
    for (const [k, pixels] of [48.5 - 32, 32.5 - 16, 96 - 48.5, 80 - 32.5].entries()) expect(sides[k]).toBeCloseTo(pixels / 35, 6);
  });

  test('a minimum radius keeps the aspect, first by x and then by y', () => {
    // 2×8 cells: radii .4·1 = .4 and .4·4 = 1.6; x grows to 1 (×2.5), so y becomes 4 and is above the minimum.
    const wide = ellipsesOf(0, 0, 2, 8, rasterClassSchema.parse({}), 0.67);
    expect([wide.coverageX, wide.coverageY]).toEqual([1, 4]);
    // Dead zone never inside the coverage.
    expect([wide.deadzoneX, wide.deadzoneY].map((d, i) => d >= [1, 4][i]!)).toEqual([true, true]);
    const flat = ellipsesOf(0, 0, 8, 2, rasterClassSchema.parse({}), 0.67);
    expect(flat.coverageX).toBeCloseTo(4, 12);
    expect(flat.coverageY).toBe(1);
    // A box without width still has radius .1 before the minimum applies.
    expect(ellipsesOf(1, 1, 1.05, 1.05, rasterClassSchema.parse({ bboxMinRadius: 0 }), 0).coverageX).toBe(0.1);
  });

  test('an off-centre coverage measures its radius to the nearer edge', () => {
    const low = ellipsesOf(0, 0, 10, 10, rasterClassSchema.parse({ covCenterY: 0.75, covRadiusX: 1, covRadiusY: 1 }), 0.5);
    expect([low.cx, low.cy, low.coverageX, low.coverageY]).toEqual([5, 7.5, 5, 2.5]);
  });

  test('the box that ends lower overwrites, and its dead zone erases what lies behind', () => {
    const behind = box(16, 16, 112, 96);
    const front = box(32, 32, 128, 112);
    const { coverage, boxes } = raster([front, behind]);
    const alone = raster([behind]).coverage;
    // Centre of the front one is (5, 4.5): its own cell points to it.
    expect(boxes[at(5, 4)]! * 35).toBeCloseTo(80.5 - 32, 4);
    // (4, 3) lies in the coverage of both; the front one wins.
    expect(boxes[at(4, 3)]! * 35).toBeCloseTo(64.5 - 32, 4);
    // A cell wholly in the front's dead zone but not in its coverage is empty, though the box behind alone would fill it.
    const erased = [...alone.keys()].filter(cell => alone[cell]! > 0 && coverage[cell] === 0);
    expect(erased.length).toBeGreaterThan(0);
  });

  test('classes have planes of their own; boxes without area paint nothing', () => {
    const { coverage } = raster([box(32, 16, 96, 80, 1), box(50, 50, 50, 90, 0)], { classes: 2 });
    expect(filled(coverage).map(([cell]) => Math.floor(cell / cells))).toEqual([1, 1, 1, 1]);
  });

  const integerBox = fc
    .tuple(fc.integer({ min: 0, max: 160 }), fc.integer({ min: 0, max: 100 }), fc.integer({ min: 1, max: 120 }), fc.integer({ min: 1, max: 90 }))
    .map(([x, y, w, h]) => box(x, y, Math.min(x + w, gridWidth * stride), Math.min(y + h, gridHeight * stride)));

  test('mirrored boxes give mirrored coverage, and coverage stays in 0..1', () => {
    fc.assert(
      fc.property(fc.array(integerBox, { maxLength: 6 }), boxes => {
        const width = gridWidth * stride;
        const plain = raster(boxes).coverage;
        const mirrored = raster(boxes.map(each => ({ ...each, x1: width - each.x2, x2: width - each.x1 }))).coverage;
        for (let y = 0; y < gridHeight; y++) for (let x = 0; x < gridWidth; x++) expect(mirrored[at(gridWidth - 1 - x, y)]).toBe(plain[at(x, y)]);
        for (const value of plain) expect(value >= 0 && value <= 1).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  test('what is encoded decodes to the same box', () => {
    const [width, height] = [gridWidth * stride, gridHeight * stride];
    const task = openDetectnet({ labels: ['a', 'b'], width, height });
    const large = fc
      .tuple(
        fc.integer({ min: 0, max: 100 }),
        fc.integer({ min: 0, max: 40 }),
        fc.double({ min: 48, max: 92, noNaN: true }),
        fc.double({ min: 48, max: 88, noNaN: true }),
        fc.integer({ min: 0, max: 1 }),
      )
      .map(([x, y, w, h, c]) => box(x, y, x + w, y + h, c));
    fc.assert(
      fc.property(large, truth => {
        const targets = task.encode([{ kind: 'boxes', boxes: [truth], ignored: [] }]);
        const [prediction] = task.decode(
          new Map([
            ['output_cov', targets.get(targetNames.coverage)!],
            ['output_bbox', targets.get(targetNames.boxes)!],
          ]),
        );
        expect(prediction?.kind === 'boxes' && prediction.boxes.length).toBe(1);
        const found = prediction?.kind === 'boxes' ? prediction.boxes[0]! : undefined;
        expect(found?.classIndex).toBe(truth.classIndex);
        expect(iou(found!, truth)).toBeGreaterThan(0.99);
      }),
      { numRuns: 100 },
    );
  });
});
