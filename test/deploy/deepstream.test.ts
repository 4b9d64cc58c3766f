import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type AppFiles, runApp } from '../../src/deploy/deepstream.ts';
import type { Device } from '../../src/deploy/open-device.ts';
import { searchStreams } from '../../src/deploy/stream-search.ts';
import { deepstreamAppText } from '../../src/formats/deepstream-app.ts';
import { deepstreamVersionOf } from '../../src/formats/deepstream-version.ts';
import { iniValue, parseIni } from '../../src/formats/ini.ts';
import { deepstreamLabels, nvinferText } from '../../src/formats/nvinfer.ts';
import { deepstreamConfigs, detector } from '../formats/deepstream-cases.ts';
import { replay } from './replay/board.ts';
import { replayed } from './replay/boards.ts';
import { knowsAppKey } from './replay/deepstream-keys.ts';

let board: Awaited<ReturnType<typeof replay>>;
let device: Device;
beforeAll(async () => {
  board = await replay(replayed.orinNx);
  device = await board.open();
  const engine = board.remote('engines', 'x.engine');
  mkdirSync(dirname(engine), { recursive: true });
  writeFileSync(engine, 'an engine');
}, 60_000);
afterAll(async () => {
  await device[Symbol.asyncDispose]();
  await board[Symbol.asyncDispose]();
});

const appOf = (
  sources: readonly string[],
  { engine = 'x.engine', sink = 'fake', labels = 'labels.txt' }: { readonly engine?: string; readonly sink?: 'fake' | 'display'; readonly labels?: string } = {},
): AppFiles => {
  const deepstream = deepstreamVersionOf(device.facts.deepstream ?? '');
  return {
    app: 'app.txt',
    seconds: 6,
    startSeconds: 60,
    display: sink === 'display',
    files: {
      'labels.txt': deepstreamLabels(detector),
      'nvinfer.txt': nvinferText({ info: detector, input: [3, 384, 1248], files: { engine: `../../engines/${engine}`, labels }, precision: 'fp16', batch: 1, deepstream }),
      'app.txt': deepstreamAppText({ deepstream, sources, primary: { config: 'nvinfer.txt' }, frame: { width: 1920, height: 1080 }, sink, benchmark: true }),
    },
  };
};

test('streams share the engine; the app is interrupted after its time and ends well', async () => {
  const seen: string[] = [];
  const { log, finished } = await runApp(device, appOf(['file:///a.mp4', 'file:///b.mp4']), { onProgress: ({ message }) => seen.push(message) });
  expect([log.end, finished.exitCode, log.notes, log.failures]).toEqual(['success', 0, [], []]);
  // 3.2 ms an image, as this board replays them.
  for (const { mean, n, dead } of log.streams) {
    expect(mean).toBeGreaterThan(150);
    expect(mean).toBeLessThan(165);
    expect([n >= 6, dead]).toEqual([true, false]);
  }
  expect(log.streams).toHaveLength(2);
  expect(seen.length).toBeGreaterThan(3);
});
test('a camera that never connects is a dead source, not a slow one', async () => {
  const { log } = await runApp(device, appOf(['file:///a.mp4', 'rtsp://nowhere/1']));
  expect(log.streams.map(({ dead }) => dead)).toEqual([false, true]);
});
test.each([
  ['no engine', () => appOf(['file:///a.mp4'], { engine: 'gone.engine' }), 'payload-missing', /no model to build one from/],
  ['no display', () => appOf(['file:///a.mp4'], { sink: 'display' }), 'command-failed', /no display/],
  ['no file', () => appOf(['file:///nowhere.mp4']), 'command-failed', /src_elem0/],
  ['no labels', () => appOf(['file:///a.mp4'], { labels: 'gone.txt' }), 'command-failed', /cannot read its config/],
] as const)('%s', async (_, app, code, message) => {
  await expect(runApp(device, app())).rejects.toMatchObject({ code, message: expect.stringMatching(message), hint: expect.stringMatching(/./) });
});
test('a device without DeepStream says so before anything is written', async () => {
  const { deepstream: _, ...facts } = device.facts;
  await expect(runApp({ ...device, facts }, appOf(['file:///a.mp4']))).rejects.toMatchObject({ code: 'device-refused' });
});

test('the search tries each number once and finds the last good one', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 70 }), fc.integer({ min: 1, max: 64 }), async (real, most) => {
      const { best, limited, trials } = await searchStreams(async streams => (streams <= real ? 30 : 29.9), { fps: 30, most });
      expect([best, limited]).toEqual([Math.min(real, most), real >= most]);
      expect(new Set(trials.map(({ streams }) => streams)).size).toBe(trials.length);
      expect(trials.length).toBeLessThanOrEqual(2 * Math.ceil(Math.log2(most + 1)) + 1);
    }),
  );
});

test('every key of every generated app config is known to its version', () => {
  for (const [path, text] of deepstreamConfigs()) {
    const ini = path.endsWith('.txt') && !path.endsWith('labels.txt') ? parseIni(text) : undefined;
    if (!ini || iniValue(ini, 'streammux', 'batch-size') === undefined) continue;
    const version = deepstreamVersionOf(/deepstream-([\d.]+)\//.exec(path)?.[1] ?? '');
    for (const { name, entries } of ini.groups) for (const { key } of entries) expect(knowsAppKey(version, name, key), join(path, name, key)).toBe(true);
  }
});
