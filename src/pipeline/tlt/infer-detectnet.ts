import { basename, extname, join, resolve } from 'node:path';
import { writeAtomic } from '../../core/atomic-file.ts';
import { EdgeError } from '../../core/errors.ts';
import { openBatches } from '../../data/batches.ts';
import { clipBox, type Placement, unplaceBox } from '../../data/placement.ts';
import type { Manifest, Sample } from '../../data/sample.ts';
import { formatInferenceLabels } from '../../formats/kitti.ts';
import { type InferenceSpec, inferenceSpec } from '../../formats/spec/inference-spec.ts';
import { parseSpec } from '../../formats/spec/parse-spec.ts';
import { sizeOfInput } from '../../graph/network-info.ts';
import { openDetectnet } from '../../tasks/detectnet.ts';
import type { Network, Prediction, ScoredBox } from '../../tasks/task.ts';
import { predict } from '../../train/predict.ts';
import { gridOf, networkOf } from '../../zoo/network-file.ts';
import { withStatus } from '../status-file.ts';
import { annotateImage } from './annotate.ts';
import { imageFiles, imageManifest } from './images.ts';
import { readModel } from './model-file.ts';
import { readSpecText } from './spec-file.ts';
import type { Tell } from './tell.ts';

export interface TltInferDetectnet {
  readonly spec: string;
  readonly images: string;
  readonly results: string;
  /** Instead of the spec's. */
  readonly model?: string | undefined;
  readonly batch?: number | undefined;
  readonly key: string | undefined;
}
export interface TltDetections {
  readonly images: number;
  readonly boxes: number;
  readonly labels: string | undefined;
  readonly annotated: string | undefined;
}

/** TLT's DetectNet_v2 inference: `labels/*.txt` (KITTI with the confidence at the end) and `images_annotated/*`, both in pixels of the original images. */
export const tltInferDetectnet = (request: TltInferDetectnet, tell: Tell): Promise<TltDetections> =>
  withStatus('inference', request.results, tell, async () => {
    const { spec, notes } = inferenceSpec(parseSpec(await readSpecText(request.spec), { file: request.spec, task: 'detectnet_v2_infer' }));
    for (const note of notes) tell.note(note);
    const file = request.model ?? spec.model;
    if (file === undefined) {
      throw new EdgeError(
        spec.engine === undefined ? 'spec-invalid' : 'engine-missing',
        spec.engine === undefined ? 'The inference spec names no network.' : `The inference spec runs the TensorRT engine ${spec.engine}; engines run on their device.`,
        {
          hint: 'Name the network: -m MODEL, or tlt_config { model: "…" }. To measure an engine: edgeforge deploy DEVICE.',
          where: { file: request.spec },
        },
      );
    }
    const network = networkOf(await readModel(resolve(file), request.key));
    checkSpec(spec, network, file);
    for (const [name, { confidenceModel }] of Object.entries(spec.classes))
      if (confidenceModel === 'mean_cov') tell.note(`confidence_model mean_cov of "${name}" is not computed: confidences are sums of coverage (aggregate_cov).`);
    const manifest = await imageManifest(await imageFiles(request.images), 'detection');
    const found = await detect(network, spec, manifest, request.batch ?? (spec.batchSize || 8), tell);
    return write(found, manifest, spec, request.results, tell);
  });

function checkSpec(spec: InferenceSpec, { graph, info }: Network, file: string): void {
  if (info.task !== 'detectnet_v2') throw new EdgeError('spec-invalid', `${file} is a ${info.task} network.`, { hint: `Use: edgeforge ${info.task} inference …`, where: { file } });
  if (spec.targetClasses.join('\n') !== info.labels.join('\n')) {
    throw new EdgeError('class-unmapped', `The inference spec has the classes ${spec.targetClasses.join(', ')}; the network has ${info.labels.join(', ')}.`, {
      hint: 'Name target_classes exactly in the network’s order.',
      where: { file, path: 'inferencer_config.target_classes' },
    });
  }
  const [width, height, channels] = sizeOfInput(graph);
  if (spec.width !== width || spec.height !== height || (spec.channels > 0 && spec.channels !== channels)) {
    throw new EdgeError('shape-mismatch', `The inference spec has ${spec.width}×${spec.height}×${spec.channels}; the network takes ${width}×${height}×${channels}.`, {
      hint: `Set image_width: ${width}, image_height: ${height}, image_channels: ${channels}.`,
      where: { file, path: 'inferencer_config' },
    });
  }
}

