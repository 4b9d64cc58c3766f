import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mapClasses } from '../../src/data/class-map.ts';
import { importCoco } from '../../src/data/import-coco.ts';
import { importFolderSplit } from '../../src/data/import-folders.ts';
import { importKitti } from '../../src/data/import-kitti.ts';
import { importVoc } from '../../src/data/import-voc.ts';
import { splitManifest } from '../../src/data/split.ts';
import { validateDataset, validationRows } from '../../src/data/validate.ts';
import { hasShared, shared } from '../shared.ts';

const countClasses = (samples: readonly { objects?: readonly { className: string }[] }[]) => {
  const counts: Record<string, number> = {};
  for (const { objects = [] } of samples) for (const { className } of objects) counts[className] = (counts[className] ?? 0) + 1;
  return counts;
};

describe.skipIf(!hasShared)('real datasets', () => {
  test('kitti101: counts of the README, TLT’s split, ignored regions', async () => {
    const manifest = await importKitti(shared('datasets', 'kitti101'));
    expect(countClasses(manifest.samples)).toEqual({ Car: 303, DontCare: 237, Pedestrian: 47, Van: 34, Cyclist: 18, Truck: 14, Tram: 12, Misc: 6, Person_sitting: 5 });
    expect(manifest.samples).toHaveLength(101);
    expect(manifest.classes).not.toContain('DontCare');
    const { train, validation } = splitManifest(manifest, { kind: 'tlt-random', valSplitPercent: 26 });
    expect(validation.samples.map(({ id }) => id)).toEqual(Array.from({ length: 26 }, (_, i) => String(i).padStart(6, '0')));
    expect(train.samples).toHaveLength(75);
    const map = mapClasses(manifest, { mapping: { car: 'car', Van: 'car', pedestrian: 'person', automobile: 'car' } });
    expect(map).toMatchObject({ labels: ['car', 'person'], counts: [337, 47] });
    expect(map.notes.join('\n')).toMatch(/"cyclist" \(18\) maps to nothing[\s\S]*"automobile" occurs nowhere/);
    const report = await validateDataset(manifest, { input: { width: 640, height: 192 }, decode: false });
    expect(report).toMatchObject({ ok: true, images: 101, objects: 439 });
    expect(report.sizes.reduce((sum, { images }) => sum + images, 0)).toBe(101);
    expect(report.counts['small-object']).toBeGreaterThan(0);
    expect(validationRows(report).every(row => row.length === 3)).toBe(true);
  });

  test('playing_cards: 296 + 67 photos, 670 boxes, six classes', async () => {
    const [train, held] = [await importVoc(shared('datasets', 'playing_cards', 'images', 'train')), await importVoc(shared('datasets', 'playing_cards', 'images', 'test'))];
    expect([train.samples.length, held.samples.length]).toEqual([296, 67]);
    const boxes = [...train.samples, ...held.samples].reduce((sum, { objects = [] }) => sum + objects.length, 0);
    expect(boxes).toBe(670);
    expect(train.classes).toEqual(['ace', 'jack', 'king', 'nine', 'queen', 'ten']);
  });

  test('flowers5: 80 + 25 of each', async () => {
    const { train, validation } = await importFolderSplit(shared('datasets', 'flowers5'));
    expect(train.classes).toEqual(['daisy', 'dandelion', 'roses', 'sunflowers', 'tulips']);
    expect([train.samples.length, validation.samples.length]).toEqual([400, 125]);
    const { validation: quarter } = splitManifest(train, { kind: 'stratified', fraction: 0.25, seed: 3 });
    for (const name of train.classes) expect(quarter.samples.filter(({ className }) => className === name)).toHaveLength(20);
    expect(splitManifest(train, { kind: 'stratified', fraction: 0.25, seed: 3 }).validation).toEqual(quarter);
    expect(splitManifest(train, { kind: 'stratified', fraction: 0.25, seed: 4 }).validation).not.toEqual(quarter);
  });

  test('coco_permissive_33', async () => {
    const manifest = await importCoco(shared('datasets', 'coco_permissive_33', 'instances.json'));
    expect(manifest.samples).toHaveLength(33);
    expect(manifest.samples.reduce((sum, { objects = [] }) => sum + objects.length, 0)).toBe(246);
  });
});

