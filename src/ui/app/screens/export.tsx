import { Box, Text } from 'ink';
import type { RangeTable } from '../../../compress/calibrate.ts';
import { keptBar } from '../../components/plot.ts';
import { bytesText } from '../../output.ts';
import { figure } from '../../run-lines.ts';
import { fitted, remembered, when } from '../fit.ts';
import { passesFilter } from '../fuzzy.ts';
import { glyphsOf } from '../glyphs.ts';
import type { Screen, ScreenProps } from '../screen.ts';
import { chosen, cursorOf, placeOf, type UiState } from '../state.ts';
import { Title, Waiting } from '../views/lines.tsx';
import { List } from '../views/list.tsx';

type Range = RangeTable['ranges'][number];
const kept = remembered((ranges: readonly Range[] | undefined, filter: string) => (ranges ?? []).filter(({ name }) => passesFilter(filter, name)));
const rangesOf = (state: UiState) => kept(state.sources.exported?.value?.ranges?.ranges, placeOf(state, 'export').filter);
const artifactsOf = (state: UiState) => state.sources.exported?.value?.artifacts ?? [];
const seen = ({ min, max }: Range): number => Math.max(Math.abs(min), Math.abs(max));

function Export({ state, columns, rows }: ScreenProps) {
  const { exported } = state.sources;
  if (!exported?.value) return <Waiting loaded={exported} looking="Looking for what was exported" state={state} />;
  const { artifacts } = exported.value;
  const glyphs = glyphsOf(state.terminal);
  const { pane } = placeOf(state, 'export');
  const above = Math.min(artifacts.length + 1, Math.max(4, Math.floor(rows / 2) - 2));
  const name = Math.max(20, Math.min(44, columns - 46));
  return (
    <Box flexDirection="column" width={columns}>
      <Recipe state={state} />
      <Title text={artifacts.length === 0 ? 'Nothing is exported yet. Press p ($ edgeforge run package).' : `Artifacts (${artifacts.length})`} active={pane === 0} state={state} />
      <List
        items={artifacts}
        cursor={cursorOf(state, 0, 'export')}
        rows={above}
        glyphs={glyphs}
        active={pane === 0}
        draw={artifact => `${fitted(artifact.name, name, glyphs.more)} ${bytesText(artifact.bytes).padStart(9)} ${artifact.digest.slice(0, 12)} ${when(artifact.at)}`}
      />
      <Title text={`Ranges: what INT8 keeps of what was seen (${rangesOf(state).length} tensors)`} active={pane === 1} state={state} />
      <List
        items={rangesOf(state)}
        cursor={cursorOf(state, 1, 'export')}
        rows={Math.max(2, rows - above - 4)}
        glyphs={glyphs}
        active={pane === 1}
        draw={range => rangeLine(range, name, state)}
      />
    </Box>
  );
}

/** How the network was or would be calibrated. */
function Recipe({ state }: { readonly state: UiState }) {
  const settings = state.sources.project?.value?.settings.export;
  const { ranges, calibratedAt } = state.sources.exported?.value ?? {};
  const { recipe } = ranges ?? {};
  const how = !recipe
    ? 'not calibrated yet'
    : recipe.algorithm === 'qat'
      ? `ranges learnt in quantization-aware training, ${when(calibratedAt ?? '')}`
      : `last: ${recipe.algorithm}${recipe.algorithm === 'percentile' ? ` ${recipe.percentile}` : ''} over ${ranges?.images} ${recipe.selection} training images, seed ${recipe.seed}, ${when(calibratedAt ?? '')}`;
  return (
    <Box flexDirection="column">
      <Text wrap="truncate">
        Precisions {settings?.precisions.join(', ') ?? ''}; calibration {settings?.calibration ?? ''}
        {settings?.keyFile ? '; .etlt under a key' : ''}
      </Text>
      <Text dimColor wrap="truncate">
        {how}
      </Text>
    </Box>
  );
}

/** A tensor, its saturation against what was seen (the bar: kept of seen), and how much is cut off. */
function rangeLine(range: Range, name: number, state: UiState): string {
  const share = seen(range) > 0 ? Math.min(1, range.amax / seen(range)) : 1;
  const cut = share < 0.9995 ? ` cuts ${(100 * (1 - share)).toFixed(1)} % off` : '';
  return `${fitted(range.name, name, glyphsOf(state.terminal).more)} ${keptBar(share, 1, 8, state.terminal)} ±${figure(range.amax)} of [${figure(range.min)}, ${figure(range.max)}]${cut}`;
}

/** The file of a calibration recipe that lies in the project; the ones that come with edgeforge are named without an ending. */
const recipeFile = (state: UiState): string | undefined => {
  const name = state.sources.project?.value?.settings.export.calibration;
  return name !== undefined && /\.ya?ml$/.test(name) ? name : undefined;
};

/** Export: what leaves the house. */
export const exportScreen: Screen = {
  name: 'export',
  key: '5',
  title: 'Export',
  about: 'What leaves the house: the calibration recipe and its ranges, and every artifact with its digest.',
  view: Export,
  needs: ['project', 'exported'],
  panes: [
    { name: 'artifacts', length: state => artifactsOf(state).length },
    { name: 'ranges', length: state => rangesOf(state).length },
  ],
  keys: [
    {
      key: 'p',
      help: 'export, calibrate, quantize, package',
      action: () => ({ type: 'run', wish: { steps: ['package'] }, cli: 'edgeforge run package' }),
      cli: () => 'edgeforge run package',
    },
    {
      key: 'c',
      help: 'choose the calibration',
      action: state => ({
        type: 'open',
        dialog: {
          kind: 'pick',
          title: `Calibration of INT8 (now ${state.sources.project?.value?.settings.export.calibration ?? 'entropy'}); p then makes it`,
          cursor: 0,
          choices: (['entropy', 'minmax', 'percentile'] as const).map((name, index) => ({
            key: String(index + 1),
            label: { entropy: 'entropy: TensorRT’s, saturates outliers', minmax: 'minmax: all that was seen', percentile: 'percentile: 99.99 % of what was seen' }[name],
            does: { type: 'command', words: ['set', `export.calibration=${name}`], quiet: true, done: { type: 'refresh' } },
          })),
        },
      }),
      cli: () => 'edgeforge set export.calibration=entropy',
    },
    {
      key: 'e',
      help: 'edit the calibration recipe',
      action: state => {
        const file = recipeFile(state);
        return file
          ? { type: 'edit', file, check: ['plan', 'calibrate'] }
          : { not: 'This recipe comes with edgeforge. Write one of your own and name it: export: {calibration: calibration.yaml}.' };
      },
      cli: state => `$EDITOR ${recipeFile(state) ?? 'calibration.yaml'}`,
    },
    {
      key: 'y',
      help: 'copy the digest',
      action: state => {
        const artifact = chosen(artifactsOf(state), state, 0, 'export');
        return artifact ? { type: 'copy', text: artifact.digest } : { not: 'There is no artifact yet.' };
      },
      cli: () => 'edgeforge artifacts',
    },
    {
      key: 'o',
      help: 'copy all of it into a folder',
      action: () => ({
        type: 'open',
        dialog: {
          kind: 'prompt',
          title: 'Copy models, caches, configs and reports into which folder?',
          hint: '$ edgeforge export --out FOLDER',
          text: 'out',
          does: { type: 'command', words: ['export', '--out', '{text}'], quiet: true },
        },
      }),
      cli: () => 'edgeforge export --out FOLDER',
    },
  ],
};
