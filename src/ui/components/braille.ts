/** One curve as lines of braille cells (2×4 dots each), newest value at the right; y runs from the smallest to the largest value. */
export function brailleCurve(values: readonly number[], columns: number, rows: number): string[] {
  const [width, height] = [columns * 2, rows * 4];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const cells = Array.from({ length: rows }, () => new Uint8Array(columns));
  const yOf = (value: number) => (high === low ? height >> 1 : Math.round(((high - value) / (high - low)) * (height - 1)));
  let before: number | undefined;
  for (let x = 0; x < width; x++) {
    if (values.length === 0) break;
    const y = yOf(values[Math.round((x / Math.max(1, width - 1)) * (values.length - 1))] as number);
    const [from, to] = [Math.min(before ?? y, y), Math.max(before ?? y, y)];
    for (let dot = from; dot <= to; dot++) {
      const row = cells[dot >> 2] as Uint8Array;
      row[x >> 1] = (row[x >> 1] as number) | (dots[x & 1] as readonly number[])[dot & 3]!;
    }
    before = y;
  }
  return cells.map(row => String.fromCharCode(...Array.from(row, bits => 0x2800 + bits)));
}
/** Bits of Unicode's braille patterns: left and right column, from the top. */
const dots = [
  [0x01, 0x02, 0x04, 0x40],
  [0x08, 0x10, 0x20, 0x80],
] as const;