describe('a strict KITTI import', () => {
  let root: string;
  const car = 'car 0.00 0 0.00 1 2 10 12 0 0 0 0 0 0 0\n';
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'kitti-'));
    await mkdir(join(root, 'images'));
    await mkdir(join(root, 'labels'));
    const jpeg = await sharp({ create: { width: 32, height: 24, channels: 3, background: 'red' } })
      .jpeg()
      .toBuffer();
    for (const id of ['a', 'b', 'c']) {
      await writeFile(join(root, 'images', `${id}.jpeg`), jpeg);
      await writeFile(join(root, 'labels', `${id}.txt`), car);
    }
  });
  afterAll(() => rm(root, { recursive: true, force: true }));
  const changed = async (change: (folder: string) => Promise<unknown>) => {
    const folder = await mkdtemp(join(tmpdir(), 'kitti-'));
    await cp(root, folder, { recursive: true });
    await change(folder);
    return folder;
  };

  test('reads sizes from headers and keeps what labels state', async () => {
    const { samples } = await importKitti(root);
    expect(samples[0]).toMatchObject({ id: 'a', image: 'images/a.jpeg', width: 32, height: 24, objects: [{ className: 'car', x1: 1, y1: 2, x2: 10, y2: 12 }] });
    expect(samples[0]!.digest).toMatch(/^[0-9a-f]{64}$/);
  });

  test('every mistake is told with file and line', async () => {
    const folder = await changed(async at => {
      await writeFile(join(at, 'labels', 'a.txt'), `${car}car 0 0 0 1 2 3\n`);
      await writeFile(join(at, 'labels', 'b.txt'), car.replace('10', 'ten'));
      await writeFile(join(at, 'images', 'c.jpeg'), 'no image');
    });
    const error = await importKitti(folder).catch(e => e);
    expect(error).toMatchObject({ code: 'dataset-invalid' });
    expect(error.message).toMatch(/3 mistakes/);
    expect(error.message).toContain(`${join(folder, 'labels', 'a.txt')}:2: 7 fields`);
    expect(error.message).toContain(`${join(folder, 'labels', 'b.txt')}:1: `);
    expect(error.message).toContain('c.jpeg');
  });

  test('an image without label, a label without image, and two images of one name are refused', async () => {
    const lone = await changed(async at => {
      await rm(join(at, 'labels', 'a.txt'));
      await writeFile(join(at, 'labels', 'z.txt'), car);
    });
    await expect(importKitti(lone)).rejects.toMatchObject({
      code: 'dataset-invalid',
      message: expect.stringMatching(/z\.txt: this label has no image[\s\S]*a\.jpeg: this image has no label/),
    });
    const twins = await changed(at => cp(join(at, 'images', 'a.jpeg'), join(at, 'images', 'a.png')));
    await expect(importKitti(twins)).rejects.toMatchObject({ code: 'dataset-invalid', message: expect.stringContaining('share one name') });
    await expect(importKitti(join(root, 'absent'))).rejects.toMatchObject({ code: 'file-missing' });
    await expect(importKitti(join(root, 'images'))).rejects.toMatchObject({ code: 'dataset-invalid', message: expect.stringContaining('no KITTI folder') });
  });

  test('validation finds broken pixels, boxes without area or outside, and small objects', async () => {
    const folder = await changed(async at => {
      await writeFile(join(at, 'labels', 'a.txt'), car.replace('1 2 10 12', '5 5 5 9') + car.replace('10 12', '80 12'));
      await writeFile(join(at, 'labels', 'b.txt'), '');
    });
    const manifest = await importKitti(folder);
    const bytes = await sharp({ create: { width: 32, height: 24, channels: 3, background: 'red', noise: { type: 'gaussian', mean: 128, sigma: 60 } } })
      .jpeg()
      .toBuffer();
    await writeFile(join(folder, 'images', 'c.jpeg'), bytes.subarray(0, bytes.length - 200));
    const report = await validateDataset(manifest, { input: { width: 16, height: 16 } });
    expect(report.ok).toBe(false);
    expect(report.counts).toMatchObject({ 'corrupt-image': 1, 'degenerate-box': 1, 'outside-box': 1, 'no-objects': 1 });
    expect(report.classes).toMatchObject([{ name: 'car', objects: 3, images: 2 }]);
    expect(report.counts['small-object']).toBeGreaterThanOrEqual(2);
  });

  test('a class that maps to nothing is an error with both ways out', async () => {
    const manifest = await importKitti(root);
    expect(() => mapClasses(manifest, { mapping: { car: 'car' }, targets: ['car', 'person'] })).toThrow(/No object of the dataset maps to "person".*car \(3\)/);
    expect(() => mapClasses(manifest, { mapping: { car: 'cars' }, targets: ['car'] })).toThrow(/"car" to "cars", which is none/);
    expect(() => mapClasses(manifest, { mapping: { tram: 'tram' } })).toThrow(/No object/);
    expect(mapClasses(manifest)).toMatchObject({ labels: ['car'], counts: [3], notes: [] });
  });
});
