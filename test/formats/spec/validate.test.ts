import { describe, expect, it } from 'vitest';
import { parseSpec } from '../../../src/formats/spec/parse-spec.ts';
import { requireValid, validateSpec } from '../../../src/formats/spec/validate.ts';
import { hasShared } from '../../shared.ts';
import { detectnetText, realSpecs } from './_specs.ts';

const errorsOf = (text: string) => validateSpec(parseSpec(text)).errors;

describe('validateSpec', () => {
  it('finds nothing wrong with the sample', () => expect(validateSpec(parseSpec(detectnetText())).errors).toEqual([]));

  it.each([
    [
      'output_image_height: 544',
      'output_image_height: 540',
      'augmentation_config.preprocessing.output_image_height',
      /is 540; it must be greater than 0 and a multiple of 16/,
      /Did you mean 544\?/,
    ],
    ['output_image_width: 960', 'output_image_width: 0', 'augmentation_config.preprocessing.output_image_width', /multiple of 16/, /544/],
    ['output_image_width: 960', '', 'augmentation_config.preprocessing.output_image_width', /is not set/, /Write/],
    ['output_image_channel: 3', 'output_image_channel: 4', 'augmentation_config.preprocessing.output_image_channel', /one of 3, 1/, /Write 3/],
    ['coverage_foreground_weight: 0.05', 'coverage_foreground_weight: 1', 'cost_function_config.target_classes[0].coverage_foreground_weight', /both excluded/, /0\.05/],
    ['deadzone_radius: 0.67', 'deadzone_radius: 67', 'bbox_rasterizer_config.deadzone_radius', /between 0 and 1/, /Did you mean 0\.67\?/],
    ['cov_radius_x: 0.4', 'cov_radius_x: 1.4', 'bbox_rasterizer_config.target_class_config["car"].cov_radius_x', /between 0 and 1/, /from 0 to 1/],
    ['soft_start: 0.1', 'soft_start: 1', 'training_config.learning_rate.soft_start_annealing_schedule.soft_start', /less than 1/, /not, 1/],
    ['soft_start: 0.1', 'soft_start: 0.8', 'training_config.learning_rate.soft_start_annealing_schedule.soft_start', /more than annealing/, /Swap/],
    ['min_learning_rate: 5e-6', 'min_learning_rate: 5e-3', 'training_config.learning_rate.soft_start_annealing_schedule.min_learning_rate', /more than max_learning_rate/, /Swap/],
    ['batch_size_per_gpu: 8', '', 'training_config.batch_size_per_gpu', /not set \(0\)/, /Write for example/],
    ['optimizer { adam { epsilon: 1e-8 beta1: 0.9 beta2: 0.999 } }', '', 'training_config.optimizer', /no optimizer/, /adam/],
    ['num_layers: 18', 'num_layers: 16', 'model_config.num_layers', /is 16; resnet has 10, 18/, /Did you mean 18\?/],
    ['arch: "resnet"', 'arch: "resnet18"', 'model_config.arch', /one of resnet/, /Did you mean resnet\?/],
    ['use_batch_norm: true', 'use_batch_norm: true load_graph: true', 'model_config.load_graph', /needs a pretrained network/, /pretrained_model_file/],
    ['zoom_max: 1', 'zoom_max: 0.5', 'augmentation_config.spatial_augmentation.zoom_min', /more than zoom_max/, /Swap/],
    ['name: "bbox"', 'name: "box"', 'cost_function_config.target_classes[0].objectives[1].name', /one of cov, bbox/, /Did you mean bbox\?/],
    ['image_extension: "jpg"', 'image_extension: ".jpg"', 'dataset_config.image_extension', /without a dot/, /"jpg"/],
    ['key: "van" value: "car"', 'key: "van" value: "cars"', 'dataset_config.target_class_mapping["van"]', /no class of cost_function_config/, /Did you mean car\?/],
    [
      'minimum_detection_ground_truth_overlap { key: "car"',
      'minimum_detection_ground_truth_overlap { key: "Car"',
      'evaluation_config.minimum_detection_ground_truth_overlap',
      /class car .* is not in/,
      /Did you mean Car\?/,
    ],
    ['maximum_height: 9999', 'maximum_height: 10', 'evaluation_config.evaluation_box_config["car"].minimum_height', /more than maximum_height/, /Swap/],
    ['dbscan_eps: 0.13', 'dbscan_eps: 13', 'postprocessing_config.target_class_config["car"].clustering_config.dbscan_eps', /between 0 and 1/, /Did you mean 0\.13\?/],
  ])('refuses %s → %s', (from, to, path, message, hint) => {
    const found = errorsOf(detectnetText([[from, to]]));
    const error = found.find(problem => problem.path === path);
    expect(found.map(problem => problem.path)).toContain(path);
    expect(error?.message).toMatch(message);
    expect(error?.hint).toMatch(hint);
    expect(error?.line).toBeGreaterThan(0);
  });

  it('lets a class be sent to dontcare', () => {
    expect(errorsOf(detectnetText([['key: "van" value: "car"', 'key: "van" value: "dontcare"']]))).toEqual([]);
  });
  it('wants the same classes in every place', () => {
    const paths = errorsOf(detectnetText([['target_classes { name: "car"', 'target_classes { name: "bus"']])).map(({ path }) => path);
    expect(paths).toEqual(
      expect.arrayContaining([
        'bbox_rasterizer_config.target_class_config',
        'postprocessing_config.target_class_config',
        'evaluation_config.evaluation_box_config',
        'dataset_config.target_class_mapping',
        'dataset_config.target_class_mapping["car"]',
      ]),
    );
  });
  it('names missing messages', () => {
    const paths = errorsOf('cost_function_config { target_classes { name: "car" } }').map(({ path }) => path);
    expect(paths).toEqual(expect.arrayContaining(['model_config', 'training_config', 'dataset_config', 'postprocessing_config']));
  });
  it('gives the line of the field, also when the file sets it in a map', () => {
    const [error] = errorsOf(detectnetText([['cov_radius_y: 0.4', '\n\ncov_radius_y: 4']]));
    expect(error).toMatchObject({ line: 7, path: 'bbox_rasterizer_config.target_class_config["car"].cov_radius_y' });
  });
  it('takes recommendations for notes', () => {
    const { errors, notes } = validateSpec(
      parseSpec(
        detectnetText([
          ['output_image_width: 960 output_image_height: 544', 'output_image_width: 320 output_image_height: 96'],
          ['hflip_probability: 0.5', 'hflip_probability: 0.5 vflip_probability: 0.5'],
        ]),
      ),
    );
    expect(errors).toEqual([]);
    expect(notes.join('\n')).toMatch(/320×96; NVIDIA recommends at least 480×272[\s\S]*flips nothing/);
    expect(notes.join('\n')).toMatch(/dbscan_min_samples is 0\.05/);
  });
  it('throws the first problem with file and line', () => {
    expect(() => requireValid(parseSpec(detectnetText([['output_image_height: 544', 'output_image_height: 540']]), { file: 'a.txt' }))).toThrowError(
      expect.objectContaining({ code: 'spec-invalid', where: { file: 'a.txt', line: 31, path: 'augmentation_config.preprocessing.output_image_height' } }),
    );
  });
});

