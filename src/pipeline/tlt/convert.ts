import { isAbsolute, join, resolve } from 'node:path';
import { EdgeError } from '../../core/errors.ts';
import { type ConversionReport, convertKitti, type KittiConversion } from '../../data/convert.ts';
import { type ConvertSpec, convertSpec } from '../../formats/spec/convert-spec.ts';
import { parseSpec } from '../../formats/spec/parse-spec.ts';
import { withStatus } from '../status-file.ts';
import { readSpecText } from './spec-file.ts';
import type { Tell } from './tell.ts';

export interface TltConvert {
  readonly spec: string;
  /** Start of the TFRecord files' names. */
  readonly output: string;
  readonly results?: string | undefined;
  /** TLT's DATA_BASE_PATH: where relative roots start. */
  readonly base?: string | undefined;
}

/** TLT's dataset_convert: a KITTI folder into TFRecords, and the object counts per class that TLT prints. */
export const tltConvert = (request: TltConvert, tell: Tell): Promise<ConversionReport> =>
  withStatus('dataset_convert', request.results, tell, async status => {
    const { spec, notes } = convertSpec(parseSpec(await readSpecText(request.spec), { file: request.spec, task: 'dataset_convert' }));
    for (const note of notes) tell.note(note);
    const report = await convertKitti(conversionOf(spec, request), resolve(request.output), {
      signal: tell.signal,
      onProgress: (done, total) => tell.progress(done, total, 'images'),
    });
    for (const note of report.notes) tell.note(note);
    for (const { fold, images, objects } of report.folds) {
      tell.say(
        `Fold ${fold}: ${images} images, ${report.files.filter(file => file.includes(`-fold-${String(fold).padStart(3, '0')}-`)).length} TFRecords. Wrote the following numbers of objects:`,
      );
      for (const line of countLines(objects)) tell.say(line);
    }
    const total = totals(report);
    tell.say('Cumulative object statistics');
    for (const line of countLines(total)) tell.say(line);
    tell.say(`Class map: ${Object.keys(total).join(', ')}. Use these names (lower case) as the keys of target_class_mapping.`);
    status.write({ status: 'RUNNING', message: 'Cumulative object statistics', categorical: { num_objects: total } });
    return report;
  });

function conversionOf(spec: ConvertSpec, { base, spec: file }: TltConvert): KittiConversion {
  if (spec.sampleModifier) {
    throw new EdgeError('format-unsupported', 'sample_modifier_config (duplicating and filtering samples) is not carried out here.', {
      hint: 'Remove it; to balance classes, use class_weight in the training spec.',
      where: { file, path: 'sample_modifier_config' },
    });
  }
  const root = isAbsolute(spec.rootDirectoryPath) ? spec.rootDirectoryPath : resolve(base ?? '.', spec.rootDirectoryPath);
  const { partition } = spec;
  const common = { root, imageDirName: spec.imageDirName, labelDirName: spec.labelDirName, imageExtension: spec.imageExtension, numShards: spec.numShards };
  if (partition.mode === 'random') return { ...common, partitionMode: 'random', valSplit: partition.valSplitPercent };
  const sequenceFile = isAbsolute(partition.sequenceToFramesFile) ? partition.sequenceToFramesFile : join(root, partition.sequenceToFramesFile);
  return { ...common, partitionMode: 'sequence', numPartitions: partition.numPartitions, sequenceFile };
}

function totals({ folds }: ConversionReport): Record<string, number> {
  const sums = new Map<string, number>();
  for (const { objects } of folds) for (const [name, count] of Object.entries(objects)) sums.set(name, (sums.get(name) ?? 0) + count);
  return Object.fromEntries([...sums].sort(([a], [b]) => (a < b ? -1 : 1)));
}
const countLines = (objects: Readonly<Record<string, number>>): string[] => Object.entries(objects).map(([name, count]) => `b'${name}': ${count}`);
