import { existsSync } from 'node:fs';
import { mkdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { eventsPath, runsFolder } from '../../src/core/_run-paths.ts';
import { digestOf, type Fingerprint } from '../../src/core/fingerprint.ts';
import { collectGarbage } from '../../src/core/gc.ts';
import { newStore, Toy, text } from './toy-build.ts';

const soon = () => new Date(Date.now() + 1000);

test('keeps what the latest actions made, sweeps the rest, and the dry run tells the same', async () => {
  const [toy, store] = [new Toy(), await newStore()];
  const old = await toy.run(store, { seed: 1 });
  const latest = await toy.run(store, { seed: 2 });
  const oldNetwork = store.path(old.records.get('train')!.outputs.network!);
  const dry = await collectGarbage(store, { keepRuns: 0, keepDays: 0, dryRun: true, now: soon() });
  expect(existsSync(oldNetwork)).toBe(true);
  expect(dry.items.filter(({ kind }) => kind === 'action').length).toBe(4);
  expect(dry.bytes).toBeGreaterThan((await text(oldNetwork)).length);
  const swept = await collectGarbage(store, { keepRuns: 0, keepDays: 0, now: soon() });
  expect(swept).toEqual(dry);
  expect(existsSync(oldNetwork)).toBe(false);
  expect(await store.has(latest.records.get('import-dataset')!.outputs.dataset!)).toBe('present');
  expect((await toy.run(store, { seed: 2 })).counted).toEqual([]);
  expect((await toy.run(store, { seed: 1 })).counted).toEqual(['import-dataset', 'train', 'prune', 'export-onnx']);
});

test('young things stay, recalled things are young', async () => {
  const [toy, store] = [new Toy(), await newStore()];
  const { records } = await toy.run(store, { seed: 1 });
  await toy.run(store, { seed: 2 });
  expect((await collectGarbage(store)).items).toEqual([]);
  const path = store.actionPath(records.get('train')!.fingerprint);
  const long = new Date(Date.now() - 90 * 86_400_000);
  await utimes(path, long, long);
  const { items } = await collectGarbage(store, { dryRun: true });
  expect(items.map(({ kind, path }) => [kind, path])).toEqual([['action', path]]);
});

test('nothing goes that a living user of the store may have, nor an owned scratch', async () => {
  const [toy, store] = [new Toy(), await newStore()];
  const using = await store.use('a test');
  await toy.run(store, { seed: 1 });
  await toy.run(store, { seed: 2 });
  const scratch = await store.scratch(digestOf('w') as string as Fingerprint, 'step train');
  expect((await collectGarbage(store, { keepRuns: 0, keepDays: 0, now: soon() })).items).toEqual([]);
  await using[Symbol.asyncDispose]();
  await scratch.release(false);
  const { items } = await collectGarbage(store, { keepRuns: 0, keepDays: 0, now: soon() });
  expect(new Set(items.map(({ kind }) => kind))).toEqual(new Set(['action', 'object', 'scratch']));
});

test('old runs go, the newest N stay', async () => {
  const store = await newStore();
  for (const day of [1, 2, 3]) {
    const id = `2020010${day}-000000-000-aaaaaa`;
    const folder = join(runsFolder(store.root), id);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'recipe.json'), JSON.stringify({ id, command: '', module: '', args: [], cwd: '', startedAt: `2020-01-0${day}T00:00:00Z` }));
    await writeFile(eventsPath(folder), '');
  }
  const { items } = await collectGarbage(store, { keepRuns: 2 });
  expect(items.map(({ kind, path }) => [kind, path.slice(-26)])).toEqual([['run', '20200101-000000-000-aaaaaa']]);
});

test('two collections at once: the second is told', async () => {
  const store = await newStore();
  const results = await Promise.allSettled([collectGarbage(store), collectGarbage(store)]);
  for (const result of results) if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'locked' });
  expect(results.some(({ status }) => status === 'fulfilled')).toBe(true);
});
