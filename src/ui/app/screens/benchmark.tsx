import { Box, Text } from 'ink';
import { type ReportLine, reportLines } from '../../../formats/report.ts';
import { energyWords } from '../../../formats/report-conditions.ts';
import { diffReports } from '../../../formats/report-diff.ts';
import { dropWords, gateWords, networkWords, percent, protocolWords, shortNumber } from '../../../formats/report-words.ts';
import type { ReportView } from '../../../pipeline/views/reports.ts';
import { columnLines } from '../../components/plot.ts';
import { remembered, when } from '../fit.ts';
import { glyphsOf } from '../glyphs.ts';
import type { Screen, ScreenProps } from '../screen.ts';
import { chosen, cursorOf, type UiState } from '../state.ts';
import { Lines, Title, Waiting } from '../views/lines.tsx';
import { List } from '../views/list.tsx';
import { paint } from '../views/paint.ts';

const reportsOf = (state: UiState): readonly ReportView[] => state.sources.reports?.value ?? [];
const devicesOf = (state: UiState): readonly string[] => [...new Set(reportsOf(state).map(({ device }) => device))].sort();
/** The newest report of the device on show, and the earlier ones of it. */
function shown(state: UiState): { readonly report: ReportView | undefined; readonly earlier: readonly ReportView[] } {
  const wish = state.choices['benchmark.device'];
  const devices = devicesOf(state);
  const device = typeof wish === 'string' && devices.includes(wish) ? wish : devices[0];
  const [report, ...earlier] = reportsOf(state).filter(view => view.device === device);
  return { report, earlier };
}
const lined = remembered((view: ReportView | undefined) => (view ? reportLines(view.report) : []));
const linesOf = (state: UiState) => lined(shown(state).report);
const compared = (state: UiState): ReportView | undefined => shown(state).earlier.find(({ run }) => run === state.choices['benchmark.with']);

function Benchmark({ state, columns, rows }: ScreenProps) {
  const { reports } = state.sources;
  const { report, earlier } = shown(state);
  if (!report) {
    if (!reports?.value) return <Waiting loaded={reports} looking="Looking for reports" state={state} />;
    return <Text>Nothing was measured yet. Press b ($ edgeforge benchmark), after naming a device under devices: in edgeforge.yaml.</Text>;
  }
  const lines = linesOf(state);
  const line = chosen(lines, state, 0, 'benchmark');
  const other = compared(state);
  const changes = other ? changeLines(other, report) : [];
  const devices = devicesOf(state);
  const listRows = Math.min(lines.length, Math.max(2, rows - 9));
  const below = rows - 2 - listRows;
  const changeRows = Math.min(changes.length, Math.max(0, below - 5));
  return (
    <Box flexDirection="column" width={columns}>
      <Text wrap="truncate">
        <Text bold>{report.device}</Text> {when(report.at)}{' '}
        <Text dimColor>{`${protocolWords(report.report)}${devices.length > 1 ? ` d: ${devices.length - 1} more devices` : ''}`}</Text>
      </Text>
      <Text dimColor wrap="truncate">{`  ${head.map((name, at) => cell(name, at)).join(' ')}`}</Text>
      <List
        items={lines}
        cursor={cursorOf(state, 0, 'benchmark')}
        rows={listRows}
        glyphs={glyphsOf(state.terminal)}
        draw={each => <Row line={each} view={report} state={state} />}
      />
      {line && <Latencies line={line} columns={columns} rows={Math.max(1, Math.min(8, below - 4 - changeRows))} state={state} />}
      {other ? (
        <Box flexDirection="column">
          <Title text={`Against run ${other.run.slice(0, 15)}, ${when(other.at)}`} state={state} />
          <Lines lines={changes.slice(0, changeRows)} />
        </Box>
      ) : (
        <Text dimColor wrap="truncate">
          {earlier.length === 0
            ? 'No earlier report to compare with.'
            : `c compares with ${earlier.length === 1 ? 'the earlier report' : `one of ${earlier.length} earlier reports`}.`}
        </Text>
      )}
    </Box>
  );
}

const head = ['network', 'prec', 'batch', 'images/s', 'speed', 'p50 ms', 'p99 ms', 'accuracy', 'drop', 'gate'] as const;
const widths = [8, 5, 5, 9, 7, 7, 7, 8, 5, 8] as const;
const cell = (text: string, at: number): string => (at < 2 || at === 9 ? text.padEnd(widths[at] ?? 0) : text.padStart(widths[at] ?? 0));

/** A row; a speed that its accuracy does not carry is struck out where there are styles, and FAILED and ~ say it everywhere. */
function Row({ line, view, state }: { readonly line: ReportLine; readonly view: ReportView; readonly state: UiState }) {
  const { row, speedup } = line;
  const failed = row.gate === 'fail';
  const speeds = [shortNumber(row.throughput.value), speedup === undefined ? '' : `${speedup.toFixed(2)}×`, shortNumber(row.latencyMs.p50), shortNumber(row.latencyMs.p99)];
  const rest = [row.accuracy ? percent(row.accuracy.value) : '–', dropWords(row.accuracy?.dropPoints), row.gate === 'unjudged' ? 'unjudged' : gateWords(row)];
  return (
    <Text>
      {[networkWords(line, view.report), row.precision.toUpperCase() + (row.computes === undefined ? '' : '*'), String(row.batch)].map(cell).join(' ')}{' '}
      <Text strikethrough={failed && state.terminal.colour !== 'none'}>{speeds.map((text, at) => cell(failed && text !== '' ? `~${text}` : text, at + 3)).join(' ')}</Text>{' '}
      {rest
        .slice(0, 2)
        .map((text, at) => cell(text, at + 7))
        .join(' ')}{' '}
      <Text {...paint(state.terminal, failed ? 'bad' : row.gate === 'pass' ? 'good' : undefined)}>{cell(rest[2] ?? '', 9)}</Text>
    </Text>
  );
}

