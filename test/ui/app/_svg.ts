/** How a stretch of terminal text looks. */
interface Style {
  readonly fg?: string;
  readonly bg?: string;
  readonly bold?: boolean;
  readonly dim?: boolean;
  readonly inverse?: boolean;
}
const [ink, paper] = ['#d8dee9', '#14171d'];
const basic = [
  '#3b4252',
  '#e5727d',
  '#9ece6a',
  '#e8c07d',
  '#7aa2f7',
  '#c59be8',
  '#7dcfd9',
  '#d8dee9',
  '#7b8496',
  '#ff8b94',
  '#b5e08a',
  '#f5d58f',
  '#9dbcff',
  '#d9b6f5',
  '#a0e4ec',
  '#ffffff',
];
const cell = { width: 8.4, height: 18, size: 14 };

/** A captured screen (`tmux capture-pane -p -e`) as an SVG of its cells; text stays text. */
export function terminalSvg(captured: string, columns: number, rows: number): string {
  const [width, height] = [columns * cell.width + 16, rows * cell.height + 16];
  const lines = captured
    .split('\n')
    .slice(0, rows)
    .map((line, row) => drawLine(line, row));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width.toFixed(0)}" height="${height}" viewBox="0 0 ${width.toFixed(1)} ${height}" font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="${cell.size}">`,
    `<rect width="100%" height="100%" rx="6" fill="${paper}"/>`,
    ...lines,
    '</svg>\n',
  ].join('\n');
}

function drawLine(line: string, row: number): string {
  const y = 8 + row * cell.height;
  const [rects, texts]: [string[], string[]] = [[], []];
  let column = 0;
  for (const { text, style } of stretches(line)) {
    const length = [...text].length;
    const [fg, bg] = style.inverse ? [style.bg ?? paper, style.fg ?? ink] : [style.fg ?? ink, style.bg];
    const [x, width] = [(8 + column * cell.width).toFixed(1), (length * cell.width).toFixed(1)];
    if (bg) rects.push(`<rect x="${x}" y="${y}" width="${width}" height="${cell.height}" fill="${bg}"/>`);
    if (text.trim() !== '')
      texts.push(
        `<text x="${x}" y="${y + 13}" textLength="${width}" lengthAdjust="spacingAndGlyphs" xml:space="preserve" fill="${fg}"${style.bold ? ' font-weight="bold"' : ''}${style.dim ? ' opacity="0.62"' : ''}>${escaped(text)}</text>`,
      );
    column += length;
  }
  return [...rects, ...texts].join('');
}

/** A line cut where its style changes. */
function* stretches(line: string): Generator<{ readonly text: string; readonly style: Style }> {
  let style: Style = {};
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours in a terminal's text are control characters
  for (const part of line.split(/(\u001b\[[\d;:]*m)/)) {
    if (part.startsWith('\u001b[')) style = restyled(style, part.slice(2, -1).split(/[;:]/).map(Number));
    else if (part !== '') yield { text: part, style };
  }
}

function restyled(before: Style, codes: readonly number[]): Style {
  let style = before;
  for (let at = 0; at < codes.length; at++) {
    const code = codes[at] ?? 0;
    if (code === 0) style = {};
    else if (code === 1) style = { ...style, bold: true };
    else if (code === 2) style = { ...style, dim: true };
    else if (code === 7) style = { ...style, inverse: true };
    else if (code === 22) style = { ...style, bold: false, dim: false };
    else if (code === 27) style = { ...style, inverse: false };
    else if (code === 39) style = without(style, 'fg');
    else if (code === 49) style = without(style, 'bg');
    else if (code === 38 || code === 48) {
      const [colour, used] = extended(codes.slice(at + 1));
      style = { ...style, [code === 38 ? 'fg' : 'bg']: colour };
      at += used;
    } else if (code >= 30 && code <= 37) style = { ...style, fg: basic[code - 30] ?? ink };
    else if (code >= 90 && code <= 97) style = { ...style, fg: basic[code - 82] ?? ink };
    else if (code >= 40 && code <= 47) style = { ...style, bg: basic[code - 40] ?? ink };
    else if (code >= 100 && code <= 107) style = { ...style, bg: basic[code - 92] ?? ink };
  }
  return style;
}

function without(style: Style, name: 'fg' | 'bg'): Style {
  const { [name]: _, ...rest } = style;
  return rest;
}

/** `5;n` or `2;r;g;b` → a colour, and how many codes that took. */
function extended([kind, ...values]: readonly number[]): readonly [string, number] {
  const hex = (...rgb: readonly number[]) => `#${rgb.map(value => value.toString(16).padStart(2, '0')).join('')}`;
  if (kind === 2) return [hex(values[0] ?? 0, values[1] ?? 0, values[2] ?? 0), 4];
  const index = values[0] ?? 0;
  if (index < 16) return [basic[index] ?? ink, 2];
  if (index >= 232) return [hex(...Array<number>(3).fill(8 + (index - 232) * 10)), 2];
  const level = (value: number) => (value === 0 ? 0 : 55 + 40 * value);
  return [hex(level(Math.floor((index - 16) / 36)), level(Math.floor((index - 16) / 6) % 6), level((index - 16) % 6)), 2];
}

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
