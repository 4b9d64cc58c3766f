import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { deepstreamApp, parsePerf } from '../../src/formats/deepstream-app.ts';
import { iniValue } from '../../src/formats/ini.ts';
import { hasShared, shared } from '../shared.ts';

const base = {
  deepstream: '6.2',
  sources: ['file:///a.mp4', 'file:///b.mp4', 'rtsp://c/d'],
  primary: { config: 'p.txt' },
  frame: { width: 1280, height: 720 },
  sink: 'display',
} as const;
test('the mux takes one batch of all streams; a benchmark shows and waits for nothing', () => {
  const app = deepstreamApp(base);
  expect([iniValue(app, 'streammux', 'batch-size'), iniValue(app, 'streammux', 'live-source'), iniValue(app, 'source2', 'type'), iniValue(app, 'sink0', 'type')]).toEqual([
    '3',
    '1',
    '4',
    '2',
  ]);
  const bench = deepstreamApp({ ...base, sources: ['file:///a.mp4'], benchmark: true });
  expect([
    iniValue(bench, 'sink0', 'type'),
    iniValue(bench, 'sink0', 'sync'),
    iniValue(bench, 'osd', 'enable'),
    iniValue(bench, 'tiled-display', 'enable'),
    iniValue(bench, 'tests', 'file-loop'),
  ]).toEqual(['1', '0', '0', '0', '1']);
  expect(() => deepstreamApp({ ...base, sources: [] })).toThrow(/source/);
});
test('trackers by version', () => {
  expect(iniValue(deepstreamApp({ ...base, deepstream: '5.1', tracker: true }), 'tracker', 'enable-batch-process')).toBe('1');
  expect(iniValue(deepstreamApp({ ...base, tracker: true }), 'tracker', 'll-lib-file')).toContain('nvmultiobjecttracker');
});
describe.skipIf(!hasShared)('real logs', () => {
  test('two streams; one stream to its end', () => {
    expect(parsePerf(readFileSync(shared('deepstream-logs', '01-two-streams-k8s.txt'), 'utf8'))?.average).toEqual([14.94, 14.94]);
    expect(parsePerf(readFileSync(shared('deepstream-logs', '05-ds6.0-eos.txt'), 'utf8'))?.average).toEqual([266.28]);
    expect(parsePerf('nothing')).toBeUndefined();
  });
});
