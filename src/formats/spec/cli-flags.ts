// The flags of TLT's and TAO's own commands, from their argparse tables (tlt-formats.md, appendix B and §10), so that a notebook's commands work with one word changed.

export type TltNetwork = 'detectnet_v2' | 'classification';
export type TltVerb = 'dataset_convert' | 'train' | 'evaluate' | 'prune' | 'inference' | 'export' | 'calibration_tensorfile';

export interface TltFlag {
  /** As in TLT: some short flags have several letters (`-pth`). */
  readonly short?: string;
  readonly long: string;
  /** Other spellings, TLT 2's among them. */
  readonly aliases?: readonly string[];
  /** switch takes no value; list takes one or more words. */
  readonly kind: 'file' | 'folder' | 'text' | 'int' | 'float' | 'switch' | 'list';
  readonly required?: boolean;
  readonly choices?: readonly string[];
  readonly default?: string | number;
  readonly meaning: string;
  /** tlt: TLT 2 and 3 only; tao: TAO only; else both. */
  readonly era?: 'tlt' | 'tao';
  /** Accepted so that a notebook runs, with a note that it has no effect here. */
  readonly ignored?: string;
}

/** Flags of the wrapper around every command. */
export const commonFlags: readonly TltFlag[] = [
  { long: '--gpus', kind: 'int', default: 1, meaning: 'number of GPUs', ignored: 'training runs on the engine that the project names' },
  { long: '--gpu_index', kind: 'list', meaning: 'which GPUs', ignored: 'training runs on the engine that the project names' },
  { short: '-np', long: '--num_processes', kind: 'int', default: -1, meaning: 'number of processes', ignored: 'a run is one process' },
  { long: '--use_amp', kind: 'switch', meaning: 'mixed precision', ignored: 'training is in FP32' },
  { long: '--log_file', kind: 'file', meaning: 'copy of the log' },
];

const key: TltFlag = { short: '-k', long: '--key', kind: 'text', default: '', meaning: 'key of .tlt and .etlt files; visible to every user of this machine: prefer a key file' };
const verbose: TltFlag = { short: '-v', long: '--verbose', kind: 'switch', meaning: 'log more' };
const optionalResults: TltFlag = { short: '-r', long: '--results_dir', kind: 'folder', meaning: 'where status.json goes', era: 'tao' };

const prune: readonly TltFlag[] = [
  { short: '-m', long: '--model', aliases: ['-pm', '--pretrained_model'], kind: 'file', required: true, meaning: 'network to prune' },
  { short: '-o', long: '--output_file', aliases: ['--output_dir'], kind: 'file', required: true, meaning: 'where the pruned network goes' },
  key,
  { short: '-n', long: '--normalizer', kind: 'text', choices: ['max', 'L2', 'off'], default: 'max', meaning: 'how filter norms are normalized within a layer' },
  {
    short: '-eq',
    long: '--equalization_criterion',
    kind: 'text',
    choices: ['union', 'intersection', 'arithmetic_mean', 'geometric_mean'],
    default: 'union',
    meaning: 'how layers that are added together agree on their filters',
  },
  { short: '-pg', long: '--pruning_granularity', kind: 'int', default: 8, meaning: 'filters are kept in multiples of this' },
  { short: '-pth', long: '--pruning_threshold', kind: 'float', default: 0.1, meaning: 'filters with a smaller normalized norm go' },
  { short: '-nf', long: '--min_num_filters', kind: 'int', default: 16, meaning: 'filters kept in every layer at least' },
  { short: '-el', long: '--excluded_layers', kind: 'list', meaning: 'layers left whole' },
  optionalResults,
  verbose,
];

