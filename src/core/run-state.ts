import { unreachable } from './errors.ts';
import type { LogLevel, RunEvent } from './events.ts';
import { emptySeries, extendSeries, type Series } from './series.ts';

export interface LogLine {
  readonly time: string;
  readonly level: LogLevel;
  readonly message: string;
}
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}
export interface Progress {
  readonly done: number;
  readonly total: number;
  readonly unit: string;
  /** Where the work stood at some recent moments (ms since 1970), oldest first: what an ETA is made of. */
  readonly recent: readonly { readonly atMs: number; readonly done: number }[];
}
export interface StepState {
  readonly status: 'waiting' | 'running' | 'ran' | 'cached' | 'failed' | 'skipped';
  /** Why it runs, or which step it needed. */
  readonly because?: string;
  readonly startedAt?: string;
  readonly milliseconds?: number;
  readonly progress?: Progress;
  /** The newest value of each metric. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Each metric over `done`. */
  readonly series: ReadonlyMap<string, Series>;
  readonly logs: readonly LogLine[];
  readonly notes: readonly string[];
  readonly failure?: Failure;
}
/** What a viewer needs to draw a run. Derived from events alone, so a log replays to the same screen. */
export interface RunState {
  readonly run?: string;
  readonly command?: string;
  readonly startedAt?: string;
  /** Time of the newest event. */
  readonly at?: string;
  /** In the order of the recipe. */
  readonly steps: ReadonlyMap<string, StepState>;
  readonly result?: { readonly ok: boolean; readonly exitCode: number; readonly out?: string | undefined; readonly error?: Failure | undefined };
}

export const initialRunState: RunState = { steps: new Map() };
const waiting: StepState = { status: 'waiting', metrics: {}, series: new Map(), logs: [], notes: [] };
const logLimit = 200;
const recentLimit = 32;
const metricLimit = 64;

/** The run after one more event. Pure; memory stays bounded however long the run. */
export function reduceRun(before: RunState, event: RunEvent): RunState {
  const state = { ...before, at: event.time };
  const set = (step: string, change: (was: StepState) => StepState): RunState => ({ ...state, steps: new Map(state.steps).set(step, change(state.steps.get(step) ?? waiting)) });
  switch (event.type) {
    case 'run-started':
      return { at: event.time, run: event.run, command: event.command, startedAt: event.time, steps: new Map(event.steps.map(step => [step, waiting])) };
    case 'step-started':
      return set(event.step, was => ({ ...was, status: 'running', because: event.because, startedAt: event.time }));
    case 'step-progress':
      return set(event.step, was => progressed(was, event));
    case 'step-log':
      // Commands are for those who read the log itself; a step's last words are what it said.
      if (event.level === 'command') return state;
      return set(event.step, was => ({ ...was, logs: [...was.logs, { time: event.time, level: event.level, message: event.message }].slice(-logLimit) }));
    case 'step-finished':
      return set(event.step, was => ({ ...was, status: event.outcome, milliseconds: event.milliseconds, notes: event.notes }));
    case 'step-failed':
      return set(event.step, was => ({ ...was, status: 'failed', failure: { code: event.code, message: event.message, hint: event.hint } }));
    case 'step-skipped':
      return set(event.step, was => ({ ...was, status: 'skipped', because: event.because }));
    case 'run-finished':
      return { ...state, result: { ok: event.ok, exitCode: event.exitCode, out: event.out, error: event.error } };
    default:
      return unreachable(event);
  }
}

type Counted = { readonly done: number; readonly total: number; readonly unit: string };
/** A step of several phases counts anew: an old pace says nothing about the new phase. */
export const isSamePhase = (before: Counted, now: Counted): boolean => before.total === now.total && before.unit === now.unit && before.done <= now.done;

function progressed(was: StepState, { time, done, total, unit, metrics }: Extract<RunEvent, { type: 'step-progress' }>): StepState {
  const { progress } = was;
  const sameWork = progress !== undefined && isSamePhase(progress, { done, total, unit });
  const recent = [...(sameWork ? progress.recent : []), { atMs: Date.parse(time), done }].slice(-recentLimit);
  let series = was.series;
  const news = Object.entries(metrics);
  if (news.length > 0) {
    const next = new Map(series);
    for (const [name, value] of news) if (next.has(name) || next.size < metricLimit) next.set(name, extendSeries(next.get(name) ?? emptySeries, done, value));
    series = next;
  }
  return { ...was, status: 'running', progress: { done, total, unit, recent }, metrics: { ...was.metrics, ...metrics }, series };
}

/** Milliseconds until the step's present work is done at its recent pace; undefined while that is not known. `nowMs` like Date.now(). */
export function etaMs({ status, progress }: StepState, nowMs: number): number | undefined {
  const [first, last] = [progress?.recent[0], progress?.recent.at(-1)];
  if (status !== 'running' || !progress || !first || !last || last.done <= first.done || last.atMs <= first.atMs) return undefined;
  const pace = (last.done - first.done) / (last.atMs - first.atMs);
  return Math.max(0, (progress.total - last.done) / pace - (nowMs - last.atMs));
}

/** How many steps have ended, in any way, of how many. */
export function stepCount({ steps }: RunState): { readonly ended: number; readonly total: number } {
  const ended = [...steps.values()].filter(({ status }) => status !== 'waiting' && status !== 'running').length;
  return { ended, total: steps.size };
}

/** Every failure of a run, in recipe order. */
export const failuresOf = ({ steps }: RunState): readonly (Failure & { readonly step: string })[] =>
  [...steps].flatMap(([step, { failure }]) => (failure ? [{ step, ...failure }] : []));
/** Every accepted deviation of a run, cached steps' too. */
export const notesOf = ({ steps }: RunState): readonly { readonly step: string; readonly note: string }[] =>
  [...steps].flatMap(([step, { notes }]) => notes.map(note => ({ step, note })));
