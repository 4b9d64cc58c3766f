import type { SpecMessage, SpecProblem } from './_bind.ts';
import { above, atLeast, below, between, checkLimits, inside, type Limit, multipleOf, oneOf, problemAt } from './_limits.ts';
import { entriesOf, flagOf, numberOf, numbersOf, part, partsOf, textOf } from './_read.ts';
import { recommendDetectnet } from './_recommend-detectnet.ts';
import { didYouMean } from './near-miss.ts';
import type { ParsedSpec } from './parse-spec.ts';

const unit = between(0, 1);
export const detectnetArchitectures = ['resnet', 'vgg', 'darknet', 'mobilenet_v1', 'mobilenet_v2', 'squeezenet', 'googlenet', 'efficientnet_b0'] as const;
/** Depths that NVIDIA's templates know, where the architecture has several. */
export const depths: Readonly<Record<string, readonly number[]>> = { resnet: [10, 18, 34, 50, 101], vgg: [16, 19], darknet: [19, 53], cspdarknet: [19, 53] };

/** Clustering limits hold in the training spec and in the inference spec. */
export const clusteringLimits = (path: string): readonly Limit[] => [
  [`${path}.coverage_threshold`, unit],
  [`${path}.dbscan_eps`, unit],
  [`${path}.dbscan_min_samples`, unit],
  [`${path}.dbscan_confidence_threshold`, atLeast(0)],
  [`${path}.nms_iou_threshold`, unit],
  [`${path}.nms_confidence_threshold`, unit],
  [`${path}.minimum_bounding_box_height`, atLeast(0)],
];

/** NVIDIA's spec_handler limits, and those its model builder adds. */
const limits: readonly Limit[] = [
  ['model_config.arch', oneOf(detectnetArchitectures)],
  ['model_config.dropout_rate', below(0, 1)],
  ['model_config.objective_set.bbox.scale', above(0, 35)],
  ['model_config.objective_set.bbox.offset', atLeast(0)],
  ['bbox_rasterizer_config.deadzone_radius', unit],
  ['bbox_rasterizer_config.target_class_config.*.cov_center_x', unit],
  ['bbox_rasterizer_config.target_class_config.*.cov_center_y', unit],
  ['bbox_rasterizer_config.target_class_config.*.cov_radius_x', unit],
  ['bbox_rasterizer_config.target_class_config.*.cov_radius_y', unit],
  ['bbox_rasterizer_config.target_class_config.*.bbox_min_radius', unit],
  ['training_config.batch_size_per_gpu', above(0, 16)],
  ['training_config.num_epochs', above(0, 120)],
  ['training_config.learning_rate.soft_start_annealing_schedule.min_learning_rate', above(0, '5e-6')],
  ['training_config.learning_rate.soft_start_annealing_schedule.max_learning_rate', above(0, '5e-4')],
  ['training_config.learning_rate.soft_start_annealing_schedule.soft_start', below(0, 1)],
  ['training_config.learning_rate.soft_start_annealing_schedule.annealing', below(0, 1)],
  ['training_config.learning_rate.early_stopping_annealing_schedule.min_learning_rate', above(0, '5e-6')],
  ['training_config.learning_rate.early_stopping_annealing_schedule.max_learning_rate', above(0, '5e-4')],
  ['training_config.learning_rate.early_stopping_annealing_schedule.patience_steps', above(0, 10)],
  ['training_config.regularizer.weight', atLeast(0)],
  ['training_config.optimizer.adam.epsilon', above(0, '1e-8')],
  ['training_config.optimizer.adam.beta1', inside(0, 1, 0.9)],
  ['training_config.optimizer.adam.beta2', inside(0, 1, 0.999)],
  ['training_config.cost_scaling.initial_exponent', above(0, 20)],
  ['training_config.cost_scaling.increment', above(0, 0.005)],
  ['training_config.cost_scaling.decrement', above(0, 1)],
  ['augmentation_config.preprocessing.output_image_width', multipleOf(16)],
  ['augmentation_config.preprocessing.output_image_height', multipleOf(16)],
  ['augmentation_config.preprocessing.output_image_channel', oneOf([3, 1])],
  ['augmentation_config.preprocessing.min_bbox_width', atLeast(0)],
  ['augmentation_config.preprocessing.min_bbox_height', atLeast(0)],
  ['augmentation_config.spatial_augmentation.hflip_probability', unit],
  ['augmentation_config.spatial_augmentation.vflip_probability', unit],
  ['augmentation_config.spatial_augmentation.rotate_probability', unit],
  ['augmentation_config.spatial_augmentation.zoom_min', atLeast(0)],
  ['augmentation_config.spatial_augmentation.zoom_max', atLeast(0)],
  ['augmentation_config.spatial_augmentation.translate_max_x', atLeast(0)],
  ['augmentation_config.spatial_augmentation.translate_max_y', atLeast(0)],
  ['augmentation_config.spatial_augmentation.rotate_rad_max', atLeast(0)],
  ['augmentation_config.color_augmentation.color_shift_stddev', unit],
  ['augmentation_config.color_augmentation.hue_rotation_max', between(0, 360)],
  ['augmentation_config.color_augmentation.saturation_shift_max', unit],
  ['augmentation_config.color_augmentation.contrast_scale_max', unit],
  ['augmentation_config.color_augmentation.contrast_center', unit],
  ['cost_function_config.target_classes.*.class_weight', atLeast(0)],
  ['cost_function_config.target_classes.*.coverage_foreground_weight', inside(0, 1, 0.05)],
  ['cost_function_config.target_classes.*.objectives.*.name', oneOf(['cov', 'bbox'])],
  ['cost_function_config.target_classes.*.objectives.*.initial_weight', atLeast(0)],
  ['cost_function_config.target_classes.*.objectives.*.weight_target', atLeast(0)],
  ['cost_function_config.max_objective_weight', atLeast(0)],
  ['cost_function_config.min_objective_weight', atLeast(0)],
  ...clusteringLimits('postprocessing_config.target_class_config.*.clustering_config'),
  ['evaluation_config.validation_period_during_training', above(0, 10)],
  ['evaluation_config.first_validation_epoch', above(0, 10)],
  ['evaluation_config.minimum_detection_ground_truth_overlap.*', unit],
];

