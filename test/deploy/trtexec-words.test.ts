import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { EdgeError } from '../../src/core/errors.ts';
import type { Digest } from '../../src/core/fingerprint.ts';
import type { EngineSpec, Facts, Passport } from '../../src/deploy/device.ts';
import { benchWords, buildWords, inferWords, shapesText } from '../../src/deploy/runtimes/_trtexec-words.ts';
import { tensorrt } from '../../src/deploy/runtimes/tensorrt.ts';
import { hasShared, shared } from '../shared.ts';
import { optionsOf } from './replay/options.ts';

const facts = (version: string, more: Partial<Facts> = {}): Facts => ({
  deviceId: 'board',
  kind: 'jetson',
  architecture: 'arm64',
  model: 'NVIDIA Jetson Orin Nano',
  os: 'Ubuntu 22.04',
  kernel: '5.15',
  cpu: { model: 'ARM', cores: 6, features: [] },
  memoryMB: 7620,
  freeDiskMB: 9000,
  home: '/home/nvidia',
  soc: 'tegra234',
  module: 'p3767-0005',
  sm: '8.7',
  tensorrt: version,
  trtexec: '/usr/src/tensorrt/bin/trtexec',
  emulated: false,
  at: '2026-01-01T00:00:00Z',
  ...more,
});
const digest = 'ab'.repeat(32) as Digest;
const spec: EngineSpec = {
  model: 'store/m',
  modelDigest: digest,
  precision: 'int8',
  batch: 8,
  inputs: { input_1: [8, 3, 544, 960] },
  calibration: { path: 'store/c', digest },
  engine: 'engines/int8.engine',
  threads: 1,
  workspaceMiB: 1024,
};
const tool = '/usr/src/tensorrt/bin/trtexec';

