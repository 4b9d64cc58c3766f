import { spawn } from 'node:child_process';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { acquireLock, lockHolder } from '../../src/core/lock.ts';
import { identityOf, isAlive } from '../../src/core/process-identity.ts';
import { newRoot } from './toy-build.ts';

test('one holder, named with since when and what; free after release', async () => {
  const folder = join(await newRoot(), 'deep', 'lock');
  const lock = await acquireLock(folder, 'a test');
  await expect(acquireLock(folder, 'another')).rejects.toMatchObject({
    code: 'locked',
    message: expect.stringContaining('a test'),
    hint: expect.stringContaining(`kill ${process.pid}`),
  });
  expect(await lockHolder(folder)).toMatchObject({ pid: process.pid, what: 'a test' });
  await lock.release();
  expect(await lockHolder(folder)).toBeUndefined();
  await (await acquireLock(folder, 'another')).release();
});

test('a dead holder’s lock is taken over, by exactly one of many', async () => {
  const root = await newRoot();
  const folder = join(root, 'lock');
  await mkdir(folder);
  const child = spawn('true');
  const dead = identityOf(child.pid!);
  await new Promise(done => child.once('close', done));
  expect(isAlive(dead)).toBe(false);
  await writeFile(join(folder, 'note-dead.json'), JSON.stringify({ ...dead, since: 'once', what: 'died' }));
  const tries = await Promise.allSettled(Array.from({ length: 20 }, () => acquireLock(folder, 'heir')));
  const won = tries.filter(each => each.status === 'fulfilled');
  expect(won.length).toBe(1);
  await won[0]!.value.release();
  expect(await readdir(root)).toEqual([]);
});

test('a number used again by another process is not the holder; another machine’s word is not doubted', () => {
  const me = identityOf(process.pid);
  expect(isAlive(me)).toBe(true);
  if (me.started !== undefined) expect(isAlive({ ...me, started: 'another boot:1' })).toBe(false);
  expect(isAlive({ ...me, host: `not-${hostname()}` })).toBeUndefined();
});
