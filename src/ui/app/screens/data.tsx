import { Box, Text } from 'ink';
import type { DatasetView } from '../../../pipeline/views/dataset.ts';
import { bar, columnLines } from '../../components/plot.ts';
import { fitted, remembered, when } from '../fit.ts';
import { glyphsOf } from '../glyphs.ts';
import { chosenSample, listColumns, samplesOf } from '../samples.ts';
import type { Screen, ScreenProps } from '../screen.ts';
import { chosen, cursorOf, placeOf, type UiState } from '../state.ts';
import { Lines, Title, Waiting } from '../views/lines.tsx';
import { List } from '../views/list.tsx';
import { paint } from '../views/paint.ts';

const classesOf = (state: UiState) => state.sources.dataset?.value?.classes ?? [];
/** Problems that stand in the way first; small objects are counted, not listed. */
const sorted = remembered((dataset: DatasetView | undefined) => [...(dataset?.problems ?? [])].sort((a, b) => rankOf(a.kind) - rankOf(b.kind)));
const rankOf = (kind: string): number => ['corrupt-image', 'degenerate-box', 'outside-box', 'turned-image', 'no-objects', 'small-object'].indexOf(kind);
const problemsOf = (state: UiState) => sorted(state.sources.dataset?.value);
const words = (kind: string) => kind.replace('-', ' ');

function Data({ state, columns, rows }: ScreenProps) {
  const { dataset } = state.sources;
  const view = dataset?.value;
  if (!view) {
    if (dataset?.failure || dataset?.loading !== false) return <Waiting loaded={dataset} looking="Looking for the dataset" state={state} />;
    return <Text>The dataset was not imported yet. Press i ($ edgeforge run dataset).</Text>;
  }
  const width = listColumns(columns);
  const beside = width < columns;
  return (
    <Box flexDirection="column" width={columns}>
      <Text wrap="truncate">
        {view.images.train} training + {view.images.validation} validation images, {view.format}, network input {view.input.width}×{view.input.height}
        <Text dimColor>, imported {when(view.at)}</Text>
      </Text>
      <Box flexDirection={beside ? 'row' : 'column'}>
        <Lists state={state} view={view} width={width} rows={beside ? rows - 1 : 13} />
        <Box flexDirection="column" marginLeft={beside ? 1 : 0}>
          <Sample state={state} />
        </Box>
      </Box>
    </Box>
  );
}

/** Samples, classes, heights and problems, one below the other. */
function Lists({ state, view, width, rows }: { readonly state: UiState; readonly view: DatasetView; readonly width: number; readonly rows: number }) {
  const glyphs = glyphsOf(state.terminal);
  const { pane } = placeOf(state, 'data');
  const [samples, problems] = [samplesOf(state), problemsOf(state)];
  const classRows = Math.min(view.classes.length, Math.max(3, Math.floor(rows / 4)));
  const problemRows = Math.min(Math.max(1, problems.length), Math.max(2, Math.floor(rows / 6)));
  const heights = rows >= 18 && view.heights.counts.some(count => count > 0);
  const most = Math.max(1, ...view.classes.map(({ train }) => train));
  const counted = Object.entries(view.counts).filter(([, count]) => count > 0);
  return (
    <Box flexDirection="column" width={width}>
      <Title text={`Samples (${samples.length})`} active={pane === 0} state={state} />
      <List
        items={samples}
        cursor={cursorOf(state, 0, 'data')}
        rows={Math.max(1, rows - 3 - classRows - problemRows - (heights ? 4 : 0))}
        glyphs={glyphs}
        active={pane === 0}
        draw={({ id, part, className, objects }) => `${fitted(id, width - 24, glyphs.more)} ${part.slice(0, 5)} ${className ?? `${objects.length} objects`}`}
      />
      <Title text="Classes: train + validation" active={pane === 1} state={state} />
      <List
        items={view.classes}
        cursor={cursorOf(state, 1, 'data')}
        rows={classRows}
        glyphs={glyphs}
        active={pane === 1}
        draw={row =>
          `${fitted(row.name, Math.max(7, width - 30), glyphs.more)} ${bar(row.train / most, 4, state.terminal).padEnd(4)} ${row.train}+${row.validation}${row.medianHeight === undefined ? '' : ` ${row.medianHeight.toFixed(0)}px`}${row.small > 0 ? ` ${row.small} small` : ''}`
        }
      />
      {heights && <Heights view={view} state={state} />}
      <Title
        text={counted.length === 0 ? 'Problems: none' : `Problems: ${counted.map(([kind, count]) => `${count} ${words(kind)}`).join(', ')}`}
        active={pane === 2}
        state={state}
      />
      <List
        items={problems}
        cursor={cursorOf(state, 2, 'data')}
        rows={problemRows}
        glyphs={glyphs}
        active={pane === 2}
        draw={({ kind, id, detail }) => <Text {...paint(state.terminal, rankOf(kind) < 3 ? 'bad' : 'odd')}>{`${words(kind)}: ${id} ${detail}`}</Text>}
      />
    </Box>
  );
}

