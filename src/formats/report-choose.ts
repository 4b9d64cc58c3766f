import type { Report, ReportRow } from './report.ts';

/** What a device must do. All members are optional; what is asked for and not in a report disqualifies, and the reason says so. */
export interface Wishes {
  /** Least images/s. */
  readonly fps?: number;
  /** Most points lost against FP32 of the same network. */
  readonly dropPoints?: number;
  /** Most mean power in W while measuring, by the board's own sensor. */
  readonly watts?: number;
  /** Longest p99 latency in ms. */
  readonly p99Ms?: number;
}
export interface Candidate {
  readonly device: string;
  readonly row: ReportRow;
  readonly network: 'baseline' | 'results';
  /** In the reports' own currency, where the user gave one for this device. */
  readonly price?: number;
  readonly watts?: number;
}
export interface Choice {
  /** The cheapest first (by price where all that meet the wishes have one, else by watts, else by the least surplus of speed). */
  readonly meets: readonly Candidate[];
  readonly rejected: readonly { readonly candidate: Candidate; readonly because: string }[];
  readonly rankedBy: 'price' | 'watts' | 'images/s';
}

/** The rows of the reports that meet the wishes, the cheapest device first. A row that failed its gate, or was not measured, never meets them. */
export function choose(reports: readonly Report[], wishes: Wishes, prices: Readonly<Record<string, number>> = {}): Choice {
  const candidates: Candidate[] = reports.flatMap(report =>
    (['baseline', 'results'] as const).flatMap(network =>
      report[network].map(row => {
        const price = prices[report.device.name];
        const watts = row.energy?.meanW;
        return { device: report.device.name, row, network, ...(price === undefined ? {} : { price }), ...(watts === undefined ? {} : { watts }) };
      }),
    ),
  );
  const judged = candidates.map(candidate => ({ candidate, because: objection(candidate, wishes) }));
  const meets = judged.filter(({ because }) => because === undefined).map(({ candidate }) => candidate);
  const rankedBy = meets.every(({ price }) => price !== undefined) ? 'price' : meets.every(({ watts }) => watts !== undefined) ? 'watts' : 'images/s';
  const cost = (candidate: Candidate): number => (rankedBy === 'price' ? (candidate.price ?? 0) : rankedBy === 'watts' ? (candidate.watts ?? 0) : candidate.row.throughput.value);
  const drop = ({ row }: Candidate) => row.accuracy?.dropPoints ?? 0;
  return {
    meets: meets.toSorted((a, b) => cost(a) - cost(b) || drop(a) - drop(b)),
    rejected: judged.flatMap(({ candidate, because }) => (because === undefined ? [] : [{ candidate, because }])),
    rankedBy,
  };
}

function objection({ row, watts }: Candidate, wishes: Wishes): string | undefined {
  if (row.evidence.grade !== 'measured') return `its figures are ${row.evidence.grade}, not measured`;
  if (row.gate === 'fail') return `its accuracy failed the gate${row.gateNote === undefined ? '' : ` (${row.gateNote})`}`;
  if (row.voided !== undefined) return `its times are void: ${row.voided}`;
  if (wishes.fps !== undefined && row.throughput.value < wishes.fps) return `${row.throughput.value.toFixed(1)} images/s, ${wishes.fps} wanted`;
  if (wishes.p99Ms !== undefined && row.latencyMs.p99 > wishes.p99Ms) return `p99 ${row.latencyMs.p99.toFixed(1)} ms, at most ${wishes.p99Ms} wanted`;
  if (wishes.dropPoints !== undefined) {
    const drop = row.accuracy?.dropPoints;
    if (drop === undefined) return 'its accuracy was not measured';
    if (drop > wishes.dropPoints + 1e-9) return `${drop.toFixed(1)} points lost, at most ${wishes.dropPoints} wanted`;
  }
  if (wishes.watts === undefined) return undefined;
  if (watts === undefined) return 'its power was not measured (no power rail on this device)';
  return watts > wishes.watts ? `${watts.toFixed(1)} W, at most ${wishes.watts} wanted` : undefined;
}
