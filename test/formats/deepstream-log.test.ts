import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseDeepstreamLog } from '../../src/formats/deepstream-log.ts';
import { hasShared, shared } from '../shared.ts';

const perf = (...rows: readonly (readonly number[])[]) => rows.map(row => `**PERF:  ${row.map(rate => `${rate.toFixed(2)} (${rate.toFixed(2)})`).join('\t')}\t`).join('\n');
const header = '**PERF:  FPS 0 (Avg)\tFPS 1 (Avg)\t\n';

test('rates leave out the start: zeros, and the first print with frames', () => {
  const { streams, end } = parseDeepstreamLog(`${header}${perf([0, 0], [0, 0], [9, 14], [30, 29], [32, 29])}\nQuitting\nApp run successful\n`);
  expect(streams.map(({ n, mean, min, dead }) => [n, mean, min, dead])).toEqual([
    [2, 31, 30, false],
    [2, 29, 29, false],
  ]);
  expect(streams[0]?.sd).toBeCloseTo(Math.SQRT2, 9);
  expect(end).toBe('success');
});
test('a source that never connects, one that stops, and one that only stutters', () => {
  const log = parseDeepstreamLog(perf([0, 0, 0], [0, 20, 20], [0, 20, 20], [0, 0, 20], [0, 0, 0], [0, 0, 20]));
  expect(log.streams.map(({ dead }) => dead)).toEqual([true, true, false]);
  expect(parseDeepstreamLog(perf([0], [0], [0], [0])).streams[0]).toMatchObject({ dead: true, mean: 0 });
  expect(log.end).toBe('running');
});
test.each([
  ['parser-missing', "ERROR: DetectPostprocessor::allocateResource(): Could not find parse func 'NvDsInferParseYolo' in custom library", /NvDsInferParseYolo/],
  ['parser-missing', 'Failed to init detect-postprocessor because dlsym failed to get func Parse pointer', /Parse/],
  ['batch-too-large', 'Backend has maxBatchSize 1 whereas 4 has been requested', /1 whereas 4/],
  ['layers-missing', 'ERROR: Could not find output coverage layer for parsing objects', /coverage/],
  ['source-failed', 'ERROR from src_elem0: Resource not found.', /src_elem0/],
  ['display-missing', 'ERROR from sink_sub_bin_sink1: Could not initialise EGL display', /display/],
  ['out-of-memory', 'Cuda failure: status=2 in cudaMalloc', /memory/],
] as const)('%s', (kind, line, message) => {
  const { failures, end } = parseDeepstreamLog(`${line}\nApp run failed\n`);
  expect(failures[0]).toMatchObject({ kind, line });
  expect(failures[0]?.error.message).toMatch(message);
  expect(failures[0]?.error.hint).not.toBe('');
  expect(end).toBe('failed');
});
test('a missing engine: the cause before what follows from it, and the rebuild is told', () => {
  const { failures, notes } = parseDeepstreamLog(
    'NvDsInferContextImpl::deserializeEngineAndBackend(): deserialize engine from file :/e/x.engine failed, try rebuild\nERROR: failed to build network since there is no model file matched.\nERROR from primary_gie: Failed to create NvDsInferContext instance\nApp run failed\n',
  );
  expect(failures.map(({ kind }) => kind)).toEqual(['model-missing', 'engine-rejected', 'pipeline-failed']);
  expect(notes.join()).toContain('tried to build another');
});
test('settings that do nothing and INT8 that is none are notes', () => {
  const { notes, failures } = parseDeepstreamLog("Unknown or legacy key specified 'foo' for group [property]\nINT8 calibration file not specified. Trying FP16 mode.\n");
  expect([failures, notes.length]).toEqual([[], 2]);
  expect(notes[0]).toContain("'foo' for group [property]");
});
describe.skipIf(!hasShared)('real logs', () => {
  test('two streams; one stream to its end', () => {
    const averages = (name: string) => parseDeepstreamLog(readFileSync(shared('deepstream-logs', name), 'utf8'));
    const two = averages('01-two-streams-k8s.txt');
    expect(two.streams.map(({ average, n, dead }) => [average, n, dead])).toEqual([
      [14.94, 4, false],
      [14.94, 4, false],
    ]);
    const one = averages('05-ds6.0-eos.txt');
    expect([one.streams[0]?.average, one.end, one.failures]).toEqual([266.28, 'success', []]);
  });
});
