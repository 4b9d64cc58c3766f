import { Box, Text } from 'ink';
import { passesFilter } from '../fuzzy.ts';
import { glyphsOf } from '../glyphs.ts';
import type { Screen, ScreenProps } from '../screen.ts';
import { cursorOf, isLive, placeOf, type UiState } from '../state.ts';
import { List } from '../views/list.tsx';

const stepsOf = (state: UiState) => (state.sources.plan?.value?.steps ?? []).filter(({ step, because }) => passesFilter(placeOf(state, 'home').filter, `${step} ${because}`));

function Home({ state, columns, rows }: ScreenProps) {
  const glyphs = glyphsOf(state.terminal);
  const { plan } = state.sources;
  if (state.project === undefined) {
    return (
      <Box flexDirection="column">
        <Text>There is no project in {state.cwd} or above it.</Text>
        <Text>Press n to make one from a template ($ edgeforge init DIR --template scenes).</Text>
      </Box>
    );
  }
  const steps = stepsOf(state);
  const marks = { cached: glyphs.cached, run: glyphs.running, unknown: glyphs.unknown };
  return (
    <Box flexDirection="column" width={columns}>
      {plan?.failure && <Text>{`${glyphs.failed} ${plan.failure.message} Mend: ${plan.failure.hint}`}</Text>}
      {!plan?.value && !plan?.failure && <Text dimColor>Looking what is stale{glyphs.more}</Text>}
      <List
        items={steps}
        cursor={cursorOf(state, 0)}
        rows={rows - 1}
        glyphs={glyphs}
        draw={({ step, status, because }) => `${marks[status]} ${step.padEnd(24)} ${status === 'cached' ? 'up to date' : because}`}
      />
    </Box>
  );
}

/** Home: what the project is, what is stale and why. */
export const homeScreen: Screen = {
  name: 'home',
  key: '1',
  title: 'Home',
  about: 'The project: what is up to date, what is stale and why.',
  view: Home,
  needs: ['project', 'plan', 'runs'],
  projectless: true,
  panes: [{ name: 'steps', length: state => stepsOf(state).length }],
  keys: [
    { key: 'r', help: 'run everything that is stale', action: () => ({ type: 'run', wish: { steps: [] }, cli: 'edgeforge run' }), cli: () => 'edgeforge run' },
    {
      key: 's',
      help: 'stop the run',
      action: state =>
        isLive(state)
          ? {
              type: 'open',
              dialog: {
                kind: 'ask',
                title: `Stop run ${state.watched?.id ?? ''}?`,
                lost: ['the step under way since its last checkpoint'],
                cli: 'Ctrl-C in edgeforge run',
                cursor: 1,
                choices: [
                  { key: 's', label: 'stop it', does: { type: 'stop-run' } },
                  { key: 'esc', label: 'let it go on' },
                ],
              },
            }
          : { not: 'No run is under way.' },
    },
  ],
};
