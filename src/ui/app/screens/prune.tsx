import { Box, Text } from 'ink';
import { minDecisions } from '../../../formats/report-gate.ts';
import { percent, scaled } from '../../../formats/report-words.ts';
import { cliffOf } from '../../../pipeline/views/cliff.ts';
import type { PruningView } from '../../../pipeline/views/pruning.ts';
import { keptBar, plotLines } from '../../components/plot.ts';
import { figure } from '../../run-lines.ts';
import { fitted } from '../fit.ts';
import { glyphsOf } from '../glyphs.ts';
import { budgetMoved, choiceOf, commit, commitCli, type PruneChoice, percentOf, pruningOf } from '../prune-choice.ts';
import type { Screen, ScreenProps } from '../screen.ts';
import { cursorOf, type UiState } from '../state.ts';
import { Lines, Title, Waiting } from '../views/lines.tsx';
import { List } from '../views/list.tsx';

const layersOf = (state: UiState) => pruningOf(state)?.curve.layers ?? [];
/** Marks of measured accuracies: letters, so that they mean the same on any terminal. `broken`: lost more than the gate allows. */
const marks = { pruned: 'p', retrained: 'R', unpruned: 'U', broken: 'x' } as const;
const isBroken = ({ unpruned, dropPoints }: PruningView, value: number): boolean =>
  unpruned !== undefined && unpruned.decisions >= minDecisions && 100 * (unpruned.value - value) > dropPoints + 1e-9;

function Prune({ state, columns, rows }: ScreenProps) {
  const [view, choice] = [pruningOf(state), choiceOf(state)];
  if (!view || !choice) return <Waiting loaded={state.sources.pruning} looking="Planning the prune at every budget (seconds)" state={state} />;
  const beside = columns >= 120;
  const width = beside ? Math.floor(columns * 0.6) : columns;
  const words = estimateLines(view, choice);
  const layerRows = beside ? rows - 2 : Math.max(3, Math.min(layersOf(state).length, Math.floor(rows / 4)));
  const height = Math.max(6, beside ? rows - words.length - 1 : rows - words.length - layerRows - 2);
  return (
    <Box flexDirection={beside ? 'row' : 'column'} width={columns}>
      <Box flexDirection="column" width={width}>
        <Text wrap="truncate">{legend(view, state)}</Text>
        <Lines lines={curveLines(view, choice, { columns: width - 1, rows: height, state })} />
        <Lines lines={words} />
      </Box>
      <Box flexDirection="column" width={beside ? columns - width : columns}>
        <Title text={`Filters of each layer at ${percentOf(choice.keep)}`} state={state} />
        <List
          items={layersOf(state)}
          cursor={cursorOf(state, 0, 'prune')}
          rows={layerRows}
          glyphs={glyphsOf(state.terminal)}
          draw={(layer, index) => layerLine(layer, choice.point?.filters[index], Math.max(0, ...layersOf(state).map(({ filters }) => filters)), state)}
        />
      </Box>
    </Box>
  );
}

function legend({ unpruned }: PruningView, { terminal }: UiState): string {
  const [dot, line] = terminal.unicode ? ['·', '─'] : ['o', '-'];
  return `${line} MACs  ${dot} parameters${unpruned ? `  ${unpruned.metric}: ${marks.unpruned} unpruned ${marks.pruned} pruned ${marks.retrained} retrained ${marks.broken} over the cliff` : ''}`;
}

/** Shares of MACs and parameters over the threshold, measured accuracies as letters where they were measured, and the chosen threshold. */
function curveLines(view: PruningView, { point }: PruneChoice, { columns, rows, state }: { readonly columns: number; readonly rows: number; readonly state: UiState }): string[] {
  const { curve, unpruned, measured } = view;
  const all = [...curve.points, ...curve.budgets.flatMap(({ macs, parameters }) => [...(macs ? [macs] : []), ...(parameters ? [parameters] : [])])].sort(
    (a, b) => a.threshold - b.threshold,
  );
  const first = all.find(({ macs }) => macs < curve.macs)?.threshold ?? 0;
  const last = all.at(-1)?.threshold ?? 1;
  // Below the first threshold that cuts anything there is nothing to see.
  const left = Math.max(0, first - 0.08 * (last - first));
  const shown = all.filter(({ threshold }) => threshold >= left);
  const from = [[left, 1] as const];
  return plotLines(
    [
      { points: [...from, ...shown.map(({ threshold, macs }) => [threshold, macs / curve.macs] as const)] },
      { points: shown.map(({ threshold, parameters }) => [threshold, parameters / curve.parameters] as const), mark: state.terminal.unicode ? '·' : 'o' },
      ...(unpruned ? [{ points: [[left, unpruned.value] as const], mark: marks.unpruned }] : []),
      ...measured.map(({ stage, threshold, value }) => ({ points: [[Math.max(left, threshold), value] as const], mark: isBroken(view, value) ? marks.broken : marks[stage] })),
    ],
    {
      columns,
      rows,
      look: state.terminal,
      x: [left, last],
      y: [0, 1],
      yText: percentOf,
      xText: value => value.toPrecision(3),
      xLabel: point ? `threshold (chosen ${figure(point.threshold)})` : 'threshold',
      ...(point ? { cursor: point.threshold } : {}),
    },
  );
}

