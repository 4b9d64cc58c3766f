import { mkdirSync, mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { StatCache } from '../../src/core/stat-cache.ts';
import { inProject, sourceFile, sourceFolder } from '../../src/pipeline/sources.ts';

const roots: string[] = [];
afterAll(() => roots.forEach(path => void rmSync(path, { recursive: true, force: true })));
let root = '';
let cache: StatCache;
/** Writes with a time stamp long past, as files of a dataset have; younger ones are never believed. */
const write = (name: string, text: string, seconds = 1_700_000_000) => {
  writeFileSync(join(root, name), text);
  utimesSync(join(root, name), seconds, seconds);
};
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'edge-sources-'));
  roots.push(root);
  mkdirSync(join(root, 'sub'));
  write('a.txt', 'one');
  write('sub/b.txt', 'two');
  cache = await StatCache.open(join(root, '..', `${root.split('/').at(-1)}.cache`));
});
const digest = async () => (await sourceFolder(root, cache, 'data.kitti')).digest;

test('a folder counts by its names and contents', async () => {
  const first = await digest();
  expect(await digest()).toBe(first);
  write('a.txt', 'ONE', 1_700_000_001);
  const changed = await digest();
  expect(changed).not.toBe(first);
  write('a.txt', 'one');
  expect(await digest()).toBe(first);
  renameSync(join(root, 'a.txt'), join(root, 'c.txt'));
  expect(await digest()).not.toBe(first);
  renameSync(join(root, 'c.txt'), join(root, 'a.txt'));
  renameSync(join(root, 'sub', 'b.txt'), join(root, 'b.txt'));
  expect(await digest()).not.toBe(first);
});

test('times and hidden files do not count', async () => {
  const first = await digest();
  write('a.txt', 'one', 1_600_000_000);
  expect(await digest()).toBe(first);
  write('.DS_Store', 'litter');
  expect(await digest()).toBe(first);
});

test('a folder is where it lies, not where it lay: a moved copy has the same digest', async () => {
  const first = await digest();
  const moved = `${root}-moved`;
  renameSync(root, moved);
  roots.push(moved);
  expect((await sourceFolder(moved, cache, 'data.kitti')).digest).toBe(first);
});

test('unchanged files are not read again', async () => {
  await digest();
  const { hashed } = cache;
  await digest();
  expect(cache.hashed).toBe(hashed);
  write('a.txt', 'new', 1_700_000_002);
  await digest();
  expect(cache.hashed).toBe(hashed + 1);
});

test('what is not there is said with its setting', async () => {
  await expect(sourceFolder(join(root, 'gone'), cache, 'data.kitti')).rejects.toMatchObject({ code: 'file-missing', message: expect.stringContaining('data.kitti') });
  await expect(sourceFile(join(root, 'gone'), cache, 'model.onnx')).rejects.toMatchObject({ code: 'file-missing', message: expect.stringContaining('model.onnx') });
  await expect(sourceFile(root, cache, 'model.onnx')).rejects.toMatchObject({ code: 'file-missing' });
});

test('paths of a project file', () => {
  expect(inProject('/p', 'a/b')).toBe('/p/a/b');
  expect(inProject('/p', '/a/b')).toBe('/a/b');
  expect(inProject('/p', '../a')).toBe('/a');
  expect(inProject('/p', '~/a')).toBe(join(process.env.HOME ?? '', 'a'));
});