describe('words for trtexec', () => {
  it.each([
    [
      '8.6.1',
      `${tool} --onnx=store/m --saveEngine=engines/int8.engine.part --shapes=input_1:8x3x544x960 --memPoolSize=workspace:1024 --int8 --fp16 --calib=store/c --timingCacheFile=engines/timing.cache --profilingVerbosity=detailed --exportLayerInfo=engines/int8.engine.layers --skipInference --verbose`,
    ],
    [
      '10.3.0',
      `${tool} --onnx=store/m --saveEngine=engines/int8.engine.part --shapes=input_1:8x3x544x960 --memPoolSize=workspace:1024 --int8 --fp16 --calib=store/c --timingCacheFile=engines/timing.cache --profilingVerbosity=detailed --exportLayerInfo=engines/int8.engine.layers --skipInference --verbose`,
    ],
    [
      '8.2.1',
      `${tool} --onnx=store/m --saveEngine=engines/int8.engine.part --shapes=input_1:8x3x544x960 --workspace=1024 --int8 --fp16 --calib=store/c --timingCacheFile=engines/timing.cache --profilingVerbosity=detailed --exportLayerInfo=engines/int8.engine.layers --buildOnly --verbose`,
    ],
    [
      '7.1.3',
      `${tool} --onnx=store/m --saveEngine=engines/int8.engine.part --explicitBatch --shapes=input_1:8x3x544x960 --workspace=1024 --int8 --fp16 --calib=store/c --buildOnly --verbose`,
    ],
    [
      '11.0.0',
      `${tool} --onnx=store/m --saveEngine=engines/int8.engine.part --shapes=input_1:8x3x544x960 --memPoolSize=workspace:1024 --timingCacheFile=engines/timing.cache --profilingVerbosity=detailed --exportLayerInfo=engines/int8.engine.layers --skipInference --verbose`,
    ],
  ])('%s builds', (version, words) => {
    expect(buildWords(spec, facts(version), { dynamic: true }).join(' ')).toBe(words);
  });

  it('are written down for every release that we know, and use no option that it does not take', async () => {
    const lines: string[] = [];
    for (const version of ['7.1.3', '7.2.2', '8.0.1', '8.2.1', '8.4.1', '8.5.2', '8.6.1', '8.6.2', '9.3.0', '10.3.0', '10.9.0', '10.13.3', '10.16.2', '11.0.0', '11.1.0']) {
      const { calibration: _, ...float } = { ...spec, batch: 1, inputs: { input_1: [1, 3, 544, 960] }, engine: 'engines/e' };
      const cached = { ...float, precision: 'int8', calibration: { path: 'store/c', digest } } as const;
      const built: Passport = { ...passport, words: buildWords({ ...float, precision: 'fp16' }, facts(version), { dynamic: true }) };
      const rows: Record<string, readonly string[]> = {
        'build fp32': buildWords({ ...float, precision: 'fp32' }, facts(version), { dynamic: true }),
        'build fp16': built.words,
        ...(version < '11' || version.startsWith('7') || version.startsWith('8') || version.startsWith('9')
          ? {
              'build int8, cache': buildWords(cached, facts(version), { dynamic: true }),
              'build int8 on DLA 0': buildWords({ ...cached, dlaCore: 0 }, facts(version), { dynamic: true }),
            }
          : {}),
        ...(version.startsWith('7') ? {} : { 'build int8, Q/DQ': buildWords({ ...float, precision: 'int8', quantized: true }, facts(version), { dynamic: true }) }),
        benchmark: benchWords(built, protocol, facts(version), 'jobs/times.json'),
        'one image': inferWords(built, 'input_1', 'one.raw', '0.json', facts(version)),
      };
      const known = optionsOf(version);
      for (const [what, words] of Object.entries(rows)) {
        const unknown = words
          .slice(1)
          .map(word => word.replace(/^--/, '').split('=')[0]!)
          .filter(name => !known.has(name));
        expect([version, what, unknown]).toEqual([version, what, []]);
        lines.push(`${version.padEnd(8)} ${what.padEnd(20)} ${words.slice(1).join(' ')}`);
      }
    }
    await expect(`${lines.join('\n')}\n`).toMatchFileSnapshot('goldens/trtexec-words.txt');
  });

  it('says precision by flags, never a cache with Q/DQ, and DLA with fallback', () => {
    const flags = (more: Partial<EngineSpec>): string[] =>
      buildWords({ ...spec, ...more }, facts('10.3.0'), { dynamic: false }).filter(word => /int8|fp16|calib|DLA|Fallback|shapes/.test(word) && !word.includes('engine'));
    const { calibration: _, ...quantized } = spec;
    expect(buildWords({ ...quantized, quantized: true }, facts('10.3.0'), { dynamic: false }).some(word => word.startsWith('--calib'))).toBe(false);
    expect(flags({ precision: 'fp32' })).toEqual([]);
    expect(flags({ precision: 'fp16', dlaCore: 0 })).toEqual(['--fp16', '--useDLACore=0', '--allowGPUFallback']);
    expect(shapesText({ 'x:0': [1, 3], y: [2] })).toBe("'x:0':1x3,y:2");
  });

  const passport: Passport = {
    engine: { path: 'engines/e', digest, bytes: 5 },
    precision: 'fp16',
    batch: 1,
    inputs: { x: [1, 3, 2, 2] },
    modelDigest: digest,
    runtime: 'tensorrt 10.3.0',
    deviceId: 'board',
    words: ['trtexec', '--shapes=x:1x3x2x2'],
    buildSeconds: 1,
    notes: [],
  };
  const protocol = { warmUpMs: 500, durationMs: 2500, minIterations: 100, rounds: 1, batch: 1, threads: 1 };
  it('measures with the flags that make versions comparable', () => {
    expect(benchWords(passport, protocol, facts('10.3.0'), 't.json').slice(1)).toEqual([
      '--loadEngine=engines/e',
      '--warmUp=500',
      '--duration=3',
      '--iterations=100',
      '--avgRuns=10',
      '--shapes=x:1x3x2x2',
      '--useSpinWait',
      '--useCudaGraph',
      '--exportTimes=t.json',
    ]);
    expect(benchWords(passport, protocol, facts('11.0.0'), 't.json')).toContain('--includeDataTransfers');
    expect(inferWords(passport, 'x', 'f.raw', 'o.json', facts('8.6.1')).slice(1)).toEqual([
      '--loadEngine=engines/e',
      '--loadInputs=x:f.raw',
      '--exportOutput=o.json',
      '--iterations=1',
      '--warmUp=0',
      '--duration=0',
      '--shapes=x:1x3x2x2',
    ]);
  });

  it('uses no option that the version does not list in its own help', ({ skip }) => {
    if (!hasShared) skip();
    for (const [version, file] of [
      ['8.6.1', 'help-8.6.1.txt'],
      ['10.6.0', 'help-10.6.0.txt'],
      ['7.1.3', 'help-7.x.txt'],
      ['8.5.0', 'help-8.5.0.txt'],
    ] as const) {
      const help = readFileSync(shared('trtexec', 'help', file), 'utf8');
      const words = [
        ...buildWords(spec, facts(version), { dynamic: true }),
        ...buildWords({ ...spec, dlaCore: 0 }, facts(version), { dynamic: true }),
        ...benchWords(passport, protocol, facts(version), 't'),
        ...inferWords(passport, 'x', 'f', 'o', facts(version)),
      ];
      const unknown = words
        .filter(word => word.startsWith('--'))
        .map(word => word.split('=')[0]!)
        .filter(option => !new RegExp(`${option}\\b`).test(help));
      expect([version, [...new Set(unknown)]]).toEqual([version, []]);
    }
  });
});

