import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseTrtexecLog } from '../../src/formats/trtexec.ts';
import { advanceBuild, buildStart } from '../../src/formats/trtexec-build.ts';
import { classifyTrtexecFailure } from '../../src/formats/trtexec-failures.ts';
import { hasShared, shared } from '../shared.ts';

const rows = hasShared
  ? readFileSync(shared('trtexec', 'INDEX.tsv'), 'utf8')
      .trimEnd()
      .split('\n')
      .map(line => line.split('\t'))
  : [];
const head = rows[0] ?? [];
const cases = rows.slice(1).map(cells => Object.fromEntries(head.map((name, at) => [name, cells[at] ?? ''])));
const number = (text: string | undefined) => (text === undefined || text === '' ? undefined : Number(text));
const versions: Record<string, string> = { '8003': '8.0.3', '8203': '8.2.3', '8401': '8.4.1', '8600': '8.6.0', '8601': '8.6.1', '101601 b11': '10.16.1', '100300': '10.3.0' };
const read = (name: string) => readFileSync(shared('trtexec', name), 'utf8');

describe.skipIf(!hasShared)('INDEX', () => {
  test.each(cases)('$file', row => {
    const log = parseTrtexecLog(read(row.file!));
    expect(log.outcome.toUpperCase()).toBe(row.outcome);
    expect(log.version).toBe(versions[row.trt_version_banner!]);
    expect(log.throughputQps).toBe(number(row.throughput_qps));
    expect([log.latencyMs?.mean, log.latencyMs?.median, log.latencyMs?.p99]).toEqual([number(row.latency_mean_ms), number(row.latency_median_ms), number(row.latency_p99_ms)]);
    expect([log.gpuComputeMs?.mean, log.gpuComputeMs?.median, log.gpuComputeMs?.p99]).toEqual([number(row.gpu_mean_ms), number(row.gpu_median_ms), number(row.gpu_p99_ms)]);
    expect([log.h2dMs?.mean, log.d2hMs?.mean]).toEqual([number(row.h2d_mean_ms), number(row.d2h_mean_ms)]);
    expect(log.enqueueMs?.mean ?? log.enqueueMs?.median).toBe(number(row.enqueue_mean_or_median_ms));
    expect([log.walltimeS, log.queries]).toEqual([number(row.walltime_s), number(row.queries)]);
    const [word, seconds] = row.build_or_load_s!.split(' ');
    expect([log.built?.seconds, log.loaded?.seconds]).toEqual([word === 'built' ? Number(seconds) : undefined, word === 'loaded' ? Number(seconds) : undefined]);
    if (row.error_key !== '') expect(row.error_key).toContain(log.errors[0]);
    if (row.device !== '') expect(log.device).toBe(row.device);
    if (row.precision !== '') expect(log.precision).toBe(row.precision);
  });
  test('sizes, warnings, and the figures that a profile hides', () => {
    const built = parseTrtexecLog(read('11-10.16.1-ok-build-and-infer-h100.txt'));
    expect(built.built).toEqual({ seconds: 8.09138, sizeMiB: 12.5744 });
    expect(built.latencyMs).toMatchObject({ min: 0.0410156, p90: 0.0450439, p95: 0.0458984 });
    expect(built.warnings.join('\n')).toContain('GPU compute time is unstable');
    const profiled = parseTrtexecLog(read('15-10.16.1-ok-dumpProfile-no-summary.txt'));
    expect([profiled.outcome, profiled.built, profiled.throughputQps]).toEqual(['passed', undefined, undefined]);
  });
  test('a log cut anywhere before its summary is incomplete', () => {
    const text = read('11-10.16.1-ok-build-and-infer-h100.txt');
    const end = text.indexOf('Throughput:');
    for (let at = 0; at < end; at += 5003) expect(parseTrtexecLog(text.slice(0, at)).outcome).toBe('incomplete');
  });
  test.each([
    ['25-10.3.0-fail-unknown-options-removed-flags.txt', 'unknown-option'],
    ['27-8.6.1-fail-qdq-scale-not-positive.txt', 'quantization-invalid'],
    ['34-7.2.2-fail-parse-pad-2080ti.txt', 'parse-error'],
  ])('%s is %s', (file, kind) => {
    const failure = classifyTrtexecFailure(read(file), { exitCode: 1 });
    expect(failure?.kind).toBe(kind);
    expect(failure?.error.hint).not.toBe('');
  });
  test.each([
    '01-8.0.3-ok-a-mnist-fp32-build-verbose.txt',
    '09-8.6.0-ok-mnist-build.txt',
    '12-10.16.1-ok-build-skipInference-verbose-workspaceMiB-trap.txt',
    '19-7.x-ok-jetson-resnet50-int8-b1.txt',
  ])('build progress of %s only grows', file => {
    const shares = new Set<number>();
    let state = buildStart;
    for (const line of read(file).split('\n')) {
      const next = advanceBuild(line, state);
      expect(next.done / next.total).toBeGreaterThanOrEqual(state.done / state.total - 0.02);
      expect(next.done).toBeLessThanOrEqual(next.total);
      state = next;
      shares.add(state.done);
    }
    expect(shares.size).toBeGreaterThan(file.startsWith('19') ? 1 : 5);
  });
});

