import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Facts } from '../../src/deploy/device.ts';
import type { Device } from '../../src/deploy/open-device.ts';
import { linuxReader, watchDevice } from '../../src/deploy/telemetry.ts';
import { type TelemetrySample, telemetrySchema } from '../../src/deploy/telemetry-sample.ts';
import { board, temporary } from './harness.ts';

/** Watches until so many samples have come, then ends it. */
async function hear(device: Pick<Device, 'transport'> & { readonly facts: Partial<Facts> }, count: number): Promise<TelemetrySample[]> {
  const samples: TelemetrySample[] = [];
  const ending = new AbortController();
  await watchDevice(device as Device, {
    signal: ending.signal,
    everyMs: 100,
    onSample: sample => {
      if (samples.push(telemetrySchema.parse(sample) as TelemetrySample) >= count) ending.abort();
    },
  }).catch((error: unknown) => (ending.signal.aborted ? undefined : Promise.reject(error)));
  return samples;
}

describe('telemetry', () => {
  it('of any Linux machine comes over SSH and ends when told', async () => {
    await using device = await board();
    await using transport = await device.reach();
    const [first, second] = await hear({ transport, facts: { kind: 'linux' } }, 2);
    expect(first?.cpuPercent).toBeUndefined();
    expect(second?.cpuPercent).toBeGreaterThanOrEqual(0);
    expect(second?.cpuPercent).toBeLessThanOrEqual(100);
    expect(second?.ramUsedMB).toBeLessThan(second?.ramTotalMB ?? 0);
    expect((await transport.exec(['true'])).exitCode).toBe(0);
  });

  it('of a Jetson is what tegrastats says', async () => {
    using programs = temporary();
    const line =
      '11-24-2026 10:00:00 RAM 3120/7620MB (lfb 4x4MB) SWAP 0/3810MB (cached 0MB) CPU [10%@1510,off,30%@1510] EMC_FREQ 12%@2133 GR3D_FREQ 43%@[918] cpu@48.5C gpu@46C VDD_IN 5200mW/4800mW VDD_SOC 900mW/850mW';
    writeFileSync(join(programs.path, 'tegrastats'), `#!/bin/sh\nwhile :; do echo '${line}'; sleep 0.1; done\n`);
    chmodSync(join(programs.path, 'tegrastats'), 0o755);
    await using device = await board({ path: () => programs.path });
    await using transport = await device.reach();
    const [sample] = await hear({ transport, facts: { kind: 'jetson', powerMode: '15W' } }, 1);
    expect(sample).toMatchObject({
      cpuPercent: 20,
      ramUsedMB: 3120,
      gpuPercent: 43,
      gpuMHz: 918,
      emcPercent: 12,
      emcMHz: 2133,
      temperaturesC: { cpu: 48.5, gpu: 46 },
      railsMw: { VDD_IN: 5200, VDD_SOC: 900 },
      powerMode: '15W',
    });
  });

  it('of a card is read beside the machine’s, and half a round is no sample', () => {
    const read = linuxReader();
    expect(read('')).toBeUndefined();
    const round = (busy: number) => [
      `cpu  ${busy} 0 0 ${1000 - busy} 0 0 0 0`,
      'MemTotal: 2048 kB',
      'MemAvailable: 1024 kB',
      'zone x86_pkg_temp 51000',
      'card 37, 1410, 62, 71.50',
    ];
    const given = round(100).map(read);
    expect(given.every(each => each === undefined)).toBe(true);
    expect(read('')).toEqual({ ramTotalMB: 2, ramUsedMB: 1, temperaturesC: { x86_pkg_temp: 51, GPU: 62 }, railsMw: { card: 71_500 }, gpuPercent: 37, gpuMHz: 1410 });
  });
});
