import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ApImage, averagePrecision, type Rectangle } from '../../src/tasks/average-precision.ts';

const rectangle = fc
  .tuple(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 0, max: 30 }), fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 20 }))
  .map(([x1, y1, w, h]) => ({ x1, y1, x2: x1 + w, y2: y1 + h }));
const sets = fc.array(fc.record({ truths: fc.array(rectangle, { maxLength: 4 }), boxes: fc.array(rectangle, { maxLength: 5 }), ignored: fc.array(rectangle, { maxLength: 1 }) }), {
  minLength: 1,
  maxLength: 4,
});
// Scores are all different, so that no order is left to chance.
const images = (list: readonly { truths: Rectangle[]; boxes: Rectangle[]; ignored: Rectangle[] }[], seed: number): ApImage[] => {
  let at = 0;
  return list.map(({ truths, boxes, ignored }) => ({ truths, ignored, regions: [], detections: boxes.map(box => ({ ...box, score: ((++at * 7919 + seed) % 10007) / 10007 })) }));
};

/** Another way to the same figure: for every cut of the score, match from scratch; then take precision as the best at this recall or beyond, level by level of recall. */
function bruteForce(list: readonly ApImage[], overlap: number, plus: 0 | 1, mode: 'SAMPLE' | 'INTEGRATE'): number {
  const share = (a: Rectangle, b: Rectangle) => {
    const w = Math.min(a.x2, b.x2) - Math.max(a.x1, b.x1) + plus;
    const h = Math.min(a.y2, b.y2) - Math.max(a.y1, b.y1) + plus;
    const size = (r: Rectangle) => (r.x2 - r.x1 + plus) * (r.y2 - r.y1 + plus);
    return w <= 0 || h <= 0 ? 0 : (w * h) / (size(a) + size(b) - w * h);
  };
  const scores = list.flatMap(image => image.detections.map(box => box.score)).sort((a, b) => b - a);
  const total = list.reduce((sum, image) => sum + image.truths.length, 0);
  const points = scores.map(cut => {
    let [right, wrong] = [0, 0];
    for (const image of list) {
      const taken = new Map<Rectangle, boolean>();
      for (const box of [...image.detections].sort((a, b) => b.score - a.score).filter(each => each.score >= cut)) {
        const best = image.truths.reduce<Rectangle | undefined>((top, truth) => (share(box, truth) > (top ? share(box, top) : 0) ? truth : top), undefined);
        if (best && share(box, best) >= overlap && !taken.get(best)) {
          taken.set(best, true);
          right++;
        } else if (!image.ignored.some(other => share(box, other) >= overlap)) wrong++;
      }
    }
    return { recall: right / total, precision: right + wrong === 0 ? 0 : right / (right + wrong) };
  });
  const best = (recall: number) => Math.max(0, ...points.filter(point => point.recall >= recall - 1e-12).map(point => point.precision));
  const levels = mode === 'SAMPLE' ? Array.from({ length: 11 }, (_, i) => i / 10) : Array.from({ length: total }, (_, i) => (i + 1) / total);
  return levels.reduce((sum, level) => sum + best(level), 0) / levels.length;
}

describe('average precision', () => {
  test.each([
    ['INTEGRATE', 'inclusive', 1],
    ['SAMPLE', 'inclusive', 1],
    ['INTEGRATE', 'continuous', 0],
    ['SAMPLE', 'continuous', 0],
  ] as const)('%s, %s equals brute force', (mode, pixels, plus) => {
    fc.assert(
      fc.property(sets, fc.integer({ min: 1, max: 9999 }), fc.constantFrom(0.3, 0.5, 0.7), (list, seed, minimumOverlap) => {
        const given = images(list, seed);
        const { value, truths } = averagePrecision(given, { minimumOverlap, mode, pixels });
        if (truths === 0) expect(value).toBeUndefined();
        else expect(value).toBeCloseTo(bruteForce(given, minimumOverlap, plus, mode), 10);
      }),
      { numRuns: 150 },
    );
  });

  const truth = { x1: 0, y1: 0, x2: 10, y2: 10 };
  const options = { minimumOverlap: 0.5, mode: 'INTEGRATE', pixels: 'continuous' } as const;

  test('a second box on the same truth is false, one on an ignored box or in a region is dropped', () => {
    const elsewhere = { x1: 50, y1: 50, x2: 60, y2: 60 };
    const image: ApImage = {
      truths: [truth],
      ignored: [elsewhere],
      regions: [{ x1: 100, y1: 100, x2: 300, y2: 300 }],
      detections: [
        { ...truth, score: 0.9 },
        { ...truth, x1: 1, score: 0.8 },
        { ...elsewhere, score: 0.7 },
        { x1: 120, y1: 120, x2: 130, y2: 130, score: 0.6 },
      ],
    };
    expect(averagePrecision([image], options)).toMatchObject({ value: 1, truePositives: 1, falsePositives: 1, ignored: 2 });
  });

  test('one pixel more on every side decides a small box', () => {
    // 4×4 against a neighbour shifted by 2: plain 8/24 = .33, inclusive 15/35 = .43.
    const small = { x1: 0, y1: 0, x2: 4, y2: 4 };
    const image: ApImage = { truths: [small], ignored: [], regions: [], detections: [{ ...small, x1: 2, x2: 6, score: 1 }] };
    expect(averagePrecision([image], { ...options, minimumOverlap: 0.4 }).value).toBe(0);
    expect(averagePrecision([image], { ...options, minimumOverlap: 0.4, pixels: 'inclusive' }).value).toBe(1);
  });

  test('the eleven points, by hand', () => {
    // Two truths; right, wrong, right: precision 1 up to recall .5, then 2/3: (6·1 + 5·2/3)/11.
    const other = { x1: 100, y1: 0, x2: 110, y2: 10 };
    const image: ApImage = {
      truths: [truth, other],
      ignored: [],
      regions: [],
      detections: [
        { ...truth, score: 0.9 },
        { x1: 40, y1: 40, x2: 50, y2: 50, score: 0.8 },
        { ...other, score: 0.7 },
      ],
    };
    expect(averagePrecision([image], { ...options, mode: 'SAMPLE' }).value).toBeCloseTo((6 + 10 / 3) / 11, 12);
    expect(averagePrecision([image], options).value).toBeCloseTo(0.5 + 0.5 * (2 / 3), 12);
  });

  test('a score that is no number is an error, not a rank', () => {
    expect(() => averagePrecision([{ truths: [truth], ignored: [], regions: [], detections: [{ ...truth, score: Number.NaN }] }], options)).toThrow(/NaN/);
  });
});
