import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { EngineSpec, EtltModel, Facts } from '../../src/deploy/device.ts';
import { doctorDevice } from '../../src/deploy/doctor.ts';
import type { Device } from '../../src/deploy/open-device.ts';
import { keepKeyScript, keyFileOf } from '../../src/deploy/runtimes/_trtexec-scripts.ts';
import { benchWords, buildWords } from '../../src/deploy/runtimes/_trtexec-words.ts';
import { onnxruntime } from '../../src/deploy/runtimes/onnxruntime.ts';
import { tensorrt } from '../../src/deploy/runtimes/tensorrt.ts';
import { tellingTransport } from '../../src/deploy/transports/telling.ts';
import { benchEngines, buildEngine, pushFile } from '../../src/deploy/work.ts';
import { cacheFor } from '../../src/formats/calibration-cache.ts';
import { classifyConverterFailure } from '../../src/formats/converter-failures.ts';
import { encodeEtlt } from '../../src/formats/etlt.ts';
import { readUff } from '../../src/formats/uff.ts';
import { processes, temporary } from './harness.ts';
import { replay } from './replay/board.ts';
import { replayed } from './replay/boards.ts';
import { smallModel, smallRanges } from './replay/model.ts';
import { uffBytes } from './replay/uff.ts';

const key = "it's $HOME & a \\ secret";
const uff: EtltModel = { payload: 'uff', outputs: ['output_cov/Sigmoid', 'output_bbox/BiasAdd'], open: false };
const onnx: EtltModel = { payload: 'onnx', outputs: ['output_cov'], open: true };
const board = (more: Partial<typeof replayed.xavierNx> = {}) => ({ ...replayed.xavierNx, tools: [...replayed.xavierNx.tools, 'tao-converter'], ...more });

const facts = (tensorrtVersion: string, converter: string | undefined = '/opt/nvidia/tao/tao-converter'): Facts => ({
  deviceId: 'board',
  kind: 'jetson',
  architecture: 'arm64',
  model: 'NVIDIA Jetson Xavier NX',
  os: 'Ubuntu 18.04',
  kernel: '4.9',
  cpu: { model: 'ARM', cores: 6, features: [] },
  memoryMB: 7772,
  freeDiskMB: 9000,
  home: '/home/nvidia',
  soc: 'tegra194',
  module: 'p3668-0000',
  sm: '7.2',
  tensorrt: tensorrtVersion,
  trtexec: '/usr/src/tensorrt/bin/trtexec',
  emulated: false,
  at: '2026-01-01T00:00:00Z',
  ...(converter === undefined ? {} : { converter }),
});
const digest = 'ab'.repeat(32) as EngineSpec['modelDigest'];
const spec: EngineSpec = {
  model: 'store/m',
  modelDigest: digest,
  precision: 'fp16',
  batch: 1,
  inputs: { 'input_1:0': [1, 3, 544, 960] },
  engine: 'engines/e',
  threads: 1,
  etlt: uff,
};

it('says its words for every release that it serves, and trtexec those for what it built', async () => {
  const lines: string[] = [];
  for (const [version, tool] of [
    ['7.1.3', '/usr/bin/tlt-converter'],
    ['7.2.2', '/usr/bin/tlt-converter'],
    ['8.0.1', '/opt/nvidia/tao/tao-converter'],
    ['8.2.1', '/opt/nvidia/tao/tao-converter'],
    ['8.4.1', '/opt/nvidia/tao/tao-converter'],
  ] as const) {
    const wishes: Readonly<Record<string, EngineSpec>> = {
      'UFF fp32': { ...spec, precision: 'fp32' },
      'UFF fp16, batch 8': { ...spec, batch: 8, inputs: { 'input_1:0': [8, 3, 544, 960] } },
      'UFF int8, DLA 0': { ...spec, precision: 'int8', calibration: { path: 'store/c', digest }, dlaCore: 0, workspaceMiB: 256 },
      'ONNX fp16, open batch': { ...spec, etlt: onnx, batch: 4, inputs: { 'input_1:0': [4, 3, 544, 960] } },
      'ONNX fp16, fixed': { ...spec, etlt: { ...onnx, open: false } },
    };
    for (const [what, wish] of Object.entries(wishes)) {
      const words = buildWords(wish, facts(version, tool), { dynamic: true });
      const passport = { engine: { path: wish.engine, digest, bytes: 1 }, precision: wish.precision, batch: wish.batch, inputs: wish.inputs, words } as unknown as Parameters<
        typeof benchWords
      >[0];
      const bench = benchWords(passport, { warmUpMs: 200, durationMs: 3000, minIterations: 10 }, facts(version, tool), 't.json').filter(word =>
        /--(shapes|batch|useDLACore)/.test(word),
      );
      lines.push(`${version.padEnd(6)} ${what.padEnd(22)} ${words.join(' ')}`, `${''.padEnd(30)}trtexec ${bench.join(' ') || '-'}`);
    }
  }
  await expect(`${lines.join('\n')}\n`).toMatchFileSnapshot('goldens/converter-words.txt');
});

