import { BarChart, LineChart, ScatterChart } from 'echarts/charts';
import { GridComponent, LegendComponent } from 'echarts/components';
import { init, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';

use([BarChart, LineChart, ScatterChart, GridComponent, LegendComponent, SVGRenderer]);

// Colours are written as marks and become CSS variables in the SVG, so that one picture serves light and dark.
const ink = { text: '#010101', muted: '#010102', line: '#010103' } as const;
const tones = ['#010111', '#010112', '#010113', '#010114'] as const;
const failed = '#010119';
const variables: readonly (readonly [string, string])[] = [
  [ink.text, 'var(--fg)'],
  [ink.muted, 'var(--muted)'],
  [ink.line, 'var(--line)'],
  ...tones.map((tone, index) => [tone, `var(--s${index + 1})`] as const),
  [failed, 'var(--bad-soft)'],
];

/** One bar; `failed` draws it pale, because its speed may not count. `note` stands after the figure. */
export interface Bar {
  readonly label: string;
  readonly value: number;
  readonly tone?: number;
  readonly failed?: boolean;
  readonly note?: string;
  /** Show the note alone: a figure that may not be read off. */
  readonly hideValue?: boolean;
}
export interface ChartSize {
  readonly width: number;
  readonly height: number;
}

/** Horizontal bars with their figures, first on top, as an SVG string. */
export function barChart(bars: readonly Bar[], { digits = 1, max }: { readonly digits?: number; readonly max?: number } = {}): string {
  const size = { width: 620, height: 24 + 34 * bars.length };
  return draw(size, {
    grid: { left: labelRoom(bars.map(({ label }) => label)), right: 130, top: 4, bottom: 4 },
    xAxis: { type: 'value', show: false, min: 0, ...(max === undefined ? {} : { max }) },
    yAxis: categoryAxis(
      bars.map(({ label }) => label),
      true,
    ),
    series: [
      {
        type: 'bar',
        barWidth: 18,
        data: bars.map(bar => ({ value: bar.value, itemStyle: { color: bar.failed ? failed : tones[(bar.tone ?? 0) % tones.length], borderRadius: [0, 3, 3, 0] } })),
        label: {
          show: true,
          position: 'right',
          color: ink.text,
          fontSize: 12,
          formatter: ({ dataIndex }: { dataIndex: number }) => barWords(bars[dataIndex], digits),
        },
      },
    ],
  });
}

const barWords = (bar: Bar | undefined, digits: number): string =>
  [bar === undefined || bar.hideValue ? '' : bar.value.toFixed(digits), bar?.note ?? ''].filter(word => word !== '').join('  ');

/** Several quantities per label side by side (p50/p90/p99; before/after), as an SVG string. */
export function groupedChart(
  labels: readonly string[],
  groups: readonly { readonly name: string; readonly values: readonly (number | undefined)[] }[],
  { unit = '' }: { readonly unit?: string } = {},
): string {
  return draw(
    { width: 620, height: 56 + labels.length * (12 * groups.length + 14) },
    {
      grid: { left: labelRoom(labels), right: 60, top: 34, bottom: 22 },
      legend: legend(),
      xAxis: valueAxis(unit),
      yAxis: categoryAxis(labels, true),
      series: groups.map(({ name, values }, index) => ({
        type: 'bar',
        name,
        barGap: '10%',
        itemStyle: { color: tones[index % tones.length], borderRadius: [0, 2, 2, 0] },
        data: values.map(value => value ?? '-'),
      })),
    },
  );
}

/** A curve's points; one without a y is a gap. */
export interface Curve {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number | undefined])[];
}

/** Curves over a common x, as an SVG string. `near`: the y axis spans the values instead of beginning at 0. */
export function lineChart(curves: readonly Curve[], { x, near = false }: { readonly x: string; readonly near?: boolean }): string {
  // The legend wraps where its names are long.
  const room = 16 + 18 * Math.ceil(curves.reduce((sum, { name }) => sum + 7 * name.length + 40, 0) / 600);
  return draw(
    { width: 620, height: 226 + room },
    {
      grid: { left: 60, right: 20, top: room, bottom: 42 },
      legend: legend(),
      xAxis: { ...valueAxis(x), nameLocation: 'middle', nameGap: 26, minInterval: 1, min: 'dataMin', max: 'dataMax', splitLine: { show: false } },
      yAxis: { ...valueAxis(''), scale: near },
      series: curves.map(({ name, points }, index) => ({
        type: 'line',
        name,
        showSymbol: points.filter(([, y]) => y !== undefined).length < 2,
        lineStyle: { width: 2, type: index >= tones.length ? 'dotted' : index % 2 === 0 ? 'solid' : 'dashed' },
        itemStyle: { color: tones[index % tones.length] },
        data: points.map(([at, y]) => [at, y ?? '-']),
      })),
    },
  );
}

/** Points of two quantities, as an SVG string. */
export const scatterChart = (points: readonly (readonly [number, number])[], { x, y }: { readonly x: string; readonly y: string }): string =>
  draw(
    { width: 620, height: 320 },
    {
      grid: { left: 60, right: 20, top: 30, bottom: 42 },
      xAxis: { ...valueAxis(x), nameLocation: 'middle', nameGap: 26, scale: true },
      yAxis: { ...valueAxis(y), scale: true },
      series: [{ type: 'scatter', symbolSize: 4, itemStyle: { color: tones[0], opacity: 0.6 }, data: points.map(point => [...point]) }],
    },
  );

const legend = () => ({ top: 0, left: 0, itemWidth: 14, itemHeight: 10, itemGap: 22, icon: 'roundRect', textStyle: { color: ink.text, fontSize: 12 } });
const valueAxis = (name: string) => ({
  type: 'value',
  name,
  nameTextStyle: { color: ink.muted, fontSize: 11 },
  axisLabel: { color: ink.muted, fontSize: 11, hideOverlap: true },
  axisLine: { show: false },
  axisTick: { show: false },
  splitLine: { lineStyle: { color: ink.line } },
});
const categoryAxis = (labels: readonly string[], inverse: boolean) => ({
  type: 'category',
  inverse,
  data: [...labels],
  axisLine: { lineStyle: { color: ink.line } },
  axisTick: { show: false },
  axisLabel: { color: ink.text, fontSize: 12, width: labelRoom(labels) - 14, overflow: 'truncate' },
});
/** Pixels left of the bars: the longest label, by a wide font, since no font is known here. */
const labelRoom = (labels: readonly string[]): number => Math.min(260, Math.max(150, 20 + 7.2 * Math.max(0, ...labels.map(({ length }) => length))));

/** Renders without a browser and lets the chart go: an undisposed one keeps the process alive. */
function draw(size: ChartSize, option: Record<string, unknown>): string {
  const chart = init(null, null, { renderer: 'svg', ssr: true, ...size });
  try {
    chart.setOption({ animation: false, textStyle: { fontFamily: 'inherit' }, ...option });
    const svg = chart.renderToSVGString();
    const quiet = svg.replace(/<style\s*>[\s\S]*?<\/style>/g, '').replace(/ class="zr[^"]*"| ecmeta_[a-z_]+="[^"]*"/g, '');
    const scaled = quiet.replace(/^<svg width="\d+" height="\d+"/, '<svg aria-hidden="true"');
    return variables.reduce((text, [mark, variable]) => text.replaceAll(mark, variable), scaled);
  } finally {
    chart.dispose();
  }
}
