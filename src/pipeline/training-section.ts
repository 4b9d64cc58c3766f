import { z } from 'zod';
import { optimizerSchema } from '../train/optimizers.ts';
import { scheduleSchema } from '../train/schedules.ts';
import type { GradientClip } from '../train/update-graph.ts';

const share = z.number().min(0).lt(1);

/** `training:` of the project file: what a TLT spec cannot say, or what shall count instead of what it says. Also `retrain.training`, on top of `training`. */
export const trainingSectionSchema = z.strictObject({
  /** {kind: sgd, momentum: 0.9, nesterov: true} | {kind: adam} | {kind: adamw, decay: 0.01} | {kind: rmsprop, rho: 0.9}. */
  optimizer: optimizerSchema.optional(),
  /** constant, step, cosine, soft-anneal, soft-start-annealing or early-stopping-annealing, each with warmUp: a share of the training. */
  schedule: scheduleSchema.optional(),
  /** {norm: 1}: the length of all gradients together; {value: 0.1}: each number. */
  clip: z.union([z.strictObject({ norm: z.number().positive() }), z.strictObject({ value: z.number().positive() })]).optional(),
  /** Decay of a running average of the weights, for example 0.999; the average is what is validated and handed on. */
  average: z.number().gt(0).lt(1).optional(),
  /** Batches per update: the effective batch is this many times batch_size_per_gpu; batch norm sees each alone. */
  accumulate: z.int().min(1).max(1024).optional(),
  /** Share of the activations ahead of the last layers that each step drops. */
  dropout: share.optional(),
  /** Classification: α of mixup. */
  mixup: z.number().min(0).optional(),
  /** Classification: share of the target that is spread over all classes. */
  labelSmoothing: share.optional(),
  /** Classification: factor on the loss per class, or balanced: n/(classes·n of the class). */
  classWeights: z.union([z.literal('balanced'), z.record(z.string(), z.number().positive())]).optional(),
  /** Quantization-aware training, as enable_qat in a spec: the INT8 network is what learns, and no image calibrates it afterwards. */
  qat: z.boolean().optional(),
  /** Layers that stay as they are, by name; * stands for any characters. */
  freeze: z.array(z.string().min(1)).optional(),
  /** Which network goes on: the best by the validation metric (default), or the last. Both are kept. */
  keep: z.enum(['best', 'last']).optional(),
  /** Before the first epoch: can the network learn one batch by heart? Takes seconds. */
  overfitCheck: z.boolean().optional(),
});
export type TrainingSection = z.output<typeof trainingSectionSchema>;

/** Why a section does not suit a task, with the way out; undefined where it does. */
export function refuseSection(
  { mixup, labelSmoothing, classWeights }: TrainingSection,
  task: 'detectnet_v2' | 'classification',
): { readonly path: string; readonly message: string; readonly hint: string } | undefined {
  if (task === 'classification') return undefined;
  if (mixup !== undefined && mixup > 0)
    return {
      path: 'mixup',
      message: 'mixup is for classification: mixed images would have every box of both.',
      hint: 'Remove mixup; zoom, translation and colour in augmentation_config of the spec vary boxes.',
    };
  if (labelSmoothing !== undefined)
    return { path: 'labelSmoothing', message: 'labelSmoothing is for classification.', hint: 'Remove it; coverage targets are soft already (bbox_rasterizer_config).' };
  if (classWeights !== undefined)
    return { path: 'classWeights', message: 'classWeights is for classification.', hint: 'Set class_weight in cost_function_config.target_classes of the spec.' };
  return undefined;
}

/** A clip of the project file as the training room takes it. */
export const clipOf = (clip: NonNullable<TrainingSection['clip']>): GradientClip => ('norm' in clip ? { kind: 'norm', limit: clip.norm } : { kind: 'value', limit: clip.value });
