/** A value drawn against another: x, then y. */
export type PlotPoint = readonly [x: number, y: number];
/** What lies at the left, right, bottom and top edge of a picture. */
export interface PlotWindow {
  readonly x: readonly [low: number, high: number];
  readonly y: readonly [low: number, high: number];
}

/** Dots of braille cells (2×4 each): lines are drawn into it, text comes out of it. */
export class BrailleCanvas {
  readonly columns: number;
  readonly rows: number;
  readonly #cells: Uint8Array;

  constructor(columns: number, rows: number) {
    this.columns = Math.max(0, columns);
    this.rows = Math.max(0, rows);
    this.#cells = new Uint8Array(this.columns * this.rows);
  }

  /** Sets one dot, counted from the top left; what lies outside is left out. */
  dot(x: number, y: number): void {
    if (x < 0 || y < 0 || x >= this.columns * 2 || y >= this.rows * 4) return;
    const cell = (y >> 2) * this.columns + (x >> 1);
    this.#cells[cell] = (this.#cells[cell] as number) | ((dots[x & 1] as readonly number[])[y & 3] as number);
  }

  /** A straight line between two dots (Bresenham). */
  line(x0: number, y0: number, x1: number, y1: number): void {
    const [dx, dy] = [Math.abs(x1 - x0), -Math.abs(y1 - y0)];
    const [stepX, stepY] = [Math.sign(x1 - x0), Math.sign(y1 - y0)];
    for (let [x, y, error] = [x0, y0, dx + dy]; ; ) {
      this.dot(x, y);
      if (x === x1 && y === y1) return;
      const twice = 2 * error;
      if (twice >= dy) [error, x] = [error + dy, x + stepX];
      if (twice <= dx) [error, y] = [error + dx, y + stepY];
    }
  }

  /** The curve through points in order of x, in the window's coordinates; what lies outside the window is left out. */
  curve(points: readonly PlotPoint[], { x: [left, right], y: [bottom, top] }: PlotWindow): void {
    const place = (value: number, low: number, high: number, dots: number) => (high === low ? dots >> 1 : Math.round(((value - low) / (high - low)) * (dots - 1)));
    const at = ([x, y]: PlotPoint) => [place(x, left, right, this.columns * 2), this.rows * 4 - 1 - place(y, bottom, top, this.rows * 4)] as const;
    points.forEach((point, index) => {
      const [x0, y0] = at(points[index - 1] ?? point);
      this.line(x0, y0, ...at(point));
    });
  }

  /** One text line per row: braille patterns, or in ASCII ' for a dot in the upper half of a cell, . in the lower, : in both. */
  lines(ascii = false): string[] {
    return Array.from({ length: this.rows }, (_, row) =>
      Array.from(this.#cells.subarray(row * this.columns, (row + 1) * this.columns), bits => (ascii ? asciiOf(bits) : String.fromCharCode(0x2800 + bits))).join(''),
    );
  }
}

const upperHalf = 0x01 | 0x02 | 0x08 | 0x10;
const asciiOf = (bits: number): string => (bits === 0 ? ' ' : (bits & upperHalf) === bits ? "'" : (bits & upperHalf) === 0 ? '.' : ':');

/** One curve as lines of braille cells (2×4 dots each), newest value at the right; y runs from the smallest to the largest value. */
export function brailleCurve(values: readonly number[], columns: number, rows: number, ascii = false): string[] {
  const canvas = new BrailleCanvas(columns, rows);
  const points = values.map((value, x): PlotPoint => [x, value]);
  // One value is a level, not a dot.
  if (values.length === 1) points.push([1, values[0] as number]);
  if (values.length > 0) canvas.curve(points, { x: [0, points.length - 1], y: [Math.min(...values), Math.max(...values)] });
  return canvas.lines(ascii);
}
/** Bits of Unicode's braille patterns: left and right column, from the top. */
const dots = [
  [0x01, 0x02, 0x04, 0x40],
  [0x08, 0x10, 0x20, 0x80],
] as const;
