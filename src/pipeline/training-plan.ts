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
import type { GradientClip, Regularizer } from '../train/update-graph.ts';
import { taskPlanSchema } from './task-plan.ts';
import { clipOf, type TrainingSection } from './training-section.ts';

const plain = <T>() => z.custom<T>(value => typeof value === 'object' && value !== null);

/** A training as plain JSON: everything of a TLT spec that training and evaluation need, paths and network apart. */
export const trainingPlanSchema = z.strictObject({
  task: taskPlanSchema,
  input: z.strictObject({ width: z.int().positive(), height: z.int().positive() }),
  fit: z.enum(['stretch', 'letterbox', 'none', 'centre-crop']),
  filter: z.enum(['bilinear', 'bicubic']).default('bilinear'),
  /** Source class → label; absent: every class means itself. */
  mapping: z.record(z.string(), z.string()).optional(),
  augmentation: plain<Augmentation>(),
  batch: z.int().positive(),
  epochs: z.int().positive(),
  optimizer: plain<OptimizerSettings>(),
  schedule: plain<ScheduleSettings>(),
  /** scope: the layer types whose kernels it counts; absent: all. */
  regularizer: plain<Regularizer & { readonly scope?: readonly string[] }>(),
  clip: plain<GradientClip>().optional(),
  average: z.number().optional(),
  accumulate: z.int().positive().default(1),
  dropout: z.number().min(0).lt(1).default(0),
  /** α; 0: none. */
  mixup: z.number().min(0).default(0),
  classWeights: z.union([z.literal('balanced'), z.record(z.string(), z.number())]).optional(),
  keep: z.enum(['best', 'last']).default('best'),
  /** How much the network of the step's `teacher` counts beside the truth. */
  distill: z.strictObject({ weight: z.number().gt(0).max(1), temperature: z.number().positive(), features: z.number().min(0) }).optional(),
  /** The backbone's share of the learning rate. */
  backboneRate: z.number().positive().default(1),
  seed: z.int(),
  validation: z.strictObject({ first: z.int(), period: z.int().positive() }),
  /** Quantization-aware: training sees the INT8 network, and its ranges are learnt. */
  qat: z.boolean().optional(),
});
export type TrainingPlan = z.output<typeof trainingPlanSchema>;
/** How a plan's images come into the network's input. */
export type Placing = Pick<TrainingPlan, 'input' | 'fit' | 'filter'>;
/** The same as a loader takes it. */
export const placedBy = ({ input, fit, filter }: Placing) => ({ size: input, fit, filter });

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
  readonly freezeBackbone: boolean;
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
    readonly section?: TrainingSection | undefined;
  } = {},
): SpecPlan {
  const parsed = parseSpec(text, { ...(options.file ? { file: options.file } : {}) });
  const wanted = options.task ?? (parsed.task === 'detectnet_v2_train' ? 'detectnet_v2' : 'classification');
  const plan = wanted === 'detectnet_v2' ? detectnetPlan(parsed) : classificationPlan(parsed);
  const { backboneRate = plan.training.backboneRate, fit = plan.training.fit, section = {} } = options;
  const training = withSection({ ...plan.training, backboneRate, fit }, section);
  return { ...plan, training: trainingPlanSchema.parse(training), notes: [...plan.notes, ...overruled(section, plan.training)], spec: parsed };
}

/** What the project's `training:` says counts; the rest is the spec's. What it freezes and checks is no part of the plan. */
function withSection(plan: Planned['training'], { clip, labelSmoothing, freeze: _, overfitCheck: __, ...section }: TrainingSection): Planned['training'] {
  const task = plan.task.name === 'classification' && labelSmoothing !== undefined ? { ...plan.task, settings: { ...plan.task.settings, labelSmoothing } } : plan.task;
  const own = Object.fromEntries(Object.entries(section).filter(([, value]) => value !== undefined));
  return { ...plan, ...own, task, ...(clip === undefined ? {} : { clip: clipOf(clip) }) };
}
/** A note where `training:` and the spec both say something of the optimizer or the rate. */
const overruled = ({ optimizer, schedule }: TrainingSection, plan: Planned['training']): string[] => [
  ...(optimizer && optimizer.kind !== plan.optimizer.kind ? [`The optimizer is ${optimizer.kind}, as the project says, not the spec's ${plan.optimizer.kind}.`] : []),
  ...(schedule && schedule.kind !== plan.schedule.kind ? [`The learning rate follows ${schedule.kind}, as the project says, not the spec's ${plan.schedule.kind}.`] : []),
];