const exportFlags: readonly TltFlag[] = [
  { short: '-m', long: '--model', kind: 'file', required: true, meaning: 'network to export' },
  key,
  { short: '-o', long: '--output_file', kind: 'file', meaning: 'the .etlt or .onnx file; default: beside the network' },
  { short: '-e', long: '--experiment_spec', kind: 'file', meaning: 'training spec (DetectNet_v2)' },
  { long: '--data_type', kind: 'text', choices: ['fp32', 'fp16', 'int8'], default: 'fp32', meaning: 'precision the engine will have' },
  { long: '--cal_data_file', kind: 'file', meaning: 'tensorfile of calibration_tensorfile' },
  { long: '--cal_image_dir', kind: 'folder', meaning: 'images to calibrate with' },
  { long: '--cal_cache_file', kind: 'file', default: './cal.bin', meaning: 'where the calibration cache goes' },
  { long: '--cal_json_file', kind: 'file', meaning: 'scales of a network trained with enable_qat' },
  { long: '--batches', kind: 'int', default: 10, meaning: 'batches to calibrate with' },
  { long: '--batch_size', kind: 'int', default: 16, meaning: 'images per calibration batch' },
  { long: '--min_batch_size', kind: 'int', default: 1, meaning: 'smallest batch of the engine', era: 'tao' },
  { long: '--opt_batch_size', kind: 'int', default: 1, meaning: 'batch the engine is tuned for', era: 'tao' },
  { long: '--max_batch_size', kind: 'int', default: 1, meaning: 'largest batch of the engine' },
  { long: '--static_batch_size', kind: 'int', default: -1, meaning: 'batch fixed in the graph; -1: free', era: 'tao' },
  { long: '--max_workspace_size', kind: 'int', meaning: 'memory TensorRT may use while building, bytes' },
  { long: '--engine_file', kind: 'file', meaning: 'engine to build', ignored: 'engines are built on the device: edgeforge deploy' },
  { short: '-s', long: '--strict_type_constraints', kind: 'switch', meaning: 'no layer above the precision' },
  { long: '--force_ptq', kind: 'switch', meaning: 'calibrate a network trained with enable_qat' },
  { long: '--gen_ds_config', kind: 'switch', meaning: 'write nvinfer_config.txt and labels.txt' },
  { long: '--onnx_route', kind: 'text', default: 'keras2onnx', meaning: 'converter', era: 'tao', ignored: 'our networks are ONNX' },
  { long: '--target_opset', kind: 'int', default: 12, meaning: 'ONNX opset', era: 'tao' },
  optionalResults,
  verbose,
];

const evaluateTail: readonly TltFlag[] = [
  { short: '-i', long: '--image_dir', kind: 'folder', meaning: 'images instead of the spec’s', era: 'tao' },
  { short: '-l', long: '--label_dir', kind: 'folder', meaning: 'labels of those images', era: 'tao' },
  { short: '-b', long: '--batch_size', kind: 'int', default: 1, meaning: 'images per step', era: 'tao' },
];

