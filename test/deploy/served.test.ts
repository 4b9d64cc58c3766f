import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { digestOfFile } from '../../src/core/fingerprint.ts';
import type { EngineSpec, Passport } from '../../src/deploy/device.ts';
import { doctorDevice, doctorHost } from '../../src/deploy/doctor.ts';
import { identityFacts } from '../../src/deploy/facts.ts';
import { openDevice } from '../../src/deploy/open-device.ts';
import { remoteUsage } from '../../src/deploy/remote-store.ts';
import { ensureServed, listServed, stopServed } from '../../src/deploy/serve.ts';
import { benchEngines, buildEngine, enginesThere, inferOnDevice, pushFile, rehearse } from '../../src/deploy/work.ts';
import { hasShared, shared } from '../shared.ts';
import { temporary } from './harness.ts';

const folder = temporary();
const project = folder.path;
const open = (name = 'bench') => openDevice({ name, definition: { serve: true }, project });
afterAll(async () => {
  for (const { name } of await listServed(project)) await stopServed(project, name);
  folder[Symbol.dispose]();
});

describe('served devices', () => {
  it('starts within half a second, is found again by its key, and stops', async () => {
    await ensureServed(project, 'warm');
    const start = performance.now();
    const first = await ensureServed(project, 'quick');
    const startMs = performance.now() - start;
    const again = performance.now();
    const second = await ensureServed(project, 'quick');
    const againMs = performance.now() - again;
    console.log(`served device: first start ${startMs.toFixed(0)} ms (keys made), found again in ${againMs.toFixed(1)} ms`);
    expect(second.port).toBe(first.port);
    // Half a second on a quiet machine; the test machine is shared.
    expect(startMs).toBeLessThan(2500);
    expect(await stopServed(project, 'quick')).toBe(true);
    expect(await stopServed(project, 'quick')).toBe(false);
    expect((await ensureServed(project, 'quick')).hostKey).toBe(first.hostKey);
    expect(await listServed(project)).toEqual(expect.arrayContaining([expect.objectContaining({ name: 'quick', up: true })]));
  });

  it('starts once for many callers and does not believe a foreign program on its port', async () => {
    const ports = await Promise.all(Array.from({ length: 5 }, async () => (await ensureServed(project, 'crowd')).port));
    expect(new Set(ports).size).toBe(1);
    await using other = await (await import('./harness.ts')).board();
    const state = join(project, '.edgeforge/served/crowd/state.json');
    writeFileSync(state, JSON.stringify({ pid: 1, port: other.server.port }));
    expect((await ensureServed(project, 'crowd')).port).not.toBe(other.server.port);
  });

  it('ends after its idle time', async () => {
    await ensureServed(project, 'idle', { idleSeconds: 1 });
    await expect.poll(() => existsSync(join(project, '.edgeforge/served/idle/state.json')), { timeout: 8000 }).toBe(false);
  });

  it('two devices of one kind are two devices', async () => {
    await using a = await open('one');
    await using b = await open('two');
    expect(a.facts.deviceId).not.toBe(b.facts.deviceId);
    expect(identityFacts(a.facts, a.runtime)).not.toEqual(identityFacts(b.facts, b.runtime));
    const { device: _a, ...restA } = identityFacts(a.facts, a.runtime);
    const { device: _b, ...restB } = identityFacts(b.facts, b.runtime);
    expect(restA).toEqual(restB);
    expect(a.target.name).toBe(a.facts.architecture === 'x64' ? 'linux-x64' : 'linux-arm64');
    expect(doctorDevice(a).find(row => row.name === 'int8')?.state).toBe('ok');
    expect(doctorHost().length).toBeGreaterThan(0);
  });
});

