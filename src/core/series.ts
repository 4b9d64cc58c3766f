/** One point of a curve: the mean of `n` values up to x. */
export interface SeriesPoint {
  readonly x: number;
  readonly y: number;
  readonly n: number;
}
/** A curve of any length in bounded memory: at most 512 points, each the mean of up to `stride` values. */
export interface Series {
  readonly points: readonly SeriesPoint[];
  readonly stride: number;
}
export const emptySeries: Series = { points: [], stride: 1 };
const limit = 512;

const merged = (a: SeriesPoint, b: SeriesPoint): SeriesPoint => ({ x: b.x, y: (a.y * a.n + b.y * b.n) / (a.n + b.n), n: a.n + b.n });

/** The curve with one more value. */
export function extendSeries({ points, stride }: Series, x: number, y: number): Series {
  const last = points.at(-1);
  const point: SeriesPoint = { x, y, n: 1 };
  if (last && last.n < stride) return { points: [...points.slice(0, -1), merged(last, point)], stride };
  if (points.length < limit) return { points: [...points, point], stride };
  const halved: SeriesPoint[] = [];
  for (let index = 0; index + 1 < points.length; index += 2) halved.push(merged(points[index]!, points[index + 1]!));
  return { points: [...halved, point], stride: stride * 2 };
}