it('is refused with both ways out: by TensorRT, without the tool, and by onnxruntime', () => {
  const wish = { precision: 'fp16', batch: 1, calibration: false } as const;
  expect(tensorrt.refuse({ ...wish, etlt: uff }, facts('8.4.1'))).toBeUndefined();
  const newer = tensorrt.refuse({ ...wish, etlt: uff }, facts('8.5.2'));
  expect(newer).toMatchObject({ code: 'device-refused', hint: expect.stringMatching(/^Either export the model as ONNX .*; or deploy to a device with TensorRT 8\.4 or older/) });
  expect(tensorrt.refuse({ ...wish, etlt: onnx }, facts('10.3.0'))?.hint).toMatch(/^Either leave converter: true out/);
  const { converter: _, ...bare } = facts('8.0.1');
  expect(tensorrt.refuse({ ...wish, etlt: uff }, bare)).toMatchObject({
    code: 'engine-missing',
    hint: expect.stringMatching(/^Either take v3\.21\.11_trt8\.0_aarch64 from .*; or export the model as ONNX/),
  });
  expect(tensorrt.refuse({ precision: 'int8', batch: 1, calibration: false, etlt: uff }, facts('8.2.1'))?.code).toBe('calibration-missing');
  expect(onnxruntime.refuse({ ...wish, etlt: uff }, { ...facts('8.2.1'), glibc: '2.35' })?.message).toContain('holds UFF');
});

it.each([
  [
    139,
    "[ERROR] Failed to parse the model, please check the encoding key to make sure it's correct\n[ERROR] Unable to create engine\nSegmentation fault",
    'key-missing',
    'NGC models',
  ],
  [
    139,
    '[ERROR] INVALID_ARGUMENT: getPluginCreator could not find plugin BatchedNMSDynamic_TRT version 1\n[ERROR] Failed to parse the model, please check the encoding key',
    'operator-unsupported',
    'without this operator',
  ],
  [
    139,
    '[ERROR] UffParser: Validator error: FirstDimTile_0: Unsupported operation _BatchTilePlugin_TRT\n[ERROR] Failed to parse the model, please check',
    'operator-unsupported',
    'libnvinfer_plugin',
  ],
  [139, '[ERROR] UffParser: Output error: Output output_cov/Sigmoid not found\n[ERROR] Failed to parse', 'graph-invalid', '--outputs'],
  [1, 'no input dimension given', 'shape-mismatch', '--dims'],
  [1, '[ERROR] Unexpected exception _Map_base::at', 'calibration-invalid', '--calibration'],
  [127, 'tao-converter: error while loading shared libraries: libcrypto.so.1.1: cannot open shared object file: No such file or directory', 'usage', 'libssl1.1'],
  [137, '[INFO] Some tactics do not have sufficient workspace memory', 'device-full', 'swap'],
  [139, 'Segmentation fault (core dumped)', 'engine-build-failed', 'ONNX'],
] as const)('a failure of exit code %i is told with its mend', (exitCode, log, code, hint) => {
  expect(classifyConverterFailure(log, exitCode)).toMatchObject({ code, hint: expect.stringContaining(hint) });
});

it('reads what a UFF network takes and gives, and refuses what is none', () => {
  expect(readUff(uffBytes({ dims: [3, 544, 960] }))).toEqual({ inputs: [{ name: 'input_1', dims: [3, 544, 960] }], outputs: uff.outputs });
  for (const end of [1, 40, 100]) expect(() => readUff(uffBytes().subarray(0, end))).toThrow(expect.objectContaining({ code: 'file-corrupt' }));
});

it('keeps a key in a file that only its user reads', () => {
  using folder = temporary();
  const [program, ...words] = keepKeyScript('engines/e');
  execFileSync(program, words, { cwd: folder.path, input: key });
  const file = join(folder.path, keyFileOf('engines/e'));
  expect([readFileSync(file, 'utf8'), statSync(file).mode & 0o777]).toEqual([key, 0o600]);
});

