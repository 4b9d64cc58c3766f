import { join, resolve } from 'node:path';
import { writeAtomic } from '../../core/atomic-file.ts';
import { EdgeError } from '../../core/errors.ts';
import { openBatches } from '../../data/batches.ts';
import { sizeOfInput } from '../../graph/network-info.ts';
import { openClassification } from '../../tasks/classification.ts';
import { predict } from '../../train/predict.ts';
import { networkOf } from '../../zoo/network-file.ts';
import { withStatus } from '../status-file.ts';
import { readClassmap } from './datasets.ts';
import { imageFiles, imageManifest } from './images.ts';
import { readModel } from './model-file.ts';
import { readTrainingSpec } from './spec-file.ts';
import { checkFits } from './start-network.ts';
import type { Tell } from './tell.ts';

export interface TltInferClassification {
  readonly model: string;
  readonly spec: string;
  readonly image?: string | undefined;
  readonly folder?: string | undefined;
  readonly classmap?: string | undefined;
  readonly batch: number;
  readonly key: string | undefined;
  readonly results?: string | undefined;
}
export interface TltClass {
  readonly image: string;
  readonly label: string;
  readonly score: number;
}

/** TLT's classification inference: one image's class as a line, a folder's as `result.csv` (path, class, score) in that folder or in `results`. */
export const tltInferClassification = (request: TltInferClassification, tell: Tell): Promise<readonly TltClass[]> =>
  withStatus('inference', request.results, tell, async () => {
    const at = request.folder ?? request.image;
    if (at === undefined) throw new EdgeError('usage', 'No image is named.', { hint: 'Add -i IMAGE, or -d FOLDER.' });
    const plan = await readTrainingSpec(request.spec, 'classification');
    const network = networkOf(await readModel(resolve(request.model), request.key));
    const labels = request.classmap === undefined ? network.info.labels : await readClassmap(request.classmap);
    checkFits(network, plan, labels, request.model);
    const manifest = await imageManifest(await imageFiles(at, { deep: request.folder !== undefined }), 'classification');
    const [width, height] = sizeOfInput(network.graph);
    const batches = openBatches({
      manifest,
      classes: { indexOf: {} },
      size: { width, height },
      preprocess: network.info.preprocess,
      fit: plan.training.fit,
      filter: plan.training.filter,
      batch: request.batch,
      last: 'pad',
      signal: tell.signal,
    });
    const predictions = await predict(network.graph, openClassification({ labels: [...labels] }), batches, {
      signal: tell.signal,
      onBatch: done => tell.progress(done, manifest.samples.length, 'images'),
    });
    const rows = predictions.flatMap((prediction, index): TltClass[] => {
      const image = `/${manifest.samples[index]?.image}`;
      return prediction.kind === 'class'
        ? [{ image, label: labels[prediction.classIndex] ?? String(prediction.classIndex), score: prediction.scores[prediction.classIndex] ?? 0 }]
        : [];
    });
    if (request.folder === undefined) for (const { image, label, score } of rows) tell.say(`${image}: ${label} (${score.toFixed(4)})`);
    else {
      const file = join(request.results ?? request.folder, 'result.csv');
      await writeAtomic(file, rows.map(({ image, label, score }) => `${csv(image)},${csv(label)},${score.toFixed(6)}\n`).join(''));
      tell.say(`${rows.length} images classified: ${file}`);
    }
    return rows;
  });

const csv = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
