import { EdgeError } from '../../core/errors.ts';
import type { Measurement } from '../../core/evidence.ts';
import { inPackage } from '../../core/package-root.ts';
import { parseTrtexecLog, type TrtexecLog } from '../../formats/trtexec.ts';
import type { BenchEntry, BuildProgress, Facts, Failure, Finished, Job, RemotePath } from '../device.ts';
import { gradeOf } from '../grade.ts';
import { commandText } from '../quote.ts';
import { latencySummary } from '../statistics.ts';
import { benchWords, profiled, tensorrtVersion, tracesWarmUp, wholeSeconds } from './_trtexec-words.ts';

/** Begins the session's own lines in the log. */
const mark = '\u001e';
/** The shell program that measures on the device. */
export const sessionFile = inPackage('src/deploy/runner/session.sh');
const folder: RemotePath = 'jobs/session';
/** trtexec starts anew each round: this much warm-up brings the clocks and caches of a warm board back. */
const roundWarmUpMs = 1000;

/** One round of an engine: its share of the duration and of the queries, after a warm-up of its own. */
const roundOf = ({ warmUpMs, durationMs, minIterations, rounds }: BenchEntry['protocol']) => ({
  warmUpMs: Math.min(warmUpMs, roundWarmUpMs),
  durationMs: durationMs / rounds,
  minIterations: Math.ceil(minIterations / rounds),
});

/** Engines in alternating rounds as one detached job. */
export function benchJob(entries: readonly BenchEntry[], facts: Facts, payload: ReadonlyMap<string, RemotePath>): Job {
  const session = payload.get('session');
  if (session === undefined) throw new EdgeError('internal', 'The measuring session was not brought to the device.', { hint: 'This is a bug in edgeforge.' });
  const rounds = Math.max(...entries.map(({ protocol }) => protocol.rounds));
  const words = entries.map(({ passport, protocol }) => commandText(benchWords(passport, roundOf(protocol), facts, `${folder}/times.json`)));
  const planned = entries.reduce((sum, { protocol }) => sum + rounds * (1000 + roundWarmUpMs) + protocol.durationMs, 0);
  return { words: ['sh', session, folder, String(rounds), ...words], log: 'jobs/bench.log', produces: [], scraps: [folder], detach: true, limitMs: 600_000 + 20 * planned };
}

/** Progress by the session's own lines. */
export function sessionProgress(line: string): BuildProgress | undefined {
  const [, round, rounds, done, total] = /^run \d{1,4} (\d{1,6}) (\d{1,6}) (\d{1,9}) (\d{1,9})$/.exec(line.startsWith(mark) ? line.slice(1) : '') ?? [];
  return round === undefined ? undefined : { done: Number(done), total: Number(total), message: `round ${round} of ${rounds}` };
}

interface Round {
  readonly said: TrtexecLog;
  readonly latenciesMs: readonly number[];
}

/** The rounds of each engine in a session's log. */
function roundsOf(log: string, entries: readonly BenchEntry[], facts: Facts): Round[][] {
  const rounds: Round[][] = entries.map(() => []);
  const warmUp = tracesWarmUp(tensorrtVersion(facts));
  let engine = -1;
  let said: TrtexecLog | undefined;
  for (const section of log.split(mark)) {
    const end = section.indexOf('\n');
    const [name, index] = section.slice(0, end).split(' ');
    if (name === 'run') {
      engine = Number(index);
      said = parseTrtexecLog(section.slice(end + 1));
    }
    const entry = entries[engine];
    if (name === 'times' && said && entry) {
      const queries = section
        .slice(end + 1)
        .split('\n')
        .map(line => line.split(' ').map(Number))
        .filter(query => query.length === 3);
      const from = warmUp ? (queries[0]?.[0] ?? 0) + roundOf(entry.protocol).warmUpMs : 0;
      rounds[engine]!.push({ said, latenciesMs: queries.flatMap(([start = 0, , latency]) => (latency !== undefined && start >= from ? [latency] : [])) });
    }
  }
  return rounds;
}

/** Queries per second over all rounds, each by its wall time. */
function pooledQps(rounds: readonly Round[]): number | undefined {
  const parts = rounds.flatMap(({ said: { throughputQps, walltimeS = 1 } }) => (throughputQps === undefined ? [] : [{ throughputQps, walltimeS }]));
  const seconds = parts.reduce((sum, { walltimeS }) => sum + walltimeS, 0);
  return seconds === 0 ? undefined : parts.reduce((sum, { throughputQps, walltimeS }) => sum + throughputQps * walltimeS, 0) / seconds;
}

function measurementOf({ passport, protocol }: BenchEntry, facts: Facts, rounds: readonly Round[]): Measurement | Failure {
  const latencyMs = latencySummary(rounds.flatMap(({ latenciesMs }) => latenciesMs));
  const qps = pooledQps(rounds);
  if (!latencyMs || qps === undefined)
    return new EdgeError('measurement-void', 'trtexec passed, but gave no times of single queries.', { hint: 'Measure again; the log lies in ~/.edgeforge/jobs on the device.' });
  const warnings = rounds.flatMap(({ said }) => said.warnings).filter(line => /unstable|bound by|Throughput may be|across different models|native Int8/i.test(line));
  const { warmUpMs, durationMs, minIterations } = roundOf(protocol);
  return {
    precision: passport.precision,
    scenario: protocol.batch === 1 ? 'single_stream' : 'offline',
    batch: protocol.batch,
    // trtexec counts queries; a query is a whole batch.
    throughput: { value: qps * protocol.batch, unit: 'images/s' },
    latencyMs,
    evidence: {
      grade: gradeOf(facts, passport, ...rounds.map(({ said }) => said)),
      protocol: `trtexec: ${rounds.length} alternating rounds, each with ${warmUpMs} ms of warm-up, at least ${wholeSeconds(durationMs)} s and ${minIterations} queries; batch ${protocol.batch}, latency with transfers`,
      device: `${facts.model}${facts.powerMode ? `, mode ${facts.powerMode}` : ''}`,
      runtime: passport.runtime,
      at: facts.at,
      notes: [
        ...passport.notes,
        ...(profiled(tensorrtVersion(facts)) ? ['this TensorRT times single queries with its profiler on and without a CUDA graph: later releases do neither'] : []),
        ...new Set(warnings),
      ],
    },
  };
}

/** A session's log → one measurement per engine over all its rounds; undefined where trtexec failed. */
export function measured(entries: readonly BenchEntry[], facts: Facts, finished: Finished, log: string): readonly Measurement[] | Failure | undefined {
  const rounds = roundsOf(log, entries, facts);
  // PASSED and exit code 0 together: a kill leaves no banner.
  if (finished.exitCode !== 0 || rounds.some(each => each.some(({ said }) => said.outcome !== 'passed'))) return undefined;
  const results: Measurement[] = [];
  for (const [index, entry] of entries.entries()) {
    const result = measurementOf(entry, facts, rounds[index]!);
    if (result instanceof EdgeError) return result;
    results.push(result);
  }
  return results;
}
