import type { Builder } from '../../graph/builder.ts';
import { int } from '../../graph/ir.ts';
import type { Feature } from '../feature.ts';
import { drawKernel, filled } from '../initialize.ts';

export const classificationOutputs = ['predictions'] as const;

/** TLT's classification head: average over the whole map, then a dense layer with softmax, `predictions` [N, classes]. */
export function addClassificationHead(builder: Builder, feature: Feature, { classes, seed }: { readonly classes: number; readonly seed: number }): void {
  const pooled = builder.op('GlobalAveragePool', [feature.value], {}, { name: 'avg_pool', output: 'avg_pool' });
  const flat = builder.op('Flatten', [pooled], { axis: int(1) }, { name: 'flatten', output: 'flatten' });
  const kernel = builder.weight('predictions/kernel', drawKernel([classes, feature.channels], 'glorot_uniform', seed, 'predictions/kernel'));
  const bias = builder.weight('predictions/bias', filled([classes], 0));
  const logits = builder.op('Gemm', [flat, kernel, bias], { transB: int(1) }, { name: 'predictions', output: 'predictions/BiasAdd' });
  builder.op('Softmax', [logits], { axis: int(-1) }, { name: 'predictions/Softmax', output: 'predictions' });
  builder.output('predictions', 'float32', ['N', classes]);
}
