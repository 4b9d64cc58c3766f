import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseTegrastats, powerMw } from '../../src/formats/tegrastats.ts';
import { refusal } from '../refusal.ts';
import { hasShared, shared } from '../shared.ts';

const rows = hasShared
  ? readFileSync(shared('tegrastats', 'INDEX.tsv'), 'utf8')
      .trimEnd()
      .split('\n')
      .map(line => line.split('\t'))
  : [];
const head = rows[0] ?? [];
const cases = rows.slice(1).map(cells => Object.fromEntries(head.map((name, at) => [name, cells[at] ?? ''])));
const number = (text: string | undefined) => (text === undefined || text === '' ? undefined : Number(text));

describe.skipIf(!hasShared)('INDEX', () => {
  test.each(cases)('$file', row => {
    const sample = parseTegrastats(readFileSync(shared('tegrastats', row.file!), 'utf8').split('\n')[0]!);
    expect(sample.timestamp).toBe(row.timestamp || undefined);
    expect([sample.ramUsedMB, sample.ramTotalMB, sample.swapUsedMB, sample.swapTotalMB]).toEqual([
      number(row.ram_used_MB),
      number(row.ram_total_MB),
      number(row.swap_used_MB),
      number(row.swap_total_MB),
    ]);
    expect([sample.cpu.length, sample.cpu.filter(core => core === null).length]).toEqual([number(row.cpu_cores), number(row.cpu_offline)]);
    expect(sample.emc && `${sample.emc.loadPercent}%@${sample.emc.mhz}`).toBe(row.emc || undefined);
    expect(sample.gr3d?.loadPercent).toBe(number(row.gr3d_util_pct));
    expect(sample.gr3d?.mhz).toEqual(row.gr3d_freq_MHz === '' ? undefined : JSON.parse(row.gr3d_freq_MHz!));
    for (const pair of row.temps_C!.split(';')) expect(sample.temperaturesC[pair.split('=')[0]!]).toBe(Number(pair.split('=')[1]));
    const rails = Object.entries(sample.railsMw)
      .map(([name, { now, average, peak }]) => `${name}=${now}/${average}${peak === undefined ? '' : `/${peak}`}`)
      .join(';');
    expect(rails).toBe(row['rails_mW(now/avg[/peak])']);
    expect(sample.totalRail).toBe(row.total_power_rail!.startsWith('none') ? undefined : row.total_power_rail);
  });
});

test('forms that the samples lack', () => {
  const old = parseTegrastats('RAM 1000/3983MB (lfb 2x1MB) cpu [0%,5%,off,0%]@1734 EMC 1%@408 GR3D 3%@76 EDP limit 0');
  expect(old.cpu).toEqual([{ loadPercent: 0, mhz: 1734 }, { loadPercent: 5, mhz: 1734 }, null, { loadPercent: 0, mhz: 1734 }]);
  expect([old.emc, old.gr3d, old.swapUsedMB, old.totalRail]).toEqual([{ loadPercent: 1, mhz: 408 }, { loadPercent: 3, mhz: 76 }, undefined, undefined]);
  const thor = parseTegrastats(
    '07-01-2026 09:00:00 RAM 1/122000MB (lfb 1x4MB) CPU [1%@972] EMC_FREQ @2133 GR3D_FREQ @[1000,1000,1000] cpu@40C tj@-256C VDD_GPU 1mW/2mW/3mW VIN 20mW/21mW/22mW',
  );
  expect([thor.emc, thor.gr3d, thor.temperaturesC, thor.totalRail]).toEqual([{ mhz: 2133 }, { mhz: [1000, 1000, 1000] }, { cpu: 40 }, 'VIN']);
  expect(powerMw(thor)).toEqual({ mw: 20, rail: 'VIN' });
});

test('any text gives a value or an EdgeError, at once', () => {
  const check = (text: string) => void refusal(() => parseTegrastats(text));
  fc.assert(fc.property(fc.string(), check));
  fc.assert(
    fc.property(fc.array(fc.constantFrom('RAM 1/2MB', 'CPU [', '1%@2', ',', ']', '@', 'GR3D_FREQ', '0%@[', '1/1', 'X', ' ', '9'.repeat(30)), { maxLength: 40 }), parts =>
      check(parts.join('')),
    ),
  );
  const started = performance.now();
  check(`RAM 1/2MB CPU [${'1%,'.repeat(15_000)}`);
  check('@[1,'.repeat(16_000));
  check('x'.repeat(1_000_000));
  expect(performance.now() - started).toBeLessThan(3000);
});
