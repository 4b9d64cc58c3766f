import type { Graph } from '../../graph/ir.ts';
import type { Lowered } from '../lowering.ts';
import type { Rule } from './_emit.ts';
import * as own from './_webgpu-rules.ts';
import { lowerBy } from './std.ts';

/**
 * What WebGPU cannot run as `std` writes it, tried operator by operator on onnxruntime 1.30: BatchNormalization's training form and MaxPool's indices are
 * claimed and then fail; LogSoftmax, Sum, Sign and Or fall back to the processor, with a copy each way. Everything else of a training step stays on the
 * GPU. CUDA runs the same table: cuDNN's training norm returns another variance than onnxruntime's own.
 */
const rules: readonly Rule[] = [
  { domain: 'edge', type: 'BatchNormTrain', emit: own.batchNormTrain },
  { domain: 'edge', type: 'BatchNormGrad', emit: own.batchNormGrad },
  { domain: 'edge', type: 'ConvGradWeight', emit: own.convGradWeight },
  { domain: 'edge', type: 'MaxPoolGrad', emit: own.maxPoolGrad },
  { domain: '', type: 'LogSoftmax', emit: own.logSoftmax },
  { domain: '', type: 'Sum', emit: own.sum },
  { domain: '', type: 'Sign', emit: own.sign },
  { domain: '', type: 'Or', emit: own.or },
];

/** The lowering for onnxruntime's GPU providers: standard operators that they run themselves. Shapes must be concrete. */
export const lowerWebgpu = (graph: Graph): Lowered => lowerBy(rules, graph);
