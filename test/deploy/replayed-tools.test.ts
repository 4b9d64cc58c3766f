import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Transport } from '../../src/deploy/device.ts';
import { parseJetsonClocks } from '../../src/formats/jetson-clocks.ts';
import { parseTegrastats, powerMw } from '../../src/formats/tegrastats.ts';
import { replay } from './replay/board.ts';
import { replayed } from './replay/boards.ts';

// The small programs of a replayed board behave as the recorded ones do: what will measure power and clocks is written against them.
let board: Awaited<ReturnType<typeof replay>>;
let transport: Transport;
beforeAll(async () => {
  board = await replay(replayed.xavierNx);
  transport = await board.reach();
});
afterAll(async () => {
  await transport[Symbol.asyncDispose]();
  await board[Symbol.asyncDispose]();
});
const run = async (...words: [string, ...string[]]) => {
  const { exitCode, stdout, stderr } = await transport.exec(words);
  return { exitCode, stdout, stderr };
};

it('tegrastats prints a line per interval in the board’s own form until it is ended', async () => {
  const { exitCode, stdout } = await run('timeout', '2', 'tegrastats', '--interval', '100');
  expect(exitCode).toBe(124);
  const samples = stdout.trim().split('\n').map(parseTegrastats);
  expect(samples.length).toBeGreaterThan(1);
  for (const sample of samples) expect(powerMw(sample)).toEqual({ mw: 4067, rail: 'VDD_IN' });
});

it('a throttled board grows hotter', async () => {
  board.fail({ throttle: true });
  const { stdout } = await run('timeout', '2', 'tegrastats', '--interval', '100');
  board.fail();
  const heat = stdout
    .trim()
    .split('\n')
    .map(line => parseTegrastats(line).temperaturesC.GPU!);
  expect(heat.at(-1)).toBeGreaterThan(heat[0]!);
});

it('nvpmodel keeps the mode that was set, and knows its own modes only', async () => {
  expect((await run('nvpmodel', '-q')).stdout).toBe('NV Power Mode: MODE_15W_2CORE\n0\n');
  expect((await run('nvpmodel', '-m', '2')).exitCode).toBe(0);
  expect((await run('nvpmodel', '-q')).stdout).toBe('NV Power Mode: MODE_15W_6CORE\n2\n');
  expect(await run('nvpmodel', '-m', '9')).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('ERROR') });
});

it('jetson_clocks wants root; then it stores, locks, shows and restores', async () => {
  expect(await run('jetson_clocks', '--show')).toEqual({ exitCode: 1, stdout: '', stderr: 'Error: Run this script(/usr/bin/jetson_clocks) as a root user\n' });
  await transport.exec(['touch', `${board.home}/stand-in/root`]);
  const locked = async () => parseJetsonClocks((await run('jetson_clocks', '--show')).stdout)?.locked;
  expect(await locked()).toBe(false);
  await run('jetson_clocks', '--store', 'clocks');
  await run('jetson_clocks');
  expect(await locked()).toBe(true);
  await run('jetson_clocks', '--restore', 'clocks');
  expect(await locked()).toBe(false);
});
