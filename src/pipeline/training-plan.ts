import { z } from 'zod';
import type { Augmentation } from '../data/augment.ts';
import { noDetectionAugmentation } from '../data/augment.ts';
import { preprocessOf } from '../data/render.ts';
import { type ClassificationSpec, classificationSpec } from '../formats/spec/classification-spec.ts';
import { type DetectnetSpec, detectnetSpec } from '../formats/spec/detectnet-spec.ts';
import { type ParsedSpec, parseSpec } from '../formats/spec/parse-spec.ts';
import { preprocessSchema } from '../graph/network-info.ts';
import type { OptimizerSettings } from '../train/optimizers.ts';
import type { ScheduleSettings } from '../train/schedules.ts';
import type { Regularizer } from '../train/update-graph.ts';
import { taskPlanSchema } from './task-plan.ts';

const plain = <T>() => z.custom<T>(value => typeof value === 'object' && value !== null);

/** A training as plain JSON: everything of a TLT spec that training and evaluation need, paths and network apart. */
export const trainingPlanSchema = z.strictObject({
  task: taskPlanSchema,
  input: z.strictObject({ width: z.int().positive(), height: z.int().positive() }),
  fit: z.enum(['stretch', 'letterbox', 'none', 'centre-crop']),
  /** Source class → label; absent: every class means itself. */
  mapping: z.record(z.string(), z.string()).optional(),
  augmentation: plain<Augmentation>(),
  batch: z.int().positive(),
  epochs: z.int().positive(),
  optimizer: plain<OptimizerSettings>(),
  schedule: plain<ScheduleSettings>(),
  regularizer: plain<Regularizer>(),
  /** The backbone's share of the learning rate. */
  backboneRate: z.number().positive().default(1),
  seed: z.int(),
  validation: z.strictObject({ first: z.int(), period: z.int().positive() }),
});
export type TrainingPlan = z.output<typeof trainingPlanSchema>;

/** What a spec asks of the network itself. */
export interface NetworkPlan {
  readonly architecture: string;
  readonly channels: 1 | 3;
  readonly height: number;
  readonly width: number;
  readonly allProjections: boolean;
  readonly usePooling: boolean;
  readonly useBatchNorm: boolean;
  readonly freezeBlocks: readonly number[];
  readonly freezeBn: boolean;
  readonly preprocess: z.output<typeof preprocessSchema>;
  readonly loadGraph: boolean;
  readonly pretrained?: string;
  readonly seed: number;
  readonly batchNorm?: { readonly momentum: number; readonly epsilon: number };
}
export interface SpecPlan {
  readonly training: TrainingPlan;
  readonly network: NetworkPlan;
  readonly notes: readonly string[];
  readonly spec: ParsedSpec;
}

/** Reads a TLT training spec of either task. Throws `spec-syntax` or `spec-invalid` with file and line. */
export function planTraining(
  text: string,
  options: {
    readonly file?: string;
    readonly task?: 'detectnet_v2' | 'classification';
    readonly backboneRate?: number | undefined;
    readonly fit?: TrainingPlan['fit'] | undefined;
  } = {},
): SpecPlan {
  const parsed = parseSpec(text, { ...(options.file ? { file: options.file } : {}) });
  const wanted = options.task ?? (parsed.task === 'detectnet_v2_train' ? 'detectnet_v2' : 'classification');
  const plan = wanted === 'detectnet_v2' ? detectnetPlan(parsed) : classificationPlan(parsed);
  const training = {
    ...plan.training,
    ...(options.backboneRate === undefined ? {} : { backboneRate: options.backboneRate }),
    ...(options.fit === undefined ? {} : { fit: options.fit }),
  };
  return { ...plan, training: trainingPlanSchema.parse(training), spec: parsed };
}

type Planned = Omit<SpecPlan, 'spec' | 'training'> & { readonly training: z.input<typeof trainingPlanSchema> };

function detectnetPlan(parsed: ParsedSpec): Planned {
  const { spec, notes } = detectnetSpec(parsed);
  const { model, augmentation: a, training } = spec;
  const more: string[] = [];
  if (training.enableQat) more.push('enable_qat is set: quantization-aware training is not built yet; INT8 comes from calibration.');
  if (model.dropoutRate > 0) more.push(`dropout_rate ${model.dropoutRate} is not used: the ResNets here have no dropout.`);
  return {
    network: {
      architecture: `detectnet_v2_${model.arch}${model.numLayers}`,
      channels: a.channels,
      height: a.height,
      width: a.width,
      allProjections: model.allProjections,
      usePooling: model.usePooling,
      useBatchNorm: model.useBatchNorm,
      freezeBlocks: model.freezeBlocks,
      freezeBn: model.freezeBn,
      preprocess: preprocessSchema.parse({ scale: 1 / 255, order: a.channels === 1 ? 'gray' : 'rgb' }),
      loadGraph: model.loadGraph,
      seed: spec.randomSeed,
      ...(model.pretrainedModelFile === undefined ? {} : { pretrained: model.pretrainedModelFile }),
    },
    training: {
      task: { name: 'detectnet_v2', settings: detectnetSettings(spec) },
      input: { width: a.width, height: a.height },
      fit: a.enableAutoResize ? 'stretch' : 'none',
      ...(Object.keys(spec.dataset.targetClassMapping).length > 0 ? { mapping: spec.dataset.targetClassMapping } : {}),
      augmentation: {
        ...noDetectionAugmentation,
        hflipProbability: a.hflipProbability,
        translateMaxX: a.translateMaxX,
        translateMaxY: a.translateMaxY,
        zoomMin: a.zoomMin,
        zoomMax: a.zoomMax,
        rotateRadMax: a.rotateRadMax,
        rotateProbability: a.rotateProbability,
        colorShiftStddev: a.colorShiftStddev,
        hueRotationMax: a.hueRotationMax,
        saturationShiftMax: a.saturationShiftMax,
        contrastScaleMax: a.contrastScaleMax,
        contrastCenter: a.contrastCenter,
        minBoxWidth: a.minBboxWidth,
        minBoxHeight: a.minBboxHeight,
      },
      batch: training.batchSize,
      epochs: training.epochs,
      optimizer: { kind: 'adam', beta1: training.optimizer.beta1, beta2: training.optimizer.beta2, epsilon: training.optimizer.epsilon },
      schedule: detectnetSchedule(spec, more),
      regularizer: regularizerOf(training.regularizer),
      seed: spec.randomSeed,
      validation: { first: Math.max(1, spec.evaluation.firstValidationEpoch), period: Math.max(1, spec.evaluation.validationPeriod) },
    },
    notes: [...notes, ...more],
  };
}