describe('what TensorRT cannot do is refused before anything is uploaded', () => {
  const wish = { precision: 'int8', batch: 1, calibration: true } as const;
  it.each([
    ['INT8 without ranges', { ...wish, calibration: false }, {}, 'calibration-missing'],
    ['INT8 on a Nano', wish, { soc: 'tegra210', module: 'p3448-0000', sm: '5.3', tensorrt: '8.2.1' }, 'device-refused'],
    ['a DLA where there is none', { ...wish, dlaCore: 0 }, {}, 'device-refused'],
    ['FP32 on a DLA', { ...wish, precision: 'fp32', dlaCore: 0 }, { soc: 'tegra194', module: 'p3668-0000', sm: '7.2' }, 'device-refused'],
    ['no trtexec', wish, { trtexec: undefined }, 'engine-missing'],
  ] as const)('%s', (_, asked, more, code) => {
    const given = Object.fromEntries(Object.entries({ ...facts('10.3.0'), ...more }).filter(([, value]) => value !== undefined)) as unknown as Facts;
    expect(tensorrt.refuse(asked, given)).toMatchObject({ code, hint: expect.stringMatching(/\S/) });
  });
  it('lets the possible pass', () => {
    expect(tensorrt.refuse(wish, facts('10.3.0'))).toBeUndefined();
    expect(tensorrt.refuse({ ...wish, dlaCore: 1 }, facts('8.5.2', { soc: 'tegra194', module: 'p3668-0000', sm: '7.2' }))).toBeUndefined();
  });
});

describe.skipIf(!hasShared)('real logs become passports, measurements and failures', () => {
  const log = (name: string): string => readFileSync(shared('trtexec', name), 'utf8');
  const finished = (exitCode: number) => ({ command: ['sh'] as const, exitCode, stdout: '', stderr: '' });
  it('built', () => {
    const passed = tensorrt.built(spec, facts('10.3.0'), finished(0), `${log('12-10.16.1-ok-build-skipInference-verbose-workspaceMiB-trap.txt')}\n\u001eengine\n123 ${digest}\n`);
    expect(passed).toMatchObject({ engine: { bytes: 123, digest }, tensorrt: '10.3.0', sm: '8.7' });
    expect(tensorrt.built(spec, facts('10.3.0'), finished(1), log('25-10.3.0-fail-unknown-options-removed-flags.txt'))).toBeInstanceOf(EdgeError);
    expect(tensorrt.built(spec, facts('10.3.0'), finished(137), 'Killed')).toMatchObject({ code: 'device-full' });
  });
  it('measured: images/s is queries × batch, latencies from the single times', () => {
    const passport = tensorrt.built(spec, facts('8.6.1'), finished(0), `&&&& PASSED TensorRT.trtexec [TensorRT v8601] # x\n\u001eengine\n1 ${digest}`) as Passport;
    const entries = [{ passport, protocol: { warmUpMs: 1, durationMs: 1, minIterations: 1, rounds: 2, batch: 8, threads: 1 } }];
    const run = (round: number, times: string) => `\u001erun 0 ${round} 2 1\n${log('06-8.2.3-ok-load-fp32-engine.txt')}\n\u001etimes\n${times}`;
    const qps = Number(/Throughput: ([\d.]+) qps/.exec(log('06-8.2.3-ok-load-fp32-engine.txt'))?.[1]);
    const measured = tensorrt.measured(entries, facts('8.6.1'), finished(0), `${run(1, '0.5 1 1\n1.5 2 2\n')}${run(2, '0.5 3 3\n')}`);
    expect(measured).toMatchObject([
      { latencyMs: { n: 3, mean: 2, p50: 2 }, throughput: { value: expect.closeTo(8 * qps, 6) }, scenario: 'offline', evidence: { grade: 'measured' } },
    ]);
    // Before 8.6 the warm-up's queries stand in the times too.
    expect(tensorrt.measured(entries, facts('8.2.1'), finished(0), `${run(1, '7.5 1 9\n8.6 2 2\n9.6 2 4\n')}`)).toMatchObject([{ latencyMs: { n: 2, mean: 3 } }]);
    expect(tensorrt.measured(entries, facts('8.6.1'), finished(0), run(1, ''))).toMatchObject({ code: 'measurement-void' });
  });
});

it('reads the outputs of one process per image', () => {
  const file = (values: number[]): Uint8Array => new TextEncoder().encode(JSON.stringify([{ name: 'y', dimensions: '1x2', values }]));
  const files = new Map([
    ['0.json', file([1, 2])],
    ['10.json', file([5, 6])],
    ['2.json', file([3, 4])],
  ]);
  const result = tensorrt.inferred({ command: ['sh'], exitCode: 0, stdout: '', stderr: '' }, files);
  expect(result).toMatchObject({ n: 3 });
  if (!(result instanceof EdgeError)) expect([...(result.tensors.get('y')!.data as Float32Array)]).toEqual([1, 2, 3, 4, 5, 6]);
});
