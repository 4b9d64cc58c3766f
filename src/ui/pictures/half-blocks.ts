import type { Pixels } from '../../data/decode.ts';
import type { Look } from '../look.ts';

/** A box over a picture, in the picture's pixels, with a word at its upper edge. `tone` chooses its colour; the word says what it is. */
export interface PictureBox {
  readonly label: string;
  readonly tone: number;
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
}
type Colour = readonly [red: number, green: number, blue: number];
interface Cell {
  character: string;
  foreground: Colour | undefined;
  readonly background: Colour;
}

/** The size, in cells, of a picture that keeps its shape: a cell is about twice as high as wide. */
export function cellsFor(
  { width, height }: { readonly width: number; readonly height: number },
  columns: number,
  rows: number,
): { readonly columns: number; readonly rows: number } {
  const scale = Math.min(columns / width, (2 * rows) / height);
  return { columns: Math.max(1, Math.min(columns, Math.round(width * scale))), rows: Math.max(1, Math.min(rows, Math.round((height * scale) / 2))) };
}

/**
 * A picture as text lines, two pixels a cell: ▀ in 24-bit or 256 colours, shades without colour, a ramp of ASCII without Unicode.
 * `pixels` is as wide as the lines and twice as high; boxes come in pixels of `original` and are drawn as lines over the picture with their words.
 */
export function pictureLines(
  pixels: Pixels,
  { boxes = [], original = pixels, look }: { readonly boxes?: readonly PictureBox[]; readonly original?: { readonly width: number; readonly height: number }; readonly look: Look },
): string[] {
  const [columns, rows] = [pixels.width, pixels.height >> 1];
  const shade = shadeOf(pixels, look);
  const cells: Cell[] = [];
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const [top, bottom] = [colourAt(pixels, column, 2 * row), colourAt(pixels, column, 2 * row + 1)];
      cells.push(look.colour === 'none' ? { character: shade(top, bottom), foreground: undefined, background: bottom } : coloured(top, bottom, look));
    }
  for (const box of boxes) drawBox(cells, { columns, rows }, box, { x: columns / original.width, y: rows / original.height }, look);
  return Array.from({ length: rows }, (_, row) => lineOf(cells.slice(row * columns, (row + 1) * columns), look));
}

const coloured = (top: Colour, bottom: Colour, { unicode }: Look): Cell =>
  unicode ? { character: '▀', foreground: top, background: bottom } : { character: ' ', foreground: undefined, background: mean(top, bottom) };

function colourAt({ data, width }: Pixels, x: number, y: number): Colour {
  const at = 3 * (y * width + x);
  return [data[at] ?? 0, data[at + 1] ?? 0, data[at + 2] ?? 0];
}
const mean = (a: Colour, b: Colour): Colour => [(a[0] + b[0]) >> 1, (a[1] + b[1]) >> 1, (a[2] + b[2]) >> 1];
/** Rec. 601 luma, 0..255. */
const luma = ([red, green, blue]: Colour): number => 0.299 * red + 0.587 * green + 0.114 * blue;

/** Characters by brightness, stretched over what this picture holds: brighter is denser, as on a dark terminal. */
function shadeOf(pixels: Pixels, { unicode }: Look): (top: Colour, bottom: Colour) => string {
  const ramp = unicode ? ' ░▒▓█' : ' .:-=+*#%@';
  let [low, high] = [255, 0];
  for (let at = 0; at + 2 < pixels.data.length; at += 3) {
    const value = luma([pixels.data[at]!, pixels.data[at + 1]!, pixels.data[at + 2]!]);
    [low, high] = [Math.min(low, value), Math.max(high, value)];
  }
  return (top, bottom) => {
    const share = high > low ? ((luma(top) + luma(bottom)) / 2 - low) / (high - low) : 0.5;
    return ramp[Math.min(ramp.length - 1, Math.floor(share * ramp.length))] as string;
  };
}

/** Told apart by colour-blind eyes too (Okabe and Ito), bright enough for a dark picture; the word beside each is what counts. */
const tones: readonly Colour[] = [
  [240, 228, 66],
  [86, 180, 233],
  [230, 159, 0],
  [0, 200, 140],
  [255, 130, 60],
  [220, 140, 190],
  [120, 160, 255],
  [255, 255, 255],
];
const corners = { unicode: '┌┐└┘─│', ascii: '++++-|' } as const;

function drawBox(
  cells: Cell[],
  { columns, rows }: { readonly columns: number; readonly rows: number },
  box: PictureBox,
  scale: { readonly x: number; readonly y: number },
  look: Look,
): void {
  const clamp = (value: number, most: number) => Math.max(0, Math.min(most, value));
  const [left, top] = [clamp(Math.floor(box.x1 * scale.x), columns - 1), clamp(Math.floor(box.y1 * scale.y), rows - 1)];
  const [right, bottom] = [clamp(Math.ceil(box.x2 * scale.x) - 1, columns - 1), clamp(Math.ceil(box.y2 * scale.y) - 1, rows - 1)];
  const marks = look.unicode ? corners.unicode : corners.ascii;
  const tone = tones[box.tone % tones.length] as Colour;
  const set = (column: number, row: number, character: string) => {
    const cell = cells[row * columns + column];
    if (!cell || column >= columns) return;
    const background = cell.foreground ? mean(cell.foreground, cell.background) : cell.background;
    cells[row * columns + column] = { character, foreground: tone, background };
  };
  for (let column = left + 1; column < right; column++) for (const row of [top, bottom]) set(column, row, marks[4] as string);
  for (let row = top + 1; row < bottom; row++) for (const column of [left, right]) set(column, row, marks[5] as string);
  set(left, top, marks[0] as string);
  if (right > left) set(right, top, marks[1] as string);
  if (bottom > top) {
    set(left, bottom, marks[2] as string);
    if (right > left) set(right, bottom, marks[3] as string);
  }
  const room = Math.max(right - left - 1, 1);
  for (const [at, character] of [...box.label.slice(0, room)].entries()) set(left + 1 + at, top, character);
}

/** Cells as one line: colours are said only where they change. */
function lineOf(cells: readonly Cell[], { colour }: Look): string {
  if (colour === 'none') return cells.map(({ character }) => character).join('');
  let [line, before] = ['', ''];
  for (const { character, foreground, background } of cells) {
    const style = `${foreground ? `\x1b[${codeOf(38, foreground, colour)}m` : ''}\x1b[${codeOf(48, background, colour)}m`;
    line += style === before ? character : style + character;
    before = style;
  }
  return `${line}\x1b[39;49m`;
}

const codeOf = (plane: 38 | 48, colour: Colour, depth: '256' | 'true'): string => (depth === 'true' ? `${plane};2;${colour.join(';')}` : `${plane};5;${nearest256(colour)}`);

/** The nearest of xterm's 6×6×6 cube and its 24 greys. */
export function nearest256([red, green, blue]: Colour): number {
  const levels = [0, 95, 135, 175, 215, 255];
  const level = (value: number) => levels.reduce((best, each, index) => (Math.abs(each - value) < Math.abs((levels[best] as number) - value) ? index : best), 0);
  const [r, g, b] = [level(red), level(green), level(blue)];
  const grey = Math.max(0, Math.min(23, Math.round(((red + green + blue) / 3 - 8) / 10)));
  const distance = (to: Colour) => (to[0] - red) ** 2 + (to[1] - green) ** 2 + (to[2] - blue) ** 2;
  const shade = 8 + 10 * grey;
  return distance([shade, shade, shade]) < distance([levels[r]!, levels[g]!, levels[b]!]) ? 232 + grey : 16 + 36 * r + 6 * g + b;
}
