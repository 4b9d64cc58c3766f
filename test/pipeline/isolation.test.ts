import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { identityOf, isAlive } from '../../src/core/process-identity.ts';
import { isolated } from '../../src/pipeline/isolation.ts';

const file = fileURLToPath(new URL('./isolated-work.ts', import.meta.url));
const never = new AbortController().signal;

test('result and messages pass as they are, typed arrays too, from another process', async () => {
  const messages: unknown[] = [];
  const result = await isolated<{ values: Float32Array; pid: number; extra: string }>(file, 'double', Float32Array.of(1, 2.5), {
    signal: never,
    onMessage: message => messages.push(message),
    env: { EDGE_TEST: 'yes' },
  });
  expect(result.values).toEqual(Float32Array.of(2, 5));
  expect(result.pid).not.toBe(process.pid);
  expect(result.extra).toBe('yes');
  expect(messages).toEqual([{ n: 2 }]);
});

describe('errors', () => {
  test('an expected one comes back whole', async () => {
    await expect(isolated(file, 'fail', undefined, { signal: never })).rejects.toMatchObject({
      name: 'EdgeError',
      code: 'not-finite',
      hint: 'Lower the learning rate.',
      where: { path: 'train.loss' },
    });
  });
  test('a kill is named with the mend; so is a missing export and a silent end', async () => {
    await expect(isolated(file, 'die', 'SIGKILL', { signal: never })).rejects.toMatchObject({
      code: 'limit-exceeded',
      message: expect.stringContaining('SIGKILL'),
      hint: expect.stringContaining('smaller batch'),
    });
    await expect(isolated(file, 'die', 'SIGSEGV', { signal: never })).rejects.toMatchObject({ code: 'internal', message: expect.stringContaining('SIGSEGV') });
    await expect(isolated(file, 'nothing', undefined, { signal: never })).rejects.toMatchObject({ code: 'internal', message: expect.stringContaining('"nothing"') });
    await expect(isolated(file, 'leave', undefined, { signal: never })).rejects.toMatchObject({ code: 'internal', message: expect.stringContaining('exit code 9') });
  });
  test('what cannot be sent is an error, not a hang', async () => {
    await expect(isolated(file, 'double', () => 1, { signal: never })).rejects.toThrow();
  });
});

describe('cancel', () => {
  test('asks first, kills after the grace', async () => {
    for (const [exportName, graceMs] of [
      ['polite', 30_000],
      ['stubborn', 100],
    ] as const) {
      const controller = new AbortController();
      const messages: unknown[] = [];
      const work = isolated(file, exportName, undefined, {
        signal: controller.signal,
        graceMs,
        onMessage: message => {
          messages.push(message);
          controller.abort();
        },
      });
      await expect(work).rejects.toMatchObject({ code: 'cancelled' });
      expect(messages.includes('bye')).toBe(exportName === 'polite');
    }
  });
});

test.for(['stubborn', 'busy'])('no orphan: the parent of a %s child is killed -9, the child ends', async exportName => {
  const parent = spawn(process.execPath, [file, 'parent', file, exportName], { stdio: ['ignore', 'pipe', 'inherit'] });
  const pid = await new Promise<number>(done => parent.stdout.once('data', (piece: Buffer) => done(Number(piece.toString()))));
  const child = identityOf(pid);
  expect(isAlive(child)).toBe(true);
  await new Promise(done => setTimeout(done, 100));
  parent.kill('SIGKILL');
  const until = Date.now() + 5000;
  while (isAlive(child) && Date.now() < until) await new Promise(done => setTimeout(done, 50));
  expect(isAlive(child)).toBe(false);
});
