import { describe, expect, test } from 'vitest';
import { openReference, openSession, type Session } from '../../src/compute/session.ts';
import { writeOnnx } from '../../src/formats/onnx.ts';
import { Builder } from '../../src/graph/builder.ts';
import { f32, type Graph, type Tensor } from '../../src/graph/ir.ts';
import { reweighted } from '../../src/tasks/auto-weight.ts';
import { meanBoxBaseline, predictAll } from '../../src/tasks/baselines.ts';
import { openDetectnet } from '../../src/tasks/detectnet.ts';
import { targetNames } from '../../src/tasks/detectnet-loss.ts';
import type { DetectnetInput } from '../../src/tasks/detectnet-settings.ts';
import type { Annotation, Box, Prediction, ScoredBox, Task } from '../../src/tasks/task.ts';

const [width, height] = [96, 64];
const labels = ['car', 'person'];
const open = (more: Partial<DetectnetInput> = {}) => openDetectnet({ labels, width, height, ...more });
const box = (classIndex: number, x1: number, y1: number, x2: number, y2: number): Box => ({ classIndex, x1, y1, x2, y2 });
const boxes = (...list: Box[]): Annotation => ({ kind: 'boxes', boxes: list, ignored: [] });
const scored = (...list: [Box, number][]): Prediction => ({ kind: 'boxes', boxes: list.map(([each, score]): ScoredBox => ({ ...each, score })) });

const openOnnxruntime = async (graph: Graph): Promise<Session> => openSession(writeOnnx(graph), { threads: 1 });

/** The task's loss alone, on given outputs, in onnxruntime or in the float64 reference. */
async function lossOf(task: Task, coverage: Tensor, boxPlanes: Tensor, annotations: readonly Annotation[], open = openOnnxruntime): Promise<Record<string, number>> {
  const builder = new Builder('loss');
  const outputs = (
    [
      ['output_bbox', boxPlanes],
      ['output_cov', coverage],
    ] as const
  ).map(([name, { dims }]) => ({ name: builder.input(name, 'float32', dims), type: { dataType: 'float32' as const, dims } }));
  for (const [name, { dataType, dims }] of Object.entries(task.targets(annotations.length))) builder.input(name, dataType, dims);
  const weights = task.lossWeights();
  for (const [name, { dataType, dims }] of weights) builder.input(name, dataType, dims);
  const { total, parts } = task.loss(builder, outputs);
  for (const name of [total, ...Object.values(parts)]) builder.output(name, 'float32', []);
  const session = await open(builder.graph());
  const results = await session.run(new Map([...task.encode(annotations), ...weights, ['output_bbox', boxPlanes], ['output_cov', coverage]]));
  await session.close();
  const value = (name: string) => Number(results.get(name)!.data[0]);
  return { total: value(total), ...Object.fromEntries(Object.entries(parts).map(([part, name]) => [part, value(name)])) };
}

