import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { convertKitti } from '../../src/data/convert.ts';
import { importKitti } from '../../src/data/import-kitti.ts';
import { readTfrecordManifest } from '../../src/data/read-tfrecords.ts';
import { tltRandomFolds, tltSequenceFolds } from '../../src/data/split.ts';
import { drawScenes } from '../../src/data/synth.ts';
import { readTfrecords } from '../../src/formats/tfrecord.ts';
import { hasShared, shared } from '../shared.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'convert-'));
  await drawScenes({ seed: 3, count: 11, folder, width: 160, height: 96 });
});
afterAll(() => rm(folder, { recursive: true, force: true }));
const conversion = { imageDirName: 'images', labelDirName: 'labels', imageExtension: '.jpg', partitionMode: 'random', numShards: 2 } as const;

describe('partitions', () => {
  test('random: the first int(percent · N) sorted names', () => {
    expect(tltRandomFolds(['c', 'a', 'b', 'e', 'd'], 50)).toEqual([
      ['a', 'b'],
      ['c', 'd', 'e'],
    ]);
    expect(() => tltRandomFolds(['a'], 101)).toThrow(/0 to 100/);
  });
  test('sequence: by falling length, then name, dealt in turn, reversed', () => {
    const sequences = { s1: ['a'], s2: ['b', 'c', 'd'], s3: ['e', 'f'], s0: ['g'] };
    expect(tltSequenceFolds(sequences, 2)).toEqual([
      ['e', 'f', 'a'],
      ['b', 'c', 'd', 'g'],
    ]);
    expect(() => tltSequenceFolds(sequences, 5)).toThrow(/4 sequences/);
  });
});

test('a converted folder reads back as the same dataset, fold by fold', async () => {
  const output = join(folder, 'records', 'trainval');
  const report = await convertKitti({ ...conversion, root: folder, valSplit: 30 }, output);
  expect(report.folds.map(({ images }) => images)).toEqual([3, 8]);
  expect((await readdir(join(folder, 'records'))).sort()).toEqual([0, 1].flatMap(fold => [0, 1].map(shard => `trainval-fold-00${fold}-of-002-shard-0000${shard}-of-00002`)));
  // Shards of floor(n / shards); the last takes the rest.
  const sizes = await Promise.all(report.files.map(async file => readTfrecords(await readFile(file)).length));
  expect(sizes).toEqual([1, 2, 4, 4]);
  const source = [{ tfrecordsPath: `${output}*`, imageDirectoryPath: folder }];
  const validation = await readTfrecordManifest(source, { extension: 'jpg', fold: { only: 0 } });
  const train = await readTfrecordManifest(source, { extension: 'jpg', fold: { not: 0 } });
  expect(validation.samples.map(({ id }) => id)).toEqual(['images/000000', 'images/000001', 'images/000002']);
  const straight = await importKitti(folder);
  for (const [index, sample] of [...validation.samples, ...train.samples].entries()) {
    const own = straight.samples[index]!;
    expect(sample).toMatchObject({ id: `images/${own.id}`, image: own.image, digest: own.digest, width: 160, height: 96 });
    expect(sample.objects).toHaveLength(own.objects!.length);
    sample.objects!.forEach((object, i) => {
      expect(object.className).toBe(own.objects![i]!.className);
      for (const side of ['x1', 'y1', 'x2', 'y2', 'truncated', 'occluded'] as const) expect(object[side]).toBeCloseTo(own.objects![i]![side]!, 4);
    });
  }
  await expect(readTfrecordManifest(source, { extension: 'jpg', fold: { only: 7 } })).rejects.toMatchObject({ code: 'file-missing', message: expect.stringContaining('fold 7') });
});

test('boxes without area are dropped, and listed beside the records', async () => {
  const sample = join(folder, 'labels', '000000.txt');
  const before = await readFile(sample, 'utf8');
  await writeFile(sample, `Truck 0 0 0 10.2 5 10.9 9 0 0 0 0 0 0 0\nTruck 0 0 0 10.2 5 30 9 1 2 3 4 5 6 7\n`);
  try {
    const output = join(folder, 'dropped', 'x');
    const report = await convertKitti({ ...conversion, root: folder, valSplit: 10 }, output);
    expect(report).toMatchObject({ dropped: 1, folds: [{ images: 1, objects: { truck: 1 } }, { images: 10 }] });
    expect(JSON.parse(await readFile(`${output}_warning.json`, 'utf8'))).toEqual({ [sample]: { 0: [10.2, 5, 10.9, 9] } });
    const [example] = (await Promise.all(report.files.slice(0, 2).map(async file => readTfrecords(await readFile(file))))).flat();
    expect(example!.get('target/world_bbox_rot_y')).toEqual({ kind: 'float', values: [7] });
    expect(example!.get('frame/width')).toEqual({ kind: 'int64', values: [160] });
  } finally {
    await writeFile(sample, before);
  }
});

test('wishes that cannot be met are refused', async () => {
  const root = folder;
  await expect(convertKitti({ ...conversion, root, imageExtension: '.png' }, join(folder, 'no'))).rejects.toMatchObject({
    code: 'dataset-invalid',
    where: { path: 'kitti_config.image_extension' },
  });
  await expect(convertKitti({ ...conversion, root, numPartitions: 3 }, join(folder, 'no'))).rejects.toMatchObject({
    code: 'spec-invalid',
    message: expect.stringContaining('exactly 2'),
  });
  await expect(convertKitti({ ...conversion, root, partitionMode: 'sequence' }, join(folder, 'no'))).rejects.toMatchObject({ code: 'spec-invalid' });
});

test.skipIf(!hasShared)('kitti101 with TLT’s settings: 26 images validate', async () => {
  const output = join(folder, 'kitti', 'kitti_trainval');
  const report = await convertKitti({ root: shared('datasets', 'kitti101'), imageExtension: '.jpg', partitionMode: 'random', valSplit: 26 }, output);
  expect(report.folds.map(({ images }) => images)).toEqual([26, 75]);
  expect(report.files).toHaveLength(20);
  const total = (name: string) => report.folds.reduce((sum, { objects }) => sum + (objects[name] ?? 0), 0);
  expect([total('car'), total('pedestrian'), total('dontcare')]).toEqual([303, 47, 237]);
});
