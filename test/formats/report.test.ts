import { describe, expect, test } from 'vitest';
import { parseReport, reportJsonSchema, reportLines } from '../../src/formats/report.ts';
import { dropPoints, gateVerdict, judgeRows } from '../../src/formats/report-gate.ts';
import { reportHtml } from '../../src/formats/report-html.ts';
import { reportMarkdown } from '../../src/formats/report-markdown.ts';
import { publishedContext } from '../../src/formats/report-published.ts';
import { reportTerminal } from '../../src/formats/report-terminal.ts';
import { fixture } from './report-fixture.ts';

describe('gate', () => {
  test('drops are points of the same network', () => expect(dropPoints(0.79, 0.742)).toBe(4.8));
  test('at the limit it passes, beyond it fails, on too few decisions it says so', () => {
    expect(gateVerdict(1, 100).gate).toBe('pass');
    expect(gateVerdict(1.01, 100).gate).toBe('fail');
    expect(gateVerdict(0, 99)).toEqual({ gate: 'unjudged', note: 'n too small to judge (99 < 100)' });
  });
  test('rows are judged against their own FP32', () => {
    expect(fixture().results.map(({ gate }) => gate)).toEqual(['pass', 'pass', 'fail']);
    expect(fixture(40).results.map(({ gate }) => gate)).toEqual(['unjudged', 'unjudged', 'unjudged']);
  });
  test('a network that finds nothing passes nothing', () => {
    const blind = fixture().results.map(({ gate: _, gateNote: __, ...row }) => ({ ...row, accuracy: { ...row.accuracy!, value: 0 } }));
    expect(judgeRows(blind as Parameters<typeof judgeRows>[0]).map(({ gate }) => gate)).toEqual(['unjudged', 'unjudged', 'unjudged']);
  });
  test('speed-ups are over the unpruned FP32', () => expect(reportLines(fixture()).at(-1)?.speedup).toBeCloseTo(108.7 / 21.4, 9));
});

test('what others published is context with everything that differs, in every view, and cannot be graded measured', async () => {
  const row = {
    network: 'PeopleNet-ResNet34',
    input: [960, 544] as [number, number],
    precision: 'fp16' as const,
    imagesPerS: 60,
    counts: 'DeepStream',
    software: 'TLT 2.0',
    source: 'a copy',
  };
  const figure = publishedContext(row, { network: 'resnet10', width: 640, height: 192, batches: [1], precisions: ['fp32', 'int8'], runtime: 'tensorrt 8.2.1', powerMode: 'MAXN' });
  expect(figure.differs.join('; ')).toMatch(
    /here resnet10.*960×544 \(here 640×192\); FP16 \(here FP32, INT8\).*TLT 2.0 \(here tensorrt 8.2.1\).*here MAXN.*clocks not stated \(here unknown\)/,
  );
  const report = parseReport({ ...fixture(), published: [figure] });
  for (const view of [reportTerminal(report, { color: false }).replace(/\n +/g, ' '), reportMarkdown(report), await reportHtml(report)])
    expect(view).toMatch(/Published by others, not measured here: PeopleNet-ResNet34 60 images\/s/);
  expect(() => parseReport({ ...fixture(), published: [{ ...figure, grade: 'measured' }] })).toThrow(/published.0.grade/);
});

test('the fixture is valid, and stays itself through JSON', () => {
  expect(parseReport(JSON.stringify(fixture()))).toEqual(fixture());
  const rows = (reportJsonSchema.properties as Record<string, unknown>).results;
  expect(JSON.stringify(rows)).toContain('dropPoints');
});
test.each([
  ['{', ''],
  [{ ...fixture(), schemaVersion: 2 }, 'schemaVersion'],
  [{ ...fixture(), results: [{ ...fixture().results[0], throughput: { value: 1, unit: 'fps' } }] }, 'results.0.throughput.unit'],
  [{ ...fixture(), results: [{ ...fixture().results[0], accuracy: { metric: 'x', value: 78, n: 1 } }] }, 'results.0.accuracy.value'],
])('%#: refused with its path', (value, path) =>
  expect(() => parseReport(value)).toThrow(expect.objectContaining({ code: 'file-corrupt', message: expect.stringContaining(path) })),
);

test('terminal: 80 columns, FAILED, speed struck out with and without colour', () => {
  const plain = reportTerminal(fixture(), { color: false });
  for (const line of plain.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80);
  expect(plain).toContain('FAILED');
  expect(plain).toContain('~109~');
  expect(plain).not.toContain('\x1b');
  expect(reportTerminal(fixture(), { color: true })).toContain('\x1b[9m109\x1b[0m');
  expect(reportTerminal(fixture(40), { color: false })).toContain('n too small to judge');
});
test('Markdown strikes a failed speed and shields names', () => {
  const text = reportMarkdown(fixture());
  expect(text).toContain('~~109~~');
  expect(text).toContain('**FAILED**');
  expect(text).toContain('bench \\<1\\>');
});
test('energy, heat, clocks and the limiting stage stand in all three views', async () => {
  const board = { clocks: 'locked', powerMode: '15W', gpuMHz: 918, restored: true } as const;
  const power = { perImageMj: 42.5, fpsPerW: 23.5, meanW: 5.2, rail: 'VDD_IN', samples: 40, sensor: 'board sensor, not wall' } as const;
  const stages = [
    { stage: 'engine', imagesPerSecond: 200 },
    { stage: 'engine with copies', imagesPerSecond: 180 },
    { stage: 'deepstream fakesink', imagesPerSecond: 60 },
  ] as const;
  const base = fixture();
  const [row] = base.results;
  const report = parseReport({ ...base, results: [{ ...row!, evidence: { ...row!.evidence, board }, energy: power, heat: { sensor: 'tj', minC: 51, maxC: 62.5 }, stages }] });
  const sentence =
    'engine 200 → engine with copies 180 → deepstream fakesink 60.0 images/s. What limits is the pipeline around the engine (decoding, scaling, tracking): 11.1 of 16.7 ms per image (67 %).';
  const terminal = reportTerminal(report, { color: false });
  for (const view of [reportMarkdown(report), await reportHtml(report), terminal.replace(/\n {2}/g, ' ')]) {
    for (const words of [sentence, '42.5', 'VDD', 'board sensor, not wall', '51.0 to 62.5 (tj)', 'GPU 918 MHz, given back']) expect(view).toContain(words);
  }
  for (const line of terminal.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
});
test('HTML stands alone', async () => {
  const html = await reportHtml(fixture());
  expect(html).toContain('<s>109</s>');
  expect(html).toContain('bench &lt;1&gt;');
  expect(html).not.toMatch(/<script|<link|@import|(?:src|href)="(?!data:)[^"#]/);
  expect(html.replaceAll('http://www.w3.org/', '')).not.toMatch(/https?:\/\//);
  expect(html).not.toMatch(/#0101[0-1]/);
  expect(html.match(/<svg/g)?.length).toBeGreaterThanOrEqual(7);
  if (process.env.REPORT_OUT) (await import('node:fs')).writeFileSync(process.env.REPORT_OUT, html);
});
test('a report without training, pruning or accuracy still reads', async () => {
  const { pruning: _, images: __, ...rest } = fixture();
  const bare = parseReport({ ...rest, training: [], baseline: [], results: rest.results.map(({ accuracy: ___, ...row }) => ({ ...row, gate: 'unjudged' })) });
  expect(reportTerminal(bare, { color: false })).toContain('unjudged');
  expect(await reportHtml(bare)).toContain('unjudged');
  expect(reportMarkdown(bare)).toContain('unjudged');
});
