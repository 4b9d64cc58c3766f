import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { defineStep, Recipe } from '../../src/core/recipe.ts';
import { runRecipe } from '../../src/core/run.ts';
import type { Store } from '../../src/core/store.ts';
import { collectOutputs, latestOutput } from '../../src/pipeline/outputs.ts';
import { newStore } from '../core/toy-build.ts';

const file = defineStep({
  name: 'file',
  config: z.strictObject({ text: z.string() }),
  inputs: {},
  outputs: { onnx: 'onnx', bundle: 'deepstream' },
  async run({ config, outputs }) {
    await writeFile(outputs.onnx, config.text);
    await mkdir(join(outputs.bundle, 'sub'), { recursive: true });
    await writeFile(join(outputs.bundle, 'sub', 'labels.txt'), config.text);
  },
});
const broken = defineStep({
  name: 'broken',
  config: z.strictObject({}),
  inputs: {},
  outputs: { report: 'report' },
  async run() {
    throw new Error('no');
  },
});

async function made(store: Store, text: string, folder: string) {
  const recipe = new Recipe();
  const { onnx, bundle } = recipe.add(file, { config: { text }, inputs: {} });
  const { report } = recipe.add(broken, { config: {}, inputs: {} });
  await runRecipe(recipe, { store, emit: () => {}, signal: new AbortController().signal });
  const published = [
    { artifact: onnx, path: 'model/model.onnx' },
    { artifact: bundle, path: 'deepstream' },
    { artifact: report, path: 'report' },
  ];
  return { onnx, report, collect: () => collectOutputs({ recipe, published, store, folder }) };
}

test('people get copies under the names they know, and a link that follows the last run', async () => {
  const store = await newStore();
  const [first, second] = ['1', '2'].map(name => join(store.root, 'runs', name, 'out')) as [string, string];
  expect(await (await made(store, 'one', first)).collect()).toBe(first);
  expect(readFileSync(join(first, 'model', 'model.onnx'), 'utf8')).toBe('one');
  expect(readFileSync(join(first, 'deepstream', 'sub', 'labels.txt'), 'utf8')).toBe('one');
  // What failed is left out.
  expect(readdirSync(first).sort()).toEqual(['deepstream', 'model']);

  await (await made(store, 'two', second)).collect();
  expect(readlinkSync(join(store.root, 'out'))).toBe('runs/2/out');
  expect(readFileSync(join(store.root, 'out', 'model', 'model.onnx'), 'utf8')).toBe('two');
  expect(readFileSync(join(first, 'model', 'model.onnx'), 'utf8')).toBe('one');
});

test('a person may write into the copies: the store keeps its own', async () => {
  const store = await newStore();
  const folder = join(store.root, 'runs', '1', 'out');
  const { onnx, collect } = await made(store, 'one', folder);
  await collect();
  // Asked of the modes: a root's writes succeed anyway.
  for (const name of ['model/model.onnx', 'deepstream', 'deepstream/sub', 'deepstream/sub/labels.txt']) expect(statSync(join(folder, name)).mode & 0o200, name).toBe(0o200);
  await writeFile(join(folder, 'model', 'model.onnx'), 'changed by hand');
  await writeFile(join(folder, 'deepstream', 'sub', 'notes.txt'), 'mine');
  const digest = (await latestOutput(store, onnx))!;
  expect(readFileSync(store.path(digest), 'utf8')).toBe('one');
  // And collecting again brings the true ones back.
  await collect();
  expect(readFileSync(join(folder, 'model', 'model.onnx'), 'utf8')).toBe('one');
});

test('nothing made: no folder and no link', async () => {
  const store = await newStore();
  const folder = join(store.root, 'runs', '1', 'out');
  const recipe = new Recipe();
  const { report } = recipe.add(broken, { config: {}, inputs: {} });
  await runRecipe(recipe, { store, emit: () => {}, signal: new AbortController().signal });
  expect(await collectOutputs({ recipe, published: [{ artifact: report, path: 'report' }], store, folder })).toBeUndefined();
  expect(existsSync(folder)).toBe(false);
  expect(await latestOutput(store, report)).toBeUndefined();
});
