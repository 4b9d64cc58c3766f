import { iou } from './average-precision.ts';

/** One thing that a stage says of a frame: a label, its box in pixels of the frame (a classifier's answer has none) and its score where the stage gives one. */
export interface Seen {
  readonly label: string;
  readonly box?: { readonly x1: number; readonly y1: number; readonly x2: number; readonly y2: number };
  readonly score?: number;
}
/** When two answers count as the same. `floor`: a box whose score is no further above it than `score` may come or go; `share`: so much of all answers may differ. */
export interface Tolerance {
  readonly iou: number;
  readonly score: number;
  readonly floor: number;
  readonly share: number;
}
export interface FrameMatch {
  /** Answers before and after, over all frames. */
  readonly before: number;
  readonly after: number;
  readonly equal: number;
  readonly relabelled: number;
  readonly rescored: number;
  readonly lost: number;
  readonly added: number;
  /** Came or went near the threshold: within tolerance. */
  readonly borderline: number;
  /** Of paired answers: mean overlap and mean change of the score (after − before). */
  readonly meanIou: number;
  readonly scoreShift: number;
  /** (relabelled + rescored + lost + added) of all answers. */
  readonly changed: number;
  readonly same: boolean;
}

interface Pair {
  readonly a: Seen;
  readonly b: Seen;
  readonly overlap: number;
}

const overlapOf = (a: Seen, b: Seen): number => (a.box && b.box ? iou(a.box, b.box) : a.box || b.box ? 0 : 1);

/** Pairs the answers of one frame, best overlap first, those of the same label before others; what is left is lost or added. */
function paired(before: readonly Seen[], after: readonly Seen[], least: number) {
  const all = before.flatMap(a => after.map((b): Pair => ({ a, b, overlap: overlapOf(a, b) }))).filter(({ overlap }) => overlap >= least);
  const order = all.toSorted((p, q) => Number(q.a.label === q.b.label) - Number(p.a.label === p.b.label) || q.overlap - p.overlap);
  const [usedBefore, usedAfter] = [new Set<Seen>(), new Set<Seen>()];
  const pairs = order.filter(({ a, b }) => {
    if (usedBefore.has(a) || usedAfter.has(b)) return false;
    usedBefore.add(a);
    usedAfter.add(b);
    return true;
  });
  return { pairs, lost: before.filter(each => !usedBefore.has(each)), added: after.filter(each => !usedAfter.has(each)) };
}

/** What changed between two stages on the same frames. */
export function matchFrames(before: readonly (readonly Seen[])[], after: readonly (readonly Seen[])[], tolerance: Tolerance): FrameMatch {
  const frames = before.map((answers, i) => paired(answers, after[i] ?? [], tolerance.iou));
  const pairs = frames.flatMap(frame => frame.pairs);
  const weak = ({ score }: Seen) => score !== undefined && score <= tolerance.floor + tolerance.score;
  const gone = frames.flatMap(frame => frame.lost);
  const come = frames.flatMap(frame => frame.added);
  const shift = ({ a, b }: Pair) => (a.score === undefined || b.score === undefined ? 0 : b.score - a.score);
  const relabelled = pairs.filter(({ a, b }) => a.label !== b.label).length;
  const rescored = pairs.filter(pair => pair.a.label === pair.b.label && Math.abs(shift(pair)) > tolerance.score).length;
  const [lost, added] = [gone, come].map(answers => answers.filter(each => !weak(each)).length) as [number, number];
  const [countBefore, countAfter] = [before, after].map(answers => answers.reduce((sum, each) => sum + each.length, 0)) as [number, number];
  const wrong = relabelled + rescored + lost + added;
  const changed = wrong / Math.max(1, pairs.length + lost + added);
  const mean = (of: (pair: Pair) => number) => (pairs.length === 0 ? 0 : pairs.reduce((sum, pair) => sum + of(pair), 0) / pairs.length);
  return {
    before: countBefore,
    after: countAfter,
    equal: pairs.length - relabelled - rescored,
    relabelled,
    rescored,
    lost,
    added,
    borderline: gone.length + come.length - lost - added,
    meanIou: mean(({ overlap }) => overlap),
    scoreShift: mean(shift),
    changed,
    same: changed <= tolerance.share,
  };
}
