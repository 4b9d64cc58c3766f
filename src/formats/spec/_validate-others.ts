import type { SpecMessage, SpecProblem } from './_bind.ts';
import { above, atLeast, below, between, checkLimits, given, inside, type Limit, oneOf, problemAt } from './_limits.ts';
import { flagOf, numberOf, numbersOf, part, textOf } from './_read.ts';
import { depths } from './_validate-detectnet.ts';
import type { ParsedSpec } from './parse-spec.ts';

export const classificationArchitectures = [
  'resnet',
  'vgg',
  'alexnet',
  'googlenet',
  'mobilenet_v1',
  'mobilenet_v2',
  'squeezenet',
  'darknet',
  'cspdarknet',
  'cspdarknet_tiny',
  ...Array.from({ length: 8 }, (_, size) => `efficientnet_b${size}`),
  'byom',
];

const limits: readonly Limit[] = [
  ['model_config.arch', oneOf(classificationArchitectures)],
  ['model_config.dropout', below(0, 1)],
  ['model_config.batch_norm_config.momentum', inside(0, 1, 0.9)],
  ['model_config.batch_norm_config.epsilon', above(0, '1e-5')],
  ['train_config.train_dataset_path', given('the folder of training images')],
  ['train_config.val_dataset_path', given('the folder of validation images')],
  ['train_config.batch_size_per_gpu', above(0, 64)],
  ['train_config.n_epochs', above(0, 80)],
  ['train_config.preprocess_mode', oneOf(['caffe', 'tf', 'torch'])],
  ['train_config.label_smoothing', below(0, 1)],
  ['train_config.mixup_alpha', atLeast(0)],
  ['train_config.reg_config.type', oneOf(['L2', 'L1', 'None', 'NO_REG', ''])],
  ['train_config.reg_config.weight_decay', atLeast(0)],
  ['train_config.lr_config.step.learning_rate', above(0, 0.006)],
  ['train_config.lr_config.step.step_size', between(1, 100)],
  ['train_config.lr_config.step.gamma', above(0, 0.1)],
  ['train_config.lr_config.soft_anneal.learning_rate', above(0, 0.05)],
  ['train_config.lr_config.soft_anneal.soft_start', below(0, 1)],
  ['train_config.lr_config.soft_anneal.annealing_divider', above(0, 10)],
  ['train_config.lr_config.soft_anneal.annealing_points.*', between(0, 1)],
  ['train_config.lr_config.cosine.learning_rate', above(0, 0.05)],
  ['train_config.lr_config.cosine.min_lr_ratio', between(0, 1)],
  ['train_config.lr_config.cosine.soft_start', below(0, 1)],
  ['train_config.optimizer.sgd.momentum', below(0, 1)],
  ['train_config.optimizer.sgd.decay', atLeast(0)],
  ['eval_config.top_k', atLeast(0)],
];

/** "3,224,224" → channels, height, width; or what is wrong with it. */
export function parseImageSize(text: string): { channels: number; height: number; width: number } | { wrong: string; hint: string } {
  const parts = text.split(',').map(word => word.trim());
  if (parts.length !== 3 || parts.some(word => !/^\d{1,6}$/.test(word)))
    return { wrong: `"${text.slice(0, 40)}" is not "channels,height,width"`, hint: 'Write for example "3,224,224".' };
  const [channels, height, width] = parts.map(Number) as [number, number, number];
  if (channels !== 1 && channels !== 3)
    return {
      wrong: `it has ${channels} channels; 1 and 3 are possible`,
      hint: width === 1 || width === 3 ? `Channels come first: "${width},${channels},${height}".` : 'Write for example "3,224,224".',
    };
  if (height < 16 || width < 16) return { wrong: `${height}×${width} is too small; both sides must be at least 16`, hint: 'Write for example "3,224,224".' };
  return { channels, height, width };
}

