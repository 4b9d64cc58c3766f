import { expect, test } from 'vitest';
import type { Report } from '../../src/formats/report.ts';
import { bottleneckSentences } from '../../src/formats/report-conditions.ts';
import { parseAppRun, withAppRuns } from '../../src/formats/report-ladder.ts';
import { fixture } from './report-fixture.ts';

const base = fixture();
const report: Report = {
  ...base,
  results: base.results.map(row => ({
    ...row,
    stages: [
      { stage: 'engine', imagesPerSecond: 100 },
      { stage: 'engine with copies', imagesPerSecond: 50 },
    ],
  })),
};
const run = (sink: 'fake' | 'display', means: readonly number[], more: object = {}) =>
  parseAppRun(
    JSON.stringify({ device: base.device.name, grade: 'measured', precision: 'int8', batch: 1, sink, streams: means.map(mean => ({ mean, min: mean, sd: 0, n: 9 })), ...more }),
    'run.json',
  );

test('runs of the application become rungs of their engine’s ladder, and the slowest step is named', () => {
  const joined = withAppRuns(report, [run('fake', [20, 20]), run('display', [5, 5])]);
  const sentences = bottleneckSentences(joined);
  expect(sentences).toHaveLength(3);
  expect(sentences[0]).toMatch(/FP32 .*What limits is (the engine’s own computing|copying to and from the GPU)/);
  expect(sentences[2]).toContain(
    'INT8 single_stream batch 1: engine 100 → engine with copies 50.0 → deepstream fakesink 40.0 → deepstream sink 10.0 images/s. What limits is the real sink (drawing, encoding): 75.0 of 100 ms per image (75 %).',
  );
});

test('the run of a search is read by its best; what fits no row is refused with the reason', () => {
  expect(parseAppRun(JSON.stringify({ app: run('fake', [30]), best: 1 }), 'search.json').streams[0]!.mean).toBe(30);
  expect(() => parseAppRun('{}', 'x.json')).toThrow(/x\.json is no run of deepstream-app/);
  for (const [wrong, because] of [
    [run('fake', [30], { device: 'other' }), /it ran on "other"/],
    [run('fake', [30], { batch: 4 }), /no row of int8 at batch 4/],
    [run('fake', [30], { grade: 'emulated' }), /it is emulated, the row is measured/],
  ] as const)
    expect(() => withAppRuns(report, [wrong])).toThrow(because);
});
