import { EdgeError } from '../../core/errors.ts';
import { type Evidence, type Measurement, type Protocol, type Stage, scenarioOf } from '../../core/evidence.ts';
import { inPackage } from '../../core/package-root.ts';
import { parseTrtexecLog, type TrtexecLog } from '../../formats/trtexec.ts';
import type { BenchEntry, BuildProgress, Facts, Failure, Finished, Job, RemotePath } from '../device.ts';
import { gradeOf } from '../grade.ts';
import { commandText } from '../quote.ts';
import { parseSessionLog, type SessionLog, type SessionRun, sessionMark } from '../session-log.ts';
import { boardStateOf, conditionNotes, energyOf, heatOf, trackOf, voidBecause, voidReasons, type Window } from '../session-verdict.ts';
import { latencySummary } from '../statistics.ts';
import { boardSettingsFor, mayLockClocks, sudoersMend } from '../sudo-rules.ts';
import { benchWords, profiled, tensorrtVersion, tracesWarmUp, wholeSeconds } from './_trtexec-words.ts';

/** The shell program that measures on the device. */
export const sessionFile = inPackage('src/deploy/runner/session.sh');
const folder: RemotePath = 'jobs/session';
/** Its exit code where another session lives there. */
const sessionBusy = 75;
/** … and where the board did not take the power mode. */
const modeStays = 76;
/** … and where a card did not take its clock. */
const clockRefused = 77;
/** trtexec starts anew each round: this much warm-up brings the clocks and caches of a warm board back. */
const roundWarmUpMs = 1000;

/** One round of an engine: its share of the duration and of the queries, after a warm-up of its own. */
const roundOf = ({ warmUpMs, durationMs, minIterations, rounds }: BenchEntry['protocol']) => ({
  warmUpMs: Math.min(warmUpMs, roundWarmUpMs),
  durationMs: durationMs / rounds,
  minIterations: Math.ceil(minIterations / rounds),
});

/** Engines in alternating rounds as one detached job, the clocks held where we may, the board's sensors read throughout. */
export function benchJob(entries: readonly BenchEntry[], facts: Facts, payload: ReadonlyMap<string, RemotePath>): Job {
  const session = payload.get('session');
  if (session === undefined) throw new EdgeError('internal', 'The measuring session was not brought to the device.', { hint: 'This is a bug in edgeforge.' });
  const most = (key: 'rounds' | 'warmUpMs' | 'steadyMs') => Math.max(...entries.map(({ protocol }) => protocol[key] ?? 0));
  const words = (round: (protocol: Protocol) => Parameters<typeof benchWords>[1]) =>
    entries.map(({ passport, protocol }) => commandText(benchWords(passport, round(protocol), facts, `${folder}/times.json`)));
  // A warm-up no longer than that of each round needs no runs of its own.
  const warms = most('warmUpMs') > roundWarmUpMs;
  const settings = {
    folder,
    rounds: most('rounds'),
    engines: entries.length,
    ...boardSettingsFor(entries[0]?.protocol ?? {}, facts),
    clocks: Number(facts.kind === 'jetson' && mayLockClocks(facts)),
    sampler: facts.kind === 'jetson' ? 'tegrastats' : facts.kind === 'dgpu' ? 'nvidia-smi' : 'none',
    warm: Number(warms),
    steady: Math.ceil(most('steadyMs') / 1000),
  };
  const warmUp = ({ warmUpMs }: Protocol) => ({ warmUpMs: 0, durationMs: warmUpMs / entries.length, minIterations: 1 });
  const planned = entries.reduce((sum, { protocol }) => sum + settings.rounds * (1000 + roundWarmUpMs) + protocol.durationMs + protocol.warmUpMs, most('steadyMs'));
  return {
    words: ['sh', session, 'measure', ...Object.entries(settings).map(([key, value]) => `${key}=${value}`), '--', ...words(roundOf), ...(warms ? words(warmUp) : [])],
    log: 'jobs/bench.log',
    produces: [],
    scraps: [folder],
    detach: true,
    limitMs: 600_000 + 20 * planned,
  };
}