/** Errors and notes of a classification (makenet) spec; `message` has its defaults. */
export function validateClassification(spec: ParsedSpec, message: SpecMessage): { errors: SpecProblem[]; notes: string[] } {
  const errors = ['model_config', 'train_config']
    .filter(name => !part(message, name))
    .map(name => problemAt(spec, name, `${name} is missing; a classification spec for train has it.`, `Add ${name} { … }.`));
  const refuse = (path: string, text: string, hint: string) => errors.push(problemAt(spec, path, text, hint));
  errors.push(...checkLimits(spec, message, limits));
  const model = part(message, 'model_config');
  const train = part(message, 'train_config');
  const size = parseImageSize(textOf(model, 'input_image_size'));
  if (model && 'wrong' in size) refuse('model_config.input_image_size', `model_config.input_image_size: ${size.wrong}.`, size.hint);
  const depth = depths[textOf(model, 'arch')];
  const layers = numberOf(model, 'n_layers');
  if (depth && spec.lines.has('model_config.n_layers') && !depth.includes(layers))
    refuse(
      'model_config.n_layers',
      `model_config.n_layers is ${layers}; ${textOf(model, 'arch')} has ${depth.join(', ')}.`,
      `Did you mean ${depth.reduce((best, value) => (Math.abs(value - layers) < Math.abs(best - layers) ? value : best))}?`,
    );
  if (numbersOf(model, 'freeze_blocks').length > 0 && textOf(train, 'pretrained_model_path') === '')
    refuse(
      'model_config.freeze_blocks',
      'model_config.freeze_blocks needs a pretrained network, and train_config.pretrained_model_path is not set.',
      'Set pretrained_model_path, or remove freeze_blocks.',
    );
  const schedules = ['step', 'soft_anneal', 'cosine'].filter(name => part(part(train, 'lr_config'), name));
  if (train && schedules.length === 0)
    refuse('train_config.lr_config', 'train_config sets no learning rate.', 'Add lr_config { step { learning_rate: 0.006 step_size: 10 gamma: 0.1 } }.');
  if (train && !['sgd', 'adam', 'rmsprop'].some(name => part(part(train, 'optimizer'), name)))
    refuse('train_config.optimizer', 'train_config sets no optimizer.', 'Add optimizer { sgd { lr: 0.01 momentum: 0.9 } }.');
  const points = numbersOf(part(part(train, 'lr_config'), 'soft_anneal'), 'annealing_points');
  if (points.some((point, index) => index > 0 && point <= points[index - 1]!))
    refuse(
      'train_config.lr_config.soft_anneal.annealing_points',
      `annealing_points are ${points.join(', ')}; each must be later than the one before.`,
      `Write ${[...points].sort((a, b) => a - b).join(', ')}.`,
    );
  const notes: [boolean, string][] = [
    [
      flagOf(train, 'enable_color_augmentation') && !flagOf(train, 'enable_random_crop'),
      'enable_color_augmentation works only together with enable_random_crop: no colours are varied',
    ],
    [!('wrong' in size) && (size.height < 32 || size.width < 32), `the input is small for a network of stride 32`],
    [train !== undefined && part(train, 'reg_config') === undefined, 'no reg_config: nothing is regularized; NVIDIA recommends L1 or L2 before pruning'],
  ];
  return { errors, notes: notes.filter(([holds]) => holds).map(([, note]) => note) };
}

const convertLimits: readonly Limit[] = [
  ['kitti_config.root_directory_path', given('the folder of the dataset')],
  ['kitti_config.num_partitions', above(0, 2)],
  ['kitti_config.num_shards', above(0, 10)],
  ['kitti_config.partition_mode', oneOf(['random', 'sequence'])],
  ['kitti_config.val_split', between(0, 100)],
  ['coco_config.root_directory_path', given('the folder of the dataset')],
];

/** Errors and notes of a dataset_convert spec; `message` has its defaults. */
export function validateConvert(spec: ParsedSpec, message: SpecMessage): { errors: SpecProblem[]; notes: string[] } {
  const errors = checkLimits(spec, message, convertLimits);
  const refuse = (path: string, text: string, hint: string) => errors.push(problemAt(spec, path, text, hint));
  const kitti = part(message, 'kitti_config');
  if (!kitti && !part(message, 'coco_config')) refuse('kitti_config', 'Neither kitti_config nor coco_config is set.', 'Add kitti_config { root_directory_path: "…" … }.');
  const mode = textOf(kitti, 'partition_mode');
  const partitions = numberOf(kitti, 'num_partitions');
  if (mode === 'random' && partitions !== 2)
    refuse('kitti_config.num_partitions', `kitti_config.num_partitions is ${partitions}; partition_mode "random" makes exactly 2.`, 'Write 2, or use partition_mode: "sequence".');
  if (mode === 'sequence' && textOf(kitti, 'kitti_sequence_to_frames_file') === '')
    refuse(
      'kitti_config.kitti_sequence_to_frames_file',
      'partition_mode "sequence" needs kitti_sequence_to_frames_file.',
      'Name the JSON file of sequence → frames, or use partition_mode: "random".',
    );
  const extension = textOf(kitti, 'image_extension');
  if (kitti && !extension.startsWith('.'))
    refuse('kitti_config.image_extension', `kitti_config.image_extension is "${extension}"; it is written with its dot.`, `Did you mean ".${extension}"?`);
  const split = numberOf(kitti, 'val_split');
  const notes: [boolean, string][] = [
    [mode === 'random' && split === 0, 'val_split is 0: no image validates'],
    [mode === 'random' && split === 100, 'val_split is 100: no image is left for training'],
    [mode === 'random' && split > 0 && split < 1, `val_split is ${split} percent; it is not a fraction: write ${split * 100} for ${split * 100} %`],
  ];
  return { errors, notes: notes.filter(([holds]) => holds).map(([, note]) => note) };
}
