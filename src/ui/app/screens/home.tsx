import { Box, Text } from 'ink';
import { figure } from '../../run-lines.ts';
import { fitted, remembered, when } from '../fit.ts';
import { passesFilter } from '../fuzzy.ts';
import { type Glyphs, glyphsOf } from '../glyphs.ts';
import { newProject, sure } from '../questions.ts';
import type { Screen, ScreenProps } from '../screen.ts';
import type { DeviceFigures, PlanView, ProjectView } from '../sources.ts';
import { cursorOf, isLive, placeOf, type UiState } from '../state.ts';
import { List } from '../views/list.tsx';
import { paint, toneOf } from '../views/paint.ts';

const listed = remembered((plan: PlanView | undefined, filter: string, all: boolean) =>
  (plan?.steps ?? []).filter(({ step, status, because }) => (all || status !== 'cached') && passesFilter(filter, `${step} ${because}`)),
);
const stepsOf = (state: UiState) => listed(state.sources.plan?.value, placeOf(state, 'home').filter, state.choices['home.all'] === true);

function Home({ state, columns, rows }: ScreenProps) {
  const glyphs = glyphsOf(state.terminal);
  const { project, plan, figures } = state.sources;
  if (state.project === undefined) return <Nothing cwd={state.cwd} />;
  const failure = project?.failure ?? plan?.failure;
  const lines = figureLines(figures?.value ?? []);
  return (
    <Box flexDirection="column" width={columns}>
      {project?.value && <About project={project.value} plan={plan?.value} glyphs={glyphs} />}
      {lines.slice(0, Math.max(1, rows - 12)).map(line => (
        <Text key={line} wrap="truncate">
          {line}
        </Text>
      ))}
      {lines.length === 0 && <Text dimColor>No figures yet: press r ($ edgeforge run) and they come from your devices.</Text>}
      {failure && (
        <Text {...paint(state.terminal, 'bad')}>
          {glyphs.failed} {failure.message}
          {'\n'} mend: {failure.hint}
        </Text>
      )}
      <Stale state={state} rows={Math.max(3, rows - 4 - lines.length)} columns={columns} glyphs={glyphs} />
    </Box>
  );
}

function Nothing({ cwd }: { readonly cwd: string }) {
  return (
    <Box flexDirection="column">
      <Text bold>There is no project in {cwd} or above it.</Text>
      <Text>Press n to make one from a template. The same as a command:</Text>
      <Text> $ edgeforge init scenes --template scenes</Text>
    </Box>
  );
}

/** What the project is, and its devices. */
function About({ project: { settings }, plan, glyphs }: { readonly project: ProjectView; readonly plan: PlanView | undefined; readonly glyphs: Glyphs }) {
  const source = Object.keys(settings.data).find(name => ['kitti', 'voc', 'coco', 'folders', 'scenes'].includes(name));
  const pruning = settings.prune ? Object.entries(settings.prune).map(([name, value]) => `${name} ${value}`) : ['none'];
  const devices = Object.entries(settings.devices).map(([name, definition]) => {
    const away = plan?.away.find(each => each.name === name);
    const way = definition.ssh ?? (definition.serve ? 'embedded' : 'this machine');
    return `${away ? `${glyphs.failed} ${name} (no answer since ${when(away.since)})` : `${plan ? glyphs.ran : glyphs.waiting} ${name} (${definition.target ?? way})`}`;
  });
  return (
    <Box flexDirection="column">
      <Text wrap="truncate">
        {settings.task} from {source}; {settings.model.spec}; prune {pruning.join(', ')}; {settings.export.precisions.join(' ')}
      </Text>
      <Text wrap="truncate">devices: {devices.length === 0 ? 'none; add one under devices: in edgeforge.yaml' : devices.join('  ')}</Text>
    </Box>
  );
}

/** The last figures, a line per device and precision: speed only beside the accuracy of the same artifact there. */
const figureLines = remembered((figures: readonly DeviceFigures[]) =>
  figures.flatMap(({ device, rows }) =>
    rows.map(row => {
      const accuracy = row.accuracy ? `${(100 * row.accuracy.value).toFixed(1)} % ${row.accuracy.metric} (n ${row.accuracy.n})` : 'accuracy not measured';
      return `${fitted(device, 10)} ${row.precision.padEnd(5)} b${row.batch} ${fitted(`${figure(Number(row.throughput.value.toPrecision(3)))} images/s`, 15)} p50 ${row.latencyMs.p50.toFixed(2)} ms  ${accuracy}  gate ${row.gate}  ${row.evidence.grade}`;
    }),
  ),
);

