import type { Pixels } from '../../data/decode.ts';

/** A PNG as kitty's graphics protocol shows it at the cursor: base64 in pieces of at most 4096 characters. */
export function kittyPicture(png: Uint8Array): string {
  const text = Buffer.from(png).toString('base64');
  const pieces = text.match(/.{1,4096}/g) ?? [''];
  // q=2: the terminal must not answer, its words would be taken for keys.
  return pieces.map((piece, at) => `\x1b_G${at === 0 ? 'a=T,f=100,q=2,' : ''}m=${at < pieces.length - 1 ? 1 : 0};${piece}\x1b\\`).join('');
}

/** Pixels as a sixel picture (DEC STD 070) in the 216 colours of a 6×6×6 cube, dithered in order (Bayer 4×4) so that skies have no bands. */
export function sixelPicture({ data, width, height }: Pixels): string {
  const colours = new Uint8Array(width * height);
  for (let y = 0, at = 0; y < height; y++)
    for (let x = 0; x < width; x++, at++) {
      const nudge = ((bayer[(y & 3) * 4 + (x & 3)] as number) / 16 - 0.47) * 51;
      const level = (channel: number) => Math.max(0, Math.min(5, Math.round(((data[3 * at + channel] as number) + nudge) / 51)));
      colours[at] = 36 * level(0) + 6 * level(1) + level(2);
    }
  const used = [...new Set(colours)].sort((a, b) => a - b);
  const palette = used.map(colour => `#${colour};2;${[Math.floor(colour / 36), Math.floor(colour / 6) % 6, colour % 6].map(level => level * 20).join(';')}`);
  const bands: string[] = [];
  for (let top = 0; top < height; top += 6) bands.push(band(colours, { width, height, top }));
  return `\x1bP0;1;0q"1;1;${width};${height}${palette.join('')}${bands.join('-')}\x1b\\`;
}
const bayer = [0, 8, 2, 10, 12, 4, 14, 6, 3, 11, 1, 9, 15, 7, 13, 5] as const;

/** Six rows: for each colour in them one pass, its runs shortened. */
function band(colours: Uint8Array, { width, height, top }: { readonly width: number; readonly height: number; readonly top: number }): string {
  const passes = new Map<number, Uint8Array>();
  for (let row = 0; row < 6 && top + row < height; row++)
    for (let x = 0; x < width; x++) {
      const colour = colours[(top + row) * width + x] as number;
      const pass = passes.get(colour) ?? new Uint8Array(width);
      passes.set(colour, pass);
      pass[x] = (pass[x] as number) | (1 << row);
    }
  return [...passes].map(([colour, pass]) => `#${colour}${runs(pass)}`).join('$');
}

function runs(pass: Uint8Array): string {
  let text = '';
  for (let from = 0; from < pass.length; ) {
    let to = from + 1;
    while (to < pass.length && pass[to] === pass[from]) to++;
    const character = String.fromCharCode(63 + (pass[from] as number));
    text += to - from > 3 ? `!${to - from}${character}` : character.repeat(to - from);
    from = to;
  }
  return text;
}