/** The choice in numbers, what is known of its accuracy, and where accuracy breaks off. */
function estimateLines(view: PruningView, { by, keep, point, measured }: PruneChoice): string[] {
  const { curve, unpruned } = view;
  const cliff = cliffOf(view);
  const at = ({ macs, value }: { readonly macs: number; readonly value: number }) => `${percent(macs / curve.macs)} of the MACs (${percent(value)})`;
  const few = unpruned && unpruned.decisions < minDecisions;
  const broken = few
    ? `${unpruned.decisions} decisions are too few to say where accuracy breaks off (at least ${minDecisions})`
    : cliff?.breaks
      ? `Cliff, ${cliff.stage}: ${cliff.holds ? `holds at ${at(cliff.holds)}, ` : ''}breaks at ${percent(cliff.breaks.macs / curve.macs)} (${percent(cliff.breaks.value)})`
      : cliff?.holds
        ? `No cliff down to ${at(cliff.holds)}, ${cliff.stage}`
        : 'No pruned network was evaluated yet: where accuracy breaks off is not known';
  const unit = by === 'macs' ? 'MACs' : 'parameters';
  return [
    point
      ? `${percentOf(keep)} of the ${unit}: ${scaled(point.macs, 'MACs')} (${percent(point.macs / curve.macs)}), ${scaled(point.parameters)} parameters (${percent(point.parameters / curve.parameters)})`
      : `${percentOf(keep)} of the ${unit}: as little cannot be left, see minFilters and granularity.`,
    measured.length > 0 && unpruned
      ? `Measured at this size: ${measured.map(({ stage, value, n }) => `${stage} ${percent(value)} (n ${n})`).join(', ')}; unpruned ${percent(unpruned.value)}`
      : `Accuracy at this size: not measured${unpruned ? `; unpruned ${unpruned.metric} ${percent(unpruned.value)} (n ${unpruned.n})` : ''}`,
    broken,
  ];
}

function layerLine({ layer, filters, kept }: PruningView['curve']['layers'][number], stays: number | undefined, most: number, state: UiState): string {
  const glyphs = glyphsOf(state.terminal);
  const left = stays ?? filters;
  return `${fitted(layer, 24, glyphs.more)} ${keptBar(left / most, filters / most, 16, state.terminal).padEnd(16)} ${left}/${filters}${kept === undefined ? '' : ` kept: ${kept}`}`;
}

/** Prune: what each budget would leave, before anything is cut. */
export const pruneScreen: Screen = {
  name: 'prune',
  key: '4',
  title: 'Prune',
  about: 'What each budget would leave: sizes are exact, planned on the trained network; accuracies are only those that were measured. Choose one, see it, then prune and retrain.',
  view: Prune,
  needs: ['project', 'pruning'],
  panes: [{ name: 'layers', length: state => layersOf(state).length }],
  keys: [
    { key: 'left', help: 'keep more', action: state => budgetMoved(state, 1) },
    { key: 'right', help: 'keep less', action: state => budgetMoved(state, -1) },
    {
      key: 'b',
      help: 'budget in MACs or parameters',
      action: state => {
        const choice = choiceOf(state);
        return choice ? { type: 'choose', name: 'prune.by', value: choice.by === 'macs' ? 'parameters' : 'macs' } : { not: 'The curve is not planned yet.' };
      },
      cli: () => 'edgeforge pruning',
    },
    { key: 'enter', help: 'prune to this budget and retrain', action: commit, cli: commitCli },
  ],
};
