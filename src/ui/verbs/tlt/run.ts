import { resolve } from 'node:path';
import { pruneSettings } from '../../../compress/prune.ts';
import { type ComputeWish, computeWishSchema } from '../../../compute/choose.ts';
import { EdgeError } from '../../../core/errors.ts';
import type { Precision } from '../../../core/evidence.ts';
import { tltTensorfile } from '../../../pipeline/tlt/calibration-list.ts';
import { tltConvert } from '../../../pipeline/tlt/convert.ts';
import { tltEvaluate } from '../../../pipeline/tlt/evaluate.ts';
import { tltExport } from '../../../pipeline/tlt/export.ts';
import { tltInferClassification } from '../../../pipeline/tlt/infer-classification.ts';
import { tltInferDetectnet } from '../../../pipeline/tlt/infer-detectnet.ts';
import { tltPrune } from '../../../pipeline/tlt/prune.ts';
import type { Tell } from '../../../pipeline/tlt/tell.ts';
import { tltTrain } from '../../../pipeline/tlt/train.ts';
import type { TltWords } from './flags.ts';

/** TLT has no word for what computes, so the environment has one. */
function computeWish(said: string | undefined): ComputeWish | undefined {
  if (said === undefined || said === '') return undefined;
  const wish = computeWishSchema.safeParse(said);
  if (wish.success) return wish.data;
  throw new EdgeError('usage', `EDGEFORGE_COMPUTE is "${said}".`, { hint: `Set it to ${computeWishSchema.options.join(', ')}, or unset it.` });
}

type Runner = (words: TltWords, key: string | undefined, tell: Tell) => Promise<unknown>;

/** What each verb's words ask of the pipeline. */
const runners: Readonly<Record<TltWords['verb'], Runner>> = {
  dataset_convert: (words, _key, tell) =>
    tltConvert({ spec: words.need('dataset_export_spec'), output: words.need('output_filename'), results: words.text('results_dir'), base: process.env.DATA_BASE_PATH }, tell),
  train: (words, key, tell) => {
    if (words.given('init_epoch')) tell.note('--init_epoch is not needed: the same command goes on from its last finished epoch.');
    const results = resolve(words.need('results_dir'));
    const request = { network: words.network, spec: words.need('experiment_spec_file'), results, name: words.text('model_name') ?? 'model', key, classmap: words.text('classmap') };
    return tltTrain({ ...request, compute: computeWish(process.env.EDGEFORGE_COMPUTE) }, tell);
  },
  evaluate: (words, key, tell) => {
    if (words.text('framework') === 'tensorrt')
      throw new EdgeError('engine-missing', 'A TensorRT engine runs on its device, not here.', {
        hint: 'Measure speed and accuracy there: edgeforge deploy DEVICE. Or evaluate the network: -f tlt.',
      });
    return tltEvaluate(
      {
        network: words.network,
        spec: words.need('experiment_spec'),
        model: words.text('model_path'),
        key,
        trainingSet: words.on('use_training_set'),
        images: words.text('image_dir'),
        labels: words.text('label_dir'),
        results: words.text('results_dir'),
      },
      tell,
    );
  },
  prune: (words, key, tell) => {
    const settings = pruneSettings.safeParse({
      normalizer: words.text('normalizer'),
      equalization: words.text('equalization_criterion'),
      granularity: words.number('pruning_granularity'),
      threshold: words.number('pruning_threshold'),
      minFilters: words.number('min_num_filters'),
      excluded: [...words.list('excluded_layers')],
    });
    if (!settings.success)
      throw new EdgeError('usage', `prune: ${settings.error.issues[0]?.path.join('.')}: ${settings.error.issues[0]?.message}`, {
        hint: 'See: edgeforge detectnet_v2 prune --help',
      });
    return tltPrune({ model: words.need('model'), output: words.need('output_file'), key, settings: settings.data, results: words.text('results_dir') }, tell);
  },
  inference: (words, key, tell) =>
    words.network === 'detectnet_v2'
      ? tltInferDetectnet(
          {
            spec: words.need('experiment_spec'),
            images: words.need('image_dir'),
            results: resolve(words.need('results_dir')),
            model: words.text('model_path'),
            batch: words.number('batch_size'),
            key,
          },
          tell,
        )
      : tltInferClassification(
          {
            model: words.need('model_path'),
            spec: words.need('experiment_spec'),
            image: words.text('image'),
            folder: words.text('image_dir'),
            classmap: words.text('classmap'),
            batch: Math.max(1, words.number('batch_size') ?? 1),
            key,
            results: words.text('results_dir'),
          },
          tell,
        ),
  export: exportVerb,
  calibration_tensorfile: (words, _key, tell) =>
    tltTensorfile(
      {
        network: words.network,
        spec: words.text('experiment_spec_file') ?? words.need('experiment_spec'),
        output: words.text('output_path') ?? words.need('output'),
        maxBatches: words.number('max_batches') ?? -1,
        validationSet: words.on('use_validation_set'),
      },
      tell,
    ),
};

function exportVerb(words: TltWords, key: string | undefined, tell: Tell): Promise<unknown> {
  const without: readonly (readonly [string, string])[] = [
    ['max_workspace_size', 'the engine is built on the device, with its own limit'],
    ['min_batch_size', 'the engine is built on the device: edgeforge deploy'],
    ['opt_batch_size', 'the engine is built on the device: edgeforge deploy'],
    ['strict_type_constraints', 'the engine is built on the device: edgeforge deploy'],
    ['target_opset', 'networks are written in opset 17'],
  ];
  for (const [name, why] of without) if (words.given(name)) tell.note(`--${name} is accepted and has no effect: ${why}.`);
  const staticBatch = words.number('static_batch_size') ?? -1;
  const least = (name: string, fallback: number) => {
    const value = words.number(name) ?? fallback;
    if (value < 1) throw new EdgeError('usage', `--${name} ${value} is below 1.`, { hint: `Write --${name} ${fallback}.` });
    return value;
  };
  return tltExport(
    {
      network: words.network,
      model: words.need('model'),
      output: words.text('output_file'),
      spec: words.text('experiment_spec'),
      key,
      precision: words.need('data_type') as Precision,
      calibration: {
        list: words.text('cal_data_file'),
        images: words.text('cal_image_dir'),
        cache: words.need('cal_cache_file'),
        batches: least('batches', 10),
        batchSize: least('batch_size', 16),
        tensorrt: words.need('tensorrt'),
        json: words.text('cal_json_file'),
        forcePtq: words.on('force_ptq'),
      },
      maxBatch: least('max_batch_size', 1),
      staticBatch: staticBatch < 1 ? undefined : staticBatch,
      deepstream: words.on('gen_ds_config'),
      classmap: words.text('classmap_json'),
      results: words.text('results_dir'),
    },
    tell,
  );
}

/** Does what the words ask. Rejects with an EdgeError. */
export const runTltWords = async (words: TltWords, key: string | undefined, tell: Tell): Promise<void> => {
  await runners[words.verb](words, key, tell);
};
