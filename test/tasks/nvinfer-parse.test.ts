import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseIni } from '../../src/formats/ini.ts';
import { readNvinfer } from '../../src/formats/nvinfer-read.ts';
import { f32 } from '../../src/graph/ir.ts';
import { iou } from '../../src/tasks/average-precision.ts';
import { groupNvinfer } from '../../src/tasks/nvinfer-cluster.ts';
import { parseNvinfer } from '../../src/tasks/nvinfer-parse.ts';
import type { ScoredBox } from '../../src/tasks/task.ts';

const detector = (property: string, attributes = '') => readNvinfer(parseIni(`[property]\nnum-detected-classes=2\n${property}\n[class-attrs-all]\n${attributes}`), '6.3');
const box = (x1: number, y1: number, x2: number, y2: number, score: number, classIndex = 0): ScoredBox => ({ classIndex, x1, y1, x2, y2, score });
const heap = [box(10, 10, 50, 50, 0.9), box(12, 11, 52, 49, 0.6), box(9, 12, 49, 52, 0.5), box(100, 100, 140, 140, 0.7)];

describe('the parser', () => {
  // 32 × 32 input, stride 16; the cell at column 1, row 0 of class 1.
  const coverage = new Float32Array(2 * 4);
  const boxes = new Float32Array(8 * 4);
  coverage[4 + 1] = 0.8;
  [5, 4, 10, 9].forEach((pixels, side) => {
    boxes[16 + side * 4 + 1] = pixels / 35;
  });
  const outputs = new Map([
    ['output_bbox', f32([1, 8, 2, 2], boxes)],
    ['output_cov', f32([1, 2, 2, 2], coverage)],
  ]);
  const parse = (property: string, attributes = '') => parseNvinfer(outputs, detector(property, attributes), { width: 32, height: 32 })[0];

  test('puts a cell’s box about (stride · i + 0.5), 35 pixels a unit, cut at W − 1', () => {
    const answer = parse('cluster-mode=2', 'pre-cluster-threshold=0.2');
    expect(answer).toMatchObject({ kind: 'boxes', boxes: [{ classIndex: 1, y1: 0 }] });
    const [found] = answer?.kind === 'boxes' ? answer.boxes : [];
    expect([found?.x1, found?.x2, found?.y2].map(value => value?.toFixed(3))).toEqual(['11.500', '26.500', '9.500']);
    expect(found?.score).toBeCloseTo(0.8, 6);
  });
  test('a class beyond num-detected-classes is not read; a threshold of its own group counts', () => {
    expect(parse('num-detected-classes=1\ncluster-mode=2')).toEqual({ kind: 'boxes', boxes: [] });
    expect(parse('cluster-mode=2', 'pre-cluster-threshold=0.1\n[class-attrs-1]\npre-cluster-threshold=0.9')).toEqual({ kind: 'boxes', boxes: [] });
  });
  test('finds its layers by name only', () => {
    expect(() => parseNvinfer(new Map([['boxes', f32([1, 8, 2, 2], boxes)]]), detector(''), { width: 32, height: 32 })).toThrow(/Could not find output coverage layer/);
  });
  test('a classifier answers where the best class is above its threshold', () => {
    const scores = new Map([['predictions', f32([2, 3], [0.2, 0.7, 0.1, 0.4, 0.3, 0.3])]]);
    const read = readNvinfer(parseIni('[property]\nnetwork-type=1\nclassifier-threshold=0.5\n'), '6.3');
    expect(parseNvinfer(scores, read, { width: 8, height: 8 }).map(answer => (answer.kind === 'classes' ? answer.classes.map(each => each.classIndex) : undefined))).toEqual([
      [1],
      [],
    ]);
  });
});

describe('grouping', () => {
  const group = (property: string, attributes: string) => groupNvinfer(heap, detector(property, attributes));
  test('NMS keeps the best of a heap; topk the best of a class', () => {
    expect(group('cluster-mode=2', 'nms-iou-threshold=0.5')).toEqual([heap[0], heap[3]]);
    expect(group('cluster-mode=2', 'nms-iou-threshold=0.5\ntopk=1')).toEqual([heap[0]]);
    expect(group('cluster-mode=2', 'nms-iou-threshold=0.5\npost-cluster-threshold=0.8')).toEqual([heap[0]]);
  });
  test('DBSCAN counts boxes, means them by score and keeps the best score', () => {
    const [only, ...more] = group('cluster-mode=1', 'eps=0.3\nminBoxes=3');
    expect(more).toEqual([]);
    expect(only?.score).toBe(0.9);
    expect(only?.x1).toBeCloseTo((0.9 * 10 + 0.6 * 12 + 0.5 * 9) / 2, 9);
    expect(group('cluster-mode=1', 'eps=0.3\nminBoxes=3\ndbscan-min-score=2.5')).toEqual([]);
  });
  test('hybrid: members of clusters, then NMS; none: all of them', () => {
    expect(group('cluster-mode=3', 'eps=0.3\nminBoxes=3\nnms-iou-threshold=0.5')).toEqual([heap[0]]);
    expect(group('cluster-mode=4', '')).toHaveLength(4);
  });
  test('rectangles: OpenCV’s grouping where nvinfer has it (5.x), NMS of 0.5 after', () => {
    const read = (version: '5.1' | '6.3') => readNvinfer(parseIni('[property]\nnum-detected-classes=1\ncluster-mode=0\n[class-attrs-all]\ngroup-threshold=1\neps=0.3'), version);
    expect(groupNvinfer(heap, read('5.1'))).toEqual([box(10, 11, 50, 50, -0.1)]);
    expect(groupNvinfer(heap, read('6.3'))).toEqual([heap[0], heap[3]]);
  });
  test('after NMS no two boxes of a class overlap by more than it allows', () => {
    const any = fc
      .tuple(
        fc.integer({ min: 0, max: 60 }),
        fc.integer({ min: 0, max: 60 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 40 }),
        fc.double({ min: 0.21, max: 1, noNaN: true }),
      )
      .map(([x, y, w, h, score]) => box(x, y, x + w, y + h, score));
    fc.assert(
      fc.property(fc.array(any, { maxLength: 30 }), boxes => {
        const kept = groupNvinfer(boxes, detector('cluster-mode=2', 'nms-iou-threshold=0.4'));
        for (const [i, a] of kept.entries()) for (const b of kept.slice(i + 1)) expect(iou(a, b)).toBeLessThanOrEqual(0.4);
        for (const lost of boxes.filter(each => !kept.includes(each))) expect(kept.some(each => each.score >= lost.score && iou(each, lost) > 0.4)).toBe(true);
      }),
    );
  });
});

test('what only a real nvinfer can do is refused', () => {
  for (const line of ['parse-bbox-func-name=f', 'mean-file=m.ppm', 'network-input-order=1', 'network-type=2'])
    expect(() => detector(line)).toThrow(expect.objectContaining({ code: 'format-unsupported' }));
});
