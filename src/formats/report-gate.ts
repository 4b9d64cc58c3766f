import type { ReportAccuracy, ReportRow, UnjudgedRow } from './report.ts';

export type Verdict = ReportRow['gate'];
/** Fewer judged decisions than this decide nothing. */
export const minDecisions = 100;
export const defaultGate = { dropPoints: 1, minDecisions } as const;

/** 100 × (FP32 − this), both 0..1, of the same network: positive is a loss. */
export const dropPoints = (fp32: number, value: number): number => Number((100 * (fp32 - value)).toFixed(9));

/** What the gate says of a drop. `decisions`: judged boxes or images; below the minimum nothing is judged, and the note says so. */
export function gateVerdict(
  drop: number | undefined,
  decisions: number,
  gate: { readonly dropPoints: number; readonly minDecisions: number } = defaultGate,
): { readonly gate: Verdict; readonly note?: string } {
  if (drop === undefined || !Number.isFinite(drop)) return { gate: 'unjudged', note: 'no accuracy to compare' };
  if (decisions < gate.minDecisions) return { gate: 'unjudged', note: `n too small to judge (${decisions} < ${gate.minDecisions})` };
  return drop <= gate.dropPoints + 1e-9 ? { gate: 'pass' } : { gate: 'fail', note: `lost ${drop.toFixed(1)} points, ${gate.dropPoints} allowed` };
}

/** Rows with drop and verdict against their own FP32 row; a row without an accuracy, or without an FP32 row beside it, stays unjudged. */
export function judgeRows(rows: readonly UnjudgedRow[], gate: { readonly dropPoints: number; readonly minDecisions: number } = defaultGate): ReportRow[] {
  return rows.map(row => {
    const accuracy: ReportAccuracy | undefined = row.accuracy;
    const fp32: ReportAccuracy | undefined = rows.find(other => other.precision === 'fp32' && other.accuracy !== undefined && other.accuracy.metric === accuracy?.metric)?.accuracy;
    if (accuracy === undefined || fp32 === undefined)
      return { ...row, gate: 'unjudged' as const, gateNote: accuracy === undefined ? 'no accuracy was measured' : 'no FP32 row to compare with' } as ReportRow;
    const drop = dropPoints(fp32.value, accuracy.value);
    const judged = gateVerdict(drop, accuracy.decisions ?? accuracy.n, gate);
    // A network that finds nothing cannot lose anything.
    const verdict = judged.gate !== 'unjudged' && fp32.value === 0 ? { gate: 'unjudged' as const, note: 'the network itself scores 0: there is nothing to lose' } : judged;
    return { ...row, accuracy: { ...accuracy, dropPoints: drop }, gate: verdict.gate, ...(verdict.note === undefined ? {} : { gateNote: verdict.note }) } as ReportRow;
  });
}
