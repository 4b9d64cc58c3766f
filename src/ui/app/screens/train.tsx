import { Box, Text } from 'ink';
import { etaMs, type StepState } from '../../../core/run-state.ts';
import { percent } from '../../../formats/report-words.ts';
import type { StageView } from '../../../pipeline/views/training.ts';
import type { PlotPoint } from '../../components/braille.ts';
import { bar, plotLines } from '../../components/plot.ts';
import { durationText } from '../../output.ts';
import { figure } from '../../run-lines.ts';
import { fitted, when } from '../fit.ts';
import { type Glyphs, glyphsOf } from '../glyphs.ts';
import { sure } from '../questions.ts';
import type { Screen, ScreenProps } from '../screen.ts';
import { cursorOf, isLive, type UiState } from '../state.ts';
import { Lines, Title, Waiting } from '../views/lines.tsx';
import { List } from '../views/list.tsx';
import { paint } from '../views/paint.ts';

type Stage = StageView['stage'];
interface ClassRow {
  readonly label: string;
  readonly value: number;
  readonly n?: number;
}
/** What is drawn of a training, from the events of the watched run or from what the last one left. */
interface Curves {
  readonly loss: readonly PlotPoint[];
  readonly metric: readonly PlotPoint[];
  readonly metricName: string;
  readonly x: string;
  readonly classes: readonly ClassRow[];
}

const stages = (state: UiState): readonly StageView[] => state.sources.training?.value ?? [];
const liveStep = (state: UiState, stage: Stage): StepState | undefined => {
  const step = state.watched?.state.steps.get(stage);
  return step && step.series.size > 0 ? step : undefined;
};
/** The stage on show: the one chosen, else the one that runs, else the last that has curves. */
function stageOf(state: UiState): Stage {
  const wish = state.choices['train.stage'];
  if (wish === 'train' || wish === 'retrain') return wish;
  if (state.watched?.state.steps.get('retrain')?.status === 'running') return 'retrain';
  return 'train';
}
const viewOf = (state: UiState): StageView | undefined => stages(state).find(({ stage }) => stage === stageOf(state));

/** Metrics of a run's events that are a validation score. */
const isScore = (name: string): boolean => /^(mAP|top-)/.test(name);

function curvesOf(state: UiState): Curves | undefined {
  const [stage, view] = [stageOf(state), viewOf(state)];
  const step = liveStep(state, stage);
  if (step && (isLive(state) || step.status !== 'cached')) {
    const metricName = [...step.series.keys()].find(isScore) ?? '';
    const points = (name: string) => (step.series.get(name)?.points ?? []).map(({ x, y }): PlotPoint => [x, y]);
    const classes = Object.entries(step.metrics).flatMap(([name, value]) => (name.startsWith('class/') ? [{ label: name.slice(6), value }] : []));
    return { loss: points('loss'), metric: points(metricName), metricName, x: step.progress?.unit ?? 'steps', classes };
  }
  if (!view?.log) return undefined;
  const { history } = view.log;
  return {
    loss: history.flatMap(({ epoch, loss }) => (loss === undefined ? [] : [[epoch, loss] as const])),
    metric: history.flatMap(({ epoch, validation }) => (validation ? [[epoch, validation.value] as const] : [])),
    metricName: history.findLast(({ validation }) => validation)?.validation?.metric ?? '',
    x: 'epochs',
    classes: view.score?.perClass ?? [],
  };
}