type Planned = Omit<SpecPlan, 'spec' | 'training'> & { readonly training: z.input<typeof trainingPlanSchema> };

function detectnetPlan(parsed: ParsedSpec): Planned {
  const { spec, notes } = detectnetSpec(parsed);
  const { model, augmentation: a, training } = spec;
  const more: string[] = [];
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
      freezeBackbone: model.freezePretrainedLayers,
      preprocess: preprocessSchema.parse({ scale: 1 / 255, order: a.channels === 1 ? 'gray' : 'rgb' }),
      loadGraph: model.loadGraph,
      seed: spec.randomSeed,
      ...(model.pretrainedModelFile === undefined ? {} : { pretrained: model.pretrainedModelFile }),
    },
    training: {
      task: { name: 'detectnet_v2', settings: detectnetSettings(spec) },
      input: { width: a.width, height: a.height },
      fit: a.enableAutoResize ? 'stretch' : 'none',
      filter: 'bilinear',
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
      dropout: model.dropoutRate,
      seed: spec.randomSeed,
      validation: { first: Math.max(1, spec.evaluation.firstValidationEpoch), period: Math.max(1, spec.evaluation.validationPeriod) },
      ...(training.enableQat ? { qat: true } : {}),
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

function detectnetSchedule({ training: { learningRate: rate } }: DetectnetSpec, notes: string[]): ScheduleSettings {
  const ends = { minimum: rate.minLearningRate, maximum: rate.maxLearningRate };
  if (rate.kind === 'soft-start-annealing') return { kind: rate.kind, ...ends, softStart: rate.softStart, annealing: rate.annealing };
  notes.push('Early stopping watches the validation metric here; TLT watches the validation cost.');
  const { softStartEpochs, annealingEpochs, patienceSteps } = rate;
  return { kind: rate.kind, ...ends, softStartEpochs, annealingEpochs, patienceEpochs: patienceSteps };
}

const regularizerOf = ({ type, weight }: { readonly type: 'NO_REG' | 'L1' | 'L2'; readonly weight: number }): Regularizer =>
  type === 'NO_REG' ? { kind: 'none' } : { kind: type === 'L1' ? 'l1' : 'l2', weight };

function classificationPlan(parsed: ParsedSpec): Planned {
  const { spec, notes } = classificationSpec(parsed);
  const { model, training } = spec;
  const more: string[] = [];
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
      freezeBackbone: false,
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
      filter: model.resizeInterpolation === 'BICUBIC' ? 'bicubic' : 'bilinear',
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
      regularizer: { ...regularizerOf(training.regularizer), ...(training.regularizer.scope.length > 0 ? { scope: training.regularizer.scope } : {}) },
      dropout: model.dropout,
      mixup: training.mixupAlpha,
      seed: spec.randomSeed,
      validation: { first: 1, period: 1 },
    },
    notes: [...notes, ...more],
  };
}

function classificationOptimizer({ training: { optimizer } }: ClassificationSpec): OptimizerSettings {
  const rateDecay = optimizer.decay > 0 ? { rateDecay: optimizer.decay } : {};
  switch (optimizer.kind) {
    case 'sgd':
      return { kind: 'sgd', momentum: optimizer.momentum, nesterov: optimizer.nesterov, ...rateDecay };
    case 'adam':
      return { kind: 'adam', beta1: optimizer.beta1, beta2: optimizer.beta2, epsilon: optimizer.epsilon, ...rateDecay };
    case 'rmsprop':
      return { kind: 'rmsprop', rho: optimizer.rho, epsilon: optimizer.epsilon, ...rateDecay };
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
