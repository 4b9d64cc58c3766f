import { describe, expect, it } from 'vitest';
import { brailleCurve } from '../../../src/ui/components/braille.ts';
import { bar, columnLines, keptBar, plotLines } from '../../../src/ui/components/plot.ts';
import type { Look } from '../../../src/ui/look.ts';

const unicode: Look = { colour: 'none', unicode: true, graphics: 'none' };
const ascii: Look = { ...unicode, unicode: false };
const falling = { points: Array.from({ length: 40 }, (_, x): [number, number] => [x, 100 / (1 + x)]) };

describe('a plot', () => {
  it('has its extremes at the axes, marks over lines, and the cursor where nothing else is', () => {
    expect(plotLines([falling, { points: [[20, 60]], mark: 'o' }], { columns: 30, rows: 7, look: ascii, xLabel: 'epoch', y: [0, 100], cursor: 30 })).toMatchInlineSnapshot(`
      [
        "100|:                  :",
        "   |:                  :",
        "   |'.           o     :",
        "   | '.                :",
        "  0|   '''':..................",
        "   +--------------------------",
        "    0         epoch         39",
      ]
    `);
    expect(plotLines([falling], { columns: 30, rows: 6, look: unicode, xLabel: 'epoch' })).toMatchInlineSnapshot(`
      [
        "100│⡇",
        "   │⢸",
        "   │⠈⠢⡀",
        "2.5│  ⠉⠒⠒⠤⠤⠤⠤⠤⠤⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀",
        "   └──────────────────────────",
        "    0         epoch         39",
      ]
    `);
  });
  it.each([
    [80, 24],
    [12, 4],
    [5, 3],
  ])('fills %d × %d cells and no more, with any points', (columns, rows) => {
    for (const points of [
      [],
      [[3, 3]],
      falling.points,
      [
        [0, 0],
        [1e9, -1e9],
      ],
    ] as [number, number][][]) {
      const lines = plotLines([{ points }, { points, mark: '●' }], { columns, rows, look: unicode });
      expect(lines).toHaveLength(rows);
      if (columns > 20) for (const line of lines) expect(line.length).toBeLessThanOrEqual(columns);
    }
  });
  it('draws a curve of dots without Unicode', () => {
    for (const line of brailleCurve([4, 3, 2, 1], 4, 2, true)) expect(line).toMatch(/^[ '.:]+$/);
  });
});

describe('bars', () => {
  it('grow by eighths of a cell', () => {
    expect([bar(0.5, 10, unicode), bar(0.3125, 2, unicode), bar(2, 3, unicode), bar(0.5, 10, ascii)]).toEqual(['█████', '▋', '███', '#####']);
  });
  it('show what stays within what there was', () => {
    expect([keptBar(0.25, 0.5, 12, unicode), keptBar(1, 1, 4, ascii), keptBar(0.5, 1, 4, ascii)]).toEqual(['███░░░', '####', '##..']);
  });
  it('stand upright, and a small count is still seen', () => {
    expect(columnLines([0, 1, 50, 100], 2, unicode)).toEqual(['   █', ' ▁██']);
    expect(columnLines([0, 1, 50, 100], 1, ascii)).toEqual([' .:|']);
  });
});