const required = [
  'model_config',
  'training_config',
  'evaluation_config',
  'cost_function_config',
  'augmentation_config',
  'bbox_rasterizer_config',
  'postprocessing_config',
  'dataset_config',
];

/** Everything a class needs stands in five places of the spec; each must know the same classes. */
function classProblems(spec: ParsedSpec, message: SpecMessage): SpecProblem[] {
  const cost = part(message, 'cost_function_config');
  const classes = partsOf(cost, 'target_classes').map(entry => textOf(entry, 'name'));
  const problem = (path: string, text: string, hint: string) => problemAt(spec, path, text, hint);
  if (cost && classes.length === 0)
    return [problem('cost_function_config.target_classes', 'cost_function_config names no target class.', 'Add target_classes { name: "car" … } for each class.')];
  const twice = classes.filter((name, index) => classes.indexOf(name) !== index);
  const places = [
    ['bbox_rasterizer_config', 'target_class_config'],
    ['postprocessing_config', 'target_class_config'],
    ['evaluation_config', 'minimum_detection_ground_truth_overlap'],
    ['evaluation_config', 'evaluation_box_config'],
  ] as const;
  const missing = places.flatMap(([config, field]) => {
    const known = entriesOf(part(message, config), field).map(([key]) => key);
    const place = `${config}.${field}`;
    if (!part(message, config)) return [];
    return classes
      .filter(name => !known.includes(name))
      .map(name =>
        problem(
          place,
          `The class ${name} of cost_function_config is not in ${place} (there: ${known.join(', ') || 'nothing'}).`,
          didYouMean(name, known) || `Add ${field} { key: "${name}" value … }.`,
        ),
      );
  });
  const mapping = entriesOf(part(message, 'dataset_config'), 'target_class_mapping');
  // "dontcare" is KITTI's own word for regions where a detection counts neither way: a class may be sent there.
  const lost = mapping
    .filter(([, target]) => typeof target === 'string' && classes.length > 0 && !classes.includes(target) && target.toLowerCase() !== 'dontcare')
    .map(([key, target]) =>
      problem(
        `dataset_config.target_class_mapping[${JSON.stringify(key)}]`,
        `"${key}" maps to ${JSON.stringify(target)}, which is no class of cost_function_config (${classes.join(', ')}).`,
        didYouMean(String(target), classes) || 'Map it to one of them, to "dontcare" (detections there do not count), or remove the entry to leave these labels out.',
      ),
    );
  const empty = classes
    .filter(name => part(message, 'dataset_config') && !mapping.some(([, target]) => target === name))
    .map(name =>
      problem(
        'dataset_config.target_class_mapping',
        `No label maps to the class ${name}, so it can never be learnt.`,
        `Add target_class_mapping { key: "${name}" value: "${name}" }, or remove the class from cost_function_config.`,
      ),
    );
  return [
    ...twice.map(name => problem('cost_function_config.target_classes', `The class ${name} stands twice in cost_function_config.`, 'Remove one.')),
    ...missing,
    ...lost,
    ...empty,
  ];
}

