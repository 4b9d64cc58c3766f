import type { Builder } from '../graph/builder.ts';
import { int, ints } from '../graph/ir.ts';
import type { LossNodes } from './task.ts';

/** Graph inputs of the loss: coverage target and its cell weight [n, C, h, w]; box target and its cell weight [n, 4C, h, w]. */
export const targetNames = { coverage: 'target_coverage', coverageWeight: 'target_coverage_weight', boxes: 'target_boxes', boxWeight: 'target_box_weight' } as const;
export const partName = (label: string, objective: 'cov' | 'bbox'): string => `${label}/${objective}`;
/** Scalar graph input that holds an objective's present weight, the class's share included. */
export const weightName = (label: string, objective: 'cov' | 'bbox'): string => `loss_weight:${label}/${objective}`;

const overImages = { axes: ints([0, 2, 3]), keepdims: int(0) };
/** Per class, mean over batch and cells of w·−(t·ln(p+1e-5) + (1−t)·ln(1−p+1e-5)): [C]. The 1e-5 keeps both logarithms finite for every p in 0..1. */
function coverageCost(builder: Builder, p: string, t: string, weight: string): string {
  const one = builder.constant(1);
  const epsilon = builder.constant(1e-5);
  const hit = builder.op('Mul', [t, builder.op('Log', [builder.op('Add', [p, epsilon])])]);
  const miss = builder.op('Mul', [builder.op('Sub', [one, t]), builder.op('Log', [builder.op('Add', [builder.op('Sub', [one, p]), epsilon])])]);
  return builder.op('ReduceMean', [builder.op('Mul', [builder.op('Neg', [builder.op('Add', [hit, miss])]), weight])], overImages);
}
/** Σ over classes of the coverage and the box cost, each times its present auto-weight. */
function weighted(builder: Builder, labels: readonly string[], coverage: string, boxes: string): string {
  const weights = (objective: 'cov' | 'bbox'): string => {
    const each = labels.map(label => builder.op('Reshape', [weightName(label, objective), builder.indices([1])]));
    return each.length === 1 ? each[0]! : builder.op('Concat', each, { axis: int(0) });
  };
  const both = builder.op('Add', [builder.op('Mul', [coverage, weights('cov')]), builder.op('Mul', [boxes, weights('bbox')])]);
  return builder.op('ReduceSum', [both, builder.indices([0])], { keepdims: int(0) });
}

/**
 * DetectNet_v2's loss on the Sigmoid's output p: per class, mean over batch and cells of w·−(t·ln(p+1e-5) + (1−t)·ln(1−p+1e-5)), and mean over batch, 4 and cells of
 * |target − box|·coverageNorm. total = Σ weight·part, each part a scalar.
 */
export function addDetectnetLoss(builder: Builder, labels: readonly string[], coverage: string, boxes: string): LossNodes {
  const { coverage: t, coverageWeight, boxes: wanted, boxWeight } = targetNames;
  const perClass = coverageCost(builder, coverage, t, coverageWeight);
  const distance = builder.op('Mul', [builder.op('Abs', [builder.op('Sub', [boxes, wanted])]), boxWeight]);
  const perSide = builder.op('ReduceMean', [distance], overImages);
  const perBox = builder.op('ReduceMean', [builder.op('Reshape', [perSide, builder.indices([labels.length, 4])])], { axes: ints([1]), keepdims: int(0) });
  const total = weighted(builder, labels, perClass, perBox);
  const parts: Record<string, string> = {};
  labels.forEach((label, i) => {
    parts[partName(label, 'cov')] = scalarAt(builder, perClass, i);
    parts[partName(label, 'bbox')] = scalarAt(builder, perBox, i);
  });
  return { total, parts };
}

/**
 * Distance to a teacher: the same cross-entropy with the teacher's coverage as target, under the cell weights of the truth, and |teacher's box − box| weighted by the teacher's
 * coverage, so that boxes are learnt where the teacher sees an object and not where it guesses (Chen et al., "Learning efficient object detection models with knowledge
 * distillation", 2017, bound the regression by the teacher likewise). Per class those weights are scaled to the sum of the truth's, so that the auto-weights keep their meaning.
 */
export function addDetectnetDistillation(
  builder: Builder,
  labels: readonly string[],
  own: { readonly coverage: string; readonly boxes: string },
  teacher: { readonly coverage: string; readonly boxes: string },
): string {
  const count = labels.length;
  const { coverageWeight, boxWeight } = targetNames;
  const perClass = coverageCost(builder, own.coverage, teacher.coverage, coverageWeight);
  const sides = (value: string): string => builder.op('ReduceMean', [builder.op('Reshape', [value, builder.indices([0, count, 4, -1])])], { axes: ints([2]), keepdims: int(0) });
  const cells = (value: string): string => builder.op('Reshape', [value, builder.indices([0, count, -1])]);
  const distance = sides(builder.op('Abs', [builder.op('Sub', [own.boxes, teacher.boxes])]));
  const seen = cells(teacher.coverage);
  const sum = (value: string): string => builder.op('ReduceSum', [value, builder.indices([0, 2])], { keepdims: int(1) });
  const scale = builder.op('Div', [sum(sides(boxWeight)), builder.op('Add', [sum(seen), builder.constant(1e-5)])]);
  const cost = builder.op('Mul', [distance, builder.op('Mul', [seen, scale])]);
  return weighted(builder, labels, perClass, builder.op('ReduceMean', [cost], { axes: ints([0, 2]), keepdims: int(0) }));
}

const scalarAt = (builder: Builder, vector: string, index: number): string => builder.op('Gather', [vector, builder.indices([index], [])], { axis: int(0) });
