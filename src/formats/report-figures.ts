import { barChart, groupedChart, lineChart, scatterChart } from './charts.ts';
import { type Report, reportLines } from './report.ts';
import { dropWords, networkWords, rowWords, speedCounts } from './report-words.ts';

/** A chart with its words; `device`: its figures come from the device, so the evidence grade belongs beside them. */
export interface Figure {
  readonly title: string;
  readonly note: string;
  readonly svg: string;
  readonly device: boolean;
}

/** All charts for which the report has figures, in reading order. */
export const reportFigures = (report: Report): readonly Figure[] => [...deviceFigures(report), ...trackFigures(report), ...trainingFigures(report), ...otherFigures(report)];

function deviceFigures(report: Report): Figure[] {
  const lines = reportLines(report);
  if (lines.length === 0) return [];
  const batches = new Set(lines.map(({ row }) => row.batch)).size > 1;
  const common = lines.map(line => ({
    line,
    label: `${networkWords(line, report)} ${line.row.precision.toUpperCase()}${batches ? ` b${line.row.batch}` : ''}`,
    tone: line.network === 'baseline' ? 1 : 0,
    failed: !speedCounts(line.row),
  }));
  const speeds = common.map(({ line: { row, speedup }, failed, ...bar }) => ({
    ...bar,
    failed,
    hideValue: failed,
    value: row.throughput.value,
    note: row.gate === 'fail' ? 'FAILED' : failed ? 'VOID' : speedup === undefined ? '' : `(${speedup.toFixed(2)}×)`,
  }));
  const judged = common.flatMap(({ line: { row }, ...bar }) =>
    row.accuracy === undefined ? [] : [{ ...bar, value: 100 * row.accuracy.value, note: `(${dropWords(row.accuracy.dropPoints)})` }],
  );
  const labels = common.map(({ label, failed }) => (failed ? `${label} (does not count)` : label));
  const latency = (['p50', 'p90', 'p99'] as const).map(name => ({ name, values: lines.map(({ row }) => row.latencyMs[name]) }));
  const pale = common.some(({ failed }) => failed) ? ' A pale bar’s speed does not count: its accuracy failed the gate, or its times are void.' : '';
  return [
    { title: 'Throughput, images/s', note: `In brackets the factor over the unpruned network’s FP32.${pale}`, svg: barChart(speeds), device: true },
    ...(judged.length > 0
      ? [{ title: 'Accuracy on the device, %', note: 'In brackets the change in points against FP32 of the same network.', svg: barChart(judged, { max: 100 }), device: true }]
      : []),
    { title: 'Latency, ms per batch', note: 'Half, 90 % and 99 % of all batches were faster than this.', svg: groupedChart(labels, latency, { unit: 'ms' }), device: true },
  ];
}

/** What the board's sensors said through the rounds: that nothing drifted, or that it did. */
function trackFigures(report: Report): Figure[] {
  const note = 'Seconds since the measuring session began; every stretch is one round of an engine, each point a mean over a part of it.';
  const quantities = [
    ['w', 'Power while measuring, W'],
    ['gpuMHz', 'GPU clock while measuring, MHz'],
    ['heatC', 'Hottest sensor while measuring, °C'],
  ] as const;
  return quantities.flatMap(([member, title]) => {
    const curves = reportLines(report).flatMap(line => {
      const told = (line.row.track ?? []).filter(point => point[member] !== undefined);
      // A gap after each round: other engines ran then.
      const points = told.flatMap((point, i) => [[point.atS, point[member]!] as const, ...(told[i + 1]?.round === point.round ? [] : [[point.atS, undefined] as const])]);
      return points.length === 0 ? [] : [{ name: rowWords(line, report), points }];
    });
    return curves.length === 0 ? [] : [{ title, note, svg: lineChart(curves, { x: 's', near: true }), device: true }];
  });
}

function trainingFigures({ training }: Report): Figure[] {
  const curves = (member: 'loss' | 'validation', factor: number) =>
    training
      .map(({ stage, curve = [] }) => ({ name: stage, points: curve.flatMap(epoch => (epoch[member] === undefined ? [] : [[epoch.epoch, factor * epoch[member]] as const])) }))
      .filter(({ points }) => points.length > 0);
  const [loss, validation] = [curves('loss', 1), curves('validation', 100)];
  return [
    ...(loss.length > 0 ? [{ title: 'Training loss', note: '', svg: lineChart(loss, { x: 'epoch' }), device: false }] : []),
    ...(validation.length > 0 ? [{ title: `Validation ${training[0]?.metric ?? ''}, %`, note: '', svg: lineChart(validation, { x: 'epoch' }), device: false }] : []),
  ];
}

function otherFigures({ pruning, scatter = [] }: Report): Figure[] {
  const layers = pruning?.layers ?? [];
  const sides = [
    { name: 'before', values: layers.map(({ before }) => before) },
    { name: 'after', values: layers.map(({ after }) => after) },
  ];
  return [
    ...(layers.length > 0
      ? [
          {
            title: 'Filters per layer',
            note: 'Before and after pruning.',
            svg: groupedChart(
              layers.map(({ name }) => name),
              sides,
              { unit: 'filters' },
            ),
            device: false,
          },
        ]
      : []),
    ...scatter.map(({ title, x, y, points }) => ({ title, note: '', svg: scatterChart(points, { x, y }), device: false })),
  ];
}