type Refuse = (path: string, text: string, hint: string) => void;
const ordered = (refuse: Refuse, path: string, owner: SpecMessage | undefined, low: string, high: string): void => {
  if (owner && numberOf(owner, low) > numberOf(owner, high))
    refuse(`${path}.${low}`, `${path}.${low} is ${numberOf(owner, low)}, more than ${high} (${numberOf(owner, high)}).`, `Swap them, or write ${low} ≤ ${high}.`);
};

/** What must agree within model_config. */
function modelProblems(spec: ParsedSpec, message: SpecMessage, refuse: Refuse): void {
  const model = part(message, 'model_config');
  const needsFile = [
    flagOf(model, 'load_graph') && 'load_graph',
    flagOf(model, 'freeze_pretrained_layers') && 'freeze_pretrained_layers',
    numbersOf(model, 'freeze_blocks').length > 0 && 'freeze_blocks',
  ];
  for (const field of needsFile) {
    if (field && textOf(model, 'pretrained_model_file') === '')
      refuse(`model_config.${field}`, `model_config.${field} needs a pretrained network, and pretrained_model_file is not set.`, 'Set pretrained_model_file, or remove the field.');
  }
  const depth = depths[textOf(model, 'arch')];
  const layers = numberOf(model, 'num_layers');
  if (!model || !depth || !spec.lines.has('model_config.num_layers') || depth.includes(layers)) return;
  const nearest = depth.reduce((best, value) => (Math.abs(value - layers) < Math.abs(best - layers) ? value : best));
  refuse('model_config.num_layers', `model_config.num_layers is ${layers}; ${textOf(model, 'arch')} has ${depth.join(', ')}.`, `Did you mean ${nearest}?`);
}

/** Schedule and optimizer, and their tie to validation. */
function trainingProblems(message: SpecMessage, refuse: Refuse): void {
  const training = part(message, 'training_config');
  if (!training) return;
  const schedules = 'training_config.learning_rate';
  const annealing = part(part(training, 'learning_rate'), 'soft_start_annealing_schedule');
  const early = part(part(training, 'learning_rate'), 'early_stopping_annealing_schedule');
  if (!annealing && !early)
    refuse(
      schedules,
      'training_config sets no learning rate.',
      'Add learning_rate { soft_start_annealing_schedule { min_learning_rate: 5e-6 max_learning_rate: 5e-4 soft_start: 0.1 annealing: 0.7 } }.',
    );
  ordered(refuse, `${schedules}.soft_start_annealing_schedule`, annealing, 'min_learning_rate', 'max_learning_rate');
  ordered(refuse, `${schedules}.soft_start_annealing_schedule`, annealing, 'soft_start', 'annealing');
  ordered(refuse, `${schedules}.early_stopping_annealing_schedule`, early, 'min_learning_rate', 'max_learning_rate');
  if (!part(part(training, 'optimizer'), 'adam'))
    refuse('training_config.optimizer', 'training_config sets no optimizer.', 'Add optimizer { adam { epsilon: 1e-8 beta1: 0.9 beta2: 0.999 } }.');
  const period = numberOf(part(message, 'evaluation_config'), 'validation_period_during_training');
  const patience = numberOf(early, 'patience_steps');
  const epochs = numberOf(training, 'num_epochs');
  if (early && (patience < period || patience > epochs)) {
    refuse(
      `${schedules}.early_stopping_annealing_schedule.patience_steps`,
      `patience_steps is ${patience}; it must lie between validation_period_during_training (${period}) and num_epochs (${epochs}).`,
      `Write for example ${Math.max(period, 1)}.`,
    );
  }
}