const classificationText = (model: string, train: string) =>
  `model_config { arch: "resnet" n_layers: 18 input_image_size: "3,224,224" ${model} } train_config { train_dataset_path: "t" val_dataset_path: "v" batch_size_per_gpu: 8 n_epochs: 2 optimizer { sgd { momentum: 0.9 } } lr_config { step { learning_rate: 0.006 step_size: 10 gamma: 0.1 } } ${train} }`;

describe('classification and dataset_convert', () => {
  it.each([
    ['input_image_size: "3,224,8"', '', 'model_config.input_image_size', /at least 16/],
    ['input_image_size: "224,224,3"', '', 'model_config.input_image_size', /224 channels/],
    ['n_layers: 20', '', 'model_config.n_layers', /has 10, 18/],
    ['freeze_blocks: 0', '', 'model_config.freeze_blocks', /needs a pretrained/],
    ['', 'label_smoothing: 1', 'train_config.label_smoothing', /less than 1/],
    ['', 'preprocess_mode: "cafe"', 'train_config.preprocess_mode', /one of caffe/],
    ['', 'lr_config { soft_anneal { learning_rate: 0.1 annealing_divider: 10 annealing_points: [0.6, 0.3] } }', 'train_config.lr_config.soft_anneal.annealing_points', /later/],
  ])('classification refuses %s %s', (model, train, path, message) => {
    expect(errorsOf(classificationText('', ''))).toEqual([]);
    const error = errorsOf(classificationText(model, train)).find(problem => problem.path === path);
    expect(error?.message).toMatch(message);
  });
  it.each([
    ['val_split: 140', 'kitti_config.val_split', /between 0 and 100/],
    ['num_partitions: 3', 'kitti_config.num_partitions', /exactly 2/],
    ['partition_mode: "sequence"', 'kitti_config.kitti_sequence_to_frames_file', /needs kitti_sequence/],
    ['image_extension: "jpg"', 'kitti_config.image_extension', /with its dot/],
    ['partition_mode: "randm"', 'kitti_config.partition_mode', /one of random, sequence/],
  ])('dataset_convert refuses %s', (field, path, message) => {
    const base = 'kitti_config { root_directory_path: "r" partition_mode: "random" num_partitions: 2 val_split: 20 ';
    expect(errorsOf(`${base} }`)).toEqual([]);
    expect(errorsOf(`${base} ${field} }`).find(problem => problem.path === path)?.message).toMatch(message);
  });
});

describe.skipIf(!hasShared)('the real specs of our tasks', () => {
  it('hold, except one for TAO Deploy without training settings', () => {
    const wrong = realSpecs.filter(({ text, file }) => validateSpec(parseSpec(text, { file })).errors.length > 0).map(({ file }) => file);
    expect(wrong).toEqual(['NVIDIA__tao_deploy__experiment_spec.txt']);
    expect(validateSpec(parseSpec(realSpecs.find(({ file }) => file === wrong[0])!.text), 'evaluate').errors).toEqual([]);
  });
});
