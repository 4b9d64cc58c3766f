import { describe, expect, test } from 'vitest';
import { Builder } from '../../src/graph/builder.ts';
import { differentiate } from '../../src/graph/differentiate.ts';
import { evaluate } from '../../src/graph/evaluate.ts';
import { type F64Tensor, int, sizeOf, type Tensor } from '../../src/graph/ir.ts';
import { openClassification } from '../../src/tasks/classification.ts';
import { openDetectnet } from '../../src/tasks/detectnet.ts';
import type { Annotation, Task } from '../../src/tasks/task.ts';

const f64 = (tensor: Tensor): F64Tensor => ({ dims: tensor.dims, data: Float64Array.from(tensor.data as Float32Array) });
const wave = (dims: readonly number[], scale: number, shift: number): F64Tensor => ({
  dims,
  data: Float64Array.from({ length: sizeOf(dims) }, (_, i) => shift + scale * Math.sin(i * 7.31)),
});

/** Largest difference between the gradient by the graph and by central differences of the float64 loss, over every element of every logit. */
function worst(
  task: Task,
  logits: Readonly<Record<string, F64Tensor>>,
  annotations: readonly Annotation[],
  activation: Readonly<Record<string, 'Sigmoid' | 'Softmax'>>,
  teacher?: Readonly<Record<string, F64Tensor>>,
): number {
  const builder = new Builder();
  const outputs = Object.entries(logits).map(([name, { dims }]) => {
    builder.input(`${name}/logits`, 'float32', dims);
    const type = activation[name];
    builder.op(type ?? 'Identity', [`${name}/logits`], type === 'Softmax' ? { axis: int(-1) } : {}, { output: name });
    return { name, type: { dataType: 'float32' as const, dims } };
  });
  for (const [name, type] of Object.entries(task.targets(annotations.length))) builder.input(name, type.dataType, type.dims);
  const weights = task.lossWeights();
  for (const [name, tensor] of weights) builder.input(name, tensor.dataType, tensor.dims);
  const own = task.loss(builder, outputs).total;
  for (const [name, { dims }] of Object.entries(teacher ?? {})) builder.input(`teacher/${name}`, 'float32', dims);
  const soft =
    teacher &&
    task.distill!(
      builder,
      Object.keys(logits),
      Object.keys(teacher).map(name => `teacher/${name}`),
      3,
    );
  const total = soft === undefined ? own : builder.op('Add', [own, soft]);
  builder.output(total, 'float32', []);
  const forward = builder.graph();
  const wrt = Object.keys(logits).map(name => `${name}/logits`);
  const { graph, gradients } = differentiate(forward, { loss: total, wrt });
  const fixed = [...task.encode(annotations), ...weights].map(([name, tensor]) => [name, f64(tensor)] as const);
  const feeds = new Map([
    ...fixed,
    ...Object.entries(teacher ?? {}).map(([name, tensor]) => [`teacher/${name}`, tensor] as const),
    ...Object.entries(logits).map(([name, tensor]) => [`${name}/logits`, tensor] as const),
  ]);
  const found = evaluate(graph, feeds, [...gradients.values()]);
  const lossAt = (name: string, tensor: F64Tensor) => evaluate(forward, new Map([...feeds, [name, tensor]]), [total]).get(total)!.data[0]!;
  let largest = 0;
  for (const name of wrt) {
    const { dims, data } = feeds.get(name)!;
    const gradient = found.get(gradients.get(name)!)!;
    expect(gradient.dims).toEqual(dims);
    for (let i = 0; i < data.length; i++) {
      const moved = (by: number) => ({ dims, data: data.map((value, j) => (j === i ? value + by : value)) });
      const slope = (lossAt(name, moved(1e-5)) - lossAt(name, moved(-1e-5))) / 2e-5;
      largest = Math.max(largest, Math.abs(slope - gradient.data[i]!));
    }
  }
  return largest;
}

describe('gradients of the losses, against differences in float64', () => {
  test('DetectNet_v2', () => {
    const task = openDetectnet({ labels: ['car', 'person'], width: 64, height: 32, cost: { classes: { car: { classWeight: 3, coverageForegroundWeight: 0.4 } } } });
    const annotations: Annotation[] = [
      { kind: 'boxes', boxes: [{ classIndex: 0, x1: 2, y1: 1, x2: 60, y2: 31 }], ignored: [] },
      { kind: 'boxes', boxes: [{ classIndex: 1, x1: 20, y1: 2, x2: 40, y2: 30 }], ignored: [] },
    ];
    const logits = { output_cov: wave([2, 2, 2, 4], 3, -1), output_bbox: wave([2, 8, 2, 4], 1, 0.3) };
    expect(worst(task, logits, annotations, { output_cov: 'Sigmoid' })).toBeLessThan(1e-8);
    const teacher = { output_cov: wave([2, 2, 2, 4], 0.4, 0.5), output_bbox: wave([2, 8, 2, 4], 0.7, 0.1) };
    expect(worst(task, logits, annotations, { output_cov: 'Sigmoid' }, teacher)).toBeLessThan(1e-8);
  });

  test('classification with label smoothing', () => {
    const task = openClassification({ labels: ['a', 'b', 'c'], labelSmoothing: 0.1 });
    const annotations: Annotation[] = [0, 2, 1, 1].map(classIndex => ({ kind: 'class', classIndex }));
    expect(worst(task, { predictions: wave([4, 3], 4, 0) }, annotations, { predictions: 'Softmax' })).toBeLessThan(1e-8);
    const teacher = { predictions: { dims: [4, 3], data: Float64Array.from([0.7, 0.2, 0.1, 0.1, 0.1, 0.8, 0.3, 0.4, 0.3, 0.05, 0.9, 0.05]) } };
    expect(worst(task, { predictions: wave([4, 3], 4, 0) }, annotations, { predictions: 'Softmax' }, teacher)).toBeLessThan(1e-8);
  });
});