/** The task's settings from the spec: same names, other grouping. */
function detectnetSettings(spec: DetectnetSpec) {
  return {
    labels: spec.targetClasses,
    width: spec.augmentation.width,
    height: spec.augmentation.height,
    stride: spec.model.usePooling ? 32 : 16,
    bbox: { scale: spec.model.bbox.scale, offset: spec.model.bbox.offset },
    rasterizer: spec.rasterizer,
    cost: spec.cost,
    postprocessing: spec.postprocessing,
    evaluation: { averagePrecisionMode: spec.evaluation.averagePrecisionMode, minimumOverlap: spec.evaluation.minimumOverlap, boxes: spec.evaluation.boxes },
  };
}

function detectnetSchedule({ training: { learningRate: rate, epochs } }: DetectnetSpec, notes: string[]): ScheduleSettings {
  const ends = { kind: 'soft-start-annealing' as const, minimum: rate.minLearningRate, maximum: rate.maxLearningRate };
  if (rate.kind === 'soft-start-annealing') return { ...ends, softStart: rate.softStart, annealing: rate.annealing };
  notes.push('early_stopping_annealing_schedule runs without early stopping here: soft start and annealing at the same epochs.');
  return { ...ends, softStart: rate.softStartEpochs / epochs, annealing: Math.max(rate.softStartEpochs, epochs - rate.annealingEpochs) / epochs };
}

const regularizerOf = ({ type, weight }: { readonly type: 'NO_REG' | 'L1' | 'L2'; readonly weight: number }): Regularizer =>
  type === 'NO_REG' ? { kind: 'none' } : { kind: type === 'L1' ? 'l1' : 'l2', weight };

function classificationPlan(parsed: ParsedSpec): Planned {
  const { spec, notes } = classificationSpec(parsed);
  const { model, training } = spec;
  const more: string[] = [];
  if (model.dropout > 0) more.push(`dropout ${model.dropout} is not used: the networks here have no dropout.`);
  if (training.mixupAlpha > 0) more.push(`mixup_alpha ${training.mixupAlpha} is not used: mixup is not built yet.`);
  return {
    network: {
      architecture: `classification_${model.arch}${model.numLayers}`,
      channels: model.channels,
      height: model.height,
      width: model.width,
      allProjections: model.allProjections,
      usePooling: model.usePooling,
      useBatchNorm: model.useBatchNorm,
      freezeBlocks: model.freezeBlocks,
      freezeBn: model.freezeBn,
      preprocess: preprocessOf(spec.preprocess.mode, model.channels, spec.preprocess.imageMean),
      loadGraph: false,
      seed: spec.randomSeed,
      batchNorm: model.batchNorm,
      ...(training.pretrainedModelPath === undefined ? {} : { pretrained: training.pretrainedModelPath }),
    },
    training: {
      task: { name: 'classification', settings: { labelSmoothing: training.labelSmoothing, topK: spec.evaluation.topK } },
      input: { width: model.width, height: model.height },
      fit: spec.augmentation.enableCenterCrop ? 'centre-crop' : 'stretch',
      augmentation: {
        kind: 'classification',
        randomCrop: spec.augmentation.enableRandomCrop,
        hflipProbability: spec.augmentation.horizontalFlip ? 0.5 : 0,
        color: spec.augmentation.enableColorAugmentation,
      },
      batch: training.batchSize,
      epochs: training.epochs,
      optimizer: classificationOptimizer(spec),
      schedule: classificationSchedule(spec),
      regularizer: regularizerOf(training.regularizer),
      seed: spec.randomSeed,
      validation: { first: 1, period: 1 },
    },
    notes: [...notes, ...more],
  };
}

function classificationOptimizer({ training: { optimizer } }: ClassificationSpec): OptimizerSettings {
  switch (optimizer.kind) {
    case 'sgd':
      return { kind: 'sgd', momentum: optimizer.momentum, nesterov: optimizer.nesterov };
    case 'adam':
      return { kind: 'adam', beta1: optimizer.beta1, beta2: optimizer.beta2, epsilon: optimizer.epsilon };
    case 'rmsprop':
      return { kind: 'rmsprop', rho: optimizer.rho, epsilon: optimizer.epsilon };
  }
}

function classificationSchedule({ training: { learningRate: rate } }: ClassificationSpec): ScheduleSettings {
  switch (rate.kind) {
    case 'step':
      return { kind: 'step', base: rate.learningRate, gamma: rate.gamma, stepSize: rate.stepSize };
    case 'soft-anneal':
      return { kind: 'soft-anneal', base: rate.learningRate, softStart: rate.softStart, divider: rate.annealingDivider, points: rate.annealingPoints };
    case 'cosine':
      return { kind: 'cosine', base: rate.learningRate, minimumRatio: rate.minLrRatio, softStart: rate.softStart };
  }
}