interface Found {
  readonly predictions: readonly Prediction[];
  readonly placements: readonly Placement[];
}

async function detect(network: Network, spec: InferenceSpec, manifest: Manifest, batch: number, tell: Tell): Promise<Found> {
  const [width, height] = sizeOfInput(network.graph);
  const grid = gridOf(network);
  const stride = grid ? height / grid[0] : 16;
  const own = (label: string) => (Object.hasOwn(spec.classes, label) ? spec.classes[label] : spec.classes.default)?.clustering;
  const postprocessing = Object.fromEntries(
    network.info.labels.flatMap(label => {
      const clustering = own(label);
      return clustering ? [[label, clustering] as const] : [];
    }),
  );
  const task = openDetectnet({ labels: [...network.info.labels], width, height, stride, postprocessing });
  const placements: Placement[] = [];
  async function* batches() {
    for await (const part of openBatches({
      manifest,
      classes: { indexOf: {} },
      size: { width, height },
      preprocess: network.info.preprocess,
      batch,
      last: 'pad',
      signal: tell.signal,
    })) {
      placements.push(...part.placements);
      yield part;
    }
  }
  const predictions = await predict(network.graph, task, batches(), { signal: tell.signal, onBatch: done => tell.progress(done, manifest.samples.length, 'images') });
  return { predictions, placements };
}

async function write({ predictions, placements }: Found, manifest: Manifest, spec: InferenceSpec, results: string, tell: Tell): Promise<TltDetections> {
  const [labels, annotated] = [join(results, 'labels'), join(results, 'images_annotated')];
  let boxes = 0;
  for (const [index, sample] of manifest.samples.entries()) {
    const prediction = predictions[index];
    const placement = placements[index];
    if (prediction?.kind !== 'boxes' || !placement) continue;
    const inImage = prediction.boxes.flatMap(box => clipBox(unplaceBox(box, placement), sample) ?? []);
    boxes += inImage.length;
    await writeOne(sample, inImage, spec, { labels, annotated });
  }
  tell.say(`${boxes} boxes on ${manifest.samples.length} images.`);
  if (spec.kittiDump) tell.say(`Labels: ${labels}`);
  if (!spec.disableOverlay) tell.say(`Annotated images: ${annotated}`);
  return { images: manifest.samples.length, boxes, labels: spec.kittiDump ? labels : undefined, annotated: spec.disableOverlay ? undefined : annotated };
}

async function writeOne(sample: Sample, boxes: readonly ScoredBox[], spec: InferenceSpec, to: { readonly labels: string; readonly annotated: string }): Promise<void> {
  const name = basename(sample.image);
  const classOf = ({ classIndex }: ScoredBox) => spec.targetClasses[classIndex] ?? String(classIndex);
  const settingsOf = (label: string) => (Object.hasOwn(spec.classes, label) ? spec.classes[label] : spec.classes.default);
  if (spec.kittiDump) {
    const lines = boxes.map(box => ({ className: settingsOf(classOf(box))?.outputMap ?? classOf(box), x1: box.x1, y1: box.y1, x2: box.x2, y2: box.y2, confidence: box.score }));
    await writeAtomic(join(to.labels, `${name.slice(0, name.length - extname(name).length)}.txt`), formatInferenceLabels(lines));
  }
  if (spec.disableOverlay) return;
  const drawn = boxes.map(box => {
    const { red = 0, green = 255, blue = 0 } = settingsOf(classOf(box))?.color ?? {};
    return { ...box, colour: `rgb(${red},${green},${blue})`, caption: `${classOf(box)} ${box.score.toFixed(2)}` };
  });
  await annotateImage(`/${sample.image}`, join(to.annotated, name), drawn, sample, spec.overlayLinewidth || 2);
}
