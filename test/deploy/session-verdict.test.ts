import { expect, test } from 'vitest';
import { trackOf } from '../../src/deploy/session-verdict.ts';

test('the track of an engine is bounded, lies within its rounds, and its means are those of the samples', () => {
  const samples = Array.from({ length: 4000 }, (_, i) => ({ atS: 100 + i / 4, mw: 5000 + i, gpuMHz: 900, temperaturesC: { gpu: 40 + i / 100, cpu: 30 } }));
  const windows = [
    { fromS: 200, toS: 400, images: 1 },
    { fromS: 600, toS: 800, images: 1 },
  ];
  const track = trackOf(windows, samples, 'gpu');
  expect(track).toHaveLength(120);
  for (const { atS, round } of track) {
    expect(atS).toBeGreaterThan(windows[round - 1]!.fromS - 100);
    expect(atS).toBeLessThan(windows[round - 1]!.toS - 100);
  }
  // Both quantities grow evenly: so do their means, by the middle of each part.
  for (const { atS, w, heatC, gpuMHz } of track) {
    expect(w).toBeCloseTo((5000 + 4 * atS) / 1000, 2);
    expect(heatC).toBeCloseTo(40 + (4 * atS) / 100, 1);
    expect(gpuMHz).toBe(900);
  }
});

test('a board that tells nothing has no track, one that tells power alone no clock', () => {
  const windows = [{ fromS: 0, toS: 10, images: 1 }];
  expect(trackOf(windows, [], undefined)).toEqual([]);
  expect(trackOf(windows, [{ atS: 1, temperaturesC: {} }], undefined)).toEqual([]);
  expect(trackOf(windows, [{ atS: 1, mw: 4000, temperaturesC: {} }], undefined)).toEqual([{ round: 1, atS: 4, w: 4 }]);
});
