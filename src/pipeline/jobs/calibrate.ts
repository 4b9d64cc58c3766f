import { readFile, writeFile } from 'node:fs/promises';
import { biasErrors } from '../../compress/bias-correction.ts';
import { type CalibrationRecipe, calibrate, type QuantizedEngine, type RangeTable } from '../../compress/calibrate.ts';
import { learntRanges } from '../../compress/qat.ts';
import { quantize } from '../../compress/quantize.ts';
import { openBatches } from '../../data/batches.ts';
import { mapClasses } from '../../data/class-map.ts';
import { randomAt, shuffled } from '../../data/random.ts';
import type { Manifest } from '../../data/sample.ts';
import { stratifiedPick } from '../../data/split.ts';
import { readOnnx } from '../../formats/onnx.ts';
import type { Tensor } from '../../graph/ir.ts';
import { type NetworkInfo, networkInfoOf } from '../../graph/network-info.ts';
import type { IsolatedContext } from '../isolation.ts';
import { readManifest } from '../manifest-file.ts';
import { type Placing, placedBy, type TrainingPlan } from '../training-plan.ts';

export interface CalibrateRequest {
  /** How images meet the input, and which classes they show. */
  readonly plan: Placing & Pick<TrainingPlan, 'mapping'>;
  readonly onnx: string;
  /** The training images: calibration never sees one that validates. */
  readonly train: string;
  /** Where the images lie that the manifests speak of; absent: their roots are absolute. */
  readonly images?: string | undefined;
  readonly recipe: CalibrationRecipe;
  readonly output: string;
}

/** Calibrates the exported graph on a seeded selection of training images; returns which. A graph with ranges that quantization-aware training learnt needs none. */
export async function calibrateJob(
  { plan, onnx, train, images, recipe, output }: CalibrateRequest,
  { send, signal }: IsolatedContext,
): Promise<{ readonly algorithm: RangeTable['recipe']['algorithm']; readonly images: readonly string[] }> {
  const graph = readOnnx(await readFile(onnx));
  const learnt = learntRanges(graph);
  if (learnt) {
    await writeFile(output, JSON.stringify(learnt));
    return { algorithm: 'qat', images: [] };
  }
  const whole = await readManifest(train, images);
  const info = networkInfoOf(graph) as NetworkInfo;
  const manifest = { ...whole, samples: selectImages(whole, recipe) };
  const n = manifest.samples.length;
  const step = Math.ceil(n / biasImages);
  const few = recipe.biasCorrection ? manifest.samples.filter((_, index) => index % step === 0) : [];
  const total = 2 * n + 2 * few.length;
  const batches = (samples: Manifest['samples']) => singleImages({ ...manifest, samples }, { plan, info, signal });
  const table = await calibrate(
    graph,
    () => batches(manifest.samples),
    { ...recipe, images: n },
    { signal, onProgress: (images, pass) => send({ done: images + (pass - 1) * n, total }) },
  );
  const corrected = async (engine: QuantizedEngine, before: number) => {
    const onImages = (done: number) => send({ done: 2 * n + before + done, total });
    return Object.fromEntries(await biasErrors(graph, quantize(graph, table, { engine }), batches(few), { signal, onImages }));
  };
  const biases = recipe.biasCorrection ? { onnxruntime: await corrected('onnxruntime', 0), tensorrt: await corrected('tensorrt', few.length) } : undefined;
  await writeFile(output, JSON.stringify({ ...table, ...(biases ? { biases } : {}) } satisfies RangeTable));
  return { algorithm: recipe.algorithm, images: manifest.samples.map(sample => sample.id) };
}

/** Images that the biases are corrected over: a mean over so many is steady, and the twin network costs several times the plain one. */
const biasImages = 32;

/** A manifest's images as a network's feeds, unaugmented, one at a time: padding rows would count as activations. */
export async function* singleImages(
  manifest: Manifest,
  { plan, info, signal }: { readonly plan: CalibrateRequest['plan']; readonly info: NetworkInfo; readonly signal: AbortSignal },
): AsyncGenerator<ReadonlyMap<string, Tensor>> {
  const classes = mapClasses(manifest, { targets: info.labels, mayLack: true, ...(plan.mapping ? { mapping: plan.mapping } : {}) });
  for await (const { images } of openBatches({ manifest, classes, ...placedBy(plan), preprocess: info.preprocess, batch: 1, last: 'pad', signal }))
    yield new Map([[info.input, images]]);
}

/** The recipe's images: balanced over classes or drawn at random, the same for the same seed; all where there are no more. */
export function selectImages(manifest: Manifest, { images, selection, seed }: Pick<CalibrationRecipe, 'images' | 'selection' | 'seed'>): Manifest['samples'] {
  const { samples } = manifest;
  if (samples.length <= images) return samples;
  if (selection === 'random') {
    const chosen = new Set(shuffled(samples.length, randomAt(seed, 0xca1b)).slice(0, images));
    return samples.filter((_, index) => chosen.has(index));
  }
  const chosen = stratifiedPick(samples, images / samples.length, seed);
  return samples.filter(sample => chosen.has(sample.id));
}
