import { expect, test } from 'vitest';
import { parseReport, type Report, type ReportRow } from '../../src/formats/report.ts';
import { choose } from '../../src/formats/report-choose.ts';
import { diffLines, diffReports } from '../../src/formats/report-diff.ts';
import { fixture } from './report-fixture.ts';

const budget = { latency: 0.03, points: 1 };
/** The fixture with its pruned INT8 row changed. */
function changed(change: (row: ReportRow) => ReportRow, device: Partial<Report['device']> = {}): Report {
  const report = fixture();
  return { ...report, device: { ...report.device, ...device }, results: report.results.map(row => (row.precision === 'int8' ? change(row) : row)) };
}
const slower = (factor: number, interval?: readonly [number, number]) => (row: ReportRow) => ({
  ...row,
  latencyMs: { ...row.latencyMs, p50: row.latencyMs.p50 * factor, ...(interval ? { p50Interval: interval } : {}) },
  throughput: { ...row.throughput, value: row.throughput.value / factor },
});
const verdictOf = (before: Report, after: Report) => diffReports(before, after, budget).rows.find(row => row.network === 'results' && row.precision === 'int8');

test('a report against itself has no change and no differing condition', () => {
  const diff = diffReports(fixture(), fixture(), budget);
  expect(diff).toMatchObject({ regressed: false, onlyBefore: [], onlyAfter: [], conditions: [] });
  expect(new Set(diff.rows.map(row => row.verdict))).toEqual(new Set(['same']));
  expect(diffLines(diff).at(-1)).toBe('No regression.');
});

test('slower counts only beyond the noise and beyond the budget', () => {
  expect(verdictOf(fixture(), changed(slower(1.2)))).toMatchObject({ verdict: 'slower', latencyChange: expect.closeTo(0.2, 9) });
  expect(verdictOf(fixture(), changed(slower(1.02)))).toMatchObject({ verdict: 'same', because: expect.stringContaining('budget') });
  const p50 = fixture().results.find(row => row.precision === 'int8')!.latencyMs.p50;
  expect(verdictOf(fixture(), changed(slower(1.2, [p50 * 0.9, p50 * 1.5])))).toMatchObject({ verdict: 'same', because: expect.stringContaining('overlap') });
  expect(verdictOf(fixture(), changed(slower(0.8)))?.verdict).toBe('faster');
});

test('lost accuracy is a regression whatever the speed; another grade compares with nothing', () => {
  const worse = changed(row => ({ ...row, accuracy: { ...row.accuracy!, value: row.accuracy!.value - 0.02 } }));
  expect(verdictOf(fixture(), worse)).toMatchObject({ verdict: 'less accurate', accuracyPoints: expect.closeTo(-2, 9) });
  const emulated = changed(row => ({ ...slower(3)(row), evidence: { ...row.evidence, grade: 'emulated' as const } }));
  const diff = diffReports(fixture(), emulated, budget);
  expect([verdictOf(fixture(), emulated)?.verdict, diff.regressed]).toEqual(['incomparable', false]);
});

test('rows of one side and differing conditions are told', () => {
  const after = { ...changed(row => row, { powerMode: '15W' }), baseline: [] };
  const diff = diffReports(fixture(), after, budget);
  expect(diff.onlyBefore).toHaveLength(fixture().baseline.length);
  expect(diff.conditions).toEqual(['powerMode: not said before, 15W after']);
  const held = fixture();
  held.results[0]!.evidence.board = { clocks: 'locked', gpuMHz: 918 };
  expect(diffReports(fixture(), held, { latency: 0.03, points: 1 }).conditions).toEqual([
    'board clocks: not said before, locked after',
    'board gpuMHz: not said before, 918 after',
  ]);
});

test('choose: gate, grade, speed, power; the cheapest first, with every reason', () => {
  const power =
    (meanW: number) =>
    (row: ReportRow): ReportRow => ({ ...row, energy: { perImageMj: 1, fpsPerW: 1000, meanW, rail: 'VDD_IN', samples: 9, sensor: 'board sensor, not wall' } });
  const small = changed(power(6), { name: 'small' });
  const big = changed(power(20), { name: 'big' });
  const int8 = small.results.find(row => row.precision === 'int8')!;
  const only = (report: Report): Report =>
    parseReport({ ...report, baseline: [], results: report.results.filter(row => row.precision === 'int8').map(row => ({ ...row, gate: 'pass' })) });
  const wishes = { fps: int8.throughput.value - 1, watts: 30 };
  expect(choose([only(big), only(small)], wishes)).toMatchObject({ rankedBy: 'watts', meets: [{ device: 'small' }, { device: 'big' }] });
  expect(choose([only(big), only(small)], wishes, { small: 500, big: 100 })).toMatchObject({ rankedBy: 'price', meets: [{ device: 'big' }, { device: 'small' }] });
  expect(choose([only(big)], { watts: 10 }).rejected[0]?.because).toBe('20.0 W, at most 10 wanted');
  expect(choose([only(fixture())], { watts: 10 }).rejected[0]?.because).toContain('not measured');
  const failed = only(small);
  expect(choose([{ ...failed, results: failed.results.map(row => ({ ...row, gate: 'fail' as const })) }], {}).meets).toEqual([]);
  const emulated = failed.results.map(row => ({ ...row, evidence: { ...row.evidence, grade: 'emulated' as const } }));
  expect(choose([{ ...failed, results: emulated }], {}).rejected[0]?.because).toContain('emulated');
});
