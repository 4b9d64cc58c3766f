import type { Builder } from '../../graph/builder.ts';
import { ints } from '../../graph/ir.ts';
import type { Feature } from '../feature.ts';
import { drawKernel, filled } from '../initialize.ts';

export const detectnetOutputs = ['output_bbox', 'output_cov'] as const;

/**
 * DetectNet_v2's head on a feature map: two 1×1 convolutions, `output_bbox` [N, 4C, h, w] linear and `output_cov` [N, C, h, w] through a sigmoid, declared in that order.
 * coverageBias (0 in TLT) starts the coverage low, e.g. −4: few cells hold an object, and short trainings spend their epochs learning just that.
 */
export function addDetectnetHead(
  builder: Builder,
  feature: Feature,
  {
    classes,
    grid,
    coverageBias,
    seed,
  }: { readonly classes: number; readonly grid: readonly [height: number, width: number]; readonly coverageBias: number; readonly seed: number },
): void {
  const conv = (name: string, channels: number, bias: number, output: string): string => {
    const kernel = builder.weight(`${name}/kernel`, drawKernel([channels, feature.channels, 1, 1], 'glorot_uniform', seed, `${name}/kernel`));
    const shift = builder.weight(`${name}/bias`, filled([channels], bias));
    return builder.op('Conv', [feature.value, kernel, shift], { kernel_shape: ints([1, 1]), strides: ints([1, 1]), pads: ints([0, 0, 0, 0]) }, { name, output });
  };
  conv('output_bbox', 4 * classes, 0, 'output_bbox');
  const logits = conv('output_cov', classes, coverageBias, 'output_cov/BiasAdd');
  builder.op('Sigmoid', [logits], {}, { name: 'output_cov/Sigmoid', output: 'output_cov' });
  builder.output('output_bbox', 'float32', ['N', 4 * classes, ...grid]);
  builder.output('output_cov', 'float32', ['N', classes, ...grid]);
}
