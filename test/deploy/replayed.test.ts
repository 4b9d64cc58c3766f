import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Passport, TensorSet } from '../../src/deploy/device.ts';
import { benchEngines, enginesThere, inferOnDevice } from '../../src/deploy/work.ts';
import { temporary } from './harness.ts';
import { hasPython, replay } from './replay/board.ts';
import { replayed } from './replay/boards.ts';
import { buildSmall } from './replay/model.ts';

const protocol = { warmUpMs: 200, durationMs: 3000, minIterations: 50, rounds: 2, batch: 1, threads: 1 };

// Four more boards go the whole way from a dataset in test/pipeline/replayed-deploy.test.ts.
describe('a whole deploy against replayed boards: everything runs, nothing is measured', () => {
  it.each([
    ['nano', { jetpack: '4.6.1', tensorrt: '8.2.1', sm: '5.3', cuda: '10.2', deepstream: '6.0.1', kind: 'jetson' }, 'jetson-nano'],
    ['xavierNx', { jetpack: '4.6.1', tensorrt: '8.2.1', sm: '7.2', glibc: '2.27' }, 'xavier-nx'],
    ['t4New', { kind: 'dgpu', tensorrt: '10.9.0', sm: '7.5' }, 't4'],
  ] as const)('%s', async (name, facts, target) => {
    using folder = temporary();
    // Images go through the Python module where the board has it, else through one process each.
    const python = name !== 'nano' && hasPython;
    await using board = await replay(replayed[name], { python });
    await using device = await board.open();
    expect(device.facts).toMatchObject({ ...facts, emulated: true, trtexec: `${board.home}/bin/trtexec` });
    expect(device.target.name).toBe(target);
    expect(device.runtime.name).toBe('tensorrt');
    expect(device.facts.pythonTensorrt !== undefined).toBe(python);
    const refusal = device.runtime.refuse({ precision: 'int8', batch: 1, calibration: true }, device.facts);
    expect(refusal?.code).toBe(name === 'nano' ? 'device-refused' : undefined);
    const precisions = (['fp32', 'fp16', 'int8'] as const).filter(precision => precision !== 'int8' || !refusal);
    const passports: Passport[] = [];
    for (const precision of precisions) passports.push(await buildSmall(device, folder.path, { precision }));
    expect(passports.at(-1)!.layers).toMatchObject(name === 'nano' ? { fp16: 4 } : { int8: 3, total: 4 });
    if (!refusal) expect(passports.at(-1)!.notes[0]).toBe('3 of 4 layers run in INT8 (75 %), 1 in FP16');
    expect(await enginesThere(device, passports)).toEqual(passports.map(() => true));
    const rounds: string[] = [];
    const measured = await benchEngines(
      device,
      passports.map(passport => ({ passport, protocol })),
      { onProgress: ({ done, total, message }) => rounds.push(`${done}/${total} ${message}`) },
    );
    expect(rounds.filter(line => line.includes('round'))).toEqual(
      [1, 2].flatMap(round => precisions.map((_, step) => `${(round - 1) * precisions.length + step}/${2 * precisions.length} round ${round} of 2`)),
    );
    const log = readFileSync(board.remote('jobs/bench.log'), 'utf8');
    expect(
      log
        .split('\u001erun ')
        .slice(1)
        .map(section => Number(section[0])),
    ).toEqual(precisions.length === 3 ? [0, 1, 2, 1, 2, 0] : [0, 1, 1, 0]);
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
