import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { openControl } from '../../src/core/control-socket.ts';
import type { RunEvent } from '../../src/core/events.ts';
import { askRun, findRun, listRuns, newRunId, startRun, tailRun } from '../../src/core/run-folder.ts';
import { newRoot } from './toy-build.ts';

const moduleFile = fileURLToPath(new URL('./toy-run.ts', import.meta.url));
async function start(mood: string, root: string, count = join(root, 'count')) {
  return startRun({ root, moduleFile, args: [mood, root, count], cwd: root, command: `edgeforge run ${mood}` });
}
const countIn = async (root: string) => (await readFile(join(root, 'count'), 'utf8')).trim().split('\n');
async function follow(folder: string, onEvent?: (event: RunEvent) => void): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  for await (const event of tailRun(folder)) {
    events.push(event);
    onEvent?.(event);
  }
  return events;
}

describe('a run is a process of its own', () => {
  test('it is followed to its end, listed, and again it has nothing to do', async () => {
    const root = await newRoot();
    const { id, folder } = await start('quick', root);
    const events = await follow(folder);
    expect(events[0]).toMatchObject({ type: 'run-started', run: id, command: 'edgeforge run quick' });
    expect(events.at(-1)).toMatchObject({ type: 'run-finished', ok: true, exitCode: 0 });
    expect((await countIn(root)).filter(line => line === 'train' || line.startsWith('other')).length).toBe(6);
    const again = await start('quick', root);
    await follow(again.folder);
    expect((await countIn(root)).length).toBe(4 + 6);
    expect((await listRuns(root)).map(run => [run.id, run.status])).toEqual([
      [again.id, 'ok'],
      [id, 'ok'],
    ]);
    expect((await findRun(root, 'last')).id).toBe(again.id);
    // A second viewer, later, sees the same.
    expect(await follow(folder)).toEqual(events);
    await expect(askRun(folder, 'cancel')).rejects.toMatchObject({ code: 'run-unknown' });
  });

  test('cancel through the socket: 130, and the next run goes on from the checkpoint', async () => {
    const root = await newRoot();
    const { folder } = await start('slow', root);
    let asked: Promise<void> | undefined;
    const events = await follow(folder, event => {
      if (event.type === 'step-progress' && event.done === 3) asked ??= askRun(folder, 'cancel');
    });
    await asked;
    expect(events.at(-1)).toMatchObject({ type: 'run-finished', ok: false, exitCode: 130 });
    const resumed = await follow((await start('slow', root)).folder);
    expect(resumed.at(-1)).toMatchObject({ ok: true });
    expect(new Set(await countIn(root)).size).toBe(1 + 20 + 5);
    expect((await countIn(root)).filter(line => line.startsWith('epoch')).length).toBe(20);
  });

  test('kill -9 in the middle of a step: told, and resumed from its scratch', async () => {
    const root = await newRoot();
    const { folder, pid } = await start('hang', root);
    const following = follow(folder, event => {
      if (event.type === 'step-progress' && event.done === 2) process.kill(pid, 'SIGKILL');
    });
    await expect(following).rejects.toMatchObject({ code: 'internal', hint: expect.stringContaining('same command again') });
    expect((await listRuns(root))[0]).toMatchObject({ status: 'died' });
    const [scratch] = await readdir(join(root, 'scratch'));
    expect(existsSync(join(root, 'scratch', scratch!, 'work', 'checkpoint'))).toBe(true);
    const events = await follow((await start('quick', root)).folder);
    expect(events.at(-1)).toMatchObject({ ok: true });
    expect((await countIn(root)).filter(line => line.startsWith('epoch'))).toEqual(['epoch 1', 'epoch 2', 'epoch 3', 'epoch 4']);
    expect(await readdir(join(root, 'scratch'))).toEqual([]);
  });

  test('whatever happens, the last event is run-finished', async () => {
    const root = await newRoot();
    const ends = async (mood: string) => (await follow((await start(mood, root)).folder)).at(-1);
    expect(await ends('throw')).toMatchObject({ ok: false, exitCode: 1, error: { code: 'internal', message: expect.stringContaining('upside down') } });
    expect(await ends('exit')).toMatchObject({ ok: false, exitCode: 1, error: { message: expect.stringContaining('exit code 7') } });
    const deaf = await start('deaf', root);
    while (!existsSync(join(deaf.folder, 'control'))) await new Promise(done => setTimeout(done, 20));
    process.kill(deaf.pid, 'SIGTERM');
    expect((await follow(deaf.folder)).at(-1)).toMatchObject({ ok: false, exitCode: 130 });
  });
});

test('two processes on one store: one of two equal runs is told who is at work, both leave a whole store', async () => {
  const root = await newRoot();
  const runs = await Promise.all([start('slow', root), start('slow', root)]);
  const ends = await Promise.all(runs.map(({ folder }) => follow(folder)));
  const failures = ends.flat().filter(event => event.type === 'step-failed');
  expect(ends.map(events => events.at(-1)).filter(event => event?.type === 'run-finished' && event.ok).length).toBe(2 - failures.length);
  for (const failure of failures) expect(failure).toMatchObject({ code: 'locked', hint: expect.stringContaining('kill') });
  expect((await countIn(root)).filter(line => line === 'train').length).toBe(1);
  const after = await follow((await start('slow', root)).folder);
  expect(after.filter(event => event.type === 'step-finished' && event.outcome === 'cached').length).toBe(6);
});

test('ids sort by time; a folder too deep for a socket still has one', async () => {
  expect(newRunId(new Date(1000)) < newRunId(new Date(1001))).toBe(true);
  const deep = join(await newRoot(), 'd'.repeat(120));
  await mkdir(deep);
  let heard: string | undefined;
  await using control = await openControl(deep, ask => {
    heard = ask;
  });
  await askRun(deep, 'detach');
  expect(heard).toBe('detach');
  await control[Symbol.asyncDispose]();
  await expect(askRun(deep, 'cancel')).rejects.toMatchObject({ code: 'run-unknown' });
});

test('a folder that is no run is named', async () => {
  await expect(follow(join(await newRoot(), 'nothing'))).rejects.toMatchObject({ code: 'run-unknown' });
  await expect(findRun(await newRoot(), 'x')).rejects.toMatchObject({ code: 'run-unknown', hint: expect.stringContaining('edgeforge run') });
});
