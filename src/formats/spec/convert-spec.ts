import { z } from 'zod';
import { EdgeError } from '../../core/errors.ts';
import { numberOf, part, partsOf, scalarRecordOf, textOf, textOrNone, textsOf, wrongTask } from './_read.ts';
import { type ParsedSpec, withDefaults } from './parse-spec.ts';
import { requireValid } from './validate.ts';

/** Settings of a dataset_convert spec for KITTI: TLT's names in camelCase, defaults filled. */
export const convertSpecSchema = z.strictObject({
  rootDirectoryPath: z.string(),
  imageDirName: z.string(),
  labelDirName: z.string(),
  /** With its dot. */
  imageExtension: z.string(),
  /** random: the first valSplit percent of the names validate (fold 0). sequence: whole sequences are dealt out. */
  partition: z.discriminatedUnion('mode', [
    z.strictObject({ mode: z.literal('random'), valSplitPercent: z.number() }),
    z.strictObject({ mode: z.literal('sequence'), numPartitions: z.number(), sequenceToFramesFile: z.string() }),
  ]),
  numShards: z.number(),
  imageDirectoryPath: z.string().optional(),
  /** Informational: classes are mapped when training. */
  targetClassMapping: z.record(z.string(), z.string()),
  sampleModifier: z
    .strictObject({
      filterSamplesContainingOnly: z.array(z.string()),
      dominantTargetClasses: z.array(z.string()),
      minimumTargetClassImbalance: z.record(z.string(), z.number()),
      numDuplicates: z.number(),
      maxTrainingSamples: z.number(),
      sourceToTargetClassMapping: z.record(z.string(), z.string()),
    })
    .optional(),
});
export type ConvertSpec = z.infer<typeof convertSpecSchema>;

/** A parsed dataset_convert spec as settings; throws spec-invalid when it does not hold, format-unsupported for coco_config. */
export function convertSpec(spec: ParsedSpec): { readonly spec: ConvertSpec; readonly notes: readonly string[] } {
  if (spec.task !== 'dataset_convert') throw wrongTask(spec, 'dataset_convert');
  const notes = requireValid(spec);
  const message = withDefaults(spec.task, spec.message);
  const kitti = part(message, 'kitti_config');
  if (!kitti) {
    throw new EdgeError('format-unsupported', 'This spec converts COCO annotations (coco_config); only kitti_config is carried out.', {
      hint: 'Import the COCO file as a dataset, or write kitti_config.',
      where: { ...(spec.file === undefined ? {} : { file: spec.file }), path: 'coco_config' },
    });
  }
  const modifier = part(message, 'sample_modifier_config');
  const sequence = textOf(kitti, 'partition_mode') === 'sequence';
  const imageDirectoryPath = textOrNone(message, 'image_directory_path');
  const settings = convertSpecSchema.parse({
    rootDirectoryPath: textOf(kitti, 'root_directory_path'),
    imageDirName: textOf(kitti, 'image_dir_name'),
    labelDirName: textOf(kitti, 'label_dir_name'),
    imageExtension: textOf(kitti, 'image_extension'),
    partition: sequence
      ? { mode: 'sequence', numPartitions: numberOf(kitti, 'num_partitions'), sequenceToFramesFile: textOf(kitti, 'kitti_sequence_to_frames_file') }
      : { mode: 'random', valSplitPercent: numberOf(kitti, 'val_split') },
    numShards: numberOf(kitti, 'num_shards'),
    ...(imageDirectoryPath === undefined ? {} : { imageDirectoryPath }),
    targetClassMapping: scalarRecordOf<string>(message, 'target_class_mapping', 'string'),
    ...(modifier
      ? {
          sampleModifier: {
            filterSamplesContainingOnly: textsOf(modifier, 'filter_samples_containing_only'),
            dominantTargetClasses: textsOf(modifier, 'dominant_target_classes'),
            minimumTargetClassImbalance: scalarRecordOf<number>(modifier, 'minimum_target_class_imbalance', 'number'),
            numDuplicates: numberOf(modifier, 'num_duplicates'),
            maxTrainingSamples: numberOf(modifier, 'max_training_samples'),
            sourceToTargetClassMapping: scalarRecordOf<string>(modifier, 'source_to_target_class_mapping', 'string'),
          },
        }
      : {}),
  });
  return { spec: settings, notes };
}

/** Specs that a DetectNet_v2 training spec carries for its own conversion (dataset_export_config), as parsed specs of their own; lines are not kept. */
export const exportConfigs = (spec: ParsedSpec): readonly ParsedSpec[] =>
  partsOf(spec.message, 'dataset_export_config').map(message => ({
    task: 'dataset_convert',
    message,
    notes: [],
    lines: new Map(),
    ...(spec.file === undefined ? {} : { file: spec.file }),
  }));
