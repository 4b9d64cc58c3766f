import sharp from 'sharp';
import type { ReportImage } from '../formats/report.ts';
import type { Tensor } from '../graph/ir.ts';
import type { NetworkInfo } from '../graph/network-info.ts';
import type { Annotation, Prediction } from '../tasks/task.ts';
import { firstRows } from '../train/predict.ts';
import { openTask, type TaskPlan } from './task-plan.ts';
import { readTensorFolder } from './tensor-folder.ts';

const count = 6;
/** Boxes below this score would only clutter the picture. */
const leastScore = 0.3;

/** The first validation images as the network saw them, with truth and what the deployed INT8 (or last) engine said on the device. */
export async function reportImages(images: string, outputs: string | undefined, plan: TaskPlan, info: NetworkInfo | undefined): Promise<ReportImage[]> {
  if (!info || outputs === undefined) return [];
  const { values, annotations = [], ids = [], n } = await readTensorFolder(images);
  const shown = Math.min(count, n);
  const input = values.get(info.input) as Tensor;
  const predictions = openTask(plan, info.labels).decode(firstRows((await readTensorFolder(outputs)).values, shown));
  return Promise.all(Array.from({ length: shown }, (_, i) => picture(input, i, ids[i] ?? String(i), info, annotations[i] as Annotation, predictions[i] as Prediction)));
}

async function picture(input: Tensor, index: number, id: string, info: NetworkInfo, truth: Annotation, said: Prediction): Promise<ReportImage> {
  const [, channels, height, width] = input.dims as [number, number, number, number];
  const plane = height * width;
  const data = (input.data as Float32Array).subarray(index * channels * plane, (index + 1) * channels * plane);
  const pixels = new Uint8Array(plane * channels);
  const { scale, offset, order } = info.preprocess;
  for (let c = 0; c < channels; c++) {
    const to = order === 'bgr' ? 2 - c : c;
    for (let p = 0; p < plane; p++) pixels[p * channels + to] = Math.max(0, Math.min(255, Math.round((data[c * plane + p] as number) / scale + (offset[c] as number))));
  }
  const jpeg = await sharp(pixels, { raw: { width, height, channels: channels as 1 | 3 } })
    .jpeg({ quality: 80 })
    .toBuffer();
  const name = (classIndex: number) => info.labels[classIndex] ?? String(classIndex);
  const boxes: ReportImage['boxes'] = [];
  if (truth.kind === 'boxes') for (const { classIndex, ...box } of truth.boxes) boxes.push({ label: name(classIndex), ...box, truth: true });
  if (said.kind === 'boxes')
    for (const { classIndex, score, ...box } of said.boxes) if (score >= leastScore) boxes.push({ label: name(classIndex), ...box, score: Math.min(1, score) });
  const caption = truth.kind === 'class' && said.kind === 'class' ? `${id}: ${name(truth.classIndex)}, called ${name(said.classIndex)}` : id;
  return { caption, jpegBase64: jpeg.toString('base64'), width, height, boxes };
}
