import { describe, expect, it } from 'vitest';
import type { Pixels } from '../../../src/data/decode.ts';
import { type Look, lookOf } from '../../../src/ui/look.ts';
import { kittyPicture, sixelPicture } from '../../../src/ui/pictures/graphics.ts';
import { cellsFor, nearest256, pictureLines } from '../../../src/ui/pictures/half-blocks.ts';

const look = (colour: Look['colour'], unicode = true): Look => ({ colour, unicode, graphics: 'none' });
/** Red above blue, a white pixel at the top left. */
const pixels = (width: number, height: number): Pixels => {
  const data = new Uint8Array(width * height * 3);
  for (let at = 0; at < width * height; at++) data.set(at < (width * height) / 2 ? [255, 0, 0] : [0, 0, 255], at * 3);
  data.set([255, 255, 255]);
  return { data, width, height };
};
// biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
const bare = (line: string) => line.replace(/\x1b\[[\d;]*m/g, '');

describe('a picture in half-blocks', () => {
  it('says each colour once where it does not change, and resets at the end of a line', () => {
    expect(pictureLines(pixels(4, 4), { look: look('true') })).toEqual([
      '\x1b[38;2;255;255;255m\x1b[48;2;255;0;0m▀\x1b[38;2;255;0;0m\x1b[48;2;255;0;0m▀▀▀\x1b[39;49m',
      '\x1b[38;2;0;0;255m\x1b[48;2;0;0;255m▀▀▀▀\x1b[39;49m',
    ]);
    expect(pictureLines(pixels(4, 4), { look: look('256') })[1]).toBe('\x1b[38;5;21m\x1b[48;5;21m▀▀▀▀\x1b[39;49m');
  });
  it('shades without colour and has an ASCII ramp', () => {
    expect(pictureLines(pixels(4, 4), { look: look('none') })).toEqual(['▓░░░', '    ']);
    const ascii = pictureLines(pixels(4, 4), { look: look('none', false) }).join('');
    expect(ascii).toMatch(/^[ .:=+*#%@-]+$/);
  });
  it.each([look('true'), look('256'), look('none'), look('none', false), look('true', false)])('draws boxes with their words, the same cells in every look (%o)', each => {
    const box = { label: 'car', tone: 1, x1: 10, y1: 10, x2: 90, y2: 90 };
    const lines = pictureLines(pixels(20, 20), { boxes: [box], original: { width: 100, height: 100 }, look: each }).map(bare);
    expect(lines).toHaveLength(10);
    expect(lines[1]?.slice(2, 6)).toBe(each.unicode ? '┌car' : '+car');
    expect(lines[8]?.slice(2, 18)).toBe(each.unicode ? `└${'─'.repeat(14)}┘` : `+${'-'.repeat(14)}+`);
    for (const line of lines) expect(line).toHaveLength(20);
  });
  it('keeps boxes that leave the picture, or are a dot, inside it', () => {
    for (const [x1, y1, x2, y2] of [
      [-50, -50, 500, 500],
      [99, 99, 100, 100],
      [0, 0, 0.1, 0.1],
    ] as const)
      for (const line of pictureLines(pixels(20, 20), {
        boxes: [{ label: 'longer than room', tone: 9, x1, y1, x2, y2 }],
        original: { width: 100, height: 100 },
        look: look('none'),
      }))
        expect(line).toHaveLength(20);
  });
  it('keeps the shape of the image', () => {
    expect(cellsFor({ width: 1242, height: 375 }, 80, 20)).toEqual({ columns: 80, rows: 12 });
    expect(cellsFor({ width: 100, height: 400 }, 80, 20)).toEqual({ columns: 10, rows: 20 });
  });
  it('finds the nearest of 256 colours', () => {
    expect([nearest256([255, 0, 0]), nearest256([128, 128, 128]), nearest256([0, 0, 0]), nearest256([95, 135, 175])]).toEqual([196, 244, 16, 67]);
  });
});

describe('pictures outside the layout', () => {
  it('go to kitty in pieces whose base64 is the PNG', () => {
    const png = Uint8Array.from({ length: 10_000 }, (_, at) => at % 251);
    const text = kittyPicture(png);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the protocol is made of them
    const pieces = [...text.matchAll(/\x1b_G([^;]*);([^\x1b]*)\x1b\\/g)];
    expect(pieces.map(piece => piece[1])).toEqual(['a=T,f=100,q=2,m=1', 'm=1', 'm=1', 'm=0']);
    expect(Buffer.from(pieces.map(piece => piece[2]).join(''), 'base64')).toEqual(Buffer.from(png));
  });
  it('read back from sixels as they went in, to a step of the palette', () => {
    const source = pixels(23, 13);
    const found = readSixel(sixelPicture(source));
    expect([found.width, found.height]).toEqual([23, 13]);
    for (let at = 0; at < found.data.length; at++) expect(Math.abs((found.data[at] as number) - (source.data[at] as number))).toBeLessThanOrEqual(51);
  });
});

/** The little of DEC's sixels that we write: palette, runs, passes and bands. */
function readSixel(text: string): Pixels {
  const [, width = 0, height = 0] = (/"1;1;(\d+);(\d+)/.exec(text) ?? []).map(Number);
  const palette = new Map([...text.matchAll(/#(\d+);2;(\d+);(\d+);(\d+)/g)].map(([, id, ...rgb]) => [Number(id), rgb.map(part => Math.round(Number(part) * 2.55))]));
  const data = new Uint8Array(width * height * 3);
  const body = text
    .slice(0, -2)
    .replace(/^[^"]*"[\d;]*/, '')
    .replace(/#\d+;2;\d+;\d+;\d+/g, '');
  body.split('-').forEach((band, index) => {
    for (const pass of band.split('$')) {
      let x = 0;
      const rgb = palette.get(Number(/^#(\d+)/.exec(pass)?.[1])) ?? [0, 0, 0];
      for (const [, count, character = '?'] of pass.replace(/^#\d+/, '').matchAll(/(?:!(\d+))?([?-~])/g))
        for (let n = Number(count ?? 1); n > 0; n--, x++)
          for (let row = 0; row < 6; row++) if ((character.charCodeAt(0) - 63) & (1 << row) && index * 6 + row < height) data.set(rgb, 3 * ((index * 6 + row) * width + x));
    }
  });
  return { data, width, height };
}

describe('the look of a terminal', () => {
  it.each([
    [
      { TERM: 'xterm-256color', LANG: 'en_US.UTF-8' },
      { colour: '256', unicode: true, graphics: 'none' },
    ],
    [
      { TERM: 'xterm-kitty', KITTY_WINDOW_ID: '1', LANG: 'C.UTF-8' },
      { colour: 'true', unicode: true, graphics: 'kitty' },
    ],
    [
      { TERM: 'tmux-256color', TMUX: '/tmp/x', KITTY_WINDOW_ID: '1', LANG: 'C.UTF-8' },
      { colour: '256', unicode: true, graphics: 'none' },
    ],
    [
      { TERM: 'foot', LANG: 'C.UTF-8' },
      { colour: 'true', unicode: true, graphics: 'sixel' },
    ],
    [
      { TERM: 'xterm-256color', TERM_PROGRAM: 'WezTerm', LANG: 'C.UTF-8', NO_COLOR: '1' },
      { colour: 'none', unicode: true, graphics: 'sixel' },
    ],
    [
      { TERM: 'linux', LANG: 'C.UTF-8' },
      { colour: '256', unicode: false, graphics: 'none' },
    ],
    [
      { TERM: 'xterm', LANG: 'C', COLORTERM: 'truecolor', EDGEFORGE_GRAPHICS: 'sixel' },
      { colour: 'true', unicode: false, graphics: 'sixel' },
    ],
    [{}, { colour: 'none', unicode: false, graphics: 'none' }],
  ] as const)('%o', (environment, expected) => {
    expect(lookOf(environment)).toEqual(expected);
  });
});
