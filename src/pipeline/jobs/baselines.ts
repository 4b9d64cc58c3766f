import { readFile } from 'node:fs/promises';
import { openBatches } from '../../data/batches.ts';
import { mapClasses } from '../../data/class-map.ts';
import { type ColourSample, colourBaseline } from '../../data/colour-baseline.ts';
import type { Manifest } from '../../data/sample.ts';
import { readOnnx } from '../../formats/onnx.ts';
import { type NetworkInfo, networkInfoOf } from '../../graph/network-info.ts';
import { commonClassBaseline, meanBoxBaseline, predictAll } from '../../tasks/baselines.ts';
import type { Annotation, Score } from '../../tasks/task.ts';
import type { IsolatedContext } from '../isolation.ts';
import { readManifest } from '../manifest-file.ts';
import { openTask } from '../task-plan.ts';
import { placedBy, type TrainingPlan } from '../training-plan.ts';

export interface BaselinesRequest {
  readonly plan: TrainingPlan;
  /** Only its labels and preprocessing are used. */
  readonly network: string;
  readonly train: string;
  readonly validation: string;
  /** Where the images lie that the manifests speak of; absent: their roots are absolute. */
  readonly images?: string | undefined;
  /** Training images that the colour baseline is tuned on. */
  readonly tuning: number;
}
export interface BaselineScore {
  readonly name: string;
  readonly score: Score;
}

/** What a detector must beat to have learnt anything: the mean box of each class, and colour thresholds; for a classifier the most frequent class. */
export async function baselinesJob(
  { plan, network, train, validation, images: root, tuning }: BaselinesRequest,
  { send, signal }: IsolatedContext,
): Promise<readonly BaselineScore[]> {
  const [learn, judge] = await Promise.all([readManifest(train, root), readManifest(validation, root)]);
  const info = networkInfoOf(readOnnx(await readFile(network))) as NetworkInfo;
  const task = openTask(plan.task, info.labels);
  const samplesOf = (manifest: Manifest) => samples(manifest, plan, info, signal);
  const truth = await samplesOf(judge);
  const annotations = truth.map(sample => sample.annotation);
  const scored = (name: string, predictions: ReturnType<typeof predictAll>): BaselineScore => ({ name, score: task.score(predictions, annotations) });
  send({ done: 1, total: 3 });
  const known = await samplesOf({ ...learn, samples: learn.samples.slice(0, tuning) });
  send({ done: 2, total: 3 });
  const labels: Annotation[] = known.map(sample => sample.annotation);
  const images = truth.map(sample => sample.pixels);
  if (plan.task.name === 'classification') return [scored('most frequent class', predictAll(commonClassBaseline(labels, info.labels.length), images))];
  return [scored('mean box', predictAll(meanBoxBaseline(labels), images)), scored('colour threshold', predictAll(colourBaseline(known, info.labels.length), images))];
}

/** Images as the network sees them, as bytes again: the baselines look at the same pixels. */
async function samples(manifest: Manifest, plan: TrainingPlan, info: NetworkInfo, signal: AbortSignal): Promise<ColourSample[]> {
  const classes = mapClasses(manifest, { targets: info.labels, mayLack: true, ...(plan.mapping ? { mapping: plan.mapping } : {}) });
  const { width, height } = plan.input;
  const plane = width * height;
  const found: ColourSample[] = [];
  const bytes = { scale: 1, offset: [0, 0, 0] as [number, number, number], order: 'rgb' as const, resize: info.preprocess.resize };
  for await (const batch of openBatches({ manifest, classes, ...placedBy(plan), preprocess: bytes, batch: 8, last: 'pad', signal })) {
    const values = batch.images.data as Float32Array;
    batch.annotations.forEach((annotation, i) => {
      const data = new Uint8Array(3 * plane);
      for (let c = 0; c < 3; c++) for (let p = 0; p < plane; p++) data[3 * p + c] = values[(3 * i + c) * plane + p] as number;
      found.push({ pixels: { data, width, height }, annotation });
    });
  }
  return found;
}