/** Sizes, crops and data sources. */
function dataProblems(message: SpecMessage, refuse: Refuse): void {
  const augmentation = part(message, 'augmentation_config');
  const pre = part(augmentation, 'preprocessing');
  if (augmentation && !pre)
    refuse(
      'augmentation_config.preprocessing',
      'The input size is not set: augmentation_config has no preprocessing.',
      'Add preprocessing { output_image_width: 960 output_image_height: 544 output_image_channel: 3 }.',
    );
  ordered(refuse, 'augmentation_config.spatial_augmentation', part(augmentation, 'spatial_augmentation'), 'zoom_min', 'zoom_max');
  for (const [from, to] of [
    ['crop_left', 'crop_right'],
    ['crop_top', 'crop_bottom'],
  ] as const) {
    if (numberOf(pre, to) > 0 && numberOf(pre, to) <= numberOf(pre, from))
      refuse(`augmentation_config.preprocessing.${to}`, `${to} is ${numberOf(pre, to)}, not beyond ${from} (${numberOf(pre, from)}).`, `Write ${to} > ${from}, or 0 for no crop.`);
  }
  const data = part(message, 'dataset_config');
  const extension = textOf(data, 'image_extension');
  if (data && partsOf(data, 'data_sources').length === 0)
    refuse('dataset_config.data_sources', 'dataset_config names no data.', 'Add data_sources { tfrecords_path: "…" image_directory_path: "…" }.');
  if (extension.startsWith('.'))
    refuse('dataset_config.image_extension', `dataset_config.image_extension is "${extension}"; it is written without a dot.`, `Did you mean "${extension.slice(1)}"?`);
}

/** Objectives of the cost and boxes of the evaluation. */
function scoreProblems(message: SpecMessage, refuse: Refuse): void {
  const cost = part(message, 'cost_function_config');
  ordered(refuse, 'cost_function_config', cost, 'min_objective_weight', 'max_objective_weight');
  for (const [index, target] of partsOf(cost, 'target_classes').entries()) {
    const names = partsOf(target, 'objectives').map(objective => textOf(objective, 'name'));
    for (const name of ['cov', 'bbox']) {
      const weight = name === 'cov' ? 1 : 10;
      if (!names.includes(name))
        refuse(
          `cost_function_config.target_classes[${index}]`,
          `The class ${textOf(target, 'name')} has no objective "${name}".`,
          `Add objectives { name: "${name}" initial_weight: ${weight} weight_target: ${weight} }.`,
        );
    }
  }
  const boxes = part(part(message, 'evaluation_config'), 'evaluation_box_config');
  for (const name of Object.keys(boxes ?? {})) {
    const path = `evaluation_config.evaluation_box_config[${JSON.stringify(name)}]`;
    ordered(refuse, path, part(boxes, name), 'minimum_height', 'maximum_height');
    ordered(refuse, path, part(boxes, name), 'minimum_width', 'maximum_width');
  }
}

/** Rules over several fields. */
function jointProblems(spec: ParsedSpec, message: SpecMessage): SpecProblem[] {
  const found: SpecProblem[] = [];
  const refuse: Refuse = (path, text, hint) => void found.push(problemAt(spec, path, text, hint));
  modelProblems(spec, message, refuse);
  trainingProblems(message, refuse);
  dataProblems(message, refuse);
  scoreProblems(message, refuse);
  return found;
}

/** Errors and notes of a DetectNet_v2 training spec; `message` has its defaults. */
export function validateDetectnet(spec: ParsedSpec, message: SpecMessage): { errors: SpecProblem[]; notes: string[] } {
  const absent = required
    .filter(name => !part(message, name))
    .map(name => problemAt(spec, name, `${name} is missing; a DetectNet_v2 spec for train and evaluate has it.`, `Add ${name} { … }: edgeforge init writes a complete spec.`));
  return { errors: [...absent, ...checkLimits(spec, message, limits), ...jointProblems(spec, message), ...classProblems(spec, message)], notes: recommendDetectnet(message) };
}
