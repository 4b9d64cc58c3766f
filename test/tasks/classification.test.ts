import { describe, expect, test } from 'vitest';
import { openSession } from '../../src/compute/session.ts';
import { writeOnnx } from '../../src/formats/onnx.ts';
import { Builder } from '../../src/graph/builder.ts';
import { f32, int } from '../../src/graph/ir.ts';
import { openClassification } from '../../src/tasks/classification.ts';
import type { Annotation, Prediction } from '../../src/tasks/task.ts';

const labels = ['a', 'b', 'c'];
const is = (classIndex: number): Annotation => ({ kind: 'class', classIndex });
const says = (scores: number[]): Prediction => ({ kind: 'class', classIndex: scores.indexOf(Math.max(...scores)), scores: Float32Array.from(scores) });

async function lossOf(logits: readonly (readonly number[])[], truth: readonly Annotation[], labelSmoothing: number, withSoftmax: boolean): Promise<number> {
  const task = openClassification({ labels, labelSmoothing });
  const builder = new Builder();
  const dims = [logits.length, labels.length];
  const input = builder.input('logits', 'float32', dims);
  const output = withSoftmax
    ? builder.op('Softmax', [input], { axis: int(-1) }, { output: 'predictions' })
    : builder.op('Identity', [builder.op('Softmax', [input], { axis: int(-1) })], {}, { output: 'predictions' });
  for (const [name, type] of Object.entries(task.targets(truth.length))) builder.input(name, type.dataType, type.dims);
  const { total, parts } = task.loss(builder, [{ name: output, type: { dataType: 'float32', dims } }]);
  expect(Object.keys(parts)).toEqual(['cross_entropy']);
  builder.output(total, 'float32', []);
  const session = await openSession(writeOnnx(builder.graph()), { threads: 1 });
  const results = await session.run(new Map([...task.encode(truth), ['logits', f32(dims, logits.flat())]]));
  await session.close();
  return Number(results.get(total)!.data[0]);
}

const plain = (logits: readonly (readonly number[])[], truth: readonly number[], smoothing: number): number =>
  logits.reduce((sum, row, i) => {
    const top = Math.max(...row);
    const log = top + Math.log(row.reduce((each, value) => each + Math.exp(value - top), 0));
    return sum - row.reduce((each, value, k) => each + ((k === truth[i] ? 1 - smoothing : 0) + smoothing / row.length) * (value - log), 0);
  }, 0) / logits.length;

describe('classification loss', () => {
  const logits = [
    [1, 2, -1],
    [0.5, 0.2, 3],
  ];
  test.each([0, 0.1])('is the cross-entropy with label smoothing %d', async smoothing => {
    expect(await lossOf(logits, [is(0), is(2)], smoothing, true)).toBeCloseTo(plain(logits, [0, 2], smoothing), 5);
    expect(await lossOf(logits, [is(0), is(2)], smoothing, false)).toBeCloseTo(plain(logits, [0, 2], smoothing), 5);
  });

  test('is exact where the probability underflows', async () => {
    expect(await lossOf([[200, 0, 0]], [is(1)], 0, true)).toBeCloseTo(200, 3);
  });
});

test('class weights multiply the loss of their images, also under label smoothing', () => {
  const task = openClassification({ labels, labelSmoothing: 0.3, classWeights: [1, 2, 4] });
  const [target] = [...task.encode([is(1), is(2)]).values()];
  // −Σ w·t·ln p with t = 0.7·[its class] + 0.1.
  expect([...(target!.data as Float32Array)].map(value => Number(value.toFixed(6)))).toEqual([0.1, 1.6, 0.4, 0.1, 0.2, 3.2]);
});

describe('classification score', () => {
  test('counts top-1, top-k, recall per class and confusion', () => {
    const task = openClassification({ labels, topK: 2 });
    const predictions = [says([0.7, 0.2, 0.1]), says([0.5, 0.4, 0.1]), says([0.1, 0.2, 0.7])];
    expect(task.score(predictions, [is(0), is(1), is(1)])).toMatchObject({
      metric: 'top-1',
      value: 1 / 3,
      n: 3,
      decisions: 3,
      perClass: [
        { label: 'a', value: 1, n: 1 },
        { label: 'b', value: 0, n: 2 },
        { label: 'c', value: 0, n: 0 },
      ],
      detail: {
        topK: { k: 2, value: 1 },
        confusion: [
          [1, 0, 0],
          [1, 0, 1],
          [0, 0, 0],
        ],
      },
    });
  });

  test('decodes a softmax, compares decisions, and refuses what it cannot know', () => {
    const task = openClassification({ labels });
    const decoded = task.decode(new Map([['predictions', f32([2, 3], [0.1, 0.8, 0.1, 0.4, 0.3, 0.3])]]));
    expect(decoded.map(each => each.kind === 'class' && each.classIndex)).toEqual([1, 0]);
    expect(task.agreement(decoded, [decoded[0]!, decoded[0]!], [])).toEqual({ equal: 1, n: 2 });
    expect(() => task.encode([is(3)])).toThrow(expect.objectContaining({ code: 'dataset-invalid' }));
    expect(() => task.decode(new Map([['predictions', f32([1, 3], [Number.NaN, Number.NaN, Number.NaN])]]))).toThrow(expect.objectContaining({ code: 'not-finite' }));
  });
});
