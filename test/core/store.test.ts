import { chmod, link, mkdir, readdir, stat, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { digestOf, type Fingerprint } from '../../src/core/fingerprint.ts';
import { removeReadOnly } from '../../src/core/objects.ts';
import { newRoot, newStore, text } from './toy-build.ts';

async function folderOf(entries: Readonly<Record<string, string>>): Promise<string> {
  const root = await newRoot();
  for (const [path, content] of Object.entries(entries)) {
    await mkdir(join(root, path, '..'), { recursive: true });
    await writeFile(join(root, path), content);
  }
  return root;
}

describe('files', () => {
  test('are stored by content; the original stays, unless it is given away', async () => {
    const store = await newStore();
    const root = await folderOf({ a: 'same', b: 'same', c: 'given' });
    const a = await store.put(join(root, 'a'));
    expect(a).toBe(digestOf('same'));
    expect(await store.put(join(root, 'b'))).toBe(a);
    const c = await store.put(join(root, 'c'), { move: true });
    expect(await text(store.path(c))).toBe('given');
    expect(await readdir(root)).toEqual(['a', 'b']);
    expect((await stat(store.path(a))).mode & 0o222).toBe(0);
  });

  test('a file with a second name is copied, so that nobody else’s file is sealed', async () => {
    const store = await newStore();
    const root = await folderOf({ mine: 'x' });
    await link(join(root, 'mine'), join(root, 'output'));
    await store.put(join(root, 'output'), { move: true });
    const { mode, mtimeMs } = await stat(join(root, 'mine'));
    expect(mode & 0o200).toBe(0o200);
    expect(Date.now() - mtimeMs).toBeLessThan(60_000);
  });

  test('damage is seen, counts as absent, and a touched but whole object is not damage', async () => {
    const store = await newStore();
    const root = await folderOf({ a: 'content' });
    const digest = await store.put(join(root, 'a'));
    await utimes(store.path(digest), 1, 1);
    expect(await store.has(digest)).toBe('present');
    await chmod(store.path(digest), 0o644);
    await truncate(store.path(digest), 3);
    expect(await store.has(digest)).toBe('corrupt');
    expect(await store.has(digest)).toBe('absent');
    expect(await store.put(join(root, 'a'))).toBe(digest);
    expect(await store.has(digest)).toBe('present');
  });
});

describe('folders', () => {
  test('equal trees have equal digests; path() is a folder', async () => {
    const store = await newStore();
    const entries = fc.dictionary(fc.stringMatching(/^[a-c]{1,2}(\/[d-e]{1,2})?\.t$/), fc.string(), { maxKeys: 5, noNullPrototype: true });
    await fc.assert(
      fc.asyncProperty(entries, entries, async (one, other) => {
        const [first, again, second] = await Promise.all([store.put(await folderOf(one)), store.put(await folderOf(one)), store.put(await folderOf(other))]);
        expect(again).toBe(first);
        const sorted = (value: object) => JSON.stringify(Object.entries(value).sort());
        expect(second === first).toBe(sorted(one) === sorted(other));
        for (const [path, content] of Object.entries(one)) expect(await text(join(store.path(first), path))).toBe(content);
      }),
      { numRuns: 15 },
    );
  });

  test('a lost layout is laid out again; a damaged file in it damages the folder', async () => {
    const store = await newStore();
    const digest = await store.put(await folderOf({ 'x/1': 'one', '2': 'two' }));
    await removeReadOnly(store.path(digest));
    expect(await store.has(digest)).toBe('present');
    expect(await text(join(store.path(digest), 'x/1'))).toBe('one');
    await chmod(join(store.path(digest), '2'), 0o644);
    await writeFile(join(store.path(digest), '2'), 'TWO');
    expect(await store.has(digest)).toBe('corrupt');
    expect(await store.has(digest)).toBe('absent');
  });

  test('links to folders are refused', async () => {
    const root = await folderOf({ 'x/1': 'one' });
    await symlink(root, join(root, 'x', 'round'));
    await expect((await newStore()).put(root)).rejects.toMatchObject({ code: 'format-unsupported' });
  });
});

test('one scratch has one owner; it is free again after release and keeps unfinished work', async () => {
  const store = await newStore();
  const fingerprint = digestOf('work') as string as Fingerprint;
  const first = await store.scratch(fingerprint, 'step train');
  await writeFile(join(first.work, 'checkpoint'), '7');
  await expect(store.scratch(fingerprint, 'step train')).rejects.toMatchObject({ code: 'locked', hint: expect.stringContaining(`kill ${process.pid}`) });
  await first.release(false);
  const second = await store.scratch(fingerprint, 'step train');
  expect(await text(join(second.work, 'checkpoint'))).toBe('7');
  await second.release(true);
  expect(await readdir(join(store.root, 'scratch'))).toEqual([]);
});
