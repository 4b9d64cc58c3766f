import { Box, Text } from 'ink';
import type { DoctorRow } from '../../../deploy/doctor.ts';
import { plotLines } from '../../components/plot.ts';
import { loadText, sensorText } from '../../telemetry-text.ts';
import type { UserAction } from '../action.ts';
import { fitted, remembered } from '../fit.ts';
import { passesFilter } from '../fuzzy.ts';
import { type Glyphs, glyphsOf } from '../glyphs.ts';
import { sure } from '../questions.ts';
import type { Screen, ScreenProps } from '../screen.ts';
import type { KnownDevice } from '../sources.ts';
import { chosen, cursorOf, placeOf, type TerminalLook, type UiState } from '../state.ts';
import { List } from '../views/list.tsx';
import { paint, type Tone } from '../views/paint.ts';

const noDevices: readonly KnownDevice[] = [];
const devicesOf = (state: UiState): readonly KnownDevice[] => state.sources.doctor?.value ?? noDevices;
const deviceOf = (state: UiState): KnownDevice | undefined => chosen(devicesOf(state), state, 0, 'devices');
const checksOf = remembered((device: KnownDevice | undefined, filter: string): readonly DoctorRow[] =>
  (device?.rows ?? []).filter(({ name, value }) => passesFilter(filter, `${name} ${value}`)),
);
const shownChecks = (state: UiState) => checksOf(deviceOf(state), placeOf(state, 'devices').filter);

const tones: { readonly [S in DoctorRow['state']]: Tone | undefined } = { ok: 'good', note: undefined, missing: 'odd', blocked: 'bad' };
const markOf = (row: DoctorRow | undefined, glyphs: Glyphs): string =>
  row ? { ok: glyphs.ran, note: glyphs.note, missing: glyphs.skipped, blocked: glyphs.failed }[row.state] : ' ';

function Devices({ state, columns, rows }: ScreenProps) {
  const glyphs = glyphsOf(state.terminal);
  const { doctor } = state.sources;
  const devices = devicesOf(state);
  const { pane } = placeOf(state, 'devices');
  const device = deviceOf(state);
  if (!doctor?.value)
    return <Text dimColor>{doctor?.failure ? `${doctor.failure.message} Mend: ${doctor.failure.hint}` : `Asking the devices${glyphs.more} ($ edgeforge doctor DEVICE)`}</Text>;
  if (devices.length === 0) return <Text>No devices yet. Add one: a ($ edgeforge device add NAME user@host), or under devices: in edgeforge.yaml.</Text>;
  const above = Math.min(devices.length, Math.max(2, Math.floor(rows / 4)));
  const live = state.telemetry ? Math.min(10, Math.max(6, Math.floor(rows / 3))) : 0;
  return (
    <Box flexDirection="column" width={columns}>
      <List
        items={devices}
        cursor={cursorOf(state, 0, 'devices')}
        rows={above}
        glyphs={glyphs}
        active={pane === 0}
        draw={each => <DeviceRow device={each} state={state} glyphs={glyphs} />}
      />
      <Text bold wrap="truncate">
        {device?.name}: what is there, what is possible, what is missing{devices.length > 1 ? ` (marks: ${devices.map(({ name }) => name).join(', ')})` : ''}
      </Text>
      <List
        items={shownChecks(state)}
        cursor={cursorOf(state, 1, 'devices')}
        rows={Math.max(2, rows - above - 1 - live)}
        glyphs={glyphs}
        active={pane === 1}
        draw={row => (
          <Text>
            {devices.map(each => {
              const theirs = each.rows.find(({ name }) => name === row.name);
              return (
                <Text key={each.name} {...paint(state.terminal, theirs && tones[theirs.state])}>
                  {markOf(theirs, glyphs)}{' '}
                </Text>
              );
            })}
            {fitted(row.name, 18, glyphs.more)} {row.value}
            {row.mend ? ` mend: ${row.mend}` : ''}
          </Text>
        )}
      />
      {state.telemetry && <Telemetry telemetry={state.telemetry} columns={columns} rows={live} look={state.terminal} />}
    </Box>
  );
}

