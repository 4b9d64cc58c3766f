import { expect, test } from 'vitest';
import { deepstreamApp } from '../../src/formats/deepstream-app.ts';
import { iniValue } from '../../src/formats/ini.ts';

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
  const bench = deepstreamApp({ ...base, sources: ['file:///a.mp4'], sink: 'file', benchmark: true });
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
test('a benchmark on a display shows, but waits for nothing', () => {
  const shown = deepstreamApp({ ...base, benchmark: true });
  expect([iniValue(shown, 'sink0', 'type'), iniValue(shown, 'sink0', 'sync'), iniValue(shown, 'osd', 'enable')]).toEqual(['2', '0', '1']);
});