/** Progress by the session's own lines. */
export function sessionProgress(line: string): BuildProgress | undefined {
  if (!line.startsWith(sessionMark)) return undefined;
  if (line.startsWith('warming', 1)) return { done: 0, total: 1, message: 'warming up' };
  const [, round, rounds, done, total] = /^run \d{1,4} (\d{1,6}) (\d{1,6}) (\d{1,9}) (\d{1,9})$/.exec(line.slice(1)) ?? [];
  return round === undefined ? undefined : { done: Number(done), total: Number(total), message: `round ${round} of ${rounds}` };
}

interface Round extends SessionRun {
  readonly said: TrtexecLog;
}

/** A run with what trtexec said, and without the queries of its warm-up, which the releases before 8.6 export too. */
function roundFrom(run: SessionRun, { protocol }: BenchEntry, facts: Facts): Round {
  const from = tracesWarmUp(tensorrtVersion(facts)) ? (run.queries[0]?.startMs ?? 0) + roundOf(protocol).warmUpMs : 0;
  return { ...run, said: parseTrtexecLog(run.text), queries: run.queries.filter(({ startMs }) => startMs >= from) };
}

/** When a round was timed: after its warm-up, for as long as trtexec says. */
function windowOf({ beganS, said: { walltimeS, throughputQps } }: Round, protocol: Protocol): readonly Window[] {
  if (walltimeS === undefined || throughputQps === undefined) return [];
  const fromS = beganS + roundOf(protocol).warmUpMs / 1000;
  return [{ fromS, toS: fromS + walltimeS, images: walltimeS * throughputQps * protocol.batch }];
}

/** Queries per second over all rounds, each by its wall time. */
function pooledQps(rounds: readonly Round[]): number | undefined {
  const parts = rounds.flatMap(({ said: { throughputQps, walltimeS = 1 } }) => (throughputQps === undefined ? [] : [{ throughputQps, walltimeS }]));
  const seconds = parts.reduce((sum, { walltimeS }) => sum + walltimeS, 0);
  return seconds === 0 ? undefined : parts.reduce((sum, { throughputQps, walltimeS }) => sum + throughputQps * walltimeS, 0) / seconds;
}

/** The engine alone, then with the copies to and from it: what its caller sees. */
const stagesOf = (rounds: readonly Round[], batch: number, imagesPerSecond: number): readonly Stage[] => {
  const compute = latencySummary(rounds.flatMap(({ queries }) => queries.map(({ computeMs }) => computeMs)));
  if (!compute || compute.mean <= 0) return [];
  return [
    { stage: 'engine', imagesPerSecond: (1000 * batch) / compute.mean, p50Ms: compute.p50 },
    { stage: 'engine with copies', imagesPerSecond },
  ];
};

function measurementOf({ passport, protocol }: BenchEntry, facts: Facts, rounds: readonly Round[], log: SessionLog): Measurement | Failure {
  const latencyMs = latencySummary(rounds.flatMap(({ queries }) => queries.map(({ latencyMs }) => latencyMs)));
  const qps = pooledQps(rounds);
  if (!latencyMs || qps === undefined)
    return new EdgeError('measurement-void', 'trtexec passed, but gave no times of single queries.', { hint: 'Measure again; the log lies in ~/.edgeforge/jobs on the device.' });
  const { batch } = protocol;
  const windows = rounds.flatMap(round => windowOf(round, protocol));
  const [energy, heat] = [energyOf(windows, log), heatOf(windows, log.samples)];
  const track = trackOf(windows, log.samples, heat?.sensor);
  return {
    precision: passport.precision,
    scenario: scenarioOf(protocol),
    batch,
    // trtexec counts queries; a query is a whole batch.
    throughput: { value: qps * batch, unit: 'images/s' },
    latencyMs,
    stages: stagesOf(rounds, batch, qps * batch),
    ...(energy ? { energy } : {}),
    ...(heat ? { heat } : {}),
    ...(track.length > 0 ? { track } : {}),
    evidence: evidenceOf({ passport, protocol }, facts, { rounds, windows, log }),
    ...voidBecause(voidReasons(rounds, windows, log)),
  };
}