/** Training objects by height at the network's input, two cells a bin. */
function Heights({ view: { heights }, state }: { readonly view: DatasetView; readonly state: UiState }) {
  const doubled = heights.counts.flatMap(count => [count, count]);
  const scale = heights.edges.map((edge, at) => (at % 3 === 0 ? String(edge).padEnd(6) : '')).join('');
  return (
    <Box flexDirection="column">
      <Text bold>Heights in pixels of the input</Text>
      <Lines lines={columnLines(doubled, 2, state.terminal).map(line => `  ${line}`)} />
      <Text dimColor>{`  ${scale.trimEnd()}`}</Text>
    </Box>
  );
}

/** The sample under the cursor: its picture as it was drawn last, and what it is. */
function Sample({ state }: { readonly state: UiState }) {
  const sample = chosenSample(state);
  const { picture } = state.sources;
  if (!sample) return <Text dimColor>No sample passes the filter; esc clears it.</Text>;
  return (
    <Box flexDirection="column">
      {picture?.value ? <Lines lines={picture.value.lines} /> : <Waiting loaded={picture} looking="Drawing" state={state} />}
      <Text wrap="truncate">
        {sample.id} <Text dimColor>{`${sample.part}, ${sample.width}×${sample.height}${picture?.value && picture.value.id !== sample.id ? ', drawing it' : ''}`}</Text>
      </Text>
    </Box>
  );
}

/** Data: what the network learns from. */
export const dataScreen: Screen = {
  name: 'data',
  key: '2',
  title: 'Data',
  about: 'What the network learns from: samples with their boxes, classes, heights, and what is wrong. small: under 10 px at the network’s input.',
  view: Data,
  needs: ['dataset', 'picture'],
  panes: [
    { name: 'samples', length: state => samplesOf(state).length },
    { name: 'classes', length: state => classesOf(state).length },
    { name: 'problems', length: state => problemsOf(state).length },
  ],
  keys: [
    {
      key: 'v',
      help: 'see this sample large',
      action: state => {
        const sample = chosenSample(state);
        return sample ? { type: 'terminal', words: ['data', 'show', sample.id] } : { not: 'There is no sample here.' };
      },
      cli: state => `edgeforge data show ${chosenSample(state)?.id ?? 'ID'}`,
    },
    {
      key: 'enter',
      help: 'samples of this class or problem',
      action: state => {
        const { pane } = placeOf(state, 'data');
        const text = pane === 1 ? chosen(classesOf(state), state, 1, 'data')?.name : pane === 2 ? chosen(problemsOf(state), state, 2, 'data')?.id : undefined;
        return text === undefined ? { not: 'Go to a class or a problem with tab first.' } : { type: 'filter', text };
      },
    },
    { key: 'c', help: 'check every file now', action: () => ({ type: 'command', words: ['data', 'check'] }), cli: () => 'edgeforge data check' },
    { key: 'i', help: 'import and check it anew', action: () => ({ type: 'run', wish: { steps: ['dataset'] }, cli: 'edgeforge run dataset' }), cli: () => 'edgeforge run dataset' },
  ],
};
