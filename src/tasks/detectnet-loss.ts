import type { Builder } from '../graph/builder.ts';
import { int, ints } from '../graph/ir.ts';
import type { LossNodes } from './task.ts';

/** Graph inputs of the loss: coverage target and its cell weight [n, C, h, w]; box target and its cell weight [n, 4C, h, w]. */
export const targetNames = { coverage: 'target_coverage', coverageWeight: 'target_coverage_weight', boxes: 'target_boxes', boxWeight: 'target_box_weight' } as const;
export const partName = (label: string, objective: 'cov' | 'bbox'): string => `${label}/${objective}`;
/** Scalar graph input that holds an objective's present weight, the class's share included. */
export const weightName = (label: string, objective: 'cov' | 'bbox'): string => `loss_weight:${label}/${objective}`;

/**
 * DetectNet_v2's loss on the Sigmoid's output p: per class, mean over batch and cells of w·−(t·ln(p+1e-5) + (1−t)·ln(1−p+1e-5)), and mean over batch, 4 and cells of
 * |target − box|·coverageNorm. total = Σ weight·part, each part a scalar. The 1e-5 keeps both logarithms finite for every p in 0..1.
 */
export function addDetectnetLoss(builder: Builder, labels: readonly string[], coverage: string, boxes: string): LossNodes {
  const count = labels.length;
  const one = builder.constant(1);
  const epsilon = builder.constant(1e-5);
  const { coverage: t, coverageWeight, boxes: wanted, boxWeight } = targetNames;
  const hit = builder.op('Mul', [t, builder.op('Log', [builder.op('Add', [coverage, epsilon])])]);
  const miss = builder.op('Mul', [builder.op('Sub', [one, t]), builder.op('Log', [builder.op('Add', [builder.op('Sub', [one, coverage]), epsilon])])]);
  const entropy = builder.op('Mul', [builder.op('Neg', [builder.op('Add', [hit, miss])]), coverageWeight]);
  const perClass = builder.op('ReduceMean', [entropy], { axes: ints([0, 2, 3]), keepdims: int(0) });
  const distance = builder.op('Mul', [builder.op('Abs', [builder.op('Sub', [boxes, wanted])]), boxWeight]);
  const perSide = builder.op('ReduceMean', [distance], { axes: ints([0, 2, 3]), keepdims: int(0) });
  const perBox = builder.op('ReduceMean', [builder.op('Reshape', [perSide, builder.indices([count, 4])])], { axes: ints([1]), keepdims: int(0) });
  const weights = (objective: 'cov' | 'bbox'): string => {
    const each = labels.map(label => builder.op('Reshape', [weightName(label, objective), builder.indices([1])]));
    return each.length === 1 ? each[0]! : builder.op('Concat', each, { axis: int(0) });
  };
  const weighted = builder.op('Add', [builder.op('Mul', [perClass, weights('cov')]), builder.op('Mul', [perBox, weights('bbox')])]);
  const total = builder.op('ReduceSum', [weighted, builder.indices([0])], { keepdims: int(0) });
  const parts: Record<string, string> = {};
  labels.forEach((label, i) => {
    parts[partName(label, 'cov')] = scalarAt(builder, perClass, i);
    parts[partName(label, 'bbox')] = scalarAt(builder, perBox, i);
  });
  return { total, parts };
}

const scalarAt = (builder: Builder, vector: string, index: number): string => builder.op('Gather', [vector, builder.indices([index], [])], { axis: int(0) });