function evidenceOf(
  { passport, protocol }: BenchEntry,
  facts: Facts,
  { rounds, windows, log }: { readonly rounds: readonly Round[]; readonly windows: readonly Window[]; readonly log: SessionLog },
): Evidence {
  const warnings = rounds.flatMap(({ said }) => said.warnings).filter(line => /unstable|bound by|Throughput may be|across different models|native Int8/i.test(line));
  const { warmUpMs, durationMs, minIterations } = roundOf(protocol);
  const jetson = facts.kind === 'jetson';
  const locks = jetson && mayLockClocks(facts);
  const board = boardStateOf(windows, log);
  const mode = board.powerMode ?? facts.powerMode;
  return {
    grade: gradeOf(facts, passport, ...rounds.map(({ said }) => said)),
    protocol: `trtexec: ${log.warm ? `${log.warm.seconds.toFixed(0)} s of warm-up, ` : ''}${rounds.length === 1 ? '1 round' : `${rounds.length} alternating rounds`}, each with ${warmUpMs} ms of warm-up, at least ${wholeSeconds(durationMs)} s and ${minIterations} queries; batch ${protocol.batch}, latency with transfers`,
    device: `${facts.model}${mode ? `, mode ${mode}` : ''}${board.gpuMHz === undefined ? '' : `, GPU held at ${board.gpuMHz} MHz`}`,
    runtime: passport.runtime,
    at: facts.at,
    notes: [
      ...passport.notes,
      ...(profiled(tensorrtVersion(facts)) ? ['this TensorRT times single queries with its profiler on and without a CUDA graph: later releases do neither'] : []),
      ...new Set(warnings),
      ...conditionNotes(windows, log, {
        locks,
        mend: jetson ? `to allow it: ${sudoersMend(facts)}` : 'to hold them: gpuMHz for this device in the project file, one of nvidia-smi -q -d SUPPORTED_CLOCKS',
      }),
    ],
    board,
  };
}

/** A session's log → one measurement per engine over all its rounds; undefined where trtexec failed. */
export function measured(entries: readonly BenchEntry[], facts: Facts, finished: Finished, text: string): readonly Measurement[] | Failure | undefined {
  if (finished.exitCode === sessionBusy)
    return new EdgeError('device-busy', `A measuring session runs there already: ${text.trim().slice(0, 200)}.`, {
      hint: 'Wait for it to end; it gives the clocks back by itself.',
    });
  if (finished.exitCode === modeStays)
    return new EdgeError('device-refused', `The board did not change its power mode to ${entries[0]?.protocol.powerMode}: nvpmodel may want a restart for it.`, {
      hint: 'On the board: sudo nvpmodel -m ID, answer its question, and measure again when it is back.',
    });
  if (finished.exitCode === clockRefused)
    return new EdgeError('device-refused', `The card was not held at ${entries[0]?.protocol.gpuMHz} MHz: ${text.trim().split('\n').at(-1)?.slice(0, 200)}`, {
      hint: 'Choose one of its clocks (nvidia-smi -q -d SUPPORTED_CLOCKS), or leave gpuMHz out: it is measured as found then.',
    });
  const log = parseSessionLog(text);
  const rounds = entries.map((entry, index) => log.runs.filter(({ engine }) => engine === index).map(run => roundFrom(run, entry, facts)));
  // PASSED and exit code 0 together: a kill leaves no banner.
  if (finished.exitCode !== 0 || rounds.some(each => each.some(({ said }) => said.outcome !== 'passed'))) return undefined;
  const results: Measurement[] = [];
  for (const [index, entry] of entries.entries()) {
    const result = measurementOf(entry, facts, rounds[index]!, log);
    if (result instanceof EdgeError) return result;
    results.push(result);
  }
  return results;
}
