import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Cluster, candidatesOf, cluster, dbscan, nonMaximum } from '../../src/tasks/cluster.ts';
import { clusterClassSchema } from '../../src/tasks/detectnet-settings.ts';

const anyBox = fc
  .tuple(
    fc.integer({ min: 0, max: 60 }),
    fc.integer({ min: 0, max: 60 }),
    fc.integer({ min: 0, max: 40 }),
    fc.integer({ min: 0, max: 40 }),
    fc.double({ min: 0.01, max: 1, noNaN: true }),
  )
  .map(([x1, y1, w, h, score]): Cluster => ({ x1, y1, x2: x1 + w, y2: y1 + h, score }));

/** The definition, by matrix: core points, their connected parts numbered by first member, border points to the lowest-numbered part in reach. */
function byDefinition(boxes: readonly Cluster[], eps: number, minSamples: number): number[] {
  const area = (b: Cluster) => (b.x2 - b.x1) * (b.y2 - b.y1);
  const near = boxes.map(a =>
    boxes.map(b => {
      const both = Math.max(0, Math.min(a.x2, b.x2) - Math.max(a.x1, b.x1)) * Math.max(0, Math.min(a.y2, b.y2) - Math.max(a.y1, b.y1));
      return 1 - both / (area(a) + area(b) - both + 1e-5) <= eps;
    }),
  );
  const core = boxes.map((_, i) => boxes.reduce((sum, other, j) => sum + (near[i]![j] ? other.score : 0), 0) >= minSamples);
  const part = boxes.map((_, i) => (core[i] ? i : -1));
  for (let changed = true; changed; ) {
    changed = false;
    for (let i = 0; i < boxes.length; i++)
      for (let j = 0; j < boxes.length; j++)
        if (core[i] && core[j] && near[i]![j] && part[j]! < part[i]!) {
          part[i] = part[j]!;
          changed = true;
        }
  }
  const roots = [...new Set(part.filter(root => root >= 0))].sort((a, b) => a - b);
  return boxes.map((_, i) => {
    if (core[i]) return roots.indexOf(part[i]!);
    const reach = boxes.flatMap((_other, j) => (core[j] && near[j]![i] ? [roots.indexOf(part[j]!)] : []));
    return reach.length === 0 ? -1 : Math.min(...reach);
  });
}

describe('DBSCAN', () => {
  test('gives the clusters of the definition', () => {
    fc.assert(
      fc.property(fc.array(anyBox, { maxLength: 25 }), fc.constantFrom(0.13, 0.3, 0.6, 0.9, 1), fc.constantFrom(0.05, 0.7, 1, 2), (boxes, eps, minSamples) => {
        const floor = byDefinition(boxes, eps, minSamples);
        const labels = [...dbscan(candidatesOf(boxes), eps, minSamples)];
        // Sums in another order may fall on the other side of minSamples by rounding; random doubles practically never do.
        expect(labels).toEqual(floor);
      }),
      { numRuns: 300 },
    );
  });

  test('honours a fraction as min_samples: a lone faint cell is a cluster at 0.05 and noise at 1', () => {
    const lone = candidatesOf([{ x1: 0, y1: 0, x2: 40, y2: 40, score: 0.2 }]);
    expect([...dbscan(lone, 0.3, 0.05)]).toEqual([0]);
    expect([...dbscan(lone, 0.3, 1)]).toEqual([-1]);
  });

  test('averages by coverage, sums the confidence past 1 and drops what is too low', () => {
    const boxes = [
      { x1: 0, y1: 0, x2: 100, y2: 100, score: 0.9 },
      { x1: 4, y1: 0, x2: 104, y2: 100, score: 0.3 },
      { x1: 200, y1: 0, x2: 230, y2: 20, score: 0.9 },
    ];
    const [first, ...others] = cluster(candidatesOf(boxes), clusterClassSchema.parse({ dbscanEps: 0.3 }));
    expect(others).toEqual([]);
    expect(first?.x1).toBeCloseTo(1, 9);
    expect(first?.x2).toBeCloseTo(101, 9);
    expect(first?.score).toBeCloseTo(1.2, 9);
  });

  test('stays quick where every cell of a 1920×1088 grid fires', () => {
    const boxes = Array.from({ length: 120 * 68 }, (_, i) => ({
      x1: (i % 120) * 16,
      y1: Math.floor(i / 120) * 16,
      x2: (i % 120) * 16 + 30,
      y2: Math.floor(i / 120) * 16 + 30,
      score: 0.01,
    }));
    const start = performance.now();
    dbscan(candidatesOf(boxes), 0.3, 0.05);
    expect(performance.now() - start).toBeLessThan(3000);
  });
});

describe('NMS and HYBRID', () => {
  test('nothing kept overlaps, everything dropped overlaps something better that was kept', () => {
    fc.assert(
      fc.property(fc.array(anyBox, { maxLength: 25 }), boxes => {
        const kept = nonMaximum(candidatesOf(boxes), 0.3);
        const overlap = (a: Cluster, b: Cluster) => {
          const both = Math.max(0, Math.min(a.x2, b.x2) - Math.max(a.x1, b.x1)) * Math.max(0, Math.min(a.y2, b.y2) - Math.max(a.y1, b.y1));
          return both / ((a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1) - both + 1e-5);
        };
        for (const i of kept) for (const j of kept) if (i !== j) expect(overlap(boxes[i]!, boxes[j]!)).toBeLessThanOrEqual(0.3);
        for (let i = 0; i < boxes.length; i++) if (!kept.includes(i)) expect(kept.some(j => overlap(boxes[i]!, boxes[j]!) > 0.3 && boxes[j]!.score >= boxes[i]!.score)).toBe(true);
      }),
      { numRuns: 100 },
    );
  });

  test('HYBRID suppresses among the clusters of DBSCAN', () => {
    const boxes = [
      { x1: 0, y1: 0, x2: 100, y2: 100, score: 0.9 },
      { x1: 0, y1: 0, x2: 60, y2: 100, score: 0.5 },
    ];
    const run = (clusteringAlgorithm: 'DBSCAN' | 'NMS' | 'HYBRID') => cluster(candidatesOf(boxes), clusterClassSchema.parse({ clusteringAlgorithm, dbscanEps: 0.1 })).length;
    expect([run('DBSCAN'), run('NMS'), run('HYBRID')]).toEqual([2, 1, 1]);
  });
});
