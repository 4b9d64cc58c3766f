import { z } from 'zod';
import { openSession, type Session } from '../compute/session.ts';
import { EdgeError } from '../core/errors.ts';
import { writeOnnx } from '../formats/onnx.ts';
import type { Graph, Tensor, TensorType } from '../graph/ir.ts';
import { inferShapes } from '../graph/shapes.ts';
import { addTo, entropyBins, entropyLimit, type Histogram, percentileLimit } from './histogram.ts';

/** A calibration recipe, as the YAML files in calibration/ say it. */
export const calibrationRecipe = z.strictObject({
  algorithm: z.enum(['entropy', 'minmax', 'percentile']),
  /** Only for `percentile`: the share of values inside the range. */
  percentile: z.number().gt(0.5).max(1).default(0.9999),
  images: z.int().min(1),
  /** Balanced over classes, seeded, and never an image that validates. */
  selection: z.enum(['stratified', 'random']).default('stratified'),
  seed: z.int().default(42),
  /** The mean error that rounding gives each channel goes into the biases of the INT8 networks; the FP32 and FP16 ones stay as trained. */
  biasCorrection: z.boolean().default(true),
});
export type CalibrationRecipe = z.infer<typeof calibrationRecipe>;

/** The range of one activation: amax saturates (symmetric, as TensorRT's scale·127); min and max are what was seen. */
export interface ActivationRange {
  readonly name: string;
  readonly amax: number;
  readonly min: number;
  readonly max: number;
}
/** One table for every consumer: TensorRT cache, Q/DQ ONNX, onnxruntime. Ranges stand in graph order, the network's inputs first. */
export interface RangeTable {
  readonly schemaVersion: 1;
  /** qat: the ranges were learnt in training, and no images calibrated. */
  readonly recipe: CalibrationRecipe | { readonly algorithm: 'qat' };
  readonly images: number;
  readonly ranges: readonly ActivationRange[];
  /** Per engine and node, what its biases gain (bias-correction.ts); absent: nothing is corrected. */
  readonly biases?: Readonly<Record<QuantizedEngine, Readonly<Record<string, readonly number[]>>>> | undefined;
}
/** Whose rules a Q/DQ graph follows. */
export type QuantizedEngine = 'onnxruntime' | 'tensorrt';
const correctionSchema = z.record(z.string(), z.array(z.number()).readonly());
export const rangeTableSchema: z.ZodType<RangeTable> = z.strictObject({
  schemaVersion: z.literal(1),
  recipe: z.union([calibrationRecipe, z.strictObject({ algorithm: z.literal('qat') })]),
  images: z.int().nonnegative(),
  ranges: z.array(z.strictObject({ name: z.string(), amax: z.number().nonnegative(), min: z.number(), max: z.number() })),
  biases: z.strictObject({ onnxruntime: correctionSchema, tensorrt: correctionSchema }).optional(),
});

/** In words where a table comes from: `percentile 99.99 % over 100 images, biases corrected`, or `qat`. */
export function rangesWords({ recipe, images, biases }: RangeTable): string {
  if (recipe.algorithm === 'qat') return 'qat';
  const name = recipe.algorithm === 'percentile' ? `percentile ${Number((100 * recipe.percentile).toFixed(4))} %` : recipe.algorithm;
  return `${name} over ${images} images${biases ? ', biases corrected' : ''}`;
}
/** The metadata of a graph that holds INT8's view of a network: `rangesWords`. */
export const rangesMetadata = 'edgeforge.ranges';

/** The float activations of an exported graph, in order: inputs, then node outputs. */
export function activationsOf(graph: Graph): { readonly name: string; readonly type: TensorType }[] {
  const types = inferShapes(graph);
  const names = [
    ...graph.inputs.filter(input => !graph.initializers.has(input.name)).map(input => input.name),
    ...graph.nodes.flatMap(node => node.outputs.filter(name => name !== '')),
  ];
  return names.flatMap(name => {
    const type = types.get(name);
    return type?.dataType === 'float32' && type.dims.length > 0 ? [{ name, type }] : [];
  });
}

export interface CalibrateOptions {
  readonly threads?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (images: number, pass: 1 | 2) => void;
}

