import type { z } from 'zod';
import type { SpecMessage } from './_bind.ts';
import { flagOf, numberOf, numbersOf, optional, part, partsOf, recordOf, scalarRecordOf, textOf, textOrNone, wrongTask } from './_read.ts';
import { type clusteringSchema, type DetectnetSpec, detectnetSpecSchema } from './detectnet-schema.ts';
import { type ParsedSpec, withDefaults } from './parse-spec.ts';
import { requireValid } from './validate.ts';

export type { DetectnetSpec } from './detectnet-schema.ts';

/** Clustering settings of one class, in the training and in the inference spec. */
export const clusteringOf = (config: SpecMessage | undefined): z.infer<typeof clusteringSchema> => ({
  coverageThreshold: numberOf(config, 'coverage_threshold'),
  minimumBoundingBoxHeight: numberOf(config, 'minimum_bounding_box_height'),
  clusteringAlgorithm: (textOf(config, 'clustering_algorithm') || 'DBSCAN') as 'DBSCAN' | 'NMS' | 'HYBRID',
  dbscanEps: numberOf(config, 'dbscan_eps'),
  dbscanMinSamples: numberOf(config, 'dbscan_min_samples'),
  dbscanConfidenceThreshold: numberOf(config, 'dbscan_confidence_threshold'),
  nmsIouThreshold: numberOf(config, 'nms_iou_threshold'),
  nmsConfidenceThreshold: numberOf(config, 'nms_confidence_threshold'),
});

function modelOf(model: SpecMessage | undefined) {
  const objectives = part(model, 'objective_set');
  const bbox = part(objectives, 'bbox');
  return {
    arch: textOf(model, 'arch'),
    numLayers: numberOf(model, 'num_layers'),
    ...optional('pretrainedModelFile', textOrNone(model, 'pretrained_model_file')),
    loadGraph: flagOf(model, 'load_graph'),
    freezeBlocks: numbersOf(model, 'freeze_blocks'),
    freezePretrainedLayers: flagOf(model, 'freeze_pretrained_layers'),
    freezeBn: flagOf(model, 'freeze_bn'),
    useBatchNorm: flagOf(model, 'use_batch_norm'),
    usePooling: flagOf(model, 'use_pooling'),
    allProjections: flagOf(model, 'all_projections'),
    dropoutRate: numberOf(model, 'dropout_rate'),
    ...optional('activation', textOrNone(part(model, 'activation'), 'activation_type')),
    trainingPrecision: textOf(part(model, 'training_precision'), 'backend_floatx') || 'FLOAT32',
    // Without objective_set TLT takes its default spec's 35 and 0.5, which DeepStream's parser has built in too.
    bbox: { scale: bbox ? numberOf(bbox, 'scale') : 35, offset: bbox ? numberOf(bbox, 'offset') : 0.5, ...optional('input', textOrNone(bbox, 'input')) },
    cov: optional('input', textOrNone(part(objectives, 'cov'), 'input')),
  };
}

function learningRateOf(rate: SpecMessage | undefined) {
  const early = part(rate, 'early_stopping_annealing_schedule');
  const schedule = early ?? part(rate, 'soft_start_annealing_schedule');
  const ends = { minLearningRate: numberOf(schedule, 'min_learning_rate'), maxLearningRate: numberOf(schedule, 'max_learning_rate') };
  if (!early) return { kind: 'soft-start-annealing', ...ends, softStart: numberOf(schedule, 'soft_start'), annealing: numberOf(schedule, 'annealing') };
  return {
    kind: 'early-stopping-annealing',
    ...ends,
    softStartEpochs: numberOf(early, 'soft_start_epochs'),
    annealingEpochs: numberOf(early, 'annealing_epochs'),
    patienceSteps: numberOf(early, 'patience_steps'),
  };
}

function trainingOf(training: SpecMessage | undefined) {
  const adam = part(part(training, 'optimizer'), 'adam');
  const scaling = part(training, 'cost_scaling');
  const regularizer = part(training, 'regularizer');
  return {
    batchSize: numberOf(training, 'batch_size_per_gpu'),
    epochs: numberOf(training, 'num_epochs'),
    learningRate: learningRateOf(part(training, 'learning_rate')),
    regularizer: { type: textOf(regularizer, 'type') || 'NO_REG', weight: numberOf(regularizer, 'weight') },
    optimizer: { kind: 'adam', epsilon: numberOf(adam, 'epsilon'), beta1: numberOf(adam, 'beta1'), beta2: numberOf(adam, 'beta2') },
    costScaling: {
      enabled: flagOf(scaling, 'enabled'),
      initialExponent: numberOf(scaling, 'initial_exponent'),
      increment: numberOf(scaling, 'increment'),
      decrement: numberOf(scaling, 'decrement'),
    },
    checkpointInterval: numberOf(training, 'checkpoint_interval'),
    enableQat: flagOf(training, 'enable_qat'),
  };
}

const sourceOf = (source: SpecMessage) => ({
  tfrecordsPath: textOf(source, 'tfrecords_path'),
  imageDirectoryPath: textOf(source, 'image_directory_path'),
  sourceWeight: numberOf(source, 'source_weight'),
});

function datasetOf(data: SpecMessage | undefined) {
  const source = part(data, 'validation_data_source');
  const fold = data?.validation_fold;
  return {
    sources: partsOf(data, 'data_sources').map(sourceOf),
    imageExtension: textOf(data, 'image_extension'),
    targetClassMapping: scalarRecordOf<string>(data, 'target_class_mapping', 'string'),
    validation: source ? { kind: 'source', source: sourceOf(source) } : typeof fold === 'number' ? { kind: 'fold', fold } : { kind: 'none' },
    dataloaderMode: textOf(data, 'dataloader_mode'),
    samplingMode: textOf(data, 'sampling_mode'),
  };
}

