import { type Report, type ReportRow, reportLines } from './report.ts';
import { rowWords, shortNumber } from './report-words.ts';

/** A table of text: its heading, its head and its rows. */
export interface TextTable {
  readonly title: string;
  readonly note: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** Energy, heat and clocks of each row that was measured with them; undefined where none was. */
export function powerTable(report: Report): TextTable | undefined {
  const lines = reportLines(report).filter(({ row }) => row.energy !== undefined || row.heat !== undefined);
  if (lines.length === 0) return undefined;
  const sensors = [...new Set(lines.flatMap(({ row: { energy } }) => (energy ? [`${energy.rail}, ${energy.sensor}`] : [])))];
  const figure = (value: number | undefined): string => (value === undefined ? '–' : shortNumber(value));
  return {
    title: 'Power, heat and clocks',
    note: sensors.length > 0 ? `Energy by: ${sensors.join('; ')}.` : 'This board has no sensor of power.',
    head: ['row', 'mJ per image', 'images/s per W', 'mean W', 'idle W', 'hottest °C', 'clocks'],
    rows: lines.map(line => {
      const { energy, heat, evidence } = line.row;
      const { board } = evidence;
      return [
        rowWords(line, report),
        figure(energy?.perImageMj),
        figure(energy?.fpsPerW),
        figure(energy?.meanW),
        figure(energy?.idleW),
        heat ? `${shortNumber(heat.minC)} to ${shortNumber(heat.maxC)} (${heat.sensor})` : '–',
        board === undefined
          ? '–'
          : board.clocks === 'as found'
            ? 'as found'
            : `held${board.gpuMHz === undefined ? '' : `, GPU ${board.gpuMHz} MHz`}, ${board.restored ? 'given back' : 'not given back'}`,
      ];
    }),
  };
}

/** '42.5 mJ per image, 23.5 images/s per W (VDD_IN, board sensor, not wall)'. */
export const energyWords = ({ perImageMj, fpsPerW, rail, sensor }: NonNullable<ReportRow['energy']>): string =>
  `${shortNumber(perImageMj)} mJ per image, ${shortNumber(fpsPerW)} images/s per W (${rail}, ${sensor})`;

/** The same as sentences, for narrow screens. */
export function powerSentences(report: Report): readonly string[] {
  const power = powerTable(report);
  if (!power) return [];
  const [, ...heads] = power.head;
  const said = power.rows.map(([name, ...cells]) => `${name}: ${cells.flatMap((cell, i) => (cell === '–' ? [] : [`${heads[i]} ${cell}`])).join(', ')}.`);
  return [...said, power.note];
}

const costs: Readonly<Record<string, string>> = {
  engine: 'the engine’s own computing',
  'engine with copies': 'copying to and from the GPU',
  'deepstream fakesink': 'the pipeline around the engine (decoding, scaling, tracking)',
  'deepstream sink': 'the real sink (drawing, encoding)',
};

/** The ladder from the engine alone to the whole application, a sentence per row naming the stage that limits it: the one that adds most time per image. */
export function bottleneckSentences(report: Report): readonly string[] {
  return reportLines(report).flatMap(line => {
    const { stages } = line.row;
    const last = stages?.at(-1);
    if (!stages || !last || stages.length < 2) return [];
    const perImage = stages.map(({ imagesPerSecond }) => 1000 / imagesPerSecond);
    const added = perImage.map((ms, i) => ms - (perImage[i - 1] ?? 0));
    const worst = added.indexOf(Math.max(...added));
    const rungs = stages.map(({ stage, imagesPerSecond }) => `${stage} ${shortNumber(imagesPerSecond)}`).join(' → ');
    const whole = perImage.at(-1)!;
    return [
      `${rowWords(line, report)}: ${rungs} images/s. What limits is ${costs[stages[worst]!.stage]}: ${shortNumber(added[worst]!)} of ${shortNumber(whole)} ms per image (${((100 * added[worst]!) / whole).toFixed(0)} %).`,
    ];
  });
}