describe('DetectNet_v2 loss', () => {
  const truth = [boxes(box(0, 10, 6, 80, 60), box(1, 40, 8, 60, 58)), boxes(box(1, 2, 2, 30, 50))];
  const cells = (width / 16) * (height / 16);
  const noise = (n: number, scale: number) => Float32Array.from({ length: n }, (_, i) => scale * (0.5 + 0.5 * Math.sin(i * 12.9898)));

  test('is the plain sum of TLT, in float64', async () => {
    const task = open({ cost: { classes: { car: { classWeight: 4, coverageForegroundWeight: 0.1 } } } });
    const p = noise(2 * 2 * cells, 1);
    const q = noise(2 * 8 * cells, 2);
    const targets = task.encode(truth);
    const t = targets.get(targetNames.coverage)!.data as Float32Array;
    const wanted = targets.get(targetNames.boxes)!.data as Float32Array;
    const norm = targets.get(targetNames.boxWeight)!.data as Float32Array;
    const parts: Record<string, number> = {};
    labels.forEach((label, c) => {
      const foreground = c === 0 ? 0.1 : 0.05;
      let [entropy, distance] = [0, 0];
      for (let n = 0; n < 2; n++)
        for (let i = 0; i < cells; i++) {
          const at = (n * 2 + c) * cells + i;
          const [x, y] = [p[at]!, t[at]!];
          entropy -= (y > 0.5 ? foreground : 1 - foreground) * (y * Math.log(x + 1e-5) + (1 - y) * Math.log(1 - x + 1e-5));
          for (let k = 0; k < 4; k++) {
            const side = ((n * 2 + c) * 4 + k) * cells + i;
            distance += Math.abs(wanted[side]! - q[side]!) * norm[side]!;
          }
        }
      parts[`${label}/cov`] = entropy / (2 * cells);
      parts[`${label}/bbox`] = distance / (2 * 4 * cells);
    });
    const total = 0.8 * (parts['car/cov']! / 11 + (10 / 11) * parts['car/bbox']!) + 0.2 * (parts['person/cov']! / 11 + (10 / 11) * parts['person/bbox']!);
    const found = await lossOf(task, f32([2, 2, 4, 6], p), f32([2, 8, 4, 6], q), truth);
    const exact = await lossOf(task, f32([2, 2, 4, 6], p), f32([2, 8, 4, 6], q), truth, async graph => openReference(graph));
    for (const [name, value] of Object.entries({ ...parts, total })) {
      expect(found[name], name).toBeCloseTo(value, 5);
      // The weights and constants of the graph are float32 numbers, so no more than 7 digits agree with the plain sum.
      expect(exact[name], name).toBeCloseTo(value, 6);
    }
  });

  test('is finite where the sigmoid is exactly 0 or 1', async () => {
    const found = await lossOf(
      open(),
      f32(
        [2, 2, 4, 6],
        Float32Array.from({ length: 4 * cells }, (_, i) => i % 2),
      ),
      f32([2, 8, 4, 6], new Float32Array(16 * cells)),
      truth,
    );
    for (const value of Object.values(found)) expect(Number.isFinite(value)).toBe(true);
  });

  test('cells in an ignored box can be left out, but not those with an object', () => {
    const annotation: Annotation = { kind: 'boxes', boxes: [box(0, 10, 6, 80, 60)], ignored: [{ x1: 0, y1: 0, x2: 96, y2: 32 }] };
    const weights = open({ labels: ['car'], cost: { ignoredMultiplier: 0 } }).encode([annotation]);
    const coverage = weights.get(targetNames.coverage)!.data;
    const weight = weights.get(targetNames.coverageWeight)!.data;
    for (let cell = 0; cell < cells; cell++) expect(weight[cell] === 0).toBe(cell < 12 && coverage[cell] === 0);
  });

  test('two batches encoded ahead do not share memory', () => {
    const task = open();
    const first = task.encode([truth[0]!]);
    const before = Float32Array.from(first.get(targetNames.boxes)!.data as Float32Array);
    task.encode([truth[1]!]);
    expect(first.get(targetNames.boxes)!.data).toEqual(before);
  });
});

describe('auto-weighting', () => {
  test('moves by target over cost, to sum 1, inside its limits', () => {
    expect(reweighted({ cov: 0.5, bbox: 0.5 }, { cov: 1, bbox: 10 }, { cov: 2, bbox: 5 }, 0.0001, 0.9999)).toEqual({ cov: 0.2, bbox: 0.8 });
    expect(reweighted({ cov: 0.5, bbox: 0.5 }, { cov: 1, bbox: 10 }, { cov: 1000, bbox: 1e-5 }, 0.01, 0.98)).toEqual({ cov: 0.01, bbox: 0.98 });
    expect(reweighted({ cov: 0.3, bbox: 0.7 }, { cov: 1, bbox: 10 }, { cov: 0, bbox: 5 }, 0, 1)).toEqual({ cov: 0.3, bbox: 0.7 });
  });

  const read = (task: Task) => Object.fromEntries([...task.lossWeights()].map(([name, tensor]) => [name, Number(tensor.data[0])]));
  const sums = { 'car/cov': 2, 'car/bbox': 5, 'person/cov': 1, 'person/bbox': 1 };

  test('starts at the normalised initial weights times the class share, and moves at the end of an epoch', () => {
    const task = open();
    expect(read(task)['loss_weight:car/cov']).toBeCloseTo(0.5 / 11, 6);
    task.endEpoch(sums, 10);
    expect(read(task)['loss_weight:car/cov']).toBeCloseTo(0.5 * 0.2, 6);
    expect(read(task)['loss_weight:car/bbox']).toBeCloseTo(0.5 * 0.8, 6);
  });

  test('stands still when disabled, and comes back from a checkpoint', () => {
    const fixed = open({ cost: { enableAutoweighting: false } });
    const before = read(fixed);
    fixed.endEpoch(sums, 10);
    expect(read(fixed)).toEqual(before);
    const trained = open();
    trained.endEpoch(sums, 10);
    const resumed = open();
    resumed.restore(JSON.parse(JSON.stringify(trained.state())));
    expect(read(resumed)).toEqual(read(trained));
    expect(() => resumed.restore({ weights: { car: { cov: 1, bbox: 0 } } })).toThrow(/checkpoint/);
  });
});

