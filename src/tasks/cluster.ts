import type { ClusterClass } from './detectnet-settings.ts';

/** Candidate boxes of one class in one image, as parallel arrays; entries 0 … count−1 are valid. `score` is the coverage. */
export interface Candidates {
  readonly x1: Float64Array;
  readonly y1: Float64Array;
  readonly x2: Float64Array;
  readonly y2: Float64Array;
  readonly score: Float64Array;
  count: number;
}
export interface Cluster {
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
  readonly score: number;
}

export const emptyCandidates = (capacity: number): Candidates => ({
  x1: new Float64Array(capacity),
  y1: new Float64Array(capacity),
  x2: new Float64Array(capacity),
  y2: new Float64Array(capacity),
  score: new Float64Array(capacity),
  count: 0,
});

/** Boxes as candidates, in their order. */
export function candidatesOf(boxes: readonly Cluster[]): Candidates {
  const candidates = emptyCandidates(boxes.length);
  boxes.forEach((box, i) => {
    candidates.x1[i] = box.x1;
    candidates.y1[i] = box.y1;
    candidates.x2[i] = box.x2;
    candidates.y2[i] = box.y2;
    candidates.score[i] = box.score;
  });
  candidates.count = boxes.length;
  return candidates;
}

/** IoU of candidates i and j, with DetectNet_v2's 1e-5 in the union (so a box without area is not even near itself). */
function overlap({ x1, y1, x2, y2 }: Candidates, i: number, j: number): number {
  const width = Math.min(x2[i]!, x2[j]!) - Math.max(x1[i]!, x1[j]!);
  const height = Math.min(y2[i]!, y2[j]!) - Math.max(y1[i]!, y1[j]!);
  if (width <= 0 || height <= 0) return 0;
  const both = width * height;
  return both / ((x2[i]! - x1[i]!) * (y2[i]! - y1[i]!) + (x2[j]! - x1[j]!) * (y2[j]! - y1[j]!) - both + 1e-5);
}

/**
 * Cluster number per candidate, −1 for noise: DBSCAN on distance 1 − IoU with weights `score`, as sklearn's (a point is core when the weights within eps,
 * its own included, reach minSamples; a border point belongs to the first cluster that reaches it). O(n²) time at worst, O(n) memory.
 */
export function dbscan(candidates: Candidates, eps: number, minSamples: number): Int32Array {
  const n = candidates.count;
  const { x1, x2, score } = candidates;
  const labels = new Int32Array(n).fill(-1);
  const byLeft = Int32Array.from({ length: n }, (_, i) => i).sort((a, b) => x1[a]! - x1[b]!);
  // Boxes that do not touch are at distance 1: below that eps, a sweep over the left edges need not look at them.
  const all = eps >= 1;
  const near = (i: number, j: number) => 1 - overlap(candidates, i, j) <= eps;
  const mass = new Float64Array(n);
  for (let a = 0; a < n; a++) {
    const i = byLeft[a]!;
    if (near(i, i)) mass[i]! += score[i]!;
    for (let b = a + 1; b < n; b++) {
      const j = byLeft[b]!;
      if (!all && x1[j]! >= x2[i]!) break;
      if (!near(i, j)) continue;
      mass[i]! += score[j]!;
      mass[j]! += score[i]!;
    }
  }
  let open = byLeft;
  let cluster = 0;
  for (let seed = 0; seed < n; seed++) {
    if (labels[seed] !== -1 || mass[seed]! < minSamples) continue;
    labels[seed] = cluster;
    const stack = [seed];
    for (let i = stack.pop(); i !== undefined; i = stack.pop()) {
      if (mass[i]! < minSamples) continue;
      for (const j of open) {
        if (!all && x1[j]! >= x2[i]!) break;
        if (labels[j] !== -1 || !near(i, j)) continue;
        labels[j] = cluster;
        stack.push(j);
      }
    }
    cluster++;
    open = open.filter(i => labels[i] === -1);
  }
  return labels;
}

/** Score-weighted mean box and summed score of every cluster (not capped at 1, as DetectNet_v2). */
export function meanOfClusters(candidates: Candidates, labels: Int32Array): Cluster[] {
  const sums: { x1: number; y1: number; x2: number; y2: number; score: number }[] = [];
  for (let i = 0; i < candidates.count; i++) {
    const label = labels[i]!;
    if (label < 0) continue;
    const weight = candidates.score[i]!;
    sums[label] ??= { x1: 0, y1: 0, x2: 0, y2: 0, score: 0 };
    const sum = sums[label];
    sum.x1 += weight * candidates.x1[i]!;
    sum.y1 += weight * candidates.y1[i]!;
    sum.x2 += weight * candidates.x2[i]!;
    sum.y2 += weight * candidates.y2[i]!;
    sum.score += weight;
  }
  return sums.filter(sum => sum.score > 0).map(({ x1, y1, x2, y2, score }) => ({ x1: x1 / score, y1: y1 / score, x2: x2 / score, y2: y2 / score, score }));
}

/** Greedy non-maximum suppression: highest score first; a box goes when its IoU with a kept one exceeds the threshold. Indices kept, best first; ties keep their order. */
export function nonMaximum(candidates: Candidates, iouThreshold: number): number[] {
  const order = Array.from({ length: candidates.count }, (_, i) => i).sort((a, b) => candidates.score[b]! - candidates.score[a]!);
  const kept: number[] = [];
  for (const i of order) if (kept.every(j => overlap(candidates, i, j) <= iouThreshold)) kept.push(i);
  return kept;
}

const suppress = (candidates: Candidates, { nmsIouThreshold, nmsConfidenceThreshold }: ClusterClass): Cluster[] =>
  nonMaximum(candidates, nmsIouThreshold)
    .map(i => ({ x1: candidates.x1[i]!, y1: candidates.y1[i]!, x2: candidates.x2[i]!, y2: candidates.y2[i]!, score: candidates.score[i]! }))
    .filter(box => box.score >= nmsConfidenceThreshold);

/** Candidates (all above the coverage threshold) to boxes, best first, by the class's algorithm: DBSCAN, NMS, or HYBRID (DBSCAN, then NMS over its boxes). */
export function cluster(candidates: Candidates, settings: ClusterClass): Cluster[] {
  const { clusteringAlgorithm, dbscanEps, dbscanMinSamples, dbscanConfidenceThreshold, minimumBoundingBoxHeight } = settings;
  const grouped = (): Cluster[] => meanOfClusters(candidates, dbscan(candidates, dbscanEps, dbscanMinSamples)).filter(box => box.score >= dbscanConfidenceThreshold);
  const boxes = clusteringAlgorithm === 'NMS' ? suppress(candidates, settings) : clusteringAlgorithm === 'DBSCAN' ? grouped() : suppress(candidatesOf(grouped()), settings);
  return boxes.filter(box => box.y2 - box.y1 > minimumBoundingBoxHeight).sort((a, b) => b.score - a.score);
}