describe.skipIf(!hasShared)('the onnxruntime runtime on a served device', () => {
  const model = shared('models', 'resnet20_cifar10.onnx');
  const specOf = async (path: string, engine: string, batch = 1): Promise<EngineSpec> => ({
    model: path,
    modelDigest: await digestOfFile(model),
    precision: 'fp32',
    batch,
    inputs: { input: [batch, 3, 32, 32] },
    engine,
    threads: 1,
  });

  it('builds, measures in rounds, infers with the very engine, and sends next to nothing the second time', async () => {
    let passport: Passport;
    {
      await using device = await open();
      const start = performance.now();
      const { path } = await pushFile(device, model);
      const said: string[] = [];
      passport = await buildEngine(device, await specOf(path, 'engines/a.onnx'), { onProgress: ({ message }) => said.push(message) });
      console.log(`first deploy: ${(performance.now() - start).toFixed(0)} ms, ${(device.transport.traffic().sent / 1e6).toFixed(1)} MB sent`);
      expect(said.join()).toMatch(/pushing the runtime.*optimizing/s);
      expect(passport.runtime).toBe('onnxruntime 1.30.0');
      expect(passport.engine.digest).toBe(await digestOfFile(join(project, '.edgeforge/served/bench/home/.edgeforge/engines/a.onnx')));
      const protocol = { warmUpMs: 20, durationMs: 200, minIterations: 20, rounds: 2, batch: 1, threads: 1 };
      const [one, two] = await benchEngines(device, [
        { passport, protocol },
        { passport: await buildEngine(device, await specOf(path, 'engines/b.onnx')), protocol },
      ]);
      expect(one!.latencyMs.n).toBeGreaterThanOrEqual(20);
      expect(one!.latencyMs.p50).toBeLessThanOrEqual(one!.latencyMs.p99);
      expect(one!.throughput.value).toBeCloseTo(1000 / one!.latencyMs.mean);
      expect(two!.latencyMs.p50 / one!.latencyMs.p50).toBeGreaterThan(0.4);
      const n = 5;
      const input = Float32Array.from({ length: n * 3072 }, (_, index) => Math.sin(index));
      const file = join(project, 'input.raw');
      writeFileSync(file, new Uint8Array(input.buffer));
      const result = await inferOnDevice(device, passport, file, n);
      expect(result.n).toBe(n);
      const [output] = [...result.tensors.values()];
      expect(output!.dims).toEqual([n, 10]);
      expect(new Set([...(output!.data as Float32Array)].map(Math.fround)).size).toBeGreaterThan(10);
      await expect(inferOnDevice(device, passport, file, n + 1)).rejects.toMatchObject({ code: 'engine-build-failed', message: expect.stringContaining('bytes') });
    }
    const start = performance.now();
    await using device = await open();
    const [there] = await enginesThere(device, [passport]);
    const payloads = await device.runtime.payloads(device.facts);
    const { ensurePayloads } = await import('../../src/deploy/remote-store.ts');
    const { reports } = await ensurePayloads(device.transport, payloads);
    const { sent } = await pushFile(device, model);
    const ms = performance.now() - start;
    console.log(`second deploy: ${ms.toFixed(0)} ms, ${device.transport.traffic().sent} B sent, handshake ${device.transport.traffic().handshake} B`);
    expect([there, reports.length, sent]).toEqual([true, 0, 0]);
    expect(device.transport.traffic().sent).toBeLessThan(4000);
    expect(ms).toBeLessThan(3000);
    expect(Object.keys(await remoteUsage(device.transport))).toEqual(expect.arrayContaining(['store', 'payload', 'engines']));
    await device.transport.exec(['rm', 'engines/a.onnx']);
    expect(await enginesThere(device, [passport])).toEqual([false]);
  });

  it('labels FP16 that the processor upcasts, and runs INT8 as integers close to FP32', async () => {
    const { calibrate, calibrationRecipe } = await import('../../src/compress/calibrate.ts');
    const { quantize } = await import('../../src/compress/quantize.ts');
    const { toFloat16 } = await import('../../src/compress/half.ts');
    const { foldBatchNorm } = await import('../../src/graph/fold.ts');
    const { readOnnx, writeOnnx } = await import('../../src/formats/onnx.ts');
    const { f32 } = await import('../../src/graph/ir.ts');
    const graph = foldBatchNorm(readOnnx(readFileSync(model)));
    const pixels = Float32Array.from({ length: 8 * 3072 }, (_, index) => Math.sin(index * 0.37) + Math.sin(index * 0.011));
    const batches = async function* () {
      for (let image = 0; image < 8; image++) yield new Map([['input', f32([1, 3, 32, 32], pixels.slice(image * 3072, (image + 1) * 3072))]]);
    };
    const table = await calibrate(graph, batches, calibrationRecipe.parse({ algorithm: 'minmax', images: 8 }));
    const files = { fp32: graph, fp16: toFloat16(graph), int8: quantize(graph, table, { engine: 'onnxruntime' }) };
    await using device = await open();
    const input = join(project, 'eight.raw');
    writeFileSync(input, new Uint8Array(pixels.buffer));
    const passports: Record<string, Passport> = {};
    const outputs: Record<string, Float32Array> = {};
    for (const [precision, network] of Object.entries(files) as [keyof typeof files, typeof graph][]) {
      const file = join(project, `${precision}.onnx`);
      writeFileSync(file, writeOnnx(network));
      const { path, digest } = await pushFile(device, file);
      passports[precision] = await buildEngine(device, { ...(await specOf(path, `engines/${precision}.onnx`)), modelDigest: digest, precision });
      outputs[precision] = [...(await inferOnDevice(device, passports[precision], input, 8)).tensors.values()][0]!.data as Float32Array;
    }
    const protocol = { warmUpMs: 100, durationMs: 600, minIterations: 50, rounds: 3, batch: 1, threads: 1 };
    const measured = await benchEngines(
      device,
      Object.values(passports).map(passport => ({ passport, protocol })),
    );
    console.log(
      `resnet20, 32x32, batch 1: ${measured.map(({ precision, latencyMs: { p50, sd, n } }) => `${precision} ${p50.toFixed(3)} ms (sd ${sd.toFixed(3)}, n ${n})`).join(', ')}; ${device.facts.cpu.features.join(' ')}`,
    );
    const busy = Array.from({ length: device.facts.cpu.cores }, () => spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' }));
    const [disturbed] = await benchEngines(device, [{ passport: passports.fp32!, protocol }]).finally(() => busy.map(child => child.kill('SIGKILL')));
    expect(disturbed?.voided).toMatch(/other programs used \d+ % of the processors/);
    const upcasts = !device.facts.cpu.features.includes('asimdhp');
    expect(passports.fp16!.notes.includes('upcast to fp32 by this CPU runtime')).toBe(upcasts);
    expect(passports.fp32!.notes).toEqual([]);
    const sqnr = (name: string): number => {
      const [signal, noise] = outputs.fp32!.reduce(([a, b], value, index) => [a + value ** 2, b + (value - outputs[name]![index]!) ** 2], [0, 0]);
      return 10 * Math.log10(signal / noise);
    };
    expect(sqnr('fp16')).toBeGreaterThan(40);
    // 31 dB; 25 where sums of products saturate at 16 bits.
    expect(sqnr('int8')).toBeGreaterThan(28);
  }, 180_000);

  it('says why a model does not build', async () => {
    await using device = await open();
    const file = join(project, 'broken.onnx');
    writeFileSync(file, 'no model');
    const { path } = await pushFile(device, file);
    await expect(buildEngine(device, await specOf(path, 'engines/broken.onnx'))).rejects.toMatchObject({
      code: 'engine-build-failed',
      message: expect.stringMatching(/fp32.*device/),
    });
    const good = await pushFile(device, model);
    await expect(buildEngine(device, { ...(await specOf(good.path, 'engines/c.onnx')), precision: 'int8' })).rejects.toMatchObject({
      code: 'engine-build-failed',
      message: expect.stringContaining('no integer operator'),
    });
    expect(readFileSync(join(project, '.edgeforge/served/bench/home/.edgeforge/engines/broken.onnx.log'), 'utf8')).toContain('failed');
  });

  it('a dry run prints every command and touches nothing', async () => {
    const lines: string[] = [];
    await using device = await openDevice({ name: 'dry', definition: { serve: true, target: 'jetson-orin-nano' }, project, print: line => lines.push(line) });
    await rehearse(device, [{ ...(await specOf('store/x', 'engines/a b.engine')), precision: 'fp16' }], {
      warmUpMs: 200,
      durationMs: 3000,
      minIterations: 10,
      rounds: 1,
      batch: 1,
      threads: 1,
    });
    expect(lines.join('\n')).toMatch(/--onnx=store\/x .*'--saveEngine=engines\/a b\.engine\.part'.*--fp16/);
    expect(existsSync(join(project, '.edgeforge/served/dry'))).toBe(false);
  });
});