/** Flags per network and verb; a pair that is missing does not exist in TLT (classification reads image folders and needs no dataset_convert). */
export const tltFlags: Readonly<Record<TltNetwork, Readonly<Partial<Record<TltVerb, readonly TltFlag[]>>>>> = {
  detectnet_v2: {
    dataset_convert: [
      { short: '-d', long: '--dataset_export_spec', kind: 'file', required: true, meaning: 'dataset_convert spec' },
      { short: '-o', long: '--output_filename', kind: 'file', required: true, meaning: 'start of the TFRecord files’ names' },
      { short: '-f', long: '--validation_fold', kind: 'int', meaning: 'fold that validates: its records are written unmodified' },
      optionalResults,
      verbose,
    ],
    train: [
      { short: '-e', long: '--experiment_spec_file', aliases: ['--experiment_spec'], kind: 'file', meaning: 'training spec' },
      { short: '-r', long: '--results_dir', kind: 'folder', meaning: 'where networks, logs and status.json go' },
      { short: '-n', long: '--model_name', kind: 'text', default: 'model', meaning: 'name of the network’s file' },
      key,
      { long: '--enable_determinism', kind: 'switch', meaning: 'bit-equal repeats', era: 'tao', ignored: 'runs are deterministic anyway' },
      verbose,
    ],
    evaluate: [
      { short: '-e', long: '--experiment_spec', aliases: ['--experiment_spec_file'], kind: 'file', required: true, meaning: 'training spec' },
      { short: '-m', long: '--model_path', aliases: ['--model'], kind: 'file', required: true, meaning: 'network to evaluate' },
      key,
      { long: '--use_training_set', kind: 'switch', meaning: 'evaluate on the training data' },
      { short: '-f', long: '--framework', kind: 'text', choices: ['tlt', 'tensorrt'], default: 'tlt', meaning: 'what runs the network' },
      ...evaluateTail,
      optionalResults,
      verbose,
    ],
    prune,
    inference: [
      { short: '-e', long: '--experiment_spec', aliases: ['--inference_spec'], kind: 'file', required: true, meaning: 'inference spec' },
      { short: '-i', long: '--image_dir', aliases: ['--inference_input'], kind: 'folder', required: true, meaning: 'images' },
      {
        short: '-r',
        long: '--results_dir',
        aliases: ['-o', '--output_path', '--inference_output'],
        kind: 'folder',
        required: true,
        meaning: 'where images and labels go; -o in TLT 2 and 3',
      },
      { short: '-m', long: '--model_path', kind: 'file', meaning: 'network instead of the spec’s', era: 'tao' },
      { short: '-b', long: '--batch_size', kind: 'int', meaning: 'images per step' },
      key,
      { ...verbose, long: '--verbosity', aliases: ['--verbose'] },
    ],
    export: exportFlags,
    calibration_tensorfile: [
      { short: '-e', long: '--experiment_spec_file', aliases: ['--experiment_spec'], kind: 'file', required: true, meaning: 'training spec' },
      { short: '-o', long: '--output_path', aliases: ['--output'], kind: 'file', required: true, meaning: 'the tensorfile' },
      { short: '-m', long: '--max_batches', kind: 'int', default: -1, meaning: 'batches of the spec’s batch size; -1: all' },
      { long: '--use_validation_set', kind: 'switch', meaning: 'take validation images' },
      verbose,
    ],
  },
  classification: {
    train: [
      { short: '-e', long: '--experiment_spec_file', aliases: ['--experiment_spec'], kind: 'file', required: true, meaning: 'classification spec' },
      { short: '-r', long: '--results_dir', kind: 'folder', required: true, meaning: 'where networks, logs and status.json go' },
      key,
      { long: '--init_epoch', kind: 'int', default: 1, meaning: 'epoch to go on from' },
      { short: '-c', long: '--classmap', kind: 'file', meaning: 'JSON of class → index instead of the alphabet’s order', era: 'tao' },
      verbose,
    ],
    evaluate: [
      { short: '-e', long: '--experiment_spec', aliases: ['--experiment_spec_file'], kind: 'file', required: true, meaning: 'classification spec' },
      key,
      { short: '-cm', long: '--classmap', kind: 'file', meaning: 'JSON of class → index', era: 'tao' },
      { short: '-m', long: '--model_path', kind: 'file', meaning: 'network instead of eval_config.model_path', era: 'tao' },
      ...evaluateTail,
      optionalResults,
    ],
    prune,
    inference: [
      { short: '-m', long: '--model_path', kind: 'file', required: true, meaning: 'network' },
      { short: '-e', long: '--experiment_spec', kind: 'file', required: true, meaning: 'classification spec' },
      { short: '-i', long: '--image', kind: 'file', meaning: 'one image' },
      { short: '-d', long: '--image_dir', kind: 'folder', meaning: 'a folder of images' },
      { short: '-cm', long: '--classmap', kind: 'file', required: true, meaning: 'JSON of class → index that train wrote' },
      { short: '-b', long: '--batch_size', kind: 'int', default: 1, meaning: 'images per step' },
      key,
      optionalResults,
      verbose,
    ],
    export: [...exportFlags, { long: '--classmap_json', kind: 'file', meaning: 'JSON of class → index, for labels.txt' }],
    calibration_tensorfile: [
      { short: '-e', long: '--experiment_spec', aliases: ['--experiment_spec_file'], kind: 'file', required: true, meaning: 'classification spec' },
      { short: '-o', long: '--output', aliases: ['--output_path'], kind: 'file', required: true, meaning: 'the tensorfile' },
      { short: '-m', long: '--max_batches', kind: 'int', default: 1, meaning: 'batches of the spec’s batch size' },
      { long: '--use_validation_set', kind: 'switch', meaning: 'take validation images' },
      verbose,
    ],
  },
};