function augmentationOf(augmentation: SpecMessage | undefined) {
  const pre = part(augmentation, 'preprocessing');
  const spatial = part(augmentation, 'spatial_augmentation');
  const color = part(augmentation, 'color_augmentation');
  const [right, bottom] = [numberOf(pre, 'crop_right'), numberOf(pre, 'crop_bottom')];
  return {
    width: numberOf(pre, 'output_image_width'),
    height: numberOf(pre, 'output_image_height'),
    channels: numberOf(pre, 'output_image_channel'),
    enableAutoResize: flagOf(pre, 'enable_auto_resize'),
    ...optional('outputImageMin', numberOf(pre, 'output_image_min') || undefined),
    ...optional('outputImageMax', numberOf(pre, 'output_image_max') || undefined),
    ...optional('crop', right > 0 || bottom > 0 ? { left: numberOf(pre, 'crop_left'), top: numberOf(pre, 'crop_top'), right, bottom } : undefined),
    minBboxWidth: numberOf(pre, 'min_bbox_width'),
    minBboxHeight: numberOf(pre, 'min_bbox_height'),
    hflipProbability: numberOf(spatial, 'hflip_probability'),
    vflipProbability: numberOf(spatial, 'vflip_probability'),
    // Zero is no zoom that exists; validate.ts notes it.
    zoomMin: numberOf(spatial, 'zoom_min') || 1,
    zoomMax: numberOf(spatial, 'zoom_max') || 1,
    translateMaxX: numberOf(spatial, 'translate_max_x'),
    translateMaxY: numberOf(spatial, 'translate_max_y'),
    rotateRadMax: numberOf(spatial, 'rotate_rad_max'),
    rotateProbability: numberOf(spatial, 'rotate_probability'),
    colorShiftStddev: numberOf(color, 'color_shift_stddev'),
    hueRotationMax: numberOf(color, 'hue_rotation_max'),
    saturationShiftMax: numberOf(color, 'saturation_shift_max'),
    contrastScaleMax: numberOf(color, 'contrast_scale_max'),
    contrastCenter: numberOf(color, 'contrast_center'),
  };
}

function costOf(cost: SpecMessage | undefined) {
  const objective = (target: SpecMessage, name: string) => {
    const found = partsOf(target, 'objectives').find(entry => textOf(entry, 'name') === name);
    return { initialWeight: numberOf(found, 'initial_weight'), weightTarget: numberOf(found, 'weight_target') };
  };
  const classes = partsOf(cost, 'target_classes').map(
    target =>
      [
        textOf(target, 'name'),
        {
          classWeight: numberOf(target, 'class_weight'),
          coverageForegroundWeight: numberOf(target, 'coverage_foreground_weight'),
          objectives: { cov: objective(target, 'cov'), bbox: objective(target, 'bbox') },
        },
      ] as const,
  );
  return {
    classes: Object.fromEntries(classes),
    enableAutoweighting: flagOf(cost, 'enable_autoweighting'),
    maxObjectiveWeight: numberOf(cost, 'max_objective_weight'),
    minObjectiveWeight: numberOf(cost, 'min_objective_weight'),
  };
}

/** A parsed DetectNet_v2 training spec as settings; throws spec-invalid when it does not hold (see validate.ts) or is another task's. */
export function detectnetSpec(spec: ParsedSpec): { readonly spec: DetectnetSpec; readonly notes: readonly string[] } {
  if (spec.task !== 'detectnet_v2_train') throw wrongTask(spec, 'detectnet_v2_train');
  const notes = requireValid(spec);
  const message = withDefaults(spec.task, spec.message);
  const evaluation = part(message, 'evaluation_config');
  const rasterizer = part(message, 'bbox_rasterizer_config');
  const settings = detectnetSpecSchema.parse({
    randomSeed: numberOf(message, 'random_seed'),
    targetClasses: partsOf(part(message, 'cost_function_config'), 'target_classes').map(target => textOf(target, 'name')),
    model: modelOf(part(message, 'model_config')),
    training: trainingOf(part(message, 'training_config')),
    dataset: datasetOf(part(message, 'dataset_config')),
    augmentation: augmentationOf(part(message, 'augmentation_config')),
    rasterizer: {
      deadzoneRadius: numberOf(rasterizer, 'deadzone_radius'),
      classes: recordOf(rasterizer, 'target_class_config', entry => ({
        covCenterX: numberOf(entry, 'cov_center_x'),
        covCenterY: numberOf(entry, 'cov_center_y'),
        covRadiusX: numberOf(entry, 'cov_radius_x'),
        covRadiusY: numberOf(entry, 'cov_radius_y'),
        bboxMinRadius: numberOf(entry, 'bbox_min_radius'),
      })),
    },
    cost: costOf(part(message, 'cost_function_config')),
    postprocessing: recordOf(part(message, 'postprocessing_config'), 'target_class_config', entry => clusteringOf(part(entry, 'clustering_config'))),
    evaluation: {
      validationPeriod: numberOf(evaluation, 'validation_period_during_training'),
      firstValidationEpoch: numberOf(evaluation, 'first_validation_epoch'),
      averagePrecisionMode: textOf(evaluation, 'average_precision_mode'),
      minimumOverlap: scalarRecordOf<number>(evaluation, 'minimum_detection_ground_truth_overlap', 'number'),
      boxes: recordOf(evaluation, 'evaluation_box_config', entry => ({
        minimumHeight: numberOf(entry, 'minimum_height'),
        maximumHeight: numberOf(entry, 'maximum_height'),
        minimumWidth: numberOf(entry, 'minimum_width'),
        maximumWidth: numberOf(entry, 'maximum_width'),
      })),
    },
  });
  return { spec: settings, notes };
}
