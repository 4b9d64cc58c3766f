import type { Look } from '../look.ts';
import { figure } from '../run-lines.ts';
import { BrailleCanvas, type PlotPoint, type PlotWindow } from './braille.ts';

/** One curve of a plot: a line through its points, or, with `mark`, that character at each of them. */
export interface Curve {
  readonly points: readonly PlotPoint[];
  readonly mark?: string;
}
export interface PlotOptions {
  /** Cells of the whole picture, axes included. */
  readonly columns: number;
  readonly rows: number;
  readonly look: Pick<Look, 'unicode'>;
  /** Default: what the points span. */
  readonly x?: PlotWindow['x'];
  readonly y?: PlotWindow['y'];
  readonly xLabel?: string;
  readonly xText?: (value: number) => string;
  readonly yText?: (value: number) => string;
  /** A vertical line at this x, as the choice that a person makes. */
  readonly cursor?: number;
}

/** Curves with axes as lines of text, exactly `rows` of at most `columns`: extremes at the left, the range of x below. Lines lie under marks, the cursor over empty cells only. */
export function plotLines(curves: readonly Curve[], options: PlotOptions): string[] {
  const { columns, rows, look, xText = figure, yText = figure, xLabel = '', cursor } = options;
  const all = curves.flatMap(({ points }) => points);
  const span = (axis: 0 | 1): readonly [number, number] => {
    const values = all.map(point => point[axis]);
    return values.length === 0 ? [0, 1] : [Math.min(...values), Math.max(...values)];
  };
  const window: PlotWindow = { x: options.x ?? span(0), y: options.y ?? span(1) };
  const [top, bottom] = [yText(window.y[1]), yText(window.y[0])];
  const gutter = Math.max(top.length, bottom.length);
  const [width, height] = [Math.max(4, columns - gutter - 1), Math.max(1, rows - 2)];
  const canvas = new BrailleCanvas(width, height);
  for (const { points, mark } of curves) if (mark === undefined) canvas.curve(points, window);
  const grid = canvas.lines(!look.unicode).map(line => [...line.replaceAll('\u2800', ' ')]);
  if (cursor !== undefined) drawCursor(grid, cell(cursor, window.x, width), look);
  for (const { points, mark } of curves)
    if (mark !== undefined)
      for (const [x, y] of points) {
        const row = grid[height - 1 - cell(y, window.y, height)];
        const column = cell(x, window.x, width);
        if (row && column >= 0 && column < width) row[column] = mark;
      }
  const [side, corner, floor] = look.unicode ? ['│', '└', '─'] : ['|', '+', '-'];
  const body = grid.map((line, row) => `${(row === 0 ? top : row === height - 1 ? bottom : '').padStart(gutter)}${side}${line.join('').trimEnd()}`);
  return [...body, `${' '.repeat(gutter)}${corner}${floor.repeat(width)}`, `${' '.repeat(gutter + 1)}${ends(xText(window.x[0]), xLabel, xText(window.x[1]), width)}`];
}

const cell = (value: number, [low, high]: readonly [number, number], cells: number): number =>
  high === low ? cells >> 1 : Math.round(((value - low) / (high - low)) * (cells - 1));

function drawCursor(grid: string[][], column: number, { unicode }: Pick<Look, 'unicode'>): void {
  for (const line of grid) if (line[column] === ' ') line[column] = unicode ? '┊' : ':';
}

/** Words at both ends of a line and, where there is room, one in the middle. */
function ends(left: string, middle: string, right: string, width: number): string {
  const gap = width - left.length - right.length;
  if (gap < middle.length + 2) return `${left}${right.padStart(Math.max(0, width - left.length))}`.slice(0, width);
  const before = Math.floor((gap - middle.length) / 2);
  return `${left}${' '.repeat(before)}${middle}${' '.repeat(gap - middle.length - before)}${right}`;
}

/** A horizontal bar of `cells` cells for a share of 0..1: eighths of a cell where there is Unicode. */
export function bar(share: number, cells: number, { unicode }: Pick<Look, 'unicode'>): string {
  const size = Math.max(0, Math.min(1, share)) * cells;
  if (!unicode) return '#'.repeat(Math.round(size));
  const [whole, eighth] = [Math.floor(size), Math.floor((size % 1) * 8)];
  return '█'.repeat(whole) + (eighth > 0 ? (eighths[eighth] as string) : '');
}
const eighths = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'] as const;

/** A bar of what stays within the bar of what there was: `█` for `kept`, `░` for the rest of `whole`, both shares of `cells` cells. */
export function keptBar(kept: number, whole: number, cells: number, { unicode }: Pick<Look, 'unicode'>): string {
  const [full, stays] = [Math.round(Math.max(0, Math.min(1, whole)) * cells), Math.round(Math.max(0, Math.min(1, kept)) * cells)];
  return (unicode ? '█' : '#').repeat(stays) + (unicode ? '░' : '.').repeat(Math.max(0, full - stays));
}

/** Counts as upright columns of `rows` lines, one cell per count, the largest at full height. */
export function columnLines(counts: readonly number[], rows: number, { unicode }: Pick<Look, 'unicode'>): string[] {
  const most = Math.max(1, ...counts);
  const marks = unicode ? ' ▁▂▃▄▅▆▇█' : ' .:|';
  const steps = marks.length - 1;
  return Array.from({ length: rows }, (_, row) =>
    counts
      .map(count => {
        // A count that is there is seen, however small.
        const height = count === 0 ? 0 : Math.max(1, Math.round((count / most) * rows * steps));
        return marks[Math.max(0, Math.min(steps, height - (rows - 1 - row) * steps))];
      })
      .join(''),
  );
}
