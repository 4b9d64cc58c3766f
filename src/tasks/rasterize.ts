import type { RasterClass } from './detectnet-settings.ts';
import type { Box } from './task.ts';

export interface RasterSettings {
  readonly gridWidth: number;
  readonly gridHeight: number;
  readonly stride: number;
  readonly scale: number;
  readonly offset: number;
  readonly deadzoneRadius: number;
  readonly classes: readonly RasterClass[];
}

/** Targets of one image, row-major: coverage and its norm [C, gh, gw], box offsets [4C, gh, gw]. All must be zero before painting. */
export interface Raster {
  readonly coverage: Float32Array;
  readonly coverageNorm: Float32Array;
  readonly boxes: Float32Array;
}

/** The two ellipses of one object, in grid cells. */
export interface Ellipses {
  readonly cx: number;
  readonly cy: number;
  readonly coverageX: number;
  readonly coverageY: number;
  readonly deadzoneX: number;
  readonly deadzoneY: number;
}

/** Coverage and dead-zone ellipses of a box given in grid cells (DetectNet_v2's bbox_rasterizer). */
export function ellipsesOf(
  x1: number,
  y1: number,
  x2: number,
  y2: number,
  { covCenterX, covCenterY, covRadiusX, covRadiusY, bboxMinRadius }: RasterClass,
  deadzone: number,
): Ellipses {
  const cx = x1 + covCenterX * (x2 - x1);
  const cy = y1 + covCenterY * (y2 - y1);
  const sx = covCenterX < 0.5 ? cx - x1 : x2 - cx;
  const sy = covCenterY < 0.5 ? cy - y1 : y2 - cy;
  let coverageX = Math.max(covRadiusX * sx, 0.1);
  let coverageY = Math.max(covRadiusY * sy, 0.1);
  // The minimum is enforced on x first; y then sees the values already grown (aspect is kept each time).
  if (coverageX < bboxMinRadius) {
    coverageY *= bboxMinRadius / coverageX;
    coverageX = bboxMinRadius;
  }
  if (coverageY < bboxMinRadius) {
    coverageX *= bboxMinRadius / coverageY;
    coverageY = bboxMinRadius;
  }
  return {
    cx,
    cy,
    coverageX,
    coverageY,
    deadzoneX: Math.max((1 - deadzone) * coverageX + deadzone * sx, coverageX),
    deadzoneY: Math.max((1 - deadzone) * coverageY + deadzone * sy, coverageY),
  };
}

const samples = [1 / 8, 3 / 8, 5 / 8, 7 / 8] as const;

/**
 * A painter of DetectNet_v2 targets. It keeps its scratch between images; call it with boxes in network-input pixels and zeroed targets.
 * Boxes of a class are painted by ascending lower edge; a later one clears what its dead zone covers, then writes its coverage (4×4 samples per cell).
 */
export function createRasterizer(settings: RasterSettings): (boxes: readonly Box[], into: Raster) => void {
  const { gridWidth, gridHeight, classes } = settings;
  const cells = gridWidth * gridHeight;
  const highest = new Float64Array(cells);
  return (boxes, into) => {
    for (let c = 0; c < classes.length; c++) {
      const mine = boxes.filter(box => box.classIndex === c && box.x2 > box.x1 && box.y2 > box.y1).sort((a, b) => a.y2 - b.y2);
      if (mine.length === 0) continue;
      highest.fill(0);
      for (const box of mine) paint(settings, c, box, highest, into);
    }
  };
}

function paint(settings: RasterSettings, c: number, box: Box, highest: Float64Array, { coverage, coverageNorm, boxes }: Raster): void {
  const { gridWidth, gridHeight, stride, scale, offset, deadzoneRadius, classes } = settings;
  const cells = gridWidth * gridHeight;
  const { cx, cy, coverageX, coverageY, deadzoneX, deadzoneY } = ellipsesOf(box.x1 / stride, box.y1 / stride, box.x2 / stride, box.y2 / stride, classes[c]!, deadzoneRadius);
  const norm = 1 / Math.max(4 * coverageX * coverageY, 1);
  const left = Math.max(0, Math.floor(cx - deadzoneX));
  const right = Math.min(gridWidth - 1, Math.floor(cx + deadzoneX));
  const top = Math.max(0, Math.floor(cy - deadzoneY));
  const bottom = Math.min(gridHeight - 1, Math.floor(cy + deadzoneY));
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      const inDeadzone = inside(x - cx, y - cy, deadzoneX, deadzoneY);
      if (inDeadzone === 0) continue;
      const covered = inside(x - cx, y - cy, coverageX, coverageY);
      const cell = y * gridWidth + x;
      const at = c * cells + cell;
      const first = 4 * c * cells + cell;
      if (inDeadzone >= highest[cell]!) {
        highest[cell] = 0;
        coverage[at] = 0;
        coverageNorm[at] = 0;
        for (let k = 0; k < 4; k++) boxes[first + k * cells] = 0;
      }
      if (covered === 0 || covered < highest[cell]!) continue;
      highest[cell] = covered;
      coverage[at] = covered;
      coverageNorm[at] = covered * norm;
      // Offsets refer to the cell's corner + offset, not to its centre: DeepStream's parser decodes the same way.
      boxes[first] = (x * stride + offset - box.x1) / scale;
      boxes[first + cells] = (y * stride + offset - box.y1) / scale;
      boxes[first + 2 * cells] = (box.x2 - x * stride - offset) / scale;
      boxes[first + 3 * cells] = (box.y2 - y * stride - offset) / scale;
    }
  }
}

/** Fraction of a cell's 4×4 samples inside the ellipse about the origin; (dx, dy) is the cell's corner. */
function inside(dx: number, dy: number, rx: number, ry: number): number {
  let count = 0;
  for (let j = 0; j < 4; j++) {
    const v = (dy + samples[j]!) / ry;
    const rest = 1 - v * v;
    if (rest <= 0) continue;
    for (let i = 0; i < 4; i++) {
      const u = (dx + samples[i]!) / rx;
      if (u * u < rest) count++;
    }
  }
  return count / 16;
}