const said = (...lines: string[]) => lines.map(line => `[01/01/2025-10:00:00] ${line}`).join('\n');
test('7.x with explicit batch prints 0 qps: it is worked out, and said', () => {
  const log = parseTrtexecLog(
    `${said('[I] Timing trace has 0 queries over 3.1 s', '[I] Host Latency', '[I] min: 9 ms (end to end 10 ms)', '[I] mean: 10 ms (end to end 10 ms)', '[I] throughput: 0 qps')}\n&&&& PASSED TensorRT.trtexec # x`,
  );
  expect(log.throughputQps).toBe(100);
  expect(log.notes).toHaveLength(1);
});
test('prose, inf and nan are no figures', () => {
  const log = parseTrtexecLog(
    `${said('[I] Throughput: the observed throughput', '[V] Latency: min = 1 ms', '[I] Latency: the summation', '[I] GPU Compute Time: min = nan ms, max = inf ms, mean = 1e-05 ms')}\n`,
  );
  expect([log.throughputQps, log.latencyMs, log.gpuComputeMs]).toEqual([undefined, undefined, { mean: 1e-5 }]);
});
test('a summary without banners is passed; the last of two runs counts', () => {
  expect(parseTrtexecLog('[I] Throughput: 5 qps').outcome).toBe('passed');
  const first = '&&&& RUNNING TensorRT.trtexec [TensorRT v8601] # a\n[I] Throughput: 5 qps\n&&&& PASSED TensorRT.trtexec [TensorRT v8601] # a\n';
  expect(parseTrtexecLog(`${first}&&&& RUNNING TensorRT.trtexec [TensorRT v110000] # b\n`)).toMatchObject({ outcome: 'incomplete', version: '11.0.0', command: 'b' });
});
test.each([
  ['[E] Error[6]: Engine deserialization failed: expecting library version 10.3.0.26 got 8.6.1, please rebuild', 'engine-of-another-version'],
  ['[E] [TRT] 10: Could not find any implementation for node {ForeignNode[a...b]}.', 'no-tactic'],
  ['[E] No importer registered for op: FooBar. Attempting to import as plugin.', 'operator-unsupported'],
  ['[E] [TRT] 1: [defaultAllocator.cpp::allocate] Cuda Runtime (out of memory)', 'out-of-memory'],
  ['[E] Error[3]: IExecutionContext::setInputShape: Static dimension mismatch while setting input shape.', 'shape-mismatch'],
  ['[E] Calibration failure occurred with no scaling factors detected.', 'calibration-rejected'],
])('%s', (line, kind) => expect(classifyTrtexecFailure(`${said(line)}\n&&&& FAILED TensorRT.trtexec [TensorRT v8601] # x`, { exitCode: 1 })?.kind).toBe(kind));
test('kills, crashes, silence', () => {
  expect(classifyTrtexecFailure('', { exitCode: 137 })?.kind).toBe('killed');
  expect(classifyTrtexecFailure('', { exitCode: 139 })?.kind).toBe('crashed');
  expect(classifyTrtexecFailure('[I] x')?.kind).toBe('incomplete');
  expect(classifyTrtexecFailure('&&&& PASSED TensorRT.trtexec # x', { exitCode: 0 })).toBeUndefined();
});
test('any text parses, and quickly', () => {
  const part = fc.constantFrom(
    '&&&& ',
    'PASSED TensorRT.trtexec',
    '[I] ',
    '[01/01/2025-10:00:00] ',
    'Latency: ',
    'min = ',
    '1 ms',
    ', ',
    '\n',
    '\r\n',
    'mean: ',
    '(end to end',
    '9'.repeat(400),
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(part, { maxLength: 60 }).map(parts => parts.join('')),
      ),
      text => void [parseTrtexecLog(text), classifyTrtexecFailure(text, { exitCode: 1 })],
    ),
  );
  const started = performance.now();
  for (const text of [
    '[01/01/2025-10:00:00] '.repeat(50_000),
    `Latency: ${'min = 1 ms, '.repeat(100_000)}`,
    '\n'.repeat(1_000_000),
    `[E] Tensor ${'is bound '.repeat(100_000)}`,
    `[E] generated on ${'generated on '.repeat(50_000)}`,
  ])
    classifyTrtexecFailure(text);
  expect(performance.now() - started).toBeLessThan(8000);
});
