import { z } from 'zod';
import type { SpecMessage } from './_bind.ts';
import { flagOf, numberOf, numbersOf, optional, part, scalarRecordOf, textOf, textOrNone, wrongTask } from './_read.ts';
import { parseImageSize } from './_validate-others.ts';
import { type ParsedSpec, withDefaults } from './parse-spec.ts';
import { requireValid } from './validate.ts';

const path = z.string();
/** Settings of a classification (makenet) spec: TLT's names in camelCase, defaults filled, absent paths undefined. */
export const classificationSpecSchema = z.strictObject({
  randomSeed: z.number(),
  model: z.strictObject({
    arch: z.string(),
    numLayers: z.number(),
    channels: z.union([z.literal(1), z.literal(3)]),
    height: z.number(),
    width: z.number(),
    resizeInterpolation: z.enum(['BILINEAR', 'BICUBIC']),
    retainHead: z.boolean(),
    useBatchNorm: z.boolean(),
    useBias: z.boolean(),
    usePooling: z.boolean(),
    allProjections: z.boolean(),
    freezeBn: z.boolean(),
    freezeBlocks: z.array(z.number()),
    dropout: z.number(),
    batchNorm: z.strictObject({ momentum: z.number(), epsilon: z.number() }),
    activation: z.string().optional(),
  }),
  training: z.strictObject({
    batchSize: z.number(),
    epochs: z.number(),
    workers: z.number(),
    /** May end in .onnx: then it is the backbone. */
    pretrainedModelPath: path.optional(),
    learningRate: z.discriminatedUnion('kind', [
      /** stepSize is a percentage of training. */
      z.strictObject({ kind: z.literal('step'), learningRate: z.number(), stepSize: z.number(), gamma: z.number() }),
      z.strictObject({ kind: z.literal('soft-anneal'), learningRate: z.number(), softStart: z.number(), annealingDivider: z.number(), annealingPoints: z.array(z.number()) }),
      z.strictObject({ kind: z.literal('cosine'), learningRate: z.number(), minLrRatio: z.number(), softStart: z.number() }),
    ]),
    optimizer: z.discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('sgd'), decay: z.number(), momentum: z.number(), nesterov: z.boolean() }),
      z.strictObject({ kind: z.literal('adam'), beta1: z.number(), beta2: z.number(), epsilon: z.number(), decay: z.number() }),
      z.strictObject({ kind: z.literal('rmsprop'), rho: z.number(), epsilon: z.number(), decay: z.number() }),
    ]),
    /** scope: names of Keras layer types whose kernels count. */
    regularizer: z.strictObject({ type: z.enum(['NO_REG', 'L1', 'L2']), weight: z.number(), scope: z.array(z.string()) }),
    labelSmoothing: z.number(),
    mixupAlpha: z.number(),
  }),
  dataset: z.strictObject({ trainPath: path, validationPath: path }),
  augmentation: z.strictObject({ enableRandomCrop: z.boolean(), enableCenterCrop: z.boolean(), enableColorAugmentation: z.boolean(), horizontalFlip: z.boolean() }),
  preprocess: z.strictObject({ mode: z.enum(['caffe', 'tf', 'torch']), imageMean: z.record(z.string(), z.number()) }),
  evaluation: z.strictObject({ datasetPath: path.optional(), modelPath: path.optional(), topK: z.number(), batchSize: z.number(), enableCenterCrop: z.boolean() }),
});
export type ClassificationSpec = z.infer<typeof classificationSpecSchema>;

function modelOf(model: SpecMessage | undefined) {
  const norm = part(model, 'batch_norm_config');
  const size = parseImageSize(textOf(model, 'input_image_size'));
  return {
    arch: textOf(model, 'arch'),
    numLayers: numberOf(model, 'n_layers'),
    ...('wrong' in size ? { channels: 0, height: 0, width: 0 } : size),
    resizeInterpolation: textOf(model, 'resize_interpolation_method'),
    // TAO 3 called it use_imagenet_head.
    retainHead: flagOf(model, 'retain_head') || flagOf(model, 'use_imagenet_head'),
    useBatchNorm: flagOf(model, 'use_batch_norm'),
    useBias: flagOf(model, 'use_bias'),
    usePooling: flagOf(model, 'use_pooling'),
    allProjections: flagOf(model, 'all_projections'),
    freezeBn: flagOf(model, 'freeze_bn'),
    freezeBlocks: numbersOf(model, 'freeze_blocks'),
    dropout: numberOf(model, 'dropout'),
    batchNorm: { momentum: norm ? numberOf(norm, 'momentum') : 0.9, epsilon: norm ? numberOf(norm, 'epsilon') : 1e-5 },
    ...optional('activation', textOrNone(part(model, 'activation'), 'activation_type')),
  };
}

