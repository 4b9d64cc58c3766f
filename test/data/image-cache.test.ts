import { mkdtemp, rm, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openSampleWork, type SampleWork, type WorkSettings } from '../../src/data/_sample-work.ts';
import { cacheBudget, decodedBytes } from '../../src/data/cache-budget.ts';
import { importKitti } from '../../src/data/import-kitti.ts';
import { drawScenes } from '../../src/data/synth.ts';

const [size, count] = [{ width: 64, height: 48 }, 5];
const each = decodedBytes(size);
let folder: string;
let images: string[];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'image-cache-'));
  await drawScenes({ seed: 3, count, folder, width: 160, height: 96 });
  images = (await importKitti(folder)).samples.map(({ image }) => image);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test('decoded images are kept up to the byte budget and no further', async () => {
  const settings: Omit<WorkSettings, 'cacheBytes'> = {
    root: folder,
    size,
    fit: 'stretch',
    filter: undefined,
    preprocess: { scale: 1, offset: [0, 0, 0], order: 'rgb', resize: 'stretch' },
    augmentation: undefined,
    seed: 1,
  };
  // Budgets of no image, of one less a byte, of one, of two and a half, of all.
  const budgets = [0, each - 1, each, 2.5 * each, count * each];
  const works = budgets.map(cacheBytes => openSampleWork({ ...settings, cacheBytes }));
  const row = () => new Float32Array(3 * size.width * size.height);
  const first = new Map<string, Float32Array>();
  for (const [at, work] of works.entries())
    for (const [index, image] of images.entries()) {
      const out = row();
      await work(sample(index, image), out);
      first.set(`${at} ${index}`, out);
    }
  // What is still served once the files are gone is what was kept.
  for (const image of images) await unlink(join(folder, image));
  const kept: number[][] = [];
  for (const [at, work] of works.entries()) {
    const served: number[] = [];
    for (const [index, image] of images.entries()) {
      const out = row();
      const failed = await work(sample(index, image), out).then(
        () => undefined,
        error => error.code,
      );
      expect([undefined, 'file-missing']).toContain(failed);
      if (failed !== undefined) continue;
      expect(out).toEqual(first.get(`${at} ${index}`));
      served.push(index);
    }
    kept.push(served);
  }
  expect(kept).toEqual([[], [], [0], [0, 1], [0, 1, 2, 3, 4]]);
});
const sample = (index: number, image: string): SampleWork => ({ index, epoch: 1, image, annotation: { kind: 'class', classIndex: 0 } });

test('the budget: so many MiB as set, or what the dataset needs, within a quarter of the free memory and 4 GiB', () => {
  expect(cacheBudget(3, 1e12, 1)).toBe(3 * 2 ** 20);
  expect(cacheBudget(0, 1e12, 1e12)).toBe(0);
  expect(cacheBudget('auto', 1000, 1e9)).toBe(1000);
  expect(cacheBudget('auto', 1e12, 4001)).toBe(1000);
  expect(cacheBudget('auto', 1e12, 1e12)).toBe(4 * 2 ** 30);
});