/**
 * Ranges of every activation over calibration images, in two passes: the extent, then histograms within it.
 * `graph` must be the exported one (folded, renamed), or the names are wrong. Throws `calibration-invalid` on NaN, an all-zero input or too few images.
 */
export async function calibrate(
  graph: Graph,
  batches: () => AsyncIterable<ReadonlyMap<string, Tensor>>,
  recipe: CalibrationRecipe,
  options: CalibrateOptions = {},
): Promise<RangeTable> {
  const activations = activationsOf(graph);
  const inner = activations.filter(({ name }) => !graph.inputs.some(input => input.name === name) && !graph.outputs.some(output => output.name === name));
  const watched: Graph = { ...graph, outputs: [...graph.outputs, ...inner] };
  const session = await openSession(writeOnnx(watched), options.threads === undefined ? {} : { threads: options.threads });
  try {
    return await rangesOf(
      graph,
      session,
      activations.map(({ name }) => name),
      batches,
      recipe,
      options,
    );
  } finally {
    await session.close();
  }
}

async function rangesOf(
  graph: Graph,
  session: Session,
  names: readonly string[],
  batches: () => AsyncIterable<ReadonlyMap<string, Tensor>>,
  recipe: CalibrationRecipe,
  options: CalibrateOptions,
): Promise<RangeTable> {
  const inputName = graph.inputs.find(input => !graph.initializers.has(input.name))?.name as string;
  const sweep = async (pass: 1 | 2, visit: (name: string, data: Float32Array) => void): Promise<number> => {
    let images = 0;
    for await (const feeds of batches()) {
      options.signal?.throwIfAborted();
      const values = await session.run(feeds);
      for (const name of names) visit(name, ((feeds.get(name) ?? values.get(name)) as Tensor).data as Float32Array);
      images += feeds.get(inputName)?.dims[0] ?? 0;
      options.onProgress?.(images, pass);
    }
    return images;
  };
  const extents = new Map(names.map(name => [name, { min: Number.POSITIVE_INFINITY, max: Number.NEGATIVE_INFINITY }]));
  const images = await sweep(1, (name, data) => widen(name, extents.get(name) as Extent, data));
  if (images < recipe.images) {
    throw new EdgeError('calibration-invalid', `The recipe asks for ${recipe.images} calibration images; the data has ${images}.`, {
      hint: `Set images: ${images} in the calibration recipe, or add training images.`,
    });
  }
  const limits = new Map(names.map(name => [name, Math.max(Math.abs((extents.get(name) as Extent).min), Math.abs((extents.get(name) as Extent).max))]));
  const amax = recipe.algorithm === 'minmax' ? limits : await saturated(names, limits, recipe, visit => sweep(2, visit));
  return { schemaVersion: 1, recipe, images, ranges: names.map(name => ({ name, amax: amax.get(name) as number, ...(extents.get(name) as Extent) })) };
}

interface Extent {
  min: number;
  max: number;
}

function widen(name: string, extent: Extent, data: Float32Array): void {
  let { min, max } = extent;
  for (let i = 0; i < data.length; i++) {
    const value = data[i] as number;
    if (value < min) min = value;
    if (value > max) max = value;
    if (Number.isNaN(value))
      throw new EdgeError('calibration-invalid', `The activation ${name} is NaN on a calibration image.`, { hint: 'Evaluate the network first: edgeforge run evaluate' });
  }
  extent.min = min;
  extent.max = max;
}

async function saturated(
  names: readonly string[],
  limits: ReadonlyMap<string, number>,
  recipe: CalibrationRecipe,
  sweep: (visit: (name: string, data: Float32Array) => void) => Promise<number>,
): Promise<Map<string, number>> {
  const histograms = new Map<string, Histogram>(names.map(name => [name, { counts: new Float64Array(entropyBins), limit: limits.get(name) as number }]));
  await sweep((name, data) => addTo(histograms.get(name) as Histogram, data));
  const limitOf = (histogram: Histogram) => (recipe.algorithm === 'entropy' ? entropyLimit(histogram) : percentileLimit(histogram, recipe.percentile));
  return new Map([...histograms].map(([name, histogram]) => [name, histogram.limit > 0 ? limitOf(histogram) : 0]));
}
