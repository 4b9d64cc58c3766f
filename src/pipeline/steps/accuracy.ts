import { writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { sqnr } from '../../compress/compare.ts';
import type { Precision } from '../../core/evidence.ts';
import { defineStep } from '../../core/recipe.ts';
import { f32, type Tensor } from '../../graph/ir.ts';
import type { NamedTensors, Score } from '../../tasks/task.ts';
import { openTask, taskPlanSchema } from '../task-plan.ts';
import { readTensorFolder, readTensorIndex } from '../tensor-folder.ts';
import { thisCpu } from '../this-machine.ts';

/** How well one artifact does on the device that runs it, and how far it is from FP32 there. */
export interface DeviceScore {
  readonly precision: Precision;
  readonly score: Score;
  /** Fraction of decisions equal to those of FP32 on the same device and images. */
  readonly agreement?: { readonly equal: number; readonly n: number };
  /** Of all raw outputs against FP32's, in dB; absent for FP32 itself and where the outputs are bit-equal. */
  readonly sqnrDb?: number;
}

/** Decodes and scores the raw outputs that a device returned, FP32 first; the host's own code, the same for every precision. */
export const accuracyStep = defineStep({
  name: 'accuracy',
  version: 2,
  exclusive: () => [thisCpu],
  config: z.strictObject({ task: taskPlanSchema, precisions: z.array(z.enum(['fp32', 'fp16', 'int8'])) }),
  inputs: { images: 'tensors', outputs: 'tensors[]' },
  outputs: { scores: 'score' },
  async run({ config, inputs, outputs, log }) {
    const { annotations = [], labels = [], n } = await readTensorIndex(inputs.images);
    const task = openTask(config.task, labels);
    const folders = await Promise.all(inputs.outputs.map(readTensorFolder));
    // A device may have run fewer images than it was given: all its precisions are compared on those that each of them saw.
    const seen = Math.min(n, ...folders.map(folder => folder.n));
    if (seen < n) log('info', `scored on the ${seen} of ${n} images that every engine ran`);
    const truth = annotations.slice(0, seen);
    const scores: DeviceScore[] = [];
    let reference: { readonly values: NamedTensors; readonly predictions: ReturnType<typeof task.decode> } | undefined;
    for (const [i, precision] of config.precisions.entries()) {
      const values = firstOf((folders[i] as (typeof folders)[number]).values, seen);
      const predictions = task.decode(values);
      const score = task.score(predictions, truth);
      log('info', `${precision}: ${score.metric} ${score.value.toFixed(4)} on ${score.n} images`);
      if (precision === 'fp32') reference = { values, predictions };
      if (!reference || precision === 'fp32') {
        scores.push({ precision, score });
        continue;
      }
      const agreement = task.agreement(reference.predictions, predictions, truth);
      const distance = sqnrOf(reference.values, values);
      log('info', `${precision}: ${((100 * agreement.equal) / Math.max(1, agreement.n)).toFixed(2)} % of ${agreement.n} decisions as fp32, SQNR ${distance.toFixed(1)} dB`);
      scores.push({ precision, score, agreement, ...(Number.isFinite(distance) ? { sqnrDb: distance } : {}) });
    }
    await writeFile(outputs.scores, JSON.stringify(scores));
  },
});

/** The first n rows of tensors whose first axis counts images. */
function firstOf(values: ReadonlyMap<string, Tensor>, n: number): ReadonlyMap<string, Tensor> {
  const cut = (tensor: Tensor): Tensor => {
    const { dims, data } = tensor;
    const [rows = n, ...rest] = dims;
    return rows === n ? tensor : f32([n, ...rest], (data as Float32Array).slice(0, n * rest.reduce((product, dim) => product * dim, 1)));
  };
  return new Map([...values].map(([name, tensor]) => [name, cut(tensor)]));
}

/** The worst output's SQNR: a network is as good as its weakest head. */
function sqnrOf(reference: NamedTensors, other: NamedTensors): number {
  return Math.min(...[...reference].map(([name, tensor]) => sqnr(tensor.data as Float32Array, (other.get(name)?.data ?? []) as Float32Array)));
}