function DeviceRow({ device, state, glyphs }: { readonly device: KnownDevice; readonly state: UiState; readonly glyphs: Glyphs }) {
  const count = (what: DoctorRow['state']) => device.rows.filter(row => row.state === what).length;
  const health = device.failure
    ? `${glyphs.failed} ${device.failure.message}`
    : `${glyphs.ran} answers: ${count('ok')} ok, ${count('note')} notes, ${count('missing')} missing, ${count('blocked')} blocked`;
  return (
    <Text>
      {fitted(device.name, 14, glyphs.more)} {fitted(device.way, 22, glyphs.more)} <Text {...paint(state.terminal, device.failure ? 'bad' : 'good')}>{health}</Text>
    </Text>
  );
}

/** Live telemetry of one device: what it tells, and its load over the last minutes. */
function Telemetry({
  telemetry,
  columns,
  rows,
  look,
}: {
  readonly telemetry: NonNullable<UiState['telemetry']>;
  readonly columns: number;
  readonly rows: number;
  readonly look: TerminalLook;
}) {
  const last = telemetry.samples.at(-1);
  const loads = telemetry.samples.flatMap(({ gpuPercent, cpuPercent }) => gpuPercent ?? cpuPercent ?? []);
  const name = last?.gpuPercent === undefined ? 'CPU' : 'GPU';
  return (
    <Box flexDirection="column">
      <Text bold wrap="truncate">
        {telemetry.device} live{last?.powerMode ? `, power mode ${last.powerMode}` : ''}; t ends it
      </Text>
      <Text wrap="truncate">{telemetry.failure ? telemetry.failure.message : last ? loadText(last) : 'waiting for its first word'}</Text>
      <Text wrap="truncate">{last ? sensorText(last) : ' '}</Text>
      {loads.length > 1 &&
        plotLines([{ points: loads.map((load, second) => [second - loads.length, load] as const) }], {
          columns: Math.min(columns, 100),
          rows: Math.max(3, rows - 3),
          look,
          y: [0, 100],
          xLabel: `s, ${name} load in %`,
        }).map((line, row) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: rows of a picture have no other name
          <Text key={row} wrap="truncate">
            {line}
          </Text>
        ))}
    </Box>
  );
}

const withDevice = (state: UiState, what: (device: KnownDevice) => UserAction): UserAction | { readonly not: string } => {
  const device = deviceOf(state);
  return device ? what(device) : { not: 'There is no device here: add one with a.' };
};

/** Devices: the doctor's matrix and live telemetry. */
export const devicesScreen: Screen = {
  name: 'devices',
  key: '6',
  title: 'Devices',
  about: 'Your devices: what each has, what is possible and what is missing with its mend; load, memory, temperatures and power live.',
  view: Devices,
  needs: ['doctor'],
  panes: [
    { name: 'devices', length: state => devicesOf(state).length },
    { name: 'checks', length: state => shownChecks(state).length },
  ],
  keys: [
    {
      key: 't',
      help: 'telemetry live, or end it',
      action: state => (state.telemetry ? { type: 'listen' } : withDevice(state, ({ name }) => ({ type: 'listen', device: name }))),
      cli: state => `edgeforge device watch ${deviceOf(state)?.name ?? 'DEVICE'}`,
    },
    {
      key: 'enter',
      help: 'all that the doctor says',
      action: state => withDevice(state, ({ name }) => ({ type: 'command', words: ['doctor', name] })),
      cli: state => `edgeforge doctor ${deviceOf(state)?.name ?? 'DEVICE'}`,
    },
    {
      key: 'a',
      help: 'add a device',
      action: () => ({
        type: 'open',
        dialog: {
          kind: 'prompt',
          title: 'Add a device: a name and user@host (or user@host:port, or a Host of ~/.ssh/config)',
          hint: '$ edgeforge device add NAME user@host   it shows the host key and asks before pinning it',
          text: '',
          does: { type: 'terminal', words: ['device', 'add', '{words}'] },
        },
      }),
      cli: () => 'edgeforge device add NAME user@host',
    },
    {
      key: 'X',
      help: 'remove all that edgeforge left there',
      action: state =>
        withDevice(state, ({ name }) =>
          sure({
            title: `Clean ${name}?`,
            lost: ['its engines, models and runtime in ~/.edgeforge there: the next deploy brings and builds them again'],
            cli: `edgeforge device clean ${name}`,
            yes: 'yes, clean it',
            does: { type: 'command', words: ['device', 'clean', name] },
          }),
        ),
      cli: state => `edgeforge device clean ${deviceOf(state)?.name ?? 'DEVICE'}`,
    },
  ],
};
