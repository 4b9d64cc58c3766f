import { unreachable } from '../core/errors.ts';
import type { RunEvent } from '../core/events.ts';
import { isSamePhase } from '../core/run-state.ts';
import { durationText, progressText } from './output.ts';

type Progress = Extract<RunEvent, { type: 'step-progress' }>;

/** Plain lines for a pipe or a log: one for each thing that a reader would miss, progress at most once in `everyMs` and step. */
export function linePrinter(print: (line: string) => void, { everyMs = 5000 }: { readonly everyMs?: number } = {}): (event: RunEvent) => void {
  const lastProgress = new Map<string, number>();
  const started = new Map<string, number>();
  const phases = new Map<string, { readonly latest: Progress; readonly began: number }>();
  return event => {
    const now = Date.parse(event.time);
    switch (event.type) {
      case 'run-started':
        return print(`run ${event.run}: ${event.steps.length} steps`);
      case 'step-started':
        started.set(event.step, now);
        phases.delete(event.step);
        return print(`▸ ${event.step} (${event.because})`);
      case 'step-progress': {
        const known = phases.get(event.step);
        const began = known === undefined ? (started.get(event.step) ?? now) : isSamePhase(known.latest, event) ? known.began : now;
        phases.set(event.step, { latest: event, began });
        if (now - (lastProgress.get(event.step) ?? started.get(event.step) ?? 0) < everyMs) return;
        lastProgress.set(event.step, now);
        return print(progressLine(event, now - began));
      }
      case 'step-log':
        if (event.level === 'command') return;
        return print(`  ${event.step}: ${event.level === 'info' ? '' : `${event.level}: `}${event.message}`);
      case 'step-finished':
        if (event.outcome === 'ran') print(`✔ ${event.step} ${durationText(event.milliseconds)}`);
        else print(`= ${event.step} cached`);
        for (const note of event.notes) print(`  note: ${note}`);
        return;
      case 'step-failed':
        return print(`✘ ${event.step} failed (${event.code}): ${event.message}\n  mend: ${event.hint}`);
      case 'step-skipped':
        return print(`- ${event.step} skipped: ${event.because}`);
      case 'run-finished':
        if (event.error) print(`✘ ${event.error.message} (${event.error.code})\n  mend: ${event.error.hint}`);
        return print(event.ok ? `done${event.out ? `: ${event.out}` : ''}` : `the run failed (exit code ${event.exitCode})${event.out ? `; what there is: ${event.out}` : ''}`);
      default:
        return unreachable(event);
    }
  };
}

function progressLine(event: Progress, elapsedMs: number): string {
  const { step, done, total, metrics } = event;
  // A training knows its pace better than an average since its phase began.
  const leftMs = metrics['eta s'] === undefined ? (elapsedMs / Math.max(1, done)) * (total - done) : 1000 * metrics['eta s'];
  const eta = done > 0 && total > done && leftMs > 0 ? `, about ${durationText(leftMs)} left` : '';
  const figures = headline(metrics);
  return `  ${step}: ${progressText(event)}${eta}${figures.length > 0 ? ` — ${figures.join(', ')}` : ''}`;
}

/** Metrics as words, those of single classes and the time left, which stands elsewhere, left out. */
export const headline = (metrics: Readonly<Record<string, number>>): string[] =>
  Object.entries(metrics).flatMap(([name, value]) => (name.startsWith('class/') || name === 'eta s' ? [] : [`${name} ${figure(value)}`]));

/** Four significant digits, without an exponent where a person would not write one. */
export const figure = (value: number): string =>
  Number.isInteger(value) ? String(value) : Math.abs(value) >= 1e-3 && Math.abs(value) < 1e6 ? String(Number(value.toPrecision(4))) : value.toExponential(2);
