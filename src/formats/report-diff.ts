import { type Report, type ReportRow, reportLines } from './report.ts';
import { networkWords, percent, shortNumber } from './report-words.ts';

/** One row of A found again in B. Changes are B against A: latency and throughput as shares (+0.05: 5 % more), accuracy in points. */
export interface RowChange {
  readonly network: 'baseline' | 'results';
  readonly precision: ReportRow['precision'];
  readonly scenario: string;
  readonly batch: number;
  readonly p50Ms: readonly [before: number, after: number];
  readonly latencyChange: number;
  readonly throughputChange: number;
  /** Percentage points of the metric; undefined where a side has none or the metrics differ. */
  readonly accuracyPoints?: number;
  readonly verdict: 'same' | 'faster' | 'slower' | 'less accurate' | 'incomparable';
  /** Why the verdict is what it is. */
  readonly because: string;
}
export interface ReportDiff {
  readonly rows: readonly RowChange[];
  /** Rows that only one of the two has. */
  readonly onlyBefore: readonly string[];
  readonly onlyAfter: readonly string[];
  /** Conditions that differ, which any change may come from. */
  readonly conditions: readonly string[];
  readonly regressed: boolean;
}
export interface DiffBudget {
  /** Share of the median latency that may be lost: 0.03. */
  readonly latency: number;
  /** Points of the metric that may be lost. */
  readonly points: number;
}

const nameOf = (report: Report, line: ReturnType<typeof reportLines>[number]) => `${networkWords(line, report)} ${line.row.precision} ${line.row.scenario} batch ${line.row.batch}`;
const keyOf = (line: ReturnType<typeof reportLines>[number]) => `${line.network} ${line.row.precision} ${line.row.scenario} ${line.row.batch}`;

/**
 * What B changed against A, row by row. A change of speed counts only where the 95 % intervals of the medians are disjoint *and* the change is beyond the budget
 * (an interval that a report does not have is approximated from sd and n); one of accuracy where it is beyond its budget and, where B has one, its paired interval leaves out 0.
 */
export function diffReports(before: Report, after: Report, budget: DiffBudget): ReportDiff {
  const a = new Map(reportLines(before).map(line => [keyOf(line), line]));
  const b = new Map(reportLines(after).map(line => [keyOf(line), line]));
  const rows = [...a].flatMap(([key, line]) => {
    const other = b.get(key);
    return other ? [changeOf(line.network, line.row, other.row, budget)] : [];
  });
  return {
    rows,
    onlyBefore: [...a].filter(([key]) => !b.has(key)).map(([, line]) => nameOf(before, line)),
    onlyAfter: [...b].filter(([key]) => !a.has(key)).map(([, line]) => nameOf(after, line)),
    conditions: differingConditions(before, after),
    regressed: rows.some(({ verdict }) => verdict === 'slower' || verdict === 'less accurate'),
  };
}

/** The median's 95 % interval; without one recorded, the mean's with the median's larger spread (1.253·sd/√n). */
function intervalOf({ p50Interval, p50, sd, n }: ReportRow['latencyMs']): readonly [number, number] {
  if (p50Interval) return p50Interval;
  const half = (1.96 * 1.253 * sd) / Math.sqrt(Math.max(1, n));
  return [p50 - half, p50 + half];
}

