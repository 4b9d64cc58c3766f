import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { inPackage } from '../../src/core/package-root.ts';
import { Store } from '../../src/core/store.ts';
import { drawScenes } from '../../src/data/synth.ts';
import { checkedSplit } from '../../src/pipeline/checked-data.ts';
import { cli } from './_cli.ts';

let folder: string;
const image = (name: string) => join(folder, 'data', 'images', name);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'data-verbs-'));
  await drawScenes({ seed: 3, count: 10, folder: join(folder, 'data'), width: 160, height: 96 });
  await cp(inPackage('src', 'pipeline', 'templates', 'scenes', 'specs'), join(folder, 'specs'), { recursive: true });
  await writeFile(join(folder, 'edgeforge.yaml'), 'task: detectnet_v2\ndata: {kitti: data, validation: 0.3}\nmodel: {spec: specs/train.txt}\n');
});
afterAll(() => rm(folder, { recursive: true, force: true }));
const project = () => ['--project', folder];

describe('a sound dataset', () => {
  test('is called sound, with what each label has to learn from', async () => {
    const { code, out } = await cli('data', 'check', '--json', ...project());
    const said = JSON.parse(out) as { ok: boolean; train: { images: number }; validation: { images: number }; labels: Record<string, number> };
    expect([code, said.ok, said.train.images, said.validation.images]).toEqual([0, true, 7, 3]);
    expect(Math.min(...Object.values(said.labels))).toBeGreaterThan(0);
  });

  test('shows itself as training sees it: the same epoch the same sheet, another epoch another', async () => {
    const sheets: Buffer[] = [];
    for (const words of [
      ['--epoch', '1'],
      ['--epoch', '1'],
      ['--epoch', '2'],
      ['--epoch', '1', '--plain'],
    ]) {
      const file = join(folder, `sheet-${sheets.length}.jpg`);
      const { code, out } = await cli('data', 'preview', '--out', file, '--count', '4', ...words, ...project());
      expect([code, out]).toEqual([0, expect.stringMatching(words.includes('--plain') ? /not augmented/ : /augmented as in epoch \d, seed 42/)]);
      sheets.push(await readFile(file));
    }
    const { out } = await cli('data', 'preview', '--out', join(folder, 'boxes.png'), '--count', '4', '--plain', '--json', ...project());
    expect(JSON.parse(out).boxes).toBeGreaterThan(0);
    expect(sheets[1]).toEqual(sheets[0]);
    expect(sheets[2]).not.toEqual(sheets[0]);
    expect(sheets[3]).not.toEqual(sheets[0]);
    const { width, height } = await sharp(sheets[0]).metadata();
    expect(width).toBeGreaterThan(4 * 320);
    expect(height).toBeGreaterThan(150);
  });

  test('wishes that make no sense are usage errors', async () => {
    expect((await cli('data', 'preview', '--count', '0', ...project())).code).toBe(2);
    expect((await cli('data', 'preview', '--seed', 'x', ...project())).code).toBe(2);
  });
});

describe('broken images', () => {
  const settings = { format: 'kitti', validation: 0.3, split: 'tlt', seed: 1, input: { width: 64, height: 48 } } as const;
  const checked = async (corrupt: 'refuse' | 'skip') =>
    checkedSplit(join(folder, 'data'), { ...settings, corrupt }, { cache: await new Store(join(folder, '.edgeforge')).statCache() });

  test('are refused by name, or left out of both parts; the check lists them', async () => {
    await writeFile(image('000008.jpg'), (await readFile(image('000008.jpg'))).subarray(0, 900));
    await expect(checked('refuse')).rejects.toMatchObject({
      code: 'image-corrupt',
      message: expect.stringContaining('000008.jpg'),
      hint: expect.stringContaining('corrupt: skip'),
    });
    await writeFile(image('000001.jpg'), 'no image at all');
    await expect(checked('refuse')).rejects.toThrow(/000001\.jpg/);
    const { split, corrupt } = await checked('skip');
    expect(corrupt.map(({ file }) => file.slice(-10)).sort()).toEqual(['000001.jpg', '000008.jpg']);
    expect([...split.train.samples, ...split.validation.samples].map(({ id }) => id)).toHaveLength(8);
    const { code, out } = await cli('data', 'check', ...project());
    expect([code, out]).toEqual([1, expect.stringMatching(/2 images cannot be used:.*mend this before training/s)]);
  });
});

test('a label that nothing maps to is an error with both ways out', async () => {
  const labels = join(folder, 'data', 'labels');
  for (let i = 0; i < 10; i++) {
    const file = join(labels, `00000${i}.txt`);
    await writeFile(file, (await readFile(file, 'utf8')).replace(/^person /gim, 'dog '));
  }
  const { code, out } = await cli('data', 'check', ...project());
  expect([code, out]).toEqual([1, expect.stringMatching(/maps to "person".*target_class_mapping.*or take the class out/s)]);
});