function Stale({ state, rows, columns, glyphs }: ScreenProps & { readonly glyphs: Glyphs }) {
  const { plan } = state.sources;
  if (!plan?.value) return <Text dimColor>{plan?.failure ? ' ' : `Looking what is stale${glyphs.more} ($ edgeforge plan)`}</Text>;
  const { steps } = plan.value;
  const count = (status: string) => steps.filter(step => step.status === status).length;
  const marks = { cached: glyphs.cached, run: glyphs.running, unknown: glyphs.unknown };
  const width = Math.min(30, Math.max(12, Math.floor(columns / 3)));
  return (
    <Box flexDirection="column">
      <Text bold>
        {count('run')} of {steps.length} steps are stale, {count('cached')} up to date{count('unknown') > 0 ? `, ${count('unknown')} unknown until a device answers` : ''}
        {plan.loading ? ` (looking again${glyphs.more})` : ''}
      </Text>
      <List
        items={stepsOf(state)}
        cursor={cursorOf(state, 0, 'home')}
        rows={rows - 1}
        glyphs={glyphs}
        draw={({ step, status, because }) => (
          <Text>
            <Text {...paint(state.terminal, toneOf(status))}>{marks[status]}</Text> {fitted(step, width, glyphs.more)}{' '}
            <Text dimColor>{status === 'cached' ? 'up to date' : because}</Text>
          </Text>
        )}
      />
    </Box>
  );
}

/** Home: what the project is, what is stale and why, the last figures, the devices. */
export const homeScreen: Screen = {
  name: 'home',
  key: '1',
  title: 'Home',
  about: 'The project: what is up to date, what is stale and why, the last figures, the devices.',
  view: Home,
  needs: ['project', 'plan', 'runs', 'figures'],
  projectless: true,
  panes: [{ name: 'steps', length: state => stepsOf(state).length }],
  keys: [
    {
      key: 'r',
      help: 'run all that is stale',
      action: state => (state.project === undefined ? { not: 'There is no project here: n makes one.' } : { type: 'run', wish: { steps: [] }, cli: 'edgeforge run' }),
      cli: () => 'edgeforge run',
    },
    {
      key: 'enter',
      help: 'run this step and what it needs',
      action: state => {
        const step = stepsOf(state)[Math.min(cursorOf(state, 0, 'home'), stepsOf(state).length - 1)]?.step;
        return step === undefined ? { not: 'No step is chosen.' } : { type: 'run', wish: { steps: [step] }, cli: `edgeforge run '${step}'` };
      },
      cli: () => 'edgeforge run STEP',
    },
    {
      key: 's',
      help: 'stop the run',
      action: state =>
        isLive(state)
          ? sure({
              title: `Stop run ${state.watched?.id ?? ''}?`,
              lost: ['what the step under way did since its last checkpoint; finished steps are kept'],
              cli: 'Ctrl-C in edgeforge run',
              yes: 'yes, stop it (run again to go on)',
              does: { type: 'stop-run' },
            })
          : { not: 'No run is under way.' },
    },
    {
      key: 'a',
      help: 'all steps or only stale ones',
      action: state => ({ type: 'choose', name: 'home.all', value: state.choices['home.all'] !== true }),
      cli: () => 'edgeforge plan',
    },
    {
      key: 'e',
      help: 'edit edgeforge.yaml',
      action: state => (state.project === undefined ? { not: 'There is no project here: n makes one.' } : { type: 'edit', file: 'edgeforge.yaml' }),
      cli: () => '$EDITOR edgeforge.yaml && edgeforge plan',
    },
    { key: 'n', help: 'new project', action: () => newProject, cli: () => 'edgeforge init DIR --template NAME' },
    {
      key: 'X',
      help: 'free what no recent run needs',
      action: state =>
        state.project === undefined
          ? { not: 'There is no project here.' }
          : sure({
              title: 'Remove from this project’s store what no recent run needs?',
              lost: ['objects and runs older than 30 days and not among the last 10 runs; they are made again when needed ($ edgeforge gc --dry-run lists them)'],
              cli: 'edgeforge gc',
              yes: 'yes, free the space',
              does: { type: 'command', words: ['gc'] },
            }),
      cli: () => 'edgeforge gc',
    },
  ],
};