describe('on a replayed board', () => {
  const protocol = { warmUpMs: 200, durationMs: 2000, minIterations: 10, rounds: 1, batch: 1, threads: 1 };
  async function convert(device: Device, folder: string, { etlt, secret = key, precision = 'fp16', ...more }: Partial<EngineSpec> & { etlt: EtltModel; secret?: string }) {
    const file = join(folder, 'model.etlt');
    const inside = etlt.payload === 'uff' ? { payload: uffBytes(), inputName: 'input_1' } : { payload: smallModel() };
    writeFileSync(file, encodeEtlt({ ...inside, key, nonce: new Uint8Array(16) }));
    const model = await pushFile(device, file);
    const wish: EngineSpec = {
      ...spec,
      model: model.path,
      modelDigest: model.digest,
      precision,
      inputs: { input_1: [1, 3, 8, 8] },
      engine: `engines/${etlt.payload}-${precision}`,
      etlt,
      ...more,
    };
    return buildEngine(device, wish, { key: secret });
  }
  /** Everything under the device's home that holds the text. */
  const holding = (home: string, text: string): string[] =>
    readdirSync(home, { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .map(entry => join(entry.parentPath, entry.name))
      .filter(path => readFileSync(path).includes(text));

  it('builds UFF and ONNX from an .etlt, is measured by trtexec, and the key stays nowhere', async () => {
    using folder = temporary();
    await using there = await replay(board());
    await using plain = await there.open();
    const told: string[] = [];
    const device: Device = { ...plain, transport: tellingTransport(plain.transport, line => told.push(line)) };
    expect(device.facts.converter).toBe(`${there.home}/bin/tao-converter`);
    expect(doctorDevice(device).find(({ name }) => name === 'tao-converter')).toMatchObject({ state: 'ok', value: expect.stringContaining('holds UFF') });
    const { converter: _, ...bare } = device.facts;
    const rowOf = (facts: Facts) => doctorDevice({ ...device, facts }).find(({ name }) => name === 'tao-converter');
    expect(rowOf(bare)).toMatchObject({ state: 'note', value: expect.stringMatching(/^not found; needed only/), mend: expect.stringContaining('v3.21.11_trt8.0_aarch64') });
    expect(rowOf({ ...device.facts, tensorrt: '10.3.0' })).toMatchObject({ state: 'note', value: expect.stringContaining('is not used') });
    expect(rowOf({ ...bare, tensorrt: '10.3.0' })).toBeUndefined();
    const cache = join(folder.path, 'cal.bin');
    writeFileSync(cache, cacheFor(smallRanges, { tensorrt: '8.2.1' }));
    const pushed = await pushFile(device, cache);
    const calibration = { path: pushed.path, digest: pushed.digest };
    const passports = [await convert(device, folder.path, { etlt: uff }), await convert(device, folder.path, { etlt: onnx, precision: 'int8', calibration })];
    expect(passports[0]).toMatchObject({ emulated: true, precision: 'fp16', notes: ['built by the device’s converter from UFF'] });
    const measured = await benchEngines(
      device,
      passports.map(passport => ({ passport, protocol })),
    );
    expect(measured.map(({ precision, evidence }) => [precision, evidence.grade])).toEqual([
      ['fp16', 'emulated'],
      ['int8', 'emulated'],
    ]);
    const log = readFileSync(there.remote('engines/uff-fp16.log'), 'utf8');
    expect(log).toContain('tao-converter -k [key] -d 3,8,8 -o output_cov/Sigmoid,output_bbox/BiasAdd');
    expect(holding(there.home, key)).toEqual([]);
    expect(`${told.join('\n')}${JSON.stringify(passports)}`).not.toContain(key);
    expect(told.some(line => line.includes('-k "$secret"'))).toBe(true);
    expect(readdirSync(there.remote('engines')).filter(name => /\.(key|rc|part)$/.test(name))).toEqual([]);
  });

  it('fails with the mend, and takes the key away then too', async () => {
    using folder = temporary();
    await using there = await replay(board());
    await using device = await there.open();
    const failure = (wish: Parameters<typeof convert>[2]) =>
      convert(device, folder.path, wish).then(
        () => 'built',
        (error: unknown) => (error as { code: string }).code,
      );
    expect(await failure({ etlt: uff, secret: 'wrong' })).toBe('key-missing');
    expect(await failure({ etlt: { ...uff, outputs: ['none'] } })).toBe('graph-invalid');
    expect(await failure({ etlt: uff, inputs: { input_1: [1, 3, 9, 9] } })).toBe('shape-mismatch');
    const cache = join(folder.path, 'cal.bin');
    writeFileSync(cache, cacheFor({ other: { amax: 1 } }, { tensorrt: '8.2.1' }));
    const { path, digest: content } = await pushFile(device, cache);
    expect(await failure({ etlt: uff, precision: 'int8', calibration: { path, digest: content } })).toBe('calibration-invalid');
    there.fail({ oomKill: true });
    expect(await failure({ etlt: uff })).toBe('device-full');
    there.fail();
    expect(holding(there.home, key)).toEqual([]);
    // While it works, nobody else can read the key from a file: there is none any more.
    there.fail({ slowS: 3 });
    const running = convert(device, folder.path, { etlt: uff });
    await expect.poll(() => processes().some(({ args }) => args.includes('converter.ts')), { timeout: 10_000 }).toBe(true);
    expect(holding(there.home, key)).toEqual([]);
    await running;
  });
});
