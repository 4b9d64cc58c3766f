import { Box, Text } from 'ink';
import { etaMs, failuresOf, notesOf, type RunState, type StepState, stepCount } from '../../core/run-state.ts';
import { durationText, progressText } from '../output.ts';
import { figure, headline } from '../run-lines.ts';
import { brailleCurve } from './braille.ts';

const marks = { waiting: '·', running: '▸', ran: '✔', cached: '=', failed: '✘', skipped: '-' } as const;
const colours = { waiting: 'gray', running: 'cyan', ran: 'green', cached: 'green', failed: 'red', skipped: 'yellow' } as const;

interface ScreenProps {
  readonly state: RunState;
  readonly title: string;
  readonly nowMs: number;
  readonly columns: number;
  readonly rows: number;
  readonly message?: string;
}

/** A run as one picture: header, steps, the running step's curve, notes, and how it ended. */
export function RunScreen({ state, title, nowMs, columns, rows, message }: ScreenProps) {
  const { ended, total } = stepCount(state);
  const elapsed = state.startedAt ? Date.parse(state.result ? (state.at ?? state.startedAt) : new Date(nowMs).toISOString()) - Date.parse(state.startedAt) : 0;
  const running = [...state.steps].filter(([, step]) => step.status === 'running');
  const curve = running.find(([, step]) => (step.series.get('loss')?.points.length ?? 0) > 1);
  const spare = Math.max(3, rows - 6 - (curve ? 6 : 0) - running.length);
  return (
    <Box flexDirection="column" width={columns}>
      <Text bold wrap="truncate">
        edgeforge {title} · {ended}/{total} steps · {durationText(elapsed)}
      </Text>
      <StepList state={state} nowMs={nowMs} columns={columns} rows={spare} />
      {curve && <Curve name={curve[0]} step={curve[1]} columns={columns} />}
      <Log state={state} rows={2} />
      <Ending state={state} message={message} />
    </Box>
  );
}

/** Steps that fit: what ran, runs or failed, newest last, then the first that wait; cached ones and the rest are counts. */
function StepList({ state, nowMs, columns, rows }: { readonly state: RunState; readonly nowMs: number; readonly columns: number; readonly rows: number }) {
  const steps = [...state.steps];
  const busy = steps.filter(([, step]) => step.status !== 'waiting' && step.status !== 'cached');
  const waiting = steps.filter(([, step]) => step.status === 'waiting');
  const visible = busy.length >= rows ? busy.slice(-rows) : [...busy, ...waiting.slice(0, rows - busy.length)];
  const count = (status: StepState['status']) => steps.filter(([, step]) => step.status === status).length;
  const later = waiting.length - visible.filter(([, step]) => step.status === 'waiting').length;
  const rest = [count('cached') > 0 ? `= ${count('cached')} cached` : '', busy.length > rows ? `${busy.length - rows} earlier` : '', later > 0 ? `${later} more wait` : ''].filter(
    Boolean,
  );
  const width = Math.min(34, Math.max(...visible.map(([name]) => name.length), 8));
  return (
    <Box flexDirection="column">
      {visible.map(([name, step]) => (
        <Text key={name} wrap="truncate">
          <Text color={colours[step.status]}>{marks[step.status]}</Text> {name.padEnd(width)} {detail(step, nowMs, columns - width - 4)}
        </Text>
      ))}
      {rest.length > 0 && <Text dimColor>{rest.join(', ')}</Text>}
    </Box>
  );
}

function detail(step: StepState, nowMs: number, columns: number): string {
  switch (step.status) {
    case 'running': {
      const { progress } = step;
      if (!progress) return step.because ?? '';
      const eta = etaMs(step, nowMs);
      const metrics = headline(step.metrics);
      const width = Math.max(0, Math.min(16, columns - 40));
      const filled = progress.total > 0 ? Math.round((width * progress.done) / progress.total) : 0;
      return `${'█'.repeat(filled)}${'░'.repeat(width - filled)} ${progressText(progress)}${eta === undefined ? '' : `, ${durationText(eta)} left`} ${metrics.join(' ')}`;
    }
    case 'ran':
      return durationText(step.milliseconds ?? 0);
    case 'cached':
      return 'cached';
    case 'failed':
      return step.failure?.code ?? '';
    case 'skipped':
      return step.because ?? '';
    case 'waiting':
      return '';
  }
}

function Curve({ name, step, columns }: { readonly name: string; readonly step: StepState; readonly columns: number }) {
  const values = (step.series.get('loss')?.points ?? []).map(point => point.y);
  const lines = brailleCurve(values, Math.max(10, Math.min(60, columns - 14)), 4);
  return (
    <Box flexDirection="column">
      <Text dimColor>
        {name}: loss, {values.length} points
      </Text>
      {lines.map((line, row) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: rows of a picture have no other name
        <Text key={row}>
          {line} <Text dimColor>{row === 0 ? figure(Math.max(...values)) : row === lines.length - 1 ? figure(Math.min(...values)) : ''}</Text>
        </Text>
      ))}
    </Box>
  );
}

function Log({ state, rows }: { readonly state: RunState; readonly rows: number }) {
  const lines = [...state.steps]
    .flatMap(([step, { logs }]) => logs.map(line => ({ step, ...line })))
    .sort((a, b) => (a.time < b.time ? -1 : 1))
    .slice(-rows);
  return (
    <Box flexDirection="column">
      {lines.map(line => (
        <Text key={`${line.time}${line.step}${line.message}`} dimColor wrap="truncate">
          {line.step}: {line.message}
        </Text>
      ))}
    </Box>
  );
}

function Ending({ state, message }: { readonly state: RunState; readonly message: string | undefined }) {
  return (
    <Box flexDirection="column">
      {state.result &&
        [...new Set(notesOf(state).map(({ note }) => note))].map(note => (
          <Text key={note} color="yellow" wrap="truncate">
            note: {note}
          </Text>
        ))}
      {[...failuresOf(state), ...(state.result?.error ? [{ step: 'run', ...state.result.error }] : [])].map(failure => (
        <Text key={failure.step} color="red">
          ✘ {failure.step} ({failure.code}): {failure.message}
          {'\n'} mend: {failure.hint}
        </Text>
      ))}
      {state.result ? (
        <Text bold color={state.result.ok ? 'green' : 'red'}>
          {state.result.ok ? 'done' : `failed (exit code ${state.result.exitCode})`}
          {state.result.out ? `: ${state.result.out}` : ''}
        </Text>
      ) : (
        <Text dimColor>{message ?? 'Ctrl-C stops'}</Text>
      )}
    </Box>
  );
}
