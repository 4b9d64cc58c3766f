import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { EdgeError } from '../core/errors.ts';
import { type KittiObject, readKittiLabels } from '../formats/kitti.ts';
import { type Example, type Feature, writeTfrecords } from '../formats/tfrecord.ts';
import { type Complaint, gathering, type ImportOptions, listFolder, refuse, sparing, stemOf } from './_image-files.ts';
import { inParallel } from './_in-parallel.ts';
import { readHeader } from './decode.ts';
import { randomAt, shuffled } from './random.ts';
import { tltRandomFolds, tltSequenceFolds } from './split.ts';

/** TLT's kitti_config, with its defaults. `imageExtension` has the dot. */
export interface KittiConversion {
  readonly root: string;
  readonly imageDirName?: string;
  readonly labelDirName?: string;
  readonly imageExtension?: string;
  readonly numPartitions?: number;
  readonly numShards?: number;
  readonly partitionMode: 'random' | 'sequence';
  readonly valSplit?: number;
  /** kitti_sequence_to_frames_file: JSON {sequence: [frame ids]}. */
  readonly sequenceFile?: string;
}
export interface ConversionReport {
  readonly files: readonly string[];
  readonly folds: readonly { readonly fold: number; readonly images: number; readonly objects: Readonly<Record<string, number>> }[];
  /** Boxes dropped because int(x1) ≥ int(x2) or int(y1) ≥ int(y2); also in `<output>_warning.json`. */
  readonly dropped: number;
  readonly notes: readonly string[];
}
interface Frame {
  readonly example: Example;
  readonly classes: readonly string[];
}
type Warnings = Record<string, Record<string, readonly number[]>>;

const pad = (value: number, width: number): string => String(value).padStart(width, '0');
/** TLT's shard name. */
export const shardName = (output: string, fold: number, folds: number, shard: number, shards: number): string =>
  `${output}-fold-${pad(fold, 3)}-of-${pad(folds, 3)}-shard-${pad(shard, 5)}-of-${pad(shards, 5)}`;

/** TLT's dataset_convert: a KITTI tree into TFRecords of tf.train.Example with TLT's keys, names, partitions and shards (tlt-formats §7). Order within a shard is shuffled by our own generator, not Python's. */
export async function convertKitti(
  conversion: KittiConversion,
  output: string,
  options: Pick<ImportOptions, 'signal' | 'onProgress' | 'onCorrupt'> = {},
): Promise<ConversionReport> {
  const { root, imageDirName = 'image_2', labelDirName = 'label_2', imageExtension = '.png' } = conversion;
  const names = (await listFolder(join(root, imageDirName))).files.filter(name => name.endsWith(imageExtension));
  if (names.length === 0)
    throw new EdgeError('dataset-invalid', `"${join(root, imageDirName)}" holds no *${imageExtension}.`, {
      hint: 'Set image_extension to what your files have, e.g. ".jpg".',
      where: { file: join(root, imageDirName), path: 'kitti_config.image_extension' },
    });
  const ids = names.map(name => name.slice(0, -imageExtension.length));
  const folds = await foldsOf(conversion, ids);
  const shards = Math.max(1, conversion.numShards ?? 10);
  if (shards > 10_000) throw new EdgeError('spec-invalid', `num_shards is ${shards}.`, { hint: 'Use at most 10000.', where: { path: 'kitti_config.num_shards' } });
  const warnings: Warnings = {};
  const complaints: Complaint[] = [];
  let done = 0;
  const frames = new Map<string, Frame>();
  await inParallel([...new Set(folds.flat())], availableParallelism() * 2, async id => {
    options.signal?.throwIfAborted();
    const label = join(root, labelDirName, `${id}.txt`);
    const image = join(root, imageDirName, id + imageExtension);
    const frame = await gathering(complaints, () => sparing(options.onCorrupt, () => frameOf(`${imageDirName}/${id}`, image, label, warnings)));
    if (frame) frames.set(id, frame);
    options.onProgress?.(++done, ids.length);
  });
  refuse(complaints);
  await mkdir(dirname(output), { recursive: true });
  const files: string[] = [];
  for (const [fold, listed] of folds.entries()) {
    const members = listed.filter(id => frames.has(id));
    const order = shuffled(members.length, randomAt(42, fold)).map(index => members[index]!);
    const size = Math.floor(order.length / shards);
    for (let shard = 0; shard < shards; shard++) {
      const part = order.slice(shard * size, shard === shards - 1 ? order.length : (shard + 1) * size);
      const file = shardName(output, fold, folds.length, shard, shards);
      await writeFile(file, writeTfrecords(part.map(id => frames.get(id)!.example)));
      files.push(file);
    }
  }
  const dropped = Object.values(warnings).reduce((sum, boxes) => sum + Object.keys(boxes).length, 0);
  const warningFile = `${output}_warning.json`;
  if (dropped > 0) await writeFile(warningFile, `${JSON.stringify(Object.fromEntries(Object.entries(warnings).sort(([a], [b]) => (a < b ? -1 : 1))), null, 2)}\n`);
  return {
    files,
    folds: folds.map((members, fold) => ({ fold, images: members.length, objects: countOf(members.map(id => frames.get(id)!)) })),
    dropped,
    notes: dropped > 0 ? [`${dropped} boxes without width or height were dropped; they are listed in ${warningFile}.`] : [],
  };
}