describe('DetectNet_v2 score', () => {
  const truth = [boxes(box(0, 0, 0, 40, 40), box(1, 50, 0, 70, 40))];

  test('is 1 for the truth itself, with n and decisions', () => {
    const score = open().score([scored([box(0, 0, 0, 40, 40), 0.9], [box(1, 50, 0, 70, 40), 0.8])], truth);
    expect(score).toMatchObject({ metric: 'mAP@0.5', value: 1, n: 1, decisions: 2 });
  });

  test('a class without truth counts 0 as in TLT, or stays out; either way it is named', () => {
    const only = [boxes(box(0, 0, 0, 40, 40))];
    const found = [scored([box(0, 0, 0, 40, 40), 0.9])];
    expect(open().score(found, only)).toMatchObject({ value: 0.5, detail: { withoutTruth: { labels: ['person'] } } });
    expect(open({ evaluation: { withoutTruth: 'skip' } }).score(found, only)).toMatchObject({ value: 1, detail: { withoutTruth: { labels: ['person'] } } });
  });

  test('boxes under the evaluation size neither count nor punish', () => {
    const task = open({ evaluation: { boxes: { person: { minimumHeight: 16, minimumWidth: 8 } } } });
    const small = box(1, 80, 0, 86, 30);
    const score = task.score([scored([box(0, 0, 0, 40, 40), 0.9], [box(1, 50, 0, 70, 40), 0.8], [small, 0.95])], [boxes(box(0, 0, 0, 40, 40), box(1, 50, 0, 70, 40), small)]);
    expect(score).toMatchObject({ value: 1, decisions: 2 });
  });

  test('agreement counts the objects that both find or both miss, above the score only', () => {
    const truth = [boxes(box(0, 0, 0, 40, 40), box(1, 50, 0, 70, 40), box(0, 60, 0, 70, 9))];
    const a = [scored([box(0, 0, 0, 40, 40), 0.9], [box(1, 50, 0, 70, 40), 0.8], [box(0, 60, 0, 70, 9), 0.1])];
    const b = [scored([box(0, 1, 0, 40, 40), 0.7], [box(0, 50, 0, 70, 40), 0.8])];
    // The first both find; the second only a (b calls it another class); the third both miss.
    expect(open().agreement(a, b, truth)).toEqual({ equal: 2, n: 3 });
    expect(open().agreement(a, a, truth)).toEqual({ equal: 3, n: 3 });
  });

  test('the mean-box baseline says the mean box of every class on every image', () => {
    const baseline = meanBoxBaseline([boxes(box(0, 0, 0, 10, 10), box(0, 10, 10, 30, 30)), boxes()]);
    const predictions = predictAll(baseline, [undefined, undefined]);
    expect(predictions).toEqual([scored([box(0, 5, 5, 20, 20), 0.5]), scored([box(0, 5, 5, 20, 20), 0.5])]);
  });
});

describe('DetectNet_v2 settings', () => {
  test('say which field is wrong, and how to mend it', () => {
    expect(() => open({ width: 100 })).toThrow(expect.objectContaining({ code: 'spec-invalid', hint: expect.stringContaining('96 or 112') }));
    expect(() => open({ postprocessing: { Car: {} } })).toThrow(expect.objectContaining({ code: 'class-unmapped' }));
    expect(() => open({ cost: { classes: { car: { coverageForegroundWeight: 1 } } } })).toThrow(/coverageForegroundWeight/);
  });

  test('a network that gives no numbers is an error, in either output', () => {
    const planes = (cov: number, side: number) =>
      new Map([
        ['output_cov', f32([1, 2, 4, 6], new Float32Array(48).fill(cov))],
        ['output_bbox', f32([1, 8, 4, 6], new Float32Array(192).fill(side))],
      ]);
    expect(() => open().decode(planes(Number.NaN, 1))).toThrow(expect.objectContaining({ code: 'not-finite' }));
    expect(() => open().decode(planes(0.5, Number.NaN))).toThrow(expect.objectContaining({ code: 'not-finite' }));
    expect(open().decode(planes(0.5, Number.POSITIVE_INFINITY))).toHaveLength(1);
  });

  test('outputs of another size are refused with both shapes', () => {
    const outputs = new Map([
      ['output_cov', f32([1, 2, 4, 5], new Float32Array(40))],
      ['output_bbox', f32([1, 8, 4, 5], new Float32Array(160))],
    ]);
    expect(() => open().decode(outputs)).toThrow(expect.objectContaining({ code: 'shape-mismatch' }));
    expect(() => open().decode(new Map([['logits', f32([1], [0])]]))).toThrow(expect.objectContaining({ code: 'graph-invalid' }));
  });
});
