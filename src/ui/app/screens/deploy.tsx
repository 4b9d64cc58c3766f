import { join } from 'node:path';
import { Box, Text } from 'ink';
import type { PlannedStep } from '../../../core/plan.ts';
import { failuresOf, type StepState } from '../../../core/run-state.ts';
import type { UserAction } from '../action.ts';
import { fitted, remembered, when } from '../fit.ts';
import { glyphsOf } from '../glyphs.ts';
import type { Screen, ScreenProps } from '../screen.ts';
import { chosen, cursorOf, isLive, placeOf, type UiState } from '../state.ts';
import { List } from '../views/list.tsx';
import { paint, toneOf } from '../views/paint.ts';
import { StepRow } from '../views/step-row.tsx';

/** A step on a device: as the run that is shown has it, and what the plan says. */
interface DeviceStep {
  readonly name: string;
  readonly step: StepState | undefined;
  readonly planned: PlannedStep | undefined;
}
const devicesOf = remembered((project: UiState['sources']['project']): readonly string[] => Object.keys(project?.value?.settings.devices ?? {}));
const stepsOn = (device: string, steps: UiState['watched'], plan: readonly PlannedStep[]): readonly DeviceStep[] => {
  const names = [...new Set([...plan.map(({ step }) => step), ...(steps?.state.steps.keys() ?? [])])].filter(name => name.split(' ')[1] === device);
  return names.map(name => ({ name, step: steps?.state.steps.get(name), planned: plan.find(({ step }) => step === name) }));
};
const byDevice = remembered((devices: readonly string[], watched: UiState['watched'], plan: readonly PlannedStep[]) =>
  devices.map(device => ({ device, steps: stepsOn(device, watched, plan) })),
);
const noSteps: readonly PlannedStep[] = [];
const linesOf = (state: UiState) => byDevice(devicesOf(state.sources.project), state.watched, state.sources.plan?.value?.steps ?? noSteps);
const deviceOf = (state: UiState): string | undefined => chosen(devicesOf(state.sources.project), state, 0, 'deploy');
const ended = ({ step }: DeviceStep): boolean => step?.status === 'ran' || step?.status === 'cached';

function Deploy({ state, columns, rows }: ScreenProps) {
  const glyphs = glyphsOf(state.terminal);
  const lines = linesOf(state);
  const { pane } = placeOf(state, 'deploy');
  if (lines.length === 0) return <Text>The project names no device. Add one under devices: in edgeforge.yaml (e on Home), e.g. bench: {'{target: linux-x64, serve: true}'}</Text>;
  const shown = lines[Math.min(cursorOf(state, 0, 'deploy'), lines.length - 1)];
  const failures = failuresOf(state.watched?.state ?? { steps: new Map() }).filter(({ step }) => step.split(' ')[1] === shown?.device);
  const above = Math.min(lines.length, Math.max(2, Math.floor(rows / 3)));
  return (
    <Box flexDirection="column" width={columns}>
      <List
        items={lines}
        cursor={cursorOf(state, 0, 'deploy')}
        rows={above}
        glyphs={glyphs}
        active={pane === 0}
        draw={({ device, steps }) => <Text>{`${fitted(device, 14, glyphs.more)} ${summary(state, steps)}`}</Text>}
      />
      <Text bold wrap="truncate">
        Steps on {shown?.device}
      </Text>
      <List
        items={shown?.steps ?? []}
        cursor={cursorOf(state, 1, 'deploy')}
        rows={Math.max(2, rows - above - 1 - 2 * failures.length)}
        glyphs={glyphs}
        active={pane === 1}
        draw={({ name, step, planned }) =>
          step && (isLive(state) || !planned || planned.status === 'cached') ? (
            <StepRow name={name} step={step} state={state} columns={columns} />
          ) : (
            <PlannedRow name={name} planned={planned} state={state} columns={columns} />
          )
        }
      />
      {failures.map(({ step, code, message, hint }) => (
        <Text key={step} {...paint(state.terminal, 'bad')} wrap="truncate">
          {glyphs.failed} {step} ({code}): {message}
          {'\n'} mend: {hint}
        </Text>
      ))}
    </Box>
  );
}

function PlannedRow({ name, planned, state, columns }: { readonly name: string; readonly planned: PlannedStep | undefined; readonly state: UiState; readonly columns: number }) {
  const glyphs = glyphsOf(state.terminal);
  const status = planned?.status ?? 'unknown';
  const mark = { cached: glyphs.cached, run: glyphs.running, unknown: glyphs.unknown }[status];
  return (
    <Text>
      <Text {...paint(state.terminal, toneOf(status))}>{mark}</Text> {fitted(name, Math.min(30, Math.max(12, Math.floor(columns / 3))), glyphs.more)}{' '}
      {status === 'cached' ? 'up to date' : (planned?.because ?? 'not planned yet')}
    </Text>
  );
}

