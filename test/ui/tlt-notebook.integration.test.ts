import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { inPackage } from '../../src/core/package-root.ts';
import { parseCalibrationCache } from '../../src/formats/calibration-cache.ts';
import { decodeEtlt } from '../../src/formats/etlt.ts';
import { readKittiLabels } from '../../src/formats/kitti.ts';
import { looksLike } from '../../src/formats/payload.ts';
import { cli } from './_cli.ts';
import { notebookCommands } from './_notebook.ts';

const key = 'a-key-that-must-not-leak';
let folder: string;
const before = process.env.EDGEFORGE_KEY;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'edgeforge-notebook-'));
  process.env.EDGEFORGE_KEY = key;
  const specs = join(folder, 'specs');
  await cp(inPackage('src', 'pipeline', 'templates', 'notebooks', 'specs'), specs, { recursive: true });
  // The notebook runs in its own folder; here its relative paths get that folder, and everything becomes tiny.
  for (const name of await readdir(specs)) {
    const text = await readFile(join(specs, name), 'utf8');
    const tiny = text
      .replace(/"(data|detectnet_v2)\//g, `"${folder}/$1/`)
      .replace(/num_epochs: \d+/, 'num_epochs: 1')
      .replace(/checkpoint_interval: \d+/, 'checkpoint_interval: 1')
      .replace(/(image_width): 320/, '$1: 160')
      .replace(/(image_height): 192/, '$1: 96')
      .replace(/first_validation_epoch: \d+/, 'first_validation_epoch: 1');
    await writeFile(join(specs, name), tiny);
  }
});
afterAll(async () => {
  if (before === undefined) delete process.env.EDGEFORGE_KEY;
  else process.env.EDGEFORGE_KEY = before;
  await rm(folder, { recursive: true, force: true });
});

const small: Readonly<Record<string, string>> = { '200': '15', '320': '160', '192': '96' };
const inFolder = (name: string, value: string) => (name.endsWith('_DIR') ? join(folder, value) : value);

test('the notebook’s commands run from first to last and leave what TLT leaves', { timeout: 300_000 }, async () => {
  for (const words of await notebookCommands(inFolder)) {
    const scaled = words[0] === 'scenes' ? words.map(word => small[word] ?? word) : words;
    const { code, out, err } = await cli(...scaled);
    expect(code, `${scaled.join(' ')}\n${out}\n${err}`).toBe(0);
  }
  const at = (...parts: string[]) => join(folder, 'detectnet_v2', ...parts);
  expect(await readdir(at('experiment_dir_unpruned', 'weights'))).toEqual(expect.arrayContaining(['resnet10_detector.tlt', 'resnet10_detector.onnx']));
  expect(await readdir(at('experiment_dir_unpruned'))).toEqual(expect.arrayContaining(['model.epoch-1.tlt', 'status.json', 'experiment_spec.txt', 'tensorboard']));
  const lines = (await readFile(at('experiment_dir_unpruned', 'status.json'), 'utf8')).trimEnd().split('\n');
  const statuses = lines.map(line => (JSON.parse(line) as { status: string }).status);
  expect([statuses[0], statuses.at(-1)]).toEqual(['STARTED', 'SUCCESS']);
  expect(lines.some(line => line.includes('"graphical":{"loss"'))).toBe(true);
  const [image] = await readdir(at('tlt_infer_testing', 'images_annotated'));
  expect(image).toMatch(/\.jpg$/);
  for (const name of await readdir(at('tlt_infer_testing', 'labels'))) readKittiLabels(await readFile(at('tlt_infer_testing', 'labels', name), 'utf8'), { fields: 'results' });
  const final = at('experiment_dir_final');
  const { inputName, payload } = decodeEtlt(await readFile(join(final, 'resnet10_detector.etlt')), key);
  expect([inputName, looksLike(payload)]).toEqual(['', 'onnx']);
  expect(await readFile(join(final, 'labels.txt'), 'utf8')).toBe('car\nperson\nsign\n');
  expect(parseCalibrationCache(await readFile(join(final, 'calibration.bin'), 'utf8')).entries[0]?.name).toBe('input_1');
  expect(await readFile(join(final, 'nvinfer_config.txt'), 'utf8')).toMatch(/tlt-encoded-model=resnet10_detector\.etlt[\s\S]*int8-calib-file=calibration\.bin/);
  const named = await cli(
    'detectnet_v2',
    'evaluate',
    '-e',
    join(folder, 'specs', 'detectnet_v2_train_resnet10_kitti.txt'),
    '-m',
    at('experiment_dir_unpruned', 'model.epoch-1.tlt'),
    '-i',
    join(folder, 'data', 'testing', 'images'),
    '-l',
    join(folder, 'data', 'testing', 'labels'),
  );
  expect(named.out, named.err).toMatch(/Mean average_precision \(in %\): \d+\.\d{4} on 8 images with \d+ objects/);
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    expect((await readFile(join(entry.parentPath, entry.name))).includes(key), join(entry.parentPath, entry.name)).toBe(false);
  }
});

test('the same training again does nothing twice; another spec in the same folder starts afresh', { timeout: 300_000 }, async () => {
  const spec = join(folder, 'specs', 'detectnet_v2_train_resnet10_kitti.txt');
  const words = ['detectnet_v2', 'train', '-e', spec, '-r', join(folder, 'detectnet_v2', 'experiment_dir_unpruned'), '-n', 'resnet10_detector'];
  const again = await cli(...words);
  expect(again.out).toContain('All 1 epochs were done already.');
  await writeFile(spec, (await readFile(spec, 'utf8')).replace('random_seed: 42', 'random_seed: 43'));
  const other = await cli(...words);
  expect(other.out).toContain('Epoch 1/1: loss');
  expect(await readdir(join(folder, 'detectnet_v2', 'experiment_dir_unpruned', '.edgeforge'))).toHaveLength(1);
});
