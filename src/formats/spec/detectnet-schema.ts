import { z } from 'zod';

const path = z.string();
export const clusteringSchema = z.strictObject({
  coverageThreshold: z.number(),
  minimumBoundingBoxHeight: z.number(),
  clusteringAlgorithm: z.enum(['DBSCAN', 'NMS', 'HYBRID']),
  dbscanEps: z.number(),
  /** As written: a sum of coverages. TAO 5 takes max(int(x), 1) instead. */
  dbscanMinSamples: z.number(),
  dbscanConfidenceThreshold: z.number(),
  nmsIouThreshold: z.number(),
  nmsConfidenceThreshold: z.number(),
});
const dataSourceSchema = z.strictObject({ tfrecordsPath: path, imageDirectoryPath: path, sourceWeight: z.number() });
const objectiveSchema = z.strictObject({ initialWeight: z.number(), weightTarget: z.number() });

/** Settings of a DetectNet_v2 spec: TLT's names in camelCase, defaults filled, absent paths undefined. */
export const detectnetSpecSchema = z.strictObject({
  randomSeed: z.number(),
  /** Order of the network's output channels. */
  targetClasses: z.array(z.string()),
  model: z.strictObject({
    arch: z.string(),
    numLayers: z.number(),
    /** May end in .onnx: then it is the backbone. */
    pretrainedModelFile: path.optional(),
    loadGraph: z.boolean(),
    freezeBlocks: z.array(z.number()),
    freezePretrainedLayers: z.boolean(),
    freezeBn: z.boolean(),
    useBatchNorm: z.boolean(),
    usePooling: z.boolean(),
    allProjections: z.boolean(),
    dropoutRate: z.number(),
    activation: z.string().optional(),
    trainingPrecision: z.enum(['FLOAT32', 'FLOAT16', 'INVALID']),
    bbox: z.strictObject({ scale: z.number(), offset: z.number(), input: z.string().optional() }),
    cov: z.strictObject({ input: z.string().optional() }),
  }),
  training: z.strictObject({
    batchSize: z.number(),
    epochs: z.number(),
    learningRate: z.discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('soft-start-annealing'), minLearningRate: z.number(), maxLearningRate: z.number(), softStart: z.number(), annealing: z.number() }),
      z.strictObject({
        kind: z.literal('early-stopping-annealing'),
        minLearningRate: z.number(),
        maxLearningRate: z.number(),
        softStartEpochs: z.number(),
        annealingEpochs: z.number(),
        patienceSteps: z.number(),
      }),
    ]),
    regularizer: z.strictObject({ type: z.enum(['NO_REG', 'L1', 'L2']), weight: z.number() }),
    optimizer: z.strictObject({ kind: z.literal('adam'), epsilon: z.number(), beta1: z.number(), beta2: z.number() }),
    costScaling: z.strictObject({ enabled: z.boolean(), initialExponent: z.number(), increment: z.number(), decrement: z.number() }),
    checkpointInterval: z.number(),
    enableQat: z.boolean(),
  }),
  dataset: z.strictObject({
    sources: z.array(dataSourceSchema),
    imageExtension: z.string(),
    /** Class in the labels → class of the network. */
    targetClassMapping: z.record(z.string(), z.string()),
    validation: z.discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('fold'), fold: z.number() }),
      z.strictObject({ kind: z.literal('source'), source: dataSourceSchema }),
      z.strictObject({ kind: z.literal('none') }),
    ]),
    dataloaderMode: z.enum(['MULTISOURCE', 'LEGACY', 'DEFAULT']),
    samplingMode: z.enum(['USER_DEFINED', 'PROPORTIONAL', 'UNIFORM']),
  }),
  augmentation: z.strictObject({
    width: z.number(),
    height: z.number(),
    channels: z.union([z.literal(1), z.literal(3)]),
    enableAutoResize: z.boolean(),
    outputImageMin: z.number().optional(),
    outputImageMax: z.number().optional(),
    crop: z.strictObject({ left: z.number(), top: z.number(), right: z.number(), bottom: z.number() }).optional(),
    minBboxWidth: z.number(),
    minBboxHeight: z.number(),
    hflipProbability: z.number(),
    vflipProbability: z.number(),
    zoomMin: z.number(),
    zoomMax: z.number(),
    translateMaxX: z.number(),
    translateMaxY: z.number(),
    rotateRadMax: z.number(),
    rotateProbability: z.number(),
    colorShiftStddev: z.number(),
    hueRotationMax: z.number(),
    saturationShiftMax: z.number(),
    contrastScaleMax: z.number(),
    contrastCenter: z.number(),
  }),
  rasterizer: z.strictObject({
    deadzoneRadius: z.number(),
    classes: z.record(z.string(), z.strictObject({ covCenterX: z.number(), covCenterY: z.number(), covRadiusX: z.number(), covRadiusY: z.number(), bboxMinRadius: z.number() })),
  }),
  cost: z.strictObject({
    classes: z.record(
      z.string(),
      z.strictObject({ classWeight: z.number(), coverageForegroundWeight: z.number(), objectives: z.strictObject({ cov: objectiveSchema, bbox: objectiveSchema }) }),
    ),
    enableAutoweighting: z.boolean(),
    maxObjectiveWeight: z.number(),
    minObjectiveWeight: z.number(),
  }),
  postprocessing: z.record(z.string(), clusteringSchema),
  evaluation: z.strictObject({
    validationPeriod: z.number(),
    firstValidationEpoch: z.number(),
    averagePrecisionMode: z.enum(['SAMPLE', 'INTEGRATE']),
    minimumOverlap: z.record(z.string(), z.number()),
    boxes: z.record(z.string(), z.strictObject({ minimumHeight: z.number(), maximumHeight: z.number(), minimumWidth: z.number(), maximumWidth: z.number() })),
  }),
});
export type DetectnetSpec = z.infer<typeof detectnetSpecSchema>;
