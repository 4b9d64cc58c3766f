import { expect, test } from 'vitest';
import { Resources } from '../../src/core/resources.ts';

test('one at a time per name, in order of asking, without circles', async () => {
  const resources = new Resources();
  const order: string[] = [];
  const job = (id: string, names: string[], ms: number) =>
    resources.holding(names, async () => {
      order.push(`+${id}`);
      await new Promise(done => setTimeout(done, ms));
      order.push(`-${id}`);
    });
  await Promise.all([job('1', ['a'], 30), job('2', ['a', 'b'], 5), job('3', ['b'], 5), job('4', ['c'], 5), job('5', [], 1), job('6', ['b', 'a'], 1)]);
  const overlapping = (first: string, second: string) => order.indexOf(`+${second}`) < order.indexOf(`-${first}`);
  expect([overlapping('1', '2'), overlapping('2', '3'), overlapping('2', '6'), overlapping('3', '6')]).toEqual([false, false, false, false]);
  expect(overlapping('1', '4')).toBe(true);
});

test('a failure frees what it held', async () => {
  const resources = new Resources();
  await expect(resources.holding(['a'], () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(await resources.holding(['a'], async () => 1)).toBe(1);
});
