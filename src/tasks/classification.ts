import { z } from 'zod';
import { EdgeError } from '../core/errors.ts';
import type { Builder } from '../graph/builder.ts';
import { f32, int, ints } from '../graph/ir.ts';
import { floatsOf, outputNamed } from './_outputs.ts';
import { classAgreement, sameLength } from './agreement.ts';
import type { Annotation, LossNodes, NamedTensors, Prediction, Score, Task } from './task.ts';

/** Everything image classification needs besides the network. topK: a second figure beside top-1. */
export const classificationSettingsSchema = z.strictObject({
  labels: z.array(z.string().min(1)).min(2).max(100_000),
  labelSmoothing: z.number().min(0).lt(1).default(0),
  topK: z.number().int().min(1).default(5),
  /** Factor on the loss of each class, in the order of the labels; default 1. As Keras: the mean stays over images, not over weights. */
  classWeights: z.array(z.number().positive()).optional(),
});
export type ClassificationInput = z.input<typeof classificationSettingsSchema>;

const target = 'target_class';
const part = 'cross_entropy';

/** Image classification as a task: softmax cross-entropy with label smoothing, top-1 and top-k, confusion matrix. Throws `spec-invalid`. */
export function openClassification(input: ClassificationInput): Task {
  const parsed = classificationSettingsSchema.safeParse(input);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const path = issue?.path.map(String).join('.') ?? '';
    throw new EdgeError('spec-invalid', `Classification settings: ${path}: ${issue?.message}`, {
      hint: 'Mend that field of the spec; a classifier needs at least two classes.',
      where: { path },
    });
  }
  const { labels, labelSmoothing, topK, classWeights } = parsed.data;
  const count = labels.length;
  return {
    name: 'classification',
    labels,
    targets: n => ({ [target]: { dataType: 'float32', dims: [n, count] } }),
    encode: annotations => {
      const data = new Float32Array(annotations.length * count).fill(labelSmoothing / count);
      annotations.forEach((annotation, i) => {
        data[i * count + classOf(annotation, count)]! += 1 - labelSmoothing;
      });
      if (classWeights) for (let k = 0; k < data.length; k++) data[k]! *= classWeights[k % count] ?? 1;
      return new Map([[target, f32([annotations.length, count], data)]]);
    },
    lossWeights: () => new Map(),
    loss: (builder, outputs) =>
      crossEntropy(
        builder,
        outputNamed(
          outputs.map(output => output.name),
          'predictions',
        ),
      ),
    distill: (builder, outputs, teacher, temperature) => softened(builder, outputNamed(outputs, 'predictions'), outputNamed(teacher, 'predictions'), temperature),
    endEpoch: () => {},
    state: () => ({}),
    restore: () => {},
    decode: outputs => decode(outputs, count),
    score: (predictions, truth) => score(labels, topK, predictions, truth),
    agreement: classAgreement,
  };
}

function classOf(annotation: Annotation, count: number): number {
  if (annotation.kind === 'class' && annotation.classIndex >= 0 && annotation.classIndex < count) return annotation.classIndex;
  const given = annotation.kind === 'class' ? `class ${annotation.classIndex}` : 'boxes';
  throw new EdgeError('dataset-invalid', `An image has ${given}; this classifier knows classes 0 to ${count - 1}.`, {
    hint: 'Check the class list of the dataset against the spec.',
  });
}

/** Values whose softmax is the output: the logits of a Softmax node, else ln(p + 1e-7) of probabilities, as Keras keeps them from 0. */
function logitsOf(builder: Builder, output: string): string {
  const softmax = builder.nodes.find(node => node.type === 'Softmax' && node.outputs[0] === output);
  return softmax?.inputs[0] ?? builder.op('Log', [builder.op('Add', [output, builder.constant(1e-7)])]);
}
const sumOverClasses = (builder: Builder, value: string): string =>
  builder.op('ReduceMean', [builder.op('ReduceSum', [value, builder.indices([1])], { keepdims: int(0) })], { axes: ints([0]), keepdims: int(0) });

