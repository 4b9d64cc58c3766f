import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { classificationSpec } from '../../../src/formats/spec/classification-spec.ts';
import { convertSpec } from '../../../src/formats/spec/convert-spec.ts';
import { detectnetSpec } from '../../../src/formats/spec/detectnet-spec.ts';
import { explainSpec } from '../../../src/formats/spec/explain.ts';
import { inferenceSpec } from '../../../src/formats/spec/inference-spec.ts';
import { didYouMean } from '../../../src/formats/spec/near-miss.ts';
import { parseSpec, type SpecMessage } from '../../../src/formats/spec/parse-spec.ts';
import { toText } from '../../../src/formats/spec/to-text.ts';
import { detectnetText } from './_specs.ts';

describe('settings', () => {
  it('of a training spec', () => {
    const { spec, notes } = detectnetSpec(parseSpec(detectnetText([['num_layers: 18', 'num_layers: 18 pretrained_model_file: "backbone.onnx" freeze_blocks: 0']])));
    expect(spec).toMatchObject({
      randomSeed: 42,
      targetClasses: ['car'],
      model: {
        arch: 'resnet',
        numLayers: 18,
        pretrainedModelFile: 'backbone.onnx',
        loadGraph: false,
        freezeBlocks: [0],
        useBatchNorm: true,
        allProjections: true,
        usePooling: false,
        bbox: { scale: 35, offset: 0.5 },
      },
      training: {
        batchSize: 8,
        epochs: 120,
        checkpointInterval: 10,
        learningRate: { kind: 'soft-start-annealing', softStart: 0.1, annealing: 0.7 },
        regularizer: { type: 'L1', weight: 3e-9 },
        optimizer: { kind: 'adam', beta2: 0.999 },
      },
      dataset: {
        sources: [{ tfrecordsPath: 'records/*', imageDirectoryPath: 'images', sourceWeight: 1 }],
        targetClassMapping: { car: 'car', van: 'car' },
        validation: { kind: 'fold', fold: 0 },
      },
      augmentation: { width: 960, height: 544, channels: 3, hflipProbability: 0.5, zoomMin: 1 },
      cost: { classes: { car: { coverageForegroundWeight: 0.05, objectives: { bbox: { initialWeight: 10, weightTarget: 10 } } } } },
      postprocessing: { car: { clusteringAlgorithm: 'DBSCAN', dbscanEps: 0.13, dbscanMinSamples: 0.05, nmsIouThreshold: 0.2 } },
      evaluation: { averagePrecisionMode: 'INTEGRATE', minimumOverlap: { car: 0.7 } },
    });
    expect(spec.augmentation).not.toHaveProperty('crop');
    expect(notes).toHaveLength(1);
  });
  it('tell validation folds, sources and none apart, fold 0 included', () => {
    const kind = (text: string) => detectnetSpec(parseSpec(detectnetText([['validation_fold: 0', text]]))).spec.dataset.validation.kind;
    expect([kind('validation_fold: 0'), kind('validation_data_source { tfrecords_path: "v" image_directory_path: "i" }'), kind('')]).toEqual(['fold', 'source', 'none']);
  });
  it('of an inference spec, with TLT 2.0’s name of the threshold', () => {
    const text =
      'inferencer_config { target_classes: "car" image_width: 960 image_height: 544 tlt_config { model: "m.tlt" } } bbox_handler_config { kitti_dump: true classwise_bbox_handler_config { key: "default" value { confidence_threshold: 0.9 clustering_config { dbscan_eps: 0.3 } bbox_color { G: 255 } } } }';
    expect(inferenceSpec(parseSpec(text)).spec).toMatchObject({
      targetClasses: ['car'],
      batchSize: 1,
      stride: 16,
      model: 'm.tlt',
      classes: { default: { clustering: { dbscanConfidenceThreshold: 0.9, dbscanEps: 0.3 }, confidenceModel: 'aggregate_cov', color: { red: 0, green: 255 } } },
    });
  });
  it('of a classification spec', () => {
    const text =
      'model_config { arch: "resnet" } train_config { train_dataset_path: "t" val_dataset_path: "v" batch_size_per_gpu: 8 n_epochs: 2 pretrained_model_path: "m.onnx" optimizer { adam { lr: 1 } } reg_config { type: "L2" weight_decay: 5e-5 } lr_config { cosine { learning_rate: 0.1 min_lr_ratio: 0.01 soft_start: 0.1 } } }';
    expect(classificationSpec(parseSpec(text)).spec).toMatchObject({
      randomSeed: 42,
      model: { numLayers: 18, channels: 3, height: 224, width: 224, batchNorm: { momentum: 0.9, epsilon: 1e-5 } },
      training: {
        pretrainedModelPath: 'm.onnx',
        learningRate: { kind: 'cosine', minLrRatio: 0.01 },
        optimizer: { kind: 'adam' },
        regularizer: { type: 'L2', scope: ['Conv2D', 'Dense'] },
      },
      preprocess: { mode: 'caffe' },
      evaluation: { topK: 1, batchSize: 8 },
    });
  });
  it('of a conversion, and a COCO one is refused', () => {
    expect(convertSpec(parseSpec('kitti_config { root_directory_path: "r" partition_mode: "random" val_split: 26 }')).spec).toEqual({
      rootDirectoryPath: 'r',
      imageDirName: 'image_2',
      labelDirName: 'label_2',
      imageExtension: '.png',
      partition: { mode: 'random', valSplitPercent: 26 },
      numShards: 10,
      targetClassMapping: {},
    });
    expect(() => convertSpec(parseSpec('coco_config { root_directory_path: "r" }'))).toThrowError(expect.objectContaining({ code: 'format-unsupported' }));
  });
  it('of another task are refused', () => {
    expect(() => detectnetSpec(parseSpec('kitti_config { }'))).toThrowError(
      expect.objectContaining({ code: 'spec-invalid', message: 'This is a spec for dataset_convert, not for detectnet_v2_train.' }),
    );
  });
});

