import { EdgeError } from '../core/errors.ts';
import { floatsOf, outputNamed } from './_outputs.ts';
import { type Candidates, cluster, emptyCandidates } from './cluster.ts';
import type { DetectnetClass, DetectnetSettings } from './detectnet-settings.ts';
import type { NamedTensors, Prediction, ScoredBox } from './task.ts';

/** Raw outputs (coverage [n, C, h, w], boxes [n, 4C, h, w]) to clustered boxes in network-input pixels, best first within a class. Throws `not-finite` on NaN. */
export function createDetectnetDecoder(settings: DetectnetSettings, classes: readonly DetectnetClass[]): (outputs: NamedTensors) => readonly Prediction[] {
  const [gridHeight, gridWidth, count] = [settings.height / settings.stride, settings.width / settings.stride, classes.length];
  const cells = gridHeight * gridWidth;
  const candidates = emptyCandidates(cells);
  return outputs => {
    const names = [...outputs.keys()];
    const [covName, boxName] = [outputNamed(names, 'cov'), outputNamed(names, 'bbox')];
    const n = outputs.get(covName)?.dims[0] ?? 0;
    const coverage = floatsOf(covName, outputs.get(covName), [n, count, gridHeight, gridWidth]);
    const boxes = floatsOf(boxName, outputs.get(boxName), [n, 4 * count, gridHeight, gridWidth]);
    return Array.from({ length: n }, (_, image) => {
      const found: ScoredBox[] = [];
      classes.forEach(({ cluster: how }, classIndex) => {
        const at = (image * count + classIndex) * cells;
        collect(settings, gridWidth, coverage.subarray(at, at + cells), boxes.subarray(4 * at, 4 * (at + cells)), how.coverageThreshold, candidates);
        for (const box of cluster(candidates, how)) found.push({ classIndex, ...box });
      });
      return { kind: 'boxes', boxes: found } as const;
    });
  };
}

/** Cells of one class above the coverage threshold, as boxes clipped to the image with x2 ≥ x1 and y2 ≥ y1. */
function collect(settings: DetectnetSettings, gridWidth: number, coverage: Float32Array, boxes: Float32Array, threshold: number, into: Candidates): void {
  const { stride, width, height } = settings;
  const { scale, offset } = settings.bbox;
  const cells = coverage.length;
  let count = 0;
  for (let cell = 0; cell < cells; cell++) {
    const score = coverage[cell]!;
    if (!Number.isFinite(score)) throw noNumber('coverage', score, cell);
    if (score <= threshold) continue;
    const x = (cell % gridWidth) * stride + offset;
    const y = Math.floor(cell / gridWidth) * stride + offset;
    const x1 = clip(x - scale * boxes[cell]!, width);
    const y1 = clip(y - scale * boxes[cell + cells]!, height);
    into.x1[count] = x1;
    into.y1[count] = y1;
    into.x2[count] = Math.max(x1, clip(x + scale * boxes[cell + 2 * cells]!, width));
    into.y2[count] = Math.max(y1, clip(y + scale * boxes[cell + 3 * cells]!, height));
    into.score[count] = score;
    const sum = x1 + y1 + into.x2[count]! + into.y2[count]!;
    if (Number.isNaN(sum)) throw noNumber('box', sum, cell);
    count++;
  }
  into.count = count;
}

const clip = (value: number, size: number): number => Math.min(Math.max(value, 0), size);

const noNumber = (what: string, value: number, cell: number): EdgeError =>
  new EdgeError('not-finite', `The network's ${what} is ${value} in cell ${cell}.`, {
    hint: 'Train again with a smaller learning rate, or export again: these weights give no numbers.',
  });
