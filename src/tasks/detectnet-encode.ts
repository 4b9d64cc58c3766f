import { EdgeError } from '../core/errors.ts';
import { f32 } from '../graph/ir.ts';
import { targetNames } from './detectnet-loss.ts';
import type { DetectnetClass, DetectnetSettings } from './detectnet-settings.ts';
import { createRasterizer } from './rasterize.ts';
import type { Annotation, NamedTensors } from './task.ts';

/** Annotations to the loss's targets. Every call returns tensors of its own, so batches may be encoded ahead. */
export function createDetectnetEncoder(settings: DetectnetSettings, classes: readonly DetectnetClass[]): (annotations: readonly Annotation[]) => NamedTensors {
  const [gridHeight, gridWidth, count] = [settings.height / settings.stride, settings.width / settings.stride, classes.length];
  const cells = gridHeight * gridWidth;
  const rasterize = createRasterizer({
    gridWidth,
    gridHeight,
    stride: settings.stride,
    scale: settings.bbox.scale,
    offset: settings.bbox.offset,
    deadzoneRadius: settings.rasterizer.deadzoneRadius,
    classes: classes.map(({ raster }) => raster),
  });
  const norm = new Float32Array(count * cells);
  return annotations => {
    const n = annotations.length;
    const coverage = new Float32Array(n * count * cells);
    const coverageWeight = new Float32Array(n * count * cells);
    const boxes = new Float32Array(n * 4 * count * cells);
    const boxWeight = new Float32Array(n * 4 * count * cells);
    annotations.forEach((annotation, i) => {
      if (annotation.kind !== 'boxes')
        throw new EdgeError('dataset-invalid', `Image ${i} of the batch has a class, not boxes; DetectNet_v2 learns from boxes.`, {
          hint: 'Use a detection dataset, or set task: classification.',
        });
      const own = { coverage: coverage.subarray(i * count * cells, (i + 1) * count * cells), boxes: boxes.subarray(4 * i * count * cells, 4 * (i + 1) * count * cells) };
      norm.fill(0);
      rasterize(annotation.boxes, { ...own, coverageNorm: norm });
      weigh(coverageWeight.subarray(i * count * cells, (i + 1) * count * cells), own.coverage, annotation.ignored);
      for (let c = 0; c < count; c++) for (let k = 0; k < 4; k++) boxWeight.set(norm.subarray(c * cells, (c + 1) * cells), (4 * (i * count + c) + k) * cells);
    });
    const dims = (channels: number) => [n, channels, gridHeight, gridWidth];
    return new Map([
      [targetNames.coverage, f32(dims(count), coverage)],
      [targetNames.coverageWeight, f32(dims(count), coverageWeight)],
      [targetNames.boxes, f32(dims(4 * count), boxes)],
      [targetNames.boxWeight, f32(dims(4 * count), boxWeight)],
    ]);
  };

  function weigh(into: Float32Array, coverage: Float32Array, ignored: readonly { x1: number; y1: number; x2: number; y2: number }[]): void {
    classes.forEach(({ cost: { coverageForegroundWeight: foreground } }, c) => {
      for (let i = c * cells; i < (c + 1) * cells; i++) into[i] = coverage[i]! > 0.5 ? foreground : 1 - foreground;
    });
    const { ignoredMultiplier } = settings.cost;
    if (ignoredMultiplier === 1) return;
    for (let cell = 0; cell < cells; cell++) {
      const x = ((cell % gridWidth) + 0.5) * settings.stride;
      const y = (Math.floor(cell / gridWidth) + 0.5) * settings.stride;
      if (!ignored.some(box => x >= box.x1 && x < box.x2 && y >= box.y1 && y < box.y2)) continue;
      for (let i = cell; i < into.length; i += cells) if (coverage[i] === 0) into[i]! *= ignoredMultiplier;
    }
  }
}