describe('explainSpec', () => {
  const text = 'kitti_config {\n  root_directory_path: "data"\n  val_split: 26\n}\ntarget_class_mapping { key: "car" value: "car" }\n';
  it('shows every field, where it comes from and what it means', () => {
    const rows = explainSpec(text).rows.map(
      ({ depth, path, value, from, line }) => `${'  '.repeat(depth)}${path.split('.').at(-1)} ${value ?? ''} (${from}${line ? ` ${line}` : ''})`,
    );
    expect(rows).toMatchInlineSnapshot(`
      [
        "coco_config  (unset)",
        "  root_directory_path  (default)",
        "  img_dir_names  (unset)",
        "  annotation_files  (unset)",
        "  num_partitions 0 (default)",
        "  num_shards  (unset)",
        "kitti_config  (file 1)",
        "  root_directory_path data (file 2)",
        "  image_dir_name image_2 (default)",
        "  label_dir_name label_2 (default)",
        "  point_clouds_dir  (default)",
        "  calibrations_dir  (default)",
        "  kitti_sequence_to_frames_file  (default)",
        "  image_extension .png (default)",
        "  num_partitions 2 (default)",
        "  num_shards 10 (default)",
        "  partition_mode  (default)",
        "  val_split 26 (file 3)",
        "sample_modifier_config  (unset)",
        "  filter_samples_containing_only  (unset)",
        "  dominant_target_classes  (unset)",
        "  minimum_target_class_imbalance  (unset)",
        "  num_duplicates 0 (default)",
        "  max_training_samples 0 (default)",
        "  source_to_target_class_mapping  (unset)",
        "image_directory_path  (default)",
        "target_class_mapping  (file 5)",
        "  target_class_mapping["car"] car (file 5)",
      ]
    `);
  });
  it('gives types, defaults and meanings', () => {
    expect(explainSpec(text).rows.find(({ path }) => path === 'kitti_config.num_shards')).toEqual({
      path: 'kitti_config.num_shards',
      depth: 1,
      type: 'uint32',
      value: 10,
      from: 'default',
      default: 10,
      meaning: 'files per fold',
    });
    expect(explainSpec(detectnetText()).rows.find(({ path }) => path === 'model_config.num_layers')).toMatchObject({
      value: 18,
      from: 'file',
      line: 2,
      default: 18,
      meaning: 'depth of the backbone',
    });
    expect(explainSpec(detectnetText()).rows.every(({ from, line }) => (from === 'file') === (line !== undefined))).toBe(true);
  });
});

describe('toText', () => {
  it('is read back as the same message', () => {
    const scalar = { float: fc.double({ noNaN: true }), text: fc.string({ unit: 'binary' }).map(text => text.toWellFormed()), count: fc.nat(0xffffffff) };
    const message = fc.record(
      {
        image_directory_path: scalar.text,
        target_class_mapping: fc.dictionary(scalar.text, scalar.text, { minKeys: 1, maxKeys: 4 }),
        kitti_config: fc.record({ root_directory_path: scalar.text, num_shards: scalar.count, val_split: scalar.float }, { requiredKeys: [] }),
        sample_modifier_config: fc.record(
          { dominant_target_classes: fc.array(scalar.text, { minLength: 1 }), minimum_target_class_imbalance: fc.dictionary(scalar.text, scalar.float, { minKeys: 1 }) },
          { requiredKeys: [] },
        ),
      },
      { requiredKeys: ['kitti_config'], noNullPrototype: true },
    );
    fc.assert(
      fc.property(message, value => {
        expect(parseSpec(toText('dataset_convert', value as unknown as SpecMessage), { task: 'dataset_convert' }).message).toEqual(value);
      }),
      { numRuns: 40 },
    );
  });
});

it('near misses are near', () => {
  const known = ['num_layers', 'arch', 'use_batch_norm', 'dropout_rate'];
  expect([didYouMean('n_layers', known), didYouMean('nlayers', known), didYouMean('Arch', known), didYouMean('batch_norm', known), didYouMean('zebra', known)]).toEqual([
    'Did you mean num_layers?',
    'Did you mean num_layers?',
    'Did you mean arch?',
    'Did you mean use_batch_norm?',
    '',
  ]);
});