function learningRateOf(rate: SpecMessage | undefined) {
  const anneal = part(rate, 'soft_anneal');
  const cosine = part(rate, 'cosine');
  const step = part(rate, 'step');
  if (anneal)
    return {
      kind: 'soft-anneal',
      learningRate: numberOf(anneal, 'learning_rate'),
      softStart: numberOf(anneal, 'soft_start'),
      annealingDivider: numberOf(anneal, 'annealing_divider'),
      annealingPoints: numbersOf(anneal, 'annealing_points'),
    };
  if (cosine) return { kind: 'cosine', learningRate: numberOf(cosine, 'learning_rate'), minLrRatio: numberOf(cosine, 'min_lr_ratio'), softStart: numberOf(cosine, 'soft_start') };
  return { kind: 'step', learningRate: numberOf(step, 'learning_rate'), stepSize: numberOf(step, 'step_size'), gamma: numberOf(step, 'gamma') };
}

function optimizerOf(optimizer: SpecMessage | undefined) {
  const adam = part(optimizer, 'adam');
  const rmsprop = part(optimizer, 'rmsprop');
  const sgd = part(optimizer, 'sgd');
  if (adam) return { kind: 'adam', beta1: numberOf(adam, 'beta_1'), beta2: numberOf(adam, 'beta_2'), epsilon: numberOf(adam, 'epsilon'), decay: numberOf(adam, 'decay') };
  if (rmsprop) return { kind: 'rmsprop', rho: numberOf(rmsprop, 'rho'), epsilon: numberOf(rmsprop, 'epsilon'), decay: numberOf(rmsprop, 'decay') };
  return { kind: 'sgd', decay: numberOf(sgd, 'decay'), momentum: numberOf(sgd, 'momentum'), nesterov: flagOf(sgd, 'nesterov') };
}

function trainingOf(train: SpecMessage | undefined) {
  const regularizer = part(train, 'reg_config');
  const type = textOf(regularizer, 'type');
  return {
    batchSize: numberOf(train, 'batch_size_per_gpu'),
    epochs: numberOf(train, 'n_epochs'),
    workers: numberOf(train, 'n_workers'),
    ...optional('pretrainedModelPath', textOrNone(train, 'pretrained_model_path')),
    learningRate: learningRateOf(part(train, 'lr_config')),
    optimizer: optimizerOf(part(train, 'optimizer')),
    regularizer: {
      type: type === 'L1' || type === 'L2' ? type : 'NO_REG',
      weight: numberOf(regularizer, 'weight_decay'),
      scope: textOf(regularizer, 'scope')
        .split(',')
        .map(name => name.trim())
        .filter(name => name !== ''),
    },
    labelSmoothing: numberOf(train, 'label_smoothing'),
    mixupAlpha: numberOf(train, 'mixup_alpha'),
  };
}

/** A parsed classification spec as settings; throws spec-invalid when it does not hold (see validate.ts) or is another task's. */
export function classificationSpec(spec: ParsedSpec): { readonly spec: ClassificationSpec; readonly notes: readonly string[] } {
  if (spec.task !== 'classification') throw wrongTask(spec, 'classification');
  const notes = requireValid(spec);
  const message = withDefaults(spec.task, spec.message);
  const train = part(message, 'train_config');
  const evaluation = part(message, 'eval_config');
  const settings = classificationSpecSchema.parse({
    randomSeed: numberOf(train, 'random_seed'),
    model: modelOf(part(message, 'model_config')),
    training: trainingOf(train),
    dataset: { trainPath: textOf(train, 'train_dataset_path'), validationPath: textOf(train, 'val_dataset_path') },
    augmentation: {
      enableRandomCrop: flagOf(train, 'enable_random_crop'),
      enableCenterCrop: flagOf(train, 'enable_center_crop'),
      enableColorAugmentation: flagOf(train, 'enable_color_augmentation'),
      horizontalFlip: !flagOf(train, 'disable_horizontal_flip'),
    },
    preprocess: { mode: textOf(train, 'preprocess_mode'), imageMean: scalarRecordOf<number>(train, 'image_mean', 'number') },
    evaluation: {
      ...optional('datasetPath', textOrNone(evaluation, 'eval_dataset_path')),
      ...optional('modelPath', textOrNone(evaluation, 'model_path')),
      topK: numberOf(evaluation, 'top_k') || 1,
      batchSize: numberOf(evaluation, 'batch_size') || numberOf(train, 'batch_size_per_gpu'),
      enableCenterCrop: flagOf(evaluation, 'enable_center_crop'),
    },
  });
  return { spec: settings, notes };
}