/** A device's part in one line: while a run is live how far it is, else what a deploy would do. */
function summary(state: UiState, steps: readonly DeviceStep[]): string {
  const glyphs = glyphsOf(state.terminal);
  const running = steps.find(({ step }) => step?.status === 'running');
  const failed = steps.filter(({ step }) => step?.status === 'failed').length;
  const stale = steps.filter(({ planned }) => planned?.status === 'run').length;
  const unknown = steps.filter(({ planned }) => planned?.status === 'unknown').length;
  if (running) return `${glyphs.running} ${steps.filter(ended).length}/${steps.length} steps, now ${running.name}`;
  if (isLive(state) && steps.some(({ step }) => step)) return `${glyphs.waiting} ${steps.filter(ended).length}/${steps.length} steps${failed > 0 ? `, ${failed} failed` : ''}`;
  if (!state.sources.plan?.value) return `${glyphs.waiting} looking`;
  if (failed > 0 && stale > 0) return `${glyphs.failed} ${failed} failed, ${stale} of ${steps.length} steps stale`;
  return stale > 0 ? `${glyphs.running} ${stale} of ${steps.length} steps stale` : unknown > 0 ? `${glyphs.unknown} does not answer` : `${glyphs.ran} up to date`;
}

const withDevice = (state: UiState, what: (device: string) => UserAction): UserAction | { readonly not: string } => {
  const device = deviceOf(state);
  return device === undefined ? { not: 'The project names no device: add one under devices: in edgeforge.yaml.' } : what(device);
};

/** The releases that lie on the device: the one before, any by its name, or only a look. */
const rollback = (device: string): UserAction => ({
  type: 'open',
  dialog: {
    kind: 'ask',
    title: `Go back on ${device} to an earlier release? The project stays as it is; d makes its own release current again.`,
    lost: [],
    cli: `edgeforge rollback ${device}`,
    cursor: 0,
    choices: [
      { key: 'l', label: 'See the releases first', does: { type: 'command', words: ['releases', device] } },
      { key: 'y', label: 'To the release before the current one', does: { type: 'command', words: ['rollback', device] } },
      {
        key: 'r',
        label: 'To one that I name',
        does: {
          type: 'open',
          dialog: {
            kind: 'prompt',
            title: `Which release of ${device}?`,
            hint: 'Its id, or the end of it.',
            text: '',
            does: { type: 'command', words: ['rollback', device, '{text}'] },
          },
        },
      },
      { key: 'n', label: 'Leave it' },
    ],
  },
});

/** Earlier runs that ended well: the network of each may be deployed again. */
function earlierRun(state: UiState, device: string): UserAction | { readonly not: string } {
  const earlier = (state.sources.runs?.value ?? []).filter(({ status }) => status === 'ok').slice(1, 10);
  if (earlier.length === 0) return { not: 'There is no earlier run that ended well: no network to deploy again.' };
  return {
    type: 'open',
    dialog: {
      kind: 'pick',
      title: `Deploy the network of which run to ${device}? The project stays as it is; d deploys its own again.`,
      cursor: 0,
      choices: earlier.map(({ id, folder, startedAt, command }, index) => {
        const file = join(folder, 'out', 'model', `${state.sources.project?.value?.settings.task ?? 'detectnet_v2'}.onnx`);
        return {
          key: String(index + 1),
          label: `${id} ${when(startedAt)} ${command}`,
          does: { type: 'run', wish: { steps: [], devices: [device], model: { file } }, cli: `edgeforge deploy ${device} --model ${file}` },
        };
      }),
    },
  };
}

/** Deploy: what a device lacks, bringing it there, and how far each device is. */
export const deployScreen: Screen = {
  name: 'deploy',
  key: '7',
  title: 'Deploy',
  about: 'Each device: what is stale there, deploying, the progress of every step, going back to an earlier release.',
  view: Deploy,
  needs: ['project', 'plan', 'runs'],
  panes: [
    { name: 'devices', length: state => linesOf(state).length },
    { name: 'steps', length: state => linesOf(state)[Math.min(cursorOf(state, 0, 'deploy'), linesOf(state).length - 1)]?.steps.length ?? 0 },
  ],
  keys: [
    {
      key: 'd',
      help: 'deploy to this device',
      action: state => withDevice(state, device => ({ type: 'run', wish: { steps: [], devices: [device] }, cli: `edgeforge deploy ${device}` })),
      cli: state => `edgeforge deploy ${deviceOf(state) ?? 'DEVICE'}`,
    },
    {
      key: 'D',
      help: 'deploy to all',
      action: state => withDevice(state, () => ({ type: 'run', wish: { steps: [], devices: [...devicesOf(state.sources.project)] }, cli: 'edgeforge deploy' })),
      cli: () => 'edgeforge deploy',
    },
    {
      key: 'p',
      help: 'the plan',
      action: state => withDevice(state, device => ({ type: 'command', words: ['deploy', device, '--plan'] })),
      cli: state => `edgeforge deploy ${deviceOf(state) ?? 'DEVICE'} --plan`,
    },
    {
      key: 'x',
      help: 'the commands it would run there',
      action: state => withDevice(state, device => ({ type: 'command', words: ['deploy', device, '--dry-run'] })),
      cli: state => `edgeforge deploy ${deviceOf(state) ?? 'DEVICE'} --dry-run`,
    },
    {
      key: 'b',
      help: 'go back to an earlier release',
      action: state => withDevice(state, rollback),
      cli: state => `edgeforge rollback ${deviceOf(state) ?? 'DEVICE'}`,
    },
    {
      key: 'B',
      help: 'deploy an earlier run’s network',
      action: state => withDevice(state, device => earlierRun(state, device) as UserAction),
      cli: state => `edgeforge deploy ${deviceOf(state) ?? 'DEVICE'} --model FILE`,
    },
    {
      key: 'o',
      help: 'the report',
      action: state => withDevice(state, device => ({ type: 'command', words: ['report', device] })),
      cli: state => `edgeforge report ${deviceOf(state) ?? 'DEVICE'}`,
    },
  ],
};