function changeOf(network: RowChange['network'], before: ReportRow, after: ReportRow, budget: DiffBudget): RowChange {
  const latencyChange = after.latencyMs.p50 / before.latencyMs.p50 - 1;
  const sameMetric = before.accuracy !== undefined && before.accuracy.metric === after.accuracy?.metric;
  const accuracyPoints = sameMetric ? 100 * ((after.accuracy?.value ?? 0) - (before.accuracy?.value ?? 0)) : undefined;
  const change = {
    network,
    precision: before.precision,
    scenario: before.scenario,
    batch: before.batch,
    p50Ms: [before.latencyMs.p50, after.latencyMs.p50] as const,
    latencyChange,
    throughputChange: after.throughput.value / before.throughput.value - 1,
    ...(accuracyPoints === undefined ? {} : { accuracyPoints }),
  };
  if (before.evidence.grade !== after.evidence.grade) return { ...change, verdict: 'incomparable', because: `${before.evidence.grade} against ${after.evidence.grade}` };
  const voided = before.voided ?? after.voided;
  if (voided !== undefined) return { ...change, verdict: 'incomparable', because: `void times: ${voided}` };
  if (accuracyPoints !== undefined && accuracyPoints < -budget.points - 1e-9)
    return { ...change, verdict: 'less accurate', because: `${(-accuracyPoints).toFixed(1)} points lost, ${budget.points} allowed` };
  const [low, high] = intervalOf(before.latencyMs);
  const [lowAfter, highAfter] = intervalOf(after.latencyMs);
  const disjoint = lowAfter > high || highAfter < low;
  if (!disjoint) return { ...change, verdict: 'same', because: 'the intervals of the medians overlap' };
  if (Math.abs(latencyChange) <= budget.latency) return { ...change, verdict: 'same', because: `within the budget of ${percent(budget.latency)}` };
  return { ...change, verdict: latencyChange > 0 ? 'slower' : 'faster', because: 'the intervals of the medians are disjoint and the change is beyond the budget' };
}

/** Members of device, protocol, what the board was set to, and model (strings and numbers) that are not equal: 'powerMode: MAXN before, 15W after'. */
function differingConditions(before: Report, after: Report): string[] {
  const facts = (report: Report): Map<string, string> =>
    new Map(
      [
        ...Object.entries(report.device),
        ...Object.entries(report.protocol).map(([key, value]) => [`protocol ${key}`, value] as const),
        ...Object.entries([...report.results, ...report.baseline][0]?.evidence.board ?? {}).map(([key, value]) => [`board ${key}`, value] as const),
        ...Object.entries(report.model).map(([key, value]) => [`model ${key}`, value] as const),
      ]
        .filter(([key, value]) => (typeof value === 'string' || typeof value === 'number') && key !== 'home')
        .map(([key, value]) => [key, String(value)]),
    );
  const a = facts(before);
  const b = facts(after);
  return [...new Set([...a.keys(), ...b.keys()])]
    .filter(key => a.get(key) !== b.get(key))
    .map(key => `${key}: ${a.get(key) ?? 'not said'} before, ${b.get(key) ?? 'not said'} after`);
}

/** The diff as lines: one a row, then what only one report has and which conditions differ. */
export function diffLines(diff: ReportDiff): readonly string[] {
  const signed = (share: number) => `${share >= 0 ? '+' : '−'}${percent(Math.abs(share))}`;
  const rows = diff.rows.map(({ network, precision, scenario, batch, p50Ms, latencyChange, accuracyPoints, verdict, because }) =>
    [
      `${network === 'baseline' ? 'unpruned' : 'network'} ${precision} ${scenario} batch ${batch}:`,
      `p50 ${shortNumber(p50Ms[0])} → ${shortNumber(p50Ms[1])} ms (${signed(latencyChange)})`,
      accuracyPoints === undefined ? '' : `accuracy ${accuracyPoints >= 0 ? '+' : '−'}${Math.abs(accuracyPoints).toFixed(1)} points`,
      `${verdict.toUpperCase()}: ${because}`,
    ]
      .filter(part => part !== '')
      .join('  '),
  );
  return [
    ...rows,
    ...diff.onlyBefore.map(name => `only before: ${name}`),
    ...diff.onlyAfter.map(name => `only after: ${name}`),
    ...diff.conditions.map(text => `differs: ${text}`),
    diff.regressed ? 'REGRESSED' : diff.rows.length === 0 ? 'No row is in both reports.' : 'No regression.',
  ];
}