function Train({ state, columns, rows }: ScreenProps) {
  const { training } = state.sources;
  const [stage, curves] = [stageOf(state), curvesOf(state)];
  const view = viewOf(state);
  if (!curves) {
    if (!training?.value) return <Waiting loaded={training} looking="Looking for the last training" state={state} />;
    return <Text>{`${stage} never ran. Press ${stage === 'train' ? 't' : 'x'} ($ edgeforge run ${stage}), or e to edit ${view?.spec ?? 'its spec'} first.`}</Text>;
  }
  const classRows = Math.min(curves.classes.length, Math.max(2, rows - 14));
  const height = Math.max(5, Math.min(28, rows - 4 - classRows));
  const half = Math.floor(columns / 2) - 1;
  const across = [...curves.loss, ...curves.metric].map(([x]) => x);
  const x = [Math.min(...across), Math.max(...across)] as const;
  const top = curves.metric.length === 0 ? 1 : Math.max(0.05, ...curves.metric.map(([, y]) => y));
  return (
    <Box flexDirection="column" width={columns}>
      <StageLine state={state} stage={stage} view={view} columns={columns} />
      <Box>
        <Box flexDirection="column" width={half} marginRight={1}>
          <Text bold>loss</Text>
          <Lines lines={plotLines([{ points: curves.loss }], { columns: half, rows: height, look: state.terminal, x, xLabel: curves.x })} />
        </Box>
        <Box flexDirection="column" width={half}>
          <Text bold>{curves.metricName || 'no validation score yet'}</Text>
          <Lines
            lines={plotLines([{ points: curves.metric }, { points: curves.metric.slice(-1), mark: glyphsOf(state.terminal).dot }], {
              columns: half,
              rows: height,
              look: state.terminal,
              x,
              xLabel: curves.x,
              y: [0, top],
              yText: percent,
            })}
          />
        </Box>
      </Box>
      <Classes state={state} curves={curves} columns={columns} rows={classRows} />
    </Box>
  );
}

/** What runs, how far, how fast, how long still; or how the last training ended. */
function StageLine({ state, stage, view, columns }: { readonly state: UiState; readonly stage: Stage; readonly view: StageView | undefined; readonly columns: number }) {
  const glyphs = glyphsOf(state.terminal);
  const step = liveStep(state, stage);
  if (step?.status === 'running' && step.progress) {
    const { done, total, unit } = step.progress;
    const eta = isLive(state) ? etaMs(step, state.nowMs) : undefined;
    const cells = Math.max(6, Math.min(20, columns - 70));
    const filled = Math.round((cells * done) / Math.max(1, total));
    const numbers = Object.entries(step.metrics).flatMap(([name, value]) =>
      name.startsWith('class/') || name.startsWith('eta') || isScore(name) ? [] : [`${name} ${figure(value)}`],
    );
    return (
      <Box flexDirection="column">
        <Text wrap="truncate">
          <Text {...paint(state.terminal, 'busy')}>{`${isLive(state) ? glyphs.running : glyphs.skipped} ${stage}`}</Text>
          {` ${glyphs.full.repeat(filled)}${glyphs.empty.repeat(cells - filled)} ${done}/${total} ${unit}${eta === undefined ? '' : `, ${durationText(eta)} left at the present pace`}`}
        </Text>
        <Text wrap="truncate">{numbers.join('  ')}</Text>
      </Box>
    );
  }
  const log = view?.log;
  const begun = state.watched?.state.steps.get(stage);
  if (begun?.status === 'running')
    return (
      <Box flexDirection="column">
        <Text wrap="truncate">
          <Text {...paint(state.terminal, 'busy')}>{`${glyphs.running} ${stage} starts`}</Text>
          {` (${begun.because ?? ''})`}
        </Text>
        <Text dimColor>{log ? `Until its first figures: the last ${stage}ing, ${when(log.at)}` : 'No figures yet.'}</Text>
      </Box>
    );
  const [how, more] = endedWords(stage, begun?.failure, view, glyphs);
  return (
    <Box flexDirection="column">
      <Text wrap="truncate">{how}</Text>
      <Text wrap="truncate">
        {more}
        {view ? ` ${glyphs.dot} spec ${view.spec}` : ''}
      </Text>
    </Box>
  );
}

/** How a stage ended, in the watched run or the last time, and what follows from it. */
function endedWords(stage: Stage, failure: StepState['failure'], view: StageView | undefined, glyphs: Glyphs): readonly [string, string] {
  if (failure?.code === 'cancelled') return [`${glyphs.skipped} ${stage} was stopped`, `${stage === 'train' ? 't' : 'x'} goes on from its last checkpoint`];
  if (failure) return [`${glyphs.failed} ${stage} failed: ${failure.message}`, `mend: ${failure.hint}`];
  const { log, score } = view ?? {};
  const scored = score ? `${score.metric} ${percent(score.value)} on ${score.n} validation images (${score.decisions} decisions)` : 'not evaluated yet';
  if (!log) return [`${glyphs.running} ${stage}`, scored];
  const best = log.best ? `, best after epoch ${log.best.epoch}` : '';
  return [`${glyphs.ran} ${stage}: ${log.history.at(-1)?.epoch ?? 0} epochs in ${durationText(log.milliseconds)}${best}, ${when(log.at)}`, scored];
}