function countOf(frames: readonly Frame[]): Record<string, number> {
  const counts = new Map<string, number>();
  for (const { classes } of frames) for (const name of classes) counts.set(name, (counts.get(name) ?? 0) + 1);
  return Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
}

async function foldsOf({ partitionMode, numPartitions = 2, valSplit = 0, sequenceFile, root }: KittiConversion, ids: readonly string[]): Promise<readonly (readonly string[])[]> {
  if (partitionMode === 'random') {
    if (numPartitions !== 2)
      throw new EdgeError('spec-invalid', `num_partitions is ${numPartitions}; random partitioning makes exactly 2.`, {
        hint: 'Set num_partitions: 2, or partition_mode: "sequence".',
        where: { path: 'kitti_config.num_partitions' },
      });
    return tltRandomFolds(ids, valSplit);
  }
  if (sequenceFile === undefined)
    throw new EdgeError('spec-invalid', 'partition_mode is "sequence", but kitti_sequence_to_frames_file is not set.', {
      hint: 'Name the JSON {sequence: [frame ids]}, or use partition_mode: "random".',
      where: { path: 'kitti_config' },
    });
  const sequences = await readSequences(sequenceFile, root);
  const known = new Set(ids);
  const folds = tltSequenceFolds(sequences, numPartitions);
  const strange = folds.flat().find(id => !known.has(id));
  if (strange !== undefined)
    throw new EdgeError('dataset-invalid', `The frame "${strange}" has no image.`, { hint: 'Frames are image names without extension.', where: { file: sequenceFile } });
  return folds;
}

/** The sequences of a kitti_sequence_to_frames_file; a relative name starts at the dataset's root, as in TLT. */
export async function readSequences(file: string, root: string): Promise<Readonly<Record<string, readonly string[]>>> {
  const path = file.startsWith('/') ? file : join(root, file);
  try {
    return z.record(z.string(), z.array(z.string())).parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (cause) {
    throw new EdgeError('dataset-invalid', `"${path}" is no {"sequence": ["frame", …]} in JSON.`, {
      hint: 'Write frame ids (image names without extension) per sequence.',
      where: { file: path },
      cause,
    });
  }
}

async function frameOf(id: string, image: string, label: string, warnings: Warnings): Promise<Frame> {
  const text = await readFile(label, 'utf8').catch(cause => {
    throw new EdgeError('dataset-invalid', `The image "${id}" has no label file.`, { hint: `Add ${stemOf(label)}.txt, or remove the image.`, where: { file: label }, cause });
  });
  const objects = readKittiLabels(text, { file: label });
  const { width, height } = await readHeader(image);
  const kept = objects.filter((object, index) => {
    const empty = Math.trunc(object.x1) >= Math.trunc(object.x2) || Math.trunc(object.y1) >= Math.trunc(object.y2);
    if (empty) warnings[label] = { ...warnings[label], [index]: [object.x1, object.y1, object.x2, object.y2] };
    return !empty;
  });
  return { example: exampleOf(id, width, height, kept), classes: kept.map(({ className }) => className.toLowerCase()) };
}

const bytes = (values: readonly string[]): Feature => ({ kind: 'bytes', values: values.map(value => new TextEncoder().encode(value)) });
function exampleOf(id: string, width: number, height: number, objects: readonly KittiObject[]): Example {
  const floats = (key: keyof KittiObject): Feature => ({ kind: 'float', values: objects.map(object => object[key] as number) });
  return new Map<string, Feature>([
    ['frame/id', bytes([id])],
    ['frame/height', { kind: 'int64', values: [height] }],
    ['frame/width', { kind: 'int64', values: [width] }],
    ['target/object_class', bytes(objects.map(({ className }) => className.toLowerCase()))],
    ['target/truncation', floats('truncated')],
    ['target/occlusion', { kind: 'int64', values: objects.map(({ occluded }) => occluded) }],
    ['target/observation_angle', floats('alpha')],
    ['target/coordinates_x1', floats('x1')],
    ['target/coordinates_y1', floats('y1')],
    ['target/coordinates_x2', floats('x2')],
    ['target/coordinates_y2', floats('y2')],
    ['target/world_bbox_h', floats('height')],
    ['target/world_bbox_w', floats('width')],
    ['target/world_bbox_l', floats('length')],
    ['target/world_bbox_x', floats('x')],
    ['target/world_bbox_y', floats('y')],
    ['target/world_bbox_z', floats('z')],
    ['target/world_bbox_rot_y', floats('rotationY')],
  ]);
}
