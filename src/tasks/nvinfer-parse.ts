import { EdgeError } from '../core/errors.ts';
import type { NvinferReading } from '../formats/nvinfer-read.ts';
import type { Tensor } from '../graph/ir.ts';
import { groupNvinfer } from './nvinfer-cluster.ts';
import type { NamedTensors, ScoredBox } from './task.ts';

/** What nvinfer attaches to one frame or object: boxes in network pixels, or the class of each output layer. A grouped rectangle has the score −0.1, as nvinfer gives it none. */
export type NvinferAnswer =
  | { readonly kind: 'boxes'; readonly boxes: readonly ScoredBox[] }
  | { readonly kind: 'classes'; readonly classes: readonly { readonly layer: number; readonly classIndex: number; readonly score: number }[] };

/** DetectNet_v2's box regression as nvinfer has it built in. */
const [pixelsPerUnit, cellOffset] = [35, 0.5];

/** Raw outputs ([n, …]) to what nvinfer's built-in parser and the config's grouping make of each image, as DeepStream's nvdsinfer_context_impl_output_parsing.cpp. Throws `graph-invalid` where it would find no layer. */
export function parseNvinfer(outputs: NamedTensors, config: NvinferReading, input: { readonly width: number; readonly height: number }): readonly NvinferAnswer[] {
  const n = [...outputs.values()][0]?.dims[0] ?? 0;
  if (config.type === 'classifier') return Array.from({ length: n }, (_, image) => ({ kind: 'classes', classes: attributes(outputs, config, image) }));
  const [coverage, boxes] = [layerNamed(outputs, 'cov', 'coverage'), layerNamed(outputs, 'bbox', 'bbox')];
  return Array.from({ length: n }, (_, image) => ({ kind: 'boxes', boxes: groupNvinfer(candidates(coverage, boxes, config, input, image), config) }));
}

function layerNamed(outputs: NamedTensors, part: string, called: string): Tensor {
  const name = [...outputs.keys()].findLast(each => each.includes(part));
  const tensor = name === undefined ? undefined : outputs.get(name);
  if (tensor !== undefined) return tensor;
  throw new EdgeError('graph-invalid', `nvinfer: “Could not find output ${called} layer for parsing objects”; the outputs are ${[...outputs.keys()].join(', ')}.`, {
    hint: 'Export the network with edgeforge, which names them output_bbox and output_cov.',
  });
}

/** Cells at or above the threshold of their class, as boxes cut to the input's pixels (the last one is W − 1). */
function candidates(
  coverage: Tensor,
  boxes: Tensor,
  { classes }: NvinferReading,
  { width, height }: { readonly width: number; readonly height: number },
  image: number,
): ScoredBox[] {
  const [, channels = 0, rows = 0, columns = 0] = coverage.dims;
  const [, , boxRows = rows, boxColumns = columns] = boxes.dims;
  const cells = rows * columns;
  const [strideX, strideY] = [Math.ceil(width / boxColumns), Math.ceil(height / boxRows)];
  const found: ScoredBox[] = [];
  for (let classIndex = 0; classIndex < Math.min(channels, classes.length); classIndex++) {
    const cover = (image * channels + classIndex) * cells;
    const plane = 4 * cover;
    const threshold = classes[classIndex]?.preThreshold ?? 0;
    for (let cell = 0; cell < cells; cell++) {
      const score = Number(coverage.data[cover + cell]);
      if (!(score >= threshold)) continue;
      const x = (cell % columns) * strideX + cellOffset;
      const y = Math.floor(cell / columns) * strideY + cellOffset;
      const side = (index: number) => pixelsPerUnit * Number(boxes.data[plane + index * cells + cell]);
      const [x1, y1, x2, y2] = [within(x - side(0), width), within(y - side(1), height), within(x + side(2), width), within(y + side(3), height)];
      if (x2 >= x1 && y2 >= y1) found.push({ classIndex, x1, y1, x2, y2, score });
    }
  }
  return found;
}
const within = (value: number, size: number): number => (value >= size ? size - 1 : Math.max(0, value));

/** The most probable class of each output layer, where it is above the threshold. */
function attributes(outputs: NamedTensors, { classifierThreshold }: NvinferReading, image: number) {
  return [...outputs.values()].flatMap(({ dims, data }, layer) => {
    const count = dims.slice(1).reduce((product, dim) => product * dim, 1);
    let [classIndex, score] = [-1, 0];
    for (let c = 0; c < count; c++) {
      const probability = Number(data[image * count + c]);
      if (probability > classifierThreshold && probability > score) [classIndex, score] = [c, probability];
    }
    return classIndex < 0 ? [] : [{ layer, classIndex, score }];
  });
}
