import type { Report, ReportAccuracy, ReportLine, ReportRow } from './report.ts';
import { publishedWords } from './report-published.ts';

/** A figure with about three significant digits, never in exponents. */
export function shortNumber(value: number): string {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}
const units: readonly (readonly [number, string])[] = [
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
];
/** 1234567 → '1.23 M'. */
export function scaled(value: number, unit = ''): string {
  const [size, letter] = units.find(([limit]) => value >= limit) ?? [1, ''];
  return `${size === 1 ? value : shortNumber(value / size)} ${letter}${unit}`.trim();
}
export const percent = (part: number): string => `${(100 * part).toFixed(1)} %`;

/** '78.2 % mAP, n = 312 boxes in 101 images'. */
export const accuracyWords = ({ metric, value, n, decisions }: ReportAccuracy): string =>
  `${percent(value)} ${metric} (n = ${decisions === undefined || decisions === n ? n : `${n}, ${decisions} decisions`})`;
/** '−0.4' for a loss of 0.4 points, '+0.2' for a gain. */
export const dropWords = (drop: number | undefined): string =>
  drop === undefined ? '–' : Math.abs(drop) < 0.05 ? '0.0' : drop > 0 ? `−${drop.toFixed(1)}` : `+${(-drop).toFixed(1)}`;
export const precisionWords = (row: ReportRow): string => (row.computes === undefined ? row.precision.toUpperCase() : `${row.precision.toUpperCase()} (${row.computes})`);
export const networkWords = (line: ReportLine, report: Report): string => (line.network === 'baseline' ? 'unpruned' : report.pruning === undefined ? 'network' : 'pruned');
/** A row by network, precision, scenario and batch. */
export const rowWords = (line: ReportLine, report: Report): string =>
  `${networkWords(line, report)} ${line.row.precision.toUpperCase()} ${line.row.scenario} batch ${line.row.batch}`;
export const gateWords = (row: ReportRow): string => (row.gate === 'fail' ? 'FAILED' : row.gate === 'pass' ? 'pass' : `unjudged${row.gateNote ? `: ${row.gateNote}` : ''}`);
/** Whether a row's speed counts: its accuracy did not fail the gate and nothing disturbed the measurement. */
export const speedCounts = (row: ReportRow): boolean => row.gate !== 'fail' && row.voided === undefined;
export const title = (report: Report): string => `${report.project?.name ?? report.model.name ?? report.model.architecture ?? 'Network'} on ${report.device.name}`;
/** How the figures were taken, in one sentence. */
export const protocolWords = ({ protocol }: Report): string =>
  `${protocol.name ? `${protocol.name}: ` : ''}${protocol.rounds} rounds of at least ${protocol.durationMs / 1000} s and ${protocol.minIterations} iterations after ${protocol.warmUpMs / 1000} s of warm-up, batch ${protocol.batch}, ${protocol.threads} thread${protocol.threads === 1 ? '' : 's'}.`;
/** The device's plain facts in print order; nested facts are left to the JSON. */
export const deviceFacts = (report: Report): readonly (readonly [string, string])[] =>
  Object.entries(report.device).flatMap(([key, value]) => {
    if (key === 'name' || key === 'home') return [];
    if (typeof value === 'string' || typeof value === 'number') return [[key, String(value)] as const];
    if (key === 'cpu' && typeof value === 'object' && value !== null && 'model' in value)
      return [['cpu', `${String(value.model)}${'cores' in value ? `, ${String(value.cores)} cores` : ''}`] as const];
    if (key === 'l4t' && typeof value === 'object' && value !== null && 'release' in value && 'revision' in value)
      return [['l4t', `R${String(value.release)}.${String(value.revision)}`] as const];
    return [];
  });
/** Notes of all rows and of the report, each once. */
export const allNotes = (report: Report): readonly string[] => [
  ...new Set([
    ...(report.notes ?? []),
    ...(report.published ?? []).map(publishedWords),
    ...[...report.baseline, ...report.results].flatMap(({ evidence, voided }) => [...evidence.notes, ...(voided === undefined ? [] : [`Void times: ${voided}.`])]),
  ]),
];
