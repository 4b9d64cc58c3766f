import { readFile } from 'node:fs/promises';
import { type ActivationStatistics, activationStatistics } from '../../compress/channel-energy.ts';
import { openBatches } from '../../data/batches.ts';
import { mapClasses } from '../../data/class-map.ts';
import { readOnnx } from '../../formats/onnx.ts';
import { type NetworkInfo, networkInfoOf } from '../../graph/network-info.ts';
import type { IsolatedContext } from '../isolation.ts';
import { readManifest } from '../manifest-file.ts';
import type { TrainingPlan } from '../training-plan.ts';
import { selectImages } from './calibrate.ts';

export interface StatisticsRequest {
  readonly plan: Pick<TrainingPlan, 'input' | 'fit' | 'mapping'>;
  readonly network: string;
  readonly train: string;
  readonly images?: string | undefined;
  /** How many training images are looked at; the same ones for the same data. */
  readonly count: number;
}

/** What the channels of a network do on training images, unaugmented: what pruning by energy goes by. */
export async function statisticsJob({ plan, network, train, images, count }: StatisticsRequest, { send, signal }: IsolatedContext): Promise<ActivationStatistics> {
  const whole = await readManifest(train, images);
  const manifest = { ...whole, samples: selectImages(whole, { images: count, selection: 'stratified', seed: 42 }) };
  const graph = readOnnx(await readFile(network));
  const info = networkInfoOf(graph) as NetworkInfo;
  const classes = mapClasses(manifest, { targets: info.labels, mayLack: true, ...(plan.mapping ? { mapping: plan.mapping } : {}) });
  async function* batches() {
    for await (const { images } of openBatches({ manifest, classes, size: plan.input, preprocess: info.preprocess, fit: plan.fit, batch: 1, last: 'pad', signal }))
      yield new Map([[info.input, images]]);
  }
  return activationStatistics(graph, batches(), { signal, onImages: done => send({ done, total: manifest.samples.length }) });
}
