import { readFile } from 'node:fs/promises';
import { openBatches } from '../../data/batches.ts';
import { mapClasses } from '../../data/class-map.ts';
import type { Manifest } from '../../data/sample.ts';
import { readOnnx } from '../../formats/onnx.ts';
import { f32, type Graph } from '../../graph/ir.ts';
import { type NetworkInfo, networkInfoOf } from '../../graph/network-info.ts';
import type { Annotation, Score } from '../../tasks/task.ts';
import { predict } from '../../train/predict.ts';
import type { IsolatedContext } from '../isolation.ts';
import { readManifest } from '../manifest-file.ts';
import { openTask } from '../task-plan.ts';
import { writeTensorFolder } from '../tensor-folder.ts';
import { placedBy, type TrainingPlan } from '../training-plan.ts';

/** Scores a graph on every image of a manifest, unaugmented, as the host's onnxruntime answers. */
export async function scoreNetwork({
  graph,
  plan,
  manifest,
  signal,
  onImages,
}: {
  readonly graph: Graph;
  readonly plan: TrainingPlan;
  readonly manifest: Manifest;
  readonly signal: AbortSignal;
  readonly onImages?: (done: number) => void;
}): Promise<Score> {
  const info = networkInfoOf(graph) as NetworkInfo;
  const task = openTask(plan.task, info.labels);
  const truth: Annotation[] = [];
  async function* watched() {
    for await (const batch of validationBatches(manifest, plan, info, 8, signal)) {
      truth.push(...batch.annotations);
      yield batch;
    }
  }
  const predictions = await predict(graph, task, watched(), { signal, ...(onImages ? { onBatch: onImages } : {}) });
  const score = task.score(predictions, truth);
  if (plan.task.name !== 'detectnet_v2') return score;
  // The same predictions once more on boxes that cover at least half a cell by one: smaller ones lie below what a stride of 16 can tell apart.
  const least = { minimumWidth: 8, minimumHeight: 16, maximumWidth: 9999, maximumHeight: 9999 };
  const boxes = Object.fromEntries(info.labels.map(label => [label, least]));
  const larger = openTask({ ...plan.task, settings: { ...plan.task.settings, evaluation: { ...plan.task.settings.evaluation, boxes } } }, info.labels).score(predictions, truth);
  return { ...score, detail: { ...score.detail, boxesFrom16x8: { value: larger.value, decisions: larger.decisions } } };
}

/** The validation images in order, as the network wants them; the last batch is padded. */
export function validationBatches(manifest: Manifest, plan: TrainingPlan, info: NetworkInfo, batch: number, signal: AbortSignal) {
  const classes = mapClasses(manifest, { targets: info.labels, mayLack: true, ...(plan.mapping ? { mapping: plan.mapping } : {}) });
  return openBatches({ manifest, classes, ...placedBy(plan), preprocess: info.preprocess, batch, last: 'pad', signal });
}

export interface EvaluateRequest {
  readonly plan: TrainingPlan;
  readonly network: string;
  readonly validation: string;
  /** Where the images lie that the manifests speak of; absent: their roots are absolute. */
  readonly images?: string | undefined;
}
/** Evaluates in a process of its own. */
export async function evaluateJob({ plan, network, validation, images }: EvaluateRequest, { send, signal }: IsolatedContext): Promise<Score> {
  const manifest = await readManifest(validation, images);
  return scoreNetwork({ graph: readOnnx(await readFile(network)), plan, manifest, signal, onImages: done => send({ done, total: manifest.samples.length }) });
}

export interface TensorsRequest extends EvaluateRequest {
  readonly output: string;
  readonly count: number;
}
/** Writes the first `count` validation images as one raw tensor with their truth: what a device is given. */
export async function tensorsJob({ plan, network, validation, output, images, count }: TensorsRequest, { send, signal }: IsolatedContext): Promise<void> {
  const whole = await readManifest(validation, images);
  const manifest = { ...whole, samples: whole.samples.slice(0, count) };
  const info = networkInfoOf(readOnnx(await readFile(network))) as NetworkInfo;
  const n = manifest.samples.length;
  let [data, filled, dims] = [new Float32Array(0), 0, [] as readonly number[]];
  const [annotations, ids]: [Annotation[], string[]] = [[], []];
  for await (const batch of validationBatches(manifest, plan, info, 8, signal)) {
    const perImage = batch.images.data.length / (batch.images.dims[0] as number);
    dims = [n, ...batch.images.dims.slice(1)];
    if (data.length === 0) data = new Float32Array(n * perImage);
    data.set((batch.images.data as Float32Array).subarray(0, batch.n * perImage), filled * perImage);
    filled += batch.n;
    annotations.push(...batch.annotations);
    ids.push(...batch.ids);
    send({ done: filled, total: n });
  }
  await writeTensorFolder(output, n, new Map([[info.input, f32(dims, data)]]), { ids, annotations, labels: info.labels });
}
