import { Text } from 'ink';
import { etaMs, type StepState } from '../../../core/run-state.ts';
import { durationText } from '../../output.ts';
import { figure } from '../../run-lines.ts';
import { fitted } from '../fit.ts';
import { glyphsOf } from '../glyphs.ts';
import type { UiState } from '../state.ts';
import { paint, toneOf } from './paint.ts';

interface StepRowProps {
  readonly name: string;
  readonly step: StepState;
  readonly state: UiState;
  readonly columns: number;
}

/** A step of the watched run in one row: its mark, its name, and how far it is or how it ended. */
export function StepRow({ name, step, state, columns }: StepRowProps) {
  const glyphs = glyphsOf(state.terminal);
  const width = Math.min(30, Math.max(12, Math.floor(columns / 3)));
  return (
    <Text>
      <Text {...paint(state.terminal, toneOf(step.status))}>{glyphs[step.status]}</Text> {fitted(name, width, glyphs.more)} {detailOf(step, state, columns - width - 6)}
    </Text>
  );
}

/** How far a step is, with its pace's ETA, or how it ended; in `columns` if possible. */
export function detailOf(step: StepState, state: UiState, columns: number): string {
  const glyphs = glyphsOf(state.terminal);
  const { progress } = step;
  switch (step.status) {
    case 'running': {
      if (!progress) return step.because ?? '';
      const eta = etaMs(step, state.nowMs);
      const width = Math.max(0, Math.min(16, columns - 36));
      const filled = progress.total > 0 ? Math.min(width, Math.round((width * progress.done) / progress.total)) : 0;
      const metrics = Object.entries(step.metrics).flatMap(([metric, value]) => (metric.includes('/') && metric !== 'img/s' ? [] : [`${metric} ${figure(value)}`]));
      const left = eta === undefined ? '' : `, ${durationText(eta)} left by its pace`;
      return `${glyphs.full.repeat(filled)}${glyphs.empty.repeat(width - filled)} ${progress.done}/${progress.total} ${progress.unit}${left} ${metrics.join(' ')}`;
    }
    case 'ran':
      return durationText(step.milliseconds ?? 0);
    case 'cached':
      return 'cached';
    case 'failed':
      return `${step.failure?.code}: ${step.failure?.message} Mend: ${step.failure?.hint}`;
    case 'skipped':
      return step.because ?? '';
    case 'waiting':
      return '';
  }
}
