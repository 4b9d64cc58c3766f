import { cpSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TinyProject } from './_tiny-project.ts';

// Content counts, places do not: so what is recalled must not remember where things lay.
let project: TinyProject;
beforeAll(() => {
  project = new TinyProject({ devices: false });
});
afterAll(() => project[Symbol.asyncDispose]());

test('a project that moves keeps what it made, and goes on from there', { timeout: 120_000 }, async () => {
  expect((await project.run({ steps: ['train'] })).exitCode).toBe(0);
  project.move();
  project.edit('specs/train.txt', text => text.replace('min_learning_rate: 5e-05', 'min_learning_rate: 4e-05'));
  const { exitCode, ran, failed } = await project.run({ steps: ['train'] });
  expect([...failed]).toEqual([]);
  expect(exitCode).toBe(0);
  expect([...ran.keys()]).toEqual(['train']);
});

test('so does one whose images move', { timeout: 120_000 }, async () => {
  const images = await project.outputPath('scenes', 'images');
  cpSync(images, project.path('data'), { recursive: true });
  project.edit('edgeforge.yaml', text => text.replace(/scenes: \{.*\}/, 'kitti: data\n  validation: { train: train, val: val }'));
  const first = await project.run({ steps: ['dataset'] });
  expect([...first.ran.keys()]).toEqual(['dataset']);
  renameSync(project.path('data'), join(project.folder, 'elsewhere'));
  project.edit('edgeforge.yaml', text => text.replace('kitti: data', 'kitti: elsewhere'));
  const { exitCode, ran, failed } = await project.run({ steps: ['baselines', 'evaluate retrained', 'calibrate', 'tensors'] });
  expect([...failed]).toEqual([]);
  expect(exitCode).toBe(0);
  expect(ran.has('dataset')).toBe(false);
});