/** Where the latencies of the chosen row lie, and what stands beside its figures. */
function Latencies({ line: { row }, columns, rows, state }: { readonly line: ReportLine; readonly columns: number; readonly rows: number; readonly state: UiState }) {
  const { histogram, p50, p90, p99, n, sd, mean } = row.latencyMs;
  const why = [
    row.gateNote,
    row.energy && energyWords(row.energy),
    row.computes === undefined ? undefined : `* computes in ${row.computes}`,
    row.agreement ? `${percent(row.agreement.share)} of decisions as FP32` : undefined,
  ]
    .filter(text => text !== undefined)
    .join('; ');
  const ends = histogram ? `${shortNumber(histogram.fromMs)} ms` : '';
  return (
    <Box flexDirection="column">
      <Title
        text={`Latency of ${row.precision.toUpperCase()}: p50 ${shortNumber(p50)}, p90 ${shortNumber(p90)}, p99 ${shortNumber(p99)} ms, spread ${percent(mean > 0 ? sd / mean : 0)}, n ${n}, ${row.evidence.grade}`}
        state={state}
      />
      {histogram ? (
        <Lines
          lines={[
            ...columnLines(histogram.counts, rows, state.terminal).map(text => `  ${text}`),
            `  ${ends}${`${shortNumber(histogram.toMs)} ms (p99)`.padStart(Math.max(0, histogram.counts.length - ends.length))}, ${histogram.beyond} beyond`,
          ].map(text => text.slice(0, columns))}
        />
      ) : (
        <Text dimColor>Measured before distributions were kept: b measures anew when something changed.</Text>
      )}
      {why !== '' && <Text wrap="truncate">{why}</Text>}
    </Box>
  );
}

/** What changed against an earlier report, beyond noise or not: the verdict first. */
const changeLines = remembered((before: ReportView, after: ReportView): readonly string[] => {
  const { rows, conditions, onlyBefore, onlyAfter } = diffReports(before.report, after.report, { latency: 0.03, points: 1 });
  const signed = (share: number) => `${share > 0 ? '+' : ''}${(100 * share).toFixed(1)} %`;
  const changed = rows.map(({ network, precision, batch, latencyChange, accuracyPoints, verdict, because }) => {
    const accuracy = accuracyPoints === undefined ? '' : `, accuracy ${accuracyPoints.toFixed(1)}`;
    return `  ${network === 'baseline' ? 'unpruned' : 'network'} ${precision} b${batch}: ${verdict}, p50 ${signed(latencyChange)}${accuracy}; ${because}`;
  });
  return [...changed, ...conditions.map(text => `  differs: ${text}`), ...onlyBefore.map(text => `  only then: ${text}`), ...onlyAfter.map(text => `  only now: ${text}`)];
});

const fileOf = ({ run, device }: ReportView): string => `.edgeforge/runs/${run}/out/report-${device}/report.json`;
const diffCli = (state: UiState): string => {
  const [{ report }, other] = [shown(state), compared(state)];
  return `edgeforge report diff ${other ? fileOf(other) : 'OLD'} ${report ? fileOf(report) : 'NEW'}`;
};

/** Benchmark: speed beside accuracy. */
export const benchmarkScreen: Screen = {
  name: 'benchmark',
  key: '8',
  title: 'Benchmark',
  about: 'Speed beside the accuracy of the same artifact on the same device. A row that fails its gate is marked FAILED and its speeds ~: they do not count.',
  view: Benchmark,
  needs: ['reports'],
  panes: [{ name: 'rows', length: state => linesOf(state).length }],
  keys: [
    {
      key: 'b',
      help: 'measure what is stale',
      action: state => {
        const device = shown(state).report?.device;
        return { type: 'run', wish: { steps: ['report'], ...(device ? { devices: [device] } : {}) }, cli: `edgeforge benchmark${device ? ` ${device}` : ''}` };
      },
      cli: state => `edgeforge benchmark${shown(state).report ? ` ${shown(state).report?.device}` : ''}`,
    },
    {
      key: 'd',
      help: 'next device',
      action: state => {
        const devices = devicesOf(state);
        if (devices.length < 2) return { not: 'There is one device with a report.' };
        return { type: 'choose', name: 'benchmark.device', value: devices[(devices.indexOf(shown(state).report?.device ?? '') + 1) % devices.length] ?? '' };
      },
      cli: () => 'edgeforge report',
    },
    {
      key: 'c',
      help: 'compare with an earlier report',
      action: state => {
        const { earlier } = shown(state);
        if (earlier.length === 0) return { not: 'There is no earlier report of this device.' };
        const choices = earlier.slice(0, 9).map(({ run, at }, index) => ({
          key: String(index + 1),
          label: `run ${run.slice(0, 15)}, ${when(at)}`,
          does: { type: 'choose' as const, name: 'benchmark.with', value: run },
        }));
        return { type: 'open', dialog: { kind: 'pick', title: 'Compare with which report?', choices, cursor: 0 } };
      },
      cli: diffCli,
    },
    {
      key: 'y',
      help: 'copy the report’s path',
      action: state => {
        const { report } = shown(state);
        return report ? { type: 'copy', text: fileOf(report).replace('report.json', 'report.html') } : { not: 'There is no report yet.' };
      },
      cli: () => 'edgeforge report',
    },
  ],
};
