import { Box, Text } from 'ink';
import type { RunSummary } from '../../../core/run-folder.ts';
import { fitted, remembered, when } from '../fit.ts';
import { passesFilter } from '../fuzzy.ts';
import { glyphsOf } from '../glyphs.ts';
import type { Screen, ScreenProps } from '../screen.ts';
import { chosen, cursorOf, placeOf, type UiState } from '../state.ts';
import { List } from '../views/list.tsx';
import { paint, toneOf } from '../views/paint.ts';
import { StepRow } from '../views/step-row.tsx';

const listed = remembered((runs: readonly RunSummary[] | undefined, filter: string) =>
  (runs ?? []).filter(({ id, status, command }) => passesFilter(filter, `${id} ${status} ${command}`)),
);
const runsOf = (state: UiState) => listed(state.sources.runs?.value, placeOf(state, 'runs').filter);
const stepsOf = remembered((steps: NonNullable<UiState['watched']>['state']['steps']) => [...steps]);

function Runs({ state, columns, rows }: ScreenProps) {
  const glyphs = glyphsOf(state.terminal);
  const { pane } = placeOf(state, 'runs');
  const runs = runsOf(state);
  const marked = state.choices['runs.mark'];
  const marks = { running: glyphs.running, ok: glyphs.ran, failed: glyphs.failed, cancelled: glyphs.skipped, died: glyphs.failed };
  const above = Math.min(runs.length + 1, Math.max(3, Math.floor(rows / 2) - 1));
  if (state.sources.runs?.value?.length === 0) return <Text>No runs yet. Start one with r on Home ($ edgeforge run).</Text>;
  const steps = state.watched ? stepsOf(state.watched.state.steps) : [];
  return (
    <Box flexDirection="column" width={columns}>
      <List
        items={runs}
        cursor={cursorOf(state, 0, 'runs')}
        rows={above}
        glyphs={glyphs}
        active={pane === 0}
        draw={({ id, status, startedAt, command }) => (
          <Text>
            <Text {...paint(state.terminal, toneOf(status))}>
              {marks[status]} {status.padEnd(9)}
            </Text>{' '}
            {id === state.watched?.id ? 'shown ' : id === marked ? 'mark  ' : '      '}
            {fitted(id, 22, glyphs.more)} {when(startedAt)} <Text dimColor>{command}</Text>
          </Text>
        )}
      />
      <Text bold wrap="truncate">
        {state.watched ? `Steps of ${state.watched.id}` : 'enter shows a run'}
      </Text>
      <List
        items={steps}
        cursor={cursorOf(state, 1, 'runs')}
        rows={Math.max(2, rows - above - 1)}
        glyphs={glyphs}
        active={pane === 1}
        draw={([name, step]) => <StepRow name={name} step={step} state={state} columns={columns} />}
      />
    </Box>
  );
}

/** Runs: the history; any run is replayed from its event log, two are compared. */
export const runsScreen: Screen = {
  name: 'runs',
  key: '9',
  title: 'Runs',
  about: 'The history of this project: replay any run from its event log, compare two.',
  view: Runs,
  needs: ['runs'],
  panes: [
    { name: 'runs', length: state => runsOf(state).length },
    { name: 'steps', length: state => state.watched?.state.steps.size ?? 0 },
  ],
  keys: [
    {
      key: 'enter',
      help: 'show this run',
      action: state => {
        const run = chosen(runsOf(state), state, 0, 'runs');
        return run ? { type: 'watch', id: run.id, folder: run.folder } : { not: 'There is no run here yet.' };
      },
      cli: state => `edgeforge watch ${chosen(runsOf(state), state, 0, 'runs')?.id ?? 'RUN'}`,
    },
    {
      key: 'm',
      help: 'mark for comparing',
      action: state => {
        const run = chosen(runsOf(state), state, 0, 'runs');
        return run ? { type: 'choose', name: 'runs.mark', value: run.id } : { not: 'There is no run here yet.' };
      },
    },
    {
      key: 'd',
      help: 'compare with the marked run',
      action: state => {
        const [run, mark] = [chosen(runsOf(state), state, 0, 'runs'), state.choices['runs.mark']];
        if (!run || typeof mark !== 'string') return { not: 'Mark a run with m first, then compare another one with it.' };
        return { type: 'command', words: ['runs', '--diff', ...[mark, run.id].sort()] };
      },
      cli: () => 'edgeforge runs --diff OLD NEW',
    },
    { key: 'o', help: 'its log', action: () => ({ type: 'go', screen: 'log' }), cli: () => 'edgeforge watch RUN | cat' },
  ],
};
