import { unreachable } from '../../core/errors.ts';
import type { RunEvent } from '../../core/events.ts';
import { initialRunState, reduceRun } from '../../core/run-state.ts';
import { durationText } from '../output.ts';
import type { RunLine, Watched } from './state.ts';

const lineLimit = 20_000;

/** A run before its first event. */
export const emptyWatched = (id: string, folder: string): Watched => ({ id, folder, state: initialRunState, lines: [], live: true });

/** The run after more events. Pure, so that a replay gives the same pictures; memory stays bounded. */
export function extendWatched(watched: Watched, events: readonly RunEvent[]): Watched {
  let { state } = watched;
  const news: RunLine[] = [];
  for (const event of events) {
    state = reduceRun(state, event);
    news.push(...linesOf(event));
  }
  const lines = news.length === 0 ? watched.lines : [...watched.lines, ...news].slice(-lineLimit);
  return { ...watched, state, lines, live: watched.live && state.result === undefined };
}

/** What a reader of the log is told by an event. */
function linesOf(event: RunEvent): readonly RunLine[] {
  const line = (step: string, level: RunLine['level'], text: string): RunLine => ({ time: event.time, step, level, text });
  switch (event.type) {
    case 'run-started':
      return [line('run', 'command', event.command), line('run', 'event', `${event.run}: ${event.steps.length} steps`)];
    case 'step-started':
      return [line(event.step, 'event', `started: ${event.because}`)];
    case 'step-progress':
      return [];
    case 'step-log':
      return [line(event.step, event.level, event.message)];
    case 'step-finished':
      return [
        line(event.step, 'event', event.outcome === 'cached' ? 'cached' : `done in ${durationText(event.milliseconds)}`),
        ...event.notes.map(note => line(event.step, 'note', note)),
      ];
    case 'step-failed':
      return [line(event.step, 'error', `${event.code}: ${event.message}`), line(event.step, 'error', `mend: ${event.hint}`)];
    case 'step-skipped':
      return [line(event.step, 'warning', `skipped: ${event.because}`)];
    case 'run-finished':
      return [
        ...(event.error ? [line('run', 'error', `${event.error.code}: ${event.error.message}`), line('run', 'error', `mend: ${event.error.hint}`)] : []),
        line('run', event.ok ? 'event' : 'error', event.ok ? 'done' : `ended with exit code ${event.exitCode}`),
      ];
    default:
      return unreachable(event);
  }
}
