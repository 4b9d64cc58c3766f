import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tailRun } from '../../core/run-folder.ts';
import { initialRunState, type RunState, reduceRun, type StepState } from '../../core/run-state.ts';
import { parseReport, type ReportRow } from '../../formats/report.ts';
import { dropWords, percent, shortNumber, speedCounts } from '../../formats/report-words.ts';
import { table } from '../output.ts';

/** What a run left of several devices, against each other: a row per device and precision, and one for each device that failed, with why. */
export async function deployTable(folder: string, devices: readonly string[]): Promise<string> {
  let state = initialRunState;
  for await (const event of tailRun(folder)) state = reduceRun(state, event);
  const rows = await Promise.all(devices.map(device => rowsOf(folder, device, state)));
  return table([['device', 'release', 'prec', 'images/s', 'p50 ms', 'accuracy', 'drop', 'gate', 'evidence'], ...rows.flat()]);
}

const ended = (step: StepState | undefined): boolean => step?.status === 'ran' || step?.status === 'cached';

async function rowsOf(folder: string, device: string, state: RunState): Promise<readonly (readonly string[])[]> {
  const failure = [...state.steps].find(([name, step]) => name.split(' ')[1] === device && step.status === 'failed' && !name.startsWith('gate '));
  const place = ended(state.steps.get(`switch ${device}`)) ? 'current' : ended(state.steps.get(`release ${device}`)) ? 'held back' : 'none';
  // A report that this run did not reach would be an older one.
  const report = ended(state.steps.get(`report ${device}`)) ? await readFile(join(folder, 'out', `report-${device}`, 'report.json'), 'utf8').then(parseReport) : undefined;
  const measured = (report?.results ?? []).map(row => [device, place, row.precision.toUpperCase(), ...figures(row), row.gate === 'fail' ? 'FAILED' : row.gate, row.evidence.grade]);
  if (!failure && measured.length > 0) return measured;
  const why = failure ? `${failure[0]}: ${failure[1].failure?.message ?? 'failed'}` : 'it was not reached: the steps before it failed';
  return [...measured, [device, 'FAILED', '', '', '', '', '', '', why.replace(/\p{C}+/gu, ' ')]];
}

/** A speed that does not count is no number. */
const figures = (row: ReportRow): readonly string[] => [
  speedCounts(row) ? shortNumber(row.throughput.value) : '—',
  speedCounts(row) ? shortNumber(row.latencyMs.p50) : '—',
  row.accuracy ? percent(row.accuracy.value) : '—',
  dropWords(row.accuracy?.dropPoints),
];
