import type { ClusterMode, NvinferClass, NvinferReading } from '../formats/nvinfer-read.ts';
import { iou } from './average-precision.ts';
import type { ScoredBox } from './task.ts';

// Grouping as DeepStream's libraries do it, which is neither TLT's DBSCAN (coverages add up there; here boxes are counted) nor its NMS.

/** Boxes over a cluster's number of members + 1 in the square root of their area are dropped (ATHR_THRESHOLD). */
const mostPixelsPerBox = 60;
/** nvinfer gives grouped rectangles no confidence. */
const noScore = -0.1;

const byScore = (boxes: readonly ScoredBox[]): ScoredBox[] => boxes.toSorted((a, b) => b.score - a.score);
const best = (boxes: readonly ScoredBox[], topK: number): readonly ScoredBox[] => (topK < 0 ? boxes : byScore(boxes).slice(0, topK));

/** A frame's candidates to objects, class by class, by the config's cluster mode and the class's own settings. */
export const groupNvinfer = (candidates: readonly ScoredBox[], { cluster, classes }: Pick<NvinferReading, 'cluster' | 'classes'>): ScoredBox[] =>
  classes.flatMap((settings, classIndex) =>
    groupers[cluster](
      candidates.filter(box => box.classIndex === classIndex),
      settings,
    ),
  );

const groupers: Readonly<Record<ClusterMode, (boxes: readonly ScoredBox[], settings: NvinferClass) => readonly ScoredBox[]>> = {
  nms: suppressed,
  none: (boxes, { topK }) => best(boxes, topK),
  rectangles: (boxes, settings) => (settings.groupThreshold > 0 ? groupRectangles(boxes, settings) : boxes.map(box => ({ ...box, score: noScore }))),
  dbscan(boxes, settings) {
    const grouped = settings.minBoxes > 0 ? meanBoxes(boxes, settings) : boxes;
    return best(
      grouped.filter(({ score }) => score >= settings.postThreshold),
      settings.topK,
    );
  },
  // Members of clusters as they are: NMS chooses among them.
  hybrid(boxes, settings) {
    const labels = settings.minBoxes > 0 ? countingDbscan(boxes, settings) : undefined;
    return suppressed(labels ? boxes.filter((_, i) => labels[i] !== -1) : boxes, settings);
  },
};

function suppressed(boxes: readonly ScoredBox[], { nmsIou, postThreshold, topK }: NvinferClass): readonly ScoredBox[] {
  const kept: ScoredBox[] = [];
  for (const box of byScore(boxes)) if (kept.every(other => iou(box, other) <= nmsIou)) kept.push(box);
  return best(
    kept.filter(({ score }) => score > postThreshold),
    topK,
  );
}

/** Cluster per box, −1 for none: a box and its neighbours nearer than eps (1 − IoU) must count minBoxes; a border box joins no cluster. */
function countingDbscan(boxes: readonly ScoredBox[], { eps, minBoxes }: NvinferClass): number[] {
  const neighbours = boxes.map((a, i) => boxes.flatMap((b, j) => (i !== j && 1 - iou(a, b) < eps ? [j] : [])));
  const core = neighbours.map(near => near.length + 1 >= minBoxes);
  const labels = boxes.map(() => -1);
  const visited = boxes.map(() => false);
  let next = 0;
  for (const [seed] of boxes.entries()) {
    if (visited[seed]) continue;
    visited[seed] = true;
    if (!core[seed]) continue;
    labels[seed] = next;
    const reach = new Set(neighbours[seed]);
    // The set grows while it is walked: its order is that in which members were found.
    for (const i of reach) {
      if (visited[i]) continue;
      visited[i] = true;
      if (!core[i]) continue;
      labels[i] = next;
      for (const j of neighbours[i] ?? []) reach.add(j);
    }
    next++;
  }
  return labels;
}

/** Each cluster's mean box, weighted by confidence, with its best confidence; too few boxes for its size, or too little confidence in all, and it is dropped. */
function meanBoxes(boxes: readonly ScoredBox[], settings: NvinferClass): ScoredBox[] {
  const labels = countingDbscan(boxes, settings);
  const clusters = Map.groupBy(
    boxes.filter((_, i) => labels[i] !== -1),
    box => labels[boxes.indexOf(box)],
  );
  return [...clusters.values()].flatMap(members => {
    const total = members.reduce((sum, { score }) => sum + score, 0);
    const mean = (of: (box: ScoredBox) => number) => members.reduce((sum, box) => sum + box.score * of(box), 0) / total;
    const box = { classIndex: members[0]!.classIndex, x1: mean(b => b.x1), y1: mean(b => b.y1), x2: mean(b => b.x2), y2: mean(b => b.y2) };
    const size = Math.sqrt((box.x2 - box.x1) * (box.y2 - box.y1));
    return total < settings.minScore || size / (members.length + 1) > mostPixelsPerBox ? [] : [{ ...box, score: Math.max(...members.map(({ score }) => score)) }];
  });
}

interface Rect {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}
/** OpenCV's cv::groupRectangles on whole pixels: alike boxes (corners within eps of their mean size) become their mean where there are more than groupThreshold of them; small groups inside larger ones go. */
function groupRectangles(boxes: readonly ScoredBox[], { groupThreshold, eps }: NvinferClass): ScoredBox[] {
  const rects = boxes.map(({ x1, y1, x2, y2 }): Rect => ({ x: Math.trunc(x1), y: Math.trunc(y1), w: Math.trunc(x2 - x1), h: Math.trunc(y2 - y1) }));
  const groups = partition(rects, (a, b) => {
    const delta = eps * (Math.min(a.w, b.w) + Math.min(a.h, b.h)) * 0.5;
    return [a.x - b.x, a.y - b.y, a.x + a.w - b.x - b.w, a.y + a.h - b.y - b.h].every(difference => Math.abs(difference) <= delta);
  }).map(members => {
    const mean = (of: (rect: Rect) => number) => Math.round(members.reduce((sum, rect) => sum + of(rect), 0) / members.length);
    return { rect: { x: mean(r => r.x), y: mean(r => r.y), w: mean(r => r.w), h: mean(r => r.h) }, count: members.length };
  });
  const inside = (a: Rect, b: Rect) => {
    const [dx, dy] = [Math.round(b.w * eps), Math.round(b.h * eps)];
    return a.x >= b.x - dx && a.y >= b.y - dy && a.x + a.w <= b.x + b.w + dx && a.y + a.h <= b.y + b.h + dy;
  };
  const large = groups.filter(({ count }) => count > groupThreshold);
  return large
    .filter(a => !large.some(b => a !== b && inside(a.rect, b.rect) && (b.count > Math.max(3, a.count) || a.count < 3)))
    .map(({ rect: { x, y, w, h } }) => ({ classIndex: boxes[0]!.classIndex, x1: x, y1: y, x2: x + w, y2: y + h, score: noScore }));
}

/** The parts into which a symmetric relation falls, by first member. */
function partition<T>(items: readonly T[], alike: (a: T, b: T) => boolean): T[][] {
  const part = items.map((_, i) => i);
  items.forEach((a, i) => {
    for (let j = 0; j < i; j++) {
      const [mine, other] = [part[i], part[j]] as [number, number];
      if (mine !== other && alike(a, items[j]!)) for (let k = 0; k <= i; k++) if (part[k] === Math.max(mine, other)) part[k] = Math.min(mine, other);
    }
  });
  return [...Map.groupBy(items, item => part[items.indexOf(item)]).values()];
}
