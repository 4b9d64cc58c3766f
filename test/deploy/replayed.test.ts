import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Passport, TensorSet } from '../../src/deploy/device.ts';
import type { Device } from '../../src/deploy/open-device.ts';
import { benchEngines, buildEngine, enginesThere, inferOnDevice, pushFile } from '../../src/deploy/work.ts';
import { cacheFor } from '../../src/formats/calibration-cache.ts';
import { temporary } from './harness.ts';
import { replay } from './replay/board.ts';
import { replayed } from './replay/boards.ts';
import { smallModel, smallRanges } from './replay/model.ts';

const protocol = { warmUpMs: 200, durationMs: 3000, minIterations: 50, rounds: 1, batch: 1, threads: 1 };

/** Pushes the model (and a cache for that board's TensorRT) and builds one engine. */
async function build(device: Device, folder: string, precision: 'fp32' | 'fp16' | 'int8', { batch = 1 } = {}): Promise<Passport> {
  const [model, cache] = [join(folder, 'model.onnx'), join(folder, `cache-${device.name}`)];
  writeFileSync(model, smallModel());
  if (precision === 'int8') writeFileSync(cache, cacheFor(smallRanges, { tensorrt: device.facts.tensorrt! }));
  const pushed = await pushFile(device, model);
  const calibration = precision === 'int8' ? await pushFile(device, cache) : undefined;
  return buildEngine(device, {
    model: pushed.path,
    modelDigest: pushed.digest,
    precision,
    batch,
    inputs: { input_1: [batch, 3, 8, 8] },
    engine: `engines/small-${precision}-b${batch}`,
    threads: 1,
    ...(calibration ? { calibration } : {}),
  });
}

describe('a whole deploy against replayed boards: everything runs, nothing is measured', () => {
  it.each([
    ['nano', { jetpack: '4.6.1', tensorrt: '8.2.1', sm: '5.3', cuda: '10.2', deepstream: '6.0.1', kind: 'jetson' }, 'jetson-nano'],
    ['xavierNx', { jetpack: '4.6.1', tensorrt: '8.2.1', sm: '7.2', glibc: '2.27' }, 'xavier-nx'],
    ['orinNx', { jetpack: '5.1.1', tensorrt: '8.5.2', sm: '8.7', glibc: '2.31' }, 'jetson-orin-nx'],
    ['orinNano', { jetpack: '6.2', tensorrt: '10.3.0', sm: '8.7', deepstream: '7.1' }, 'jetson-orin-nano'],
    ['thor', { jetpack: '7.0', tensorrt: '10.13.3', sm: '11.0', cuda: '13.0' }, 'jetson-thor'],
    ['t4', { kind: 'dgpu', tensorrt: '8.6.1', sm: '7.5', gpu: 'Tesla T4' }, 't4'],
    ['t4New', { kind: 'dgpu', tensorrt: '10.9.0', sm: '7.5' }, 't4'],
  ] as const)('%s', async (name, facts, target) => {
    using folder = temporary();
    await using board = await replay(replayed[name]);
    await using device = await board.open();
    expect(device.facts).toMatchObject({ ...facts, emulated: true, trtexec: `${board.home}/bin/trtexec` });
    expect(device.target.name).toBe(target);
    expect(device.runtime.name).toBe('tensorrt');
    const refusal = device.runtime.refuse({ precision: 'int8', batch: 1, calibration: true }, device.facts);
    expect(refusal?.code).toBe(name === 'nano' ? 'device-refused' : undefined);
    const precisions = (['fp32', 'fp16', 'int8'] as const).filter(precision => precision !== 'int8' || !refusal);
    const passports: Passport[] = [];
    for (const precision of precisions) passports.push(await build(device, folder.path, precision));
    expect(await enginesThere(device, passports)).toEqual(passports.map(() => true));
    const measured = await benchEngines(
      device,
      passports.map(passport => ({ passport, protocol })),
    );
    const input = join(folder.path, 'input.raw');
    writeFileSync(input, new Uint8Array(Float32Array.from({ length: 3 * 192 }, (_, i) => Math.sin(i)).buffer));
    const outputs: TensorSet[] = [];
    for (const passport of passports) outputs.push(await inferOnDevice(device, passport, input, 3));
    const reference = outputs[0]!.tensors.get('output_cov')!;
    expect(reference.dims).toEqual([3, 2, 8, 8]);
    for (const [i, precision] of precisions.entries()) {
      const said = measured[i]!;
      expect(said).toMatchObject({ precision, evidence: { grade: 'emulated', runtime: `tensorrt ${facts.tensorrt}` } });
      expect(said.latencyMs.p50 / replayed[name].settings.gpuMs[precision]).toBeCloseTo(1, 0);
      const values = outputs[i]!.tensors.get('output_cov')!.data as Float32Array;
      expect(Math.max(...values.map((value, j) => Math.abs(value - (reference.data as Float32Array)[j]!)))).toBeLessThan(1e-2);
    }
  });
});