function Classes({ state, curves: { classes, metricName }, columns, rows }: { readonly state: UiState; readonly curves: Curves; readonly columns: number; readonly rows: number }) {
  const glyphs = glyphsOf(state.terminal);
  const cells = Math.max(8, Math.min(40, columns - 50));
  if (classes.length === 0) return null;
  return (
    <Box flexDirection="column">
      <Title text={metricName.startsWith('mAP') ? 'average precision of each class' : 'each class'} state={state} />
      <List
        items={classes}
        cursor={cursorOf(state, 0, 'train')}
        rows={rows}
        glyphs={glyphs}
        active={classes.length > rows}
        draw={({ label, value, n }) =>
          `${fitted(label, 18, glyphs.more)} ${bar(value, cells, state.terminal).padEnd(cells)} ${percent(value)}${n === undefined ? '' : ` (n ${n})`}`
        }
      />
    </Box>
  );
}

const start = (stage: Stage, step: string, key: string, help: string): Screen['keys'][number] => ({
  key,
  help,
  action: state => {
    if (stage === 'retrain' && stages(state).length === 1) return { not: 'The project has no retrain: section. Choose a budget on Prune first.' };
    return { type: 'run', wish: { steps: [step] }, cli: `edgeforge run ${step.includes(' ') ? `"${step}"` : step}` };
  },
  cli: () => `edgeforge run ${step.includes(' ') ? `"${step}"` : step}`,
});

/** Train: curves as they grow, and what a training is made of. */
export const trainScreen: Screen = {
  name: 'train',
  key: '3',
  title: 'Train',
  about: 'Loss and validation score as they grow, speed, time left, each class. A stopped training goes on from its last checkpoint when it is started again.',
  view: Train,
  needs: ['training'],
  panes: [{ name: 'classes', length: state => curvesOf(state)?.classes.length ?? 0 }],
  keys: [
    start('train', 'evaluate', 't', 'train (or go on)'),
    start('retrain', 'evaluate retrained', 'x', 'retrain what is pruned'),
    {
      key: 's',
      help: 'stop',
      action: state =>
        isLive(state)
          ? sure({
              title: `Stop run ${state.watched?.id ?? ''}?`,
              lost: ['the epoch under way: it goes on from the last checkpoint'],
              cli: 'Ctrl-C in edgeforge run',
              yes: 'stop it',
              does: { type: 'stop-run' },
            })
          : { not: 'No run is under way.' },
      cli: () => 'Ctrl-C in edgeforge run',
    },
    {
      key: 'e',
      help: 'edit the spec and check it',
      action: state => {
        const view = viewOf(state);
        return view ? { type: 'edit', file: view.spec, check: ['spec', 'check', view.spec] } : { not: 'The project names no spec for this stage.' };
      },
      cli: state => `$EDITOR ${viewOf(state)?.spec ?? 'SPEC'}; edgeforge spec check ${viewOf(state)?.spec ?? 'SPEC'}`,
    },
    {
      key: 'm',
      help: 'what each setting means',
      action: state => {
        const view = viewOf(state);
        return view ? { type: 'command', words: ['spec', 'explain', view.spec, '--set'] } : { not: 'The project names no spec for this stage.' };
      },
      cli: state => `edgeforge spec explain ${viewOf(state)?.spec ?? 'SPEC'} --set`,
    },
    {
      key: 'w',
      help: 'training or retraining',
      action: state =>
        stages(state).length > 1 ? { type: 'choose', name: 'train.stage', value: stageOf(state) === 'train' ? 'retrain' : 'train' } : { not: 'The project has one training only.' },
      cli: () => 'edgeforge training',
    },
  ],
};
