import { rename, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { digestOf } from '../../src/core/fingerprint.ts';
import { StatCache } from '../../src/core/stat-cache.ts';
import { newRoot } from './toy-build.ts';

const old = new Date(Date.now() - 3_600_000);

test('a file is read once, over processes too, until it changes', async () => {
  const root = await newRoot();
  const path = join(root, 'image');
  await writeFile(path, 'abc');
  await utimes(path, old, old);
  const cache = await StatCache.open(join(root, 'cache'));
  expect(await cache.digestOf(path)).toBe(digestOf('abc'));
  await cache.digestOf(path);
  expect(cache.hashed).toBe(1);
  await cache.save();
  const reopened = await StatCache.open(join(root, 'cache'));
  expect(await reopened.digestOf(path)).toBe(digestOf('abc'));
  expect(reopened.hashed).toBe(0);
  // Same size, same time, another file.
  await writeFile(join(root, 'other'), 'abd');
  await utimes(join(root, 'other'), old, old);
  await rename(join(root, 'other'), path);
  expect(await reopened.digestOf(path)).toBe(digestOf('abd'));
});

test('a file as young as the time stamps are coarse is read again', async () => {
  const root = await newRoot();
  const path = join(root, 'image');
  const cache = await StatCache.open(join(root, 'cache'));
  const now = new Date();
  for (const content of ['one', 'two']) {
    await writeFile(path, content);
    await utimes(path, now, now);
    expect(await cache.digestOf(path)).toBe(digestOf(content));
  }
});

test('a damaged cache is only a memory lost; a missing file is named', async () => {
  const root = await newRoot();
  await writeFile(join(root, 'cache'), '["x"\n\0\0[1,2]\n');
  const cache = await StatCache.open(join(root, 'cache'));
  await expect(cache.digestOf(join(root, 'nothing'))).rejects.toMatchObject({ code: 'file-missing' });
});