/**
 * Mean over the batch of −Σ t·ln softmax(logits). Where the output is a Softmax node its logits are used through LogSoftmax, which stays exact when the probability
 * underflows; any other output is taken as probabilities, with Keras' 1e-7 inside the logarithm.
 */
function crossEntropy(builder: Builder, output: string): LossNodes {
  const isSoftmax = builder.nodes.some(node => node.type === 'Softmax' && node.outputs[0] === output);
  const logits = logitsOf(builder, output);
  const logarithm = isSoftmax ? builder.op('LogSoftmax', [logits], { axis: int(-1) }) : logits;
  const total = builder.op('Neg', [sumOverClasses(builder, builder.op('Mul', [logarithm, target]))]);
  return { total, parts: { [part]: total } };
}

/** T²·KL(teacher ‖ student) of the probabilities softened by T, mean over the batch (Hinton et al., "Distilling the knowledge in a neural network", 2015; T² keeps the gradients' size). */
function softened(builder: Builder, output: string, teacher: string, temperature: number): string {
  const logarithm = (name: string) => builder.op('LogSoftmax', [builder.op('Div', [logitsOf(builder, name), builder.constant(temperature)])], { axis: int(-1) });
  const [own, wanted] = [logarithm(output), logarithm(teacher)];
  const divergence = builder.op('Mul', [builder.op('Exp', [wanted]), builder.op('Sub', [wanted, own])]);
  return builder.op('Mul', [sumOverClasses(builder, divergence), builder.constant(temperature ** 2)]);
}

function decode(outputs: NamedTensors, count: number): readonly Prediction[] {
  const name = outputNamed([...outputs.keys()], 'predictions');
  const n = outputs.get(name)?.dims[0] ?? 0;
  const values = floatsOf(name, outputs.get(name), [n, count]);
  return Array.from({ length: n }, (_, i) => {
    const scores = values.slice(i * count, (i + 1) * count);
    const classIndex = scores.reduce((best, value, k) => (value > scores[best]! ? k : best), 0);
    if (!Number.isFinite(scores[classIndex]!))
      throw new EdgeError('not-finite', `The network gives ${scores[classIndex]} for image ${i}.`, {
        hint: 'Train again with a smaller learning rate, or export again: these weights give no numbers.',
      });
    return { kind: 'class', classIndex, scores } as const;
  });
}

/** Rows of the confusion matrix are truths, columns predictions. perClass values are recalls; a class without images has value 0 and n 0. */
function score(labels: readonly string[], topK: number, predictions: readonly Prediction[], truth: readonly Annotation[]): Score {
  sameLength(predictions, truth, 'Predictions and truth');
  const count = labels.length;
  const k = Math.min(topK, count);
  const confusion = labels.map(() => new Array<number>(count).fill(0));
  let [right, among] = [0, 0];
  predictions.forEach((prediction, i) => {
    if (prediction.kind !== 'class') throw new EdgeError('dataset-invalid', `Image ${i} has boxes predicted, not a class.`, { hint: 'Score a classifier’s own predictions.' });
    const wanted = classOf(truth[i]!, count);
    confusion[wanted]![prediction.classIndex]!++;
    if (wanted === prediction.classIndex) right++;
    // Rank among strictly higher scores, and among equal ones by index as argmax does.
    const own = prediction.scores[wanted]!;
    let above = 0;
    prediction.scores.forEach((value, j) => {
      if (value > own || (value === own && j < wanted)) above++;
    });
    if (above < k) among++;
  });
  const n = truth.length;
  return {
    metric: 'top-1',
    value: n === 0 ? 0 : right / n,
    n,
    decisions: n,
    perClass: labels.map((label, c) => {
      const images = confusion[c]!.reduce((sum, value) => sum + value, 0);
      return { label, value: images === 0 ? 0 : confusion[c]![c]! / images, n: images };
    }),
    detail: { topK: { k, value: n === 0 ? 0 : among / n }, confusion },
  };
}
