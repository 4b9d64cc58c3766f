import type { Builder } from '../../graph/builder.ts';
import { float, int, ints } from '../../graph/ir.ts';
import type { Feature } from '../feature.ts';
import { drawKernel, filled, type Initializer } from '../initialize.ts';

export type ResnetDepth = 10 | 18 | 34 | 50;

/** Sub-blocks per stage and whether they are bottlenecks (1×1, 3×3, 1×1 with four times the filters). */
export const resnetRows: Readonly<Record<ResnetDepth, { readonly blocks: readonly [number, number, number, number]; readonly bottleneck: boolean }>> = {
  10: { blocks: [1, 1, 1, 1], bottleneck: false },
  18: { blocks: [2, 2, 2, 2], bottleneck: false },
  34: { blocks: [3, 4, 6, 3], bottleneck: false },
  50: { blocks: [3, 4, 6, 3], bottleneck: true },
};

export interface ResnetOptions {
  readonly depth: ResnetDepth;
  readonly stride: 16 | 32;
  readonly widthMultiplier: number;
  readonly allProjections: boolean;
  readonly usePooling: boolean;
  readonly useBatchNorm: boolean;
  readonly useBias: boolean;
  readonly batchNorm: { readonly momentum: number; readonly epsilon: number };
  readonly initializer: Initializer;
  readonly seed: number;
}

/** Filters of a stage under the width multiplier: a multiple of 8, at least 8, as prune granularity and blocked layouts want it. */
export const scaledWidth = (filters: number, multiplier: number): number => Math.max(8, Math.round((filters * multiplier) / 8) * 8);

/** Strides of conv1, the pool and the four stages: 2·2·2·2·1 without pooling, 2·2·1·2·2 with it, for 16; the last stage halves once more for 32. */
export const resnetStrides = (usePooling: boolean, stride: 16 | 32): readonly [number, number, number, number] => {
  const last = stride === 32 ? 2 : 1;
  return usePooling ? [1, 2, 2, last] : [2, 2, 2, last];
};

/**
 * TLT's ResNet template from an input [N, C, H, W] to the last feature map, with TLT's layer names; weights are `<layer>/kernel`, `/bias`, `/gamma`, `/beta`,
 * `/moving_mean`, `/moving_variance`. Padding is symmetric, (k−1)/2 on both sides, also at stride 2.
 */
export function addResnet(builder: Builder, input: Feature, options: ResnetOptions): Feature {
  const { blocks, bottleneck } = resnetRows[options.depth];
  const strides = resnetStrides(options.usePooling, options.stride);
  const layers = layersOf(builder, options);
  let feature = layers.relu('activation_1', layers.norm('bn_conv1', layers.conv('conv1', input, scaledWidth(64, options.widthMultiplier), 7, 2)));
  if (options.usePooling) {
    const attributes = { kernel_shape: ints([3, 3]), strides: ints([2, 2]), pads: ints([1, 1, 1, 1]) };
    feature = { ...feature, value: builder.op('MaxPool', [feature.value], attributes, { name: 'max_pooling2d_1', output: 'max_pooling2d_1' }) };
  }
  let adds = 0;
  blocks.forEach((count, stage) => {
    const filters = scaledWidth(64 * 2 ** stage, options.widthMultiplier);
    for (let block = 0; block < count; block++) {
      const name = `block_${stage + 1}${String.fromCharCode(97 + block)}`;
      const stride = block === 0 ? strides[stage]! : 1;
      const main = mainBranch(layers, name, feature, filters, stride, bottleneck);
      const projected = block === 0 || options.allProjections;
      const shortcut = projected ? layers.norm(`${name}_bn_shortcut`, layers.conv(`${name}_conv_shortcut`, feature, main.channels, 1, stride)) : feature;
      adds++;
      const sum = builder.op('Add', [main.value, shortcut.value], {}, { name: `add_${adds}`, output: `add_${adds}` });
      feature = layers.relu(`${name}_relu`, { value: sum, channels: main.channels });
    }
  });
  return feature;
}

function mainBranch(layers: Layers, name: string, input: Feature, filters: number, stride: number, bottleneck: boolean): Feature {
  const kernels = bottleneck ? [1, 3, 1] : [3, 3];
  return kernels.reduce((feature, kernel, i) => {
    const last = i === kernels.length - 1;
    const out = bottleneck && last ? 4 * filters : filters;
    const normed = layers.norm(`${name}_bn_${i + 1}`, layers.conv(`${name}_conv_${i + 1}`, feature, out, kernel, i === 0 ? stride : 1));
    return last ? normed : layers.relu(`${name}_relu_${i + 1}`, normed);
  }, input);
}

type Layers = ReturnType<typeof layersOf>;

function layersOf(builder: Builder, { useBatchNorm, useBias, batchNorm, initializer, seed }: ResnetOptions) {
  return {
    conv: (name: string, input: Feature, out: number, kernel: number, stride: number): Feature => {
      const pad = (kernel - 1) / 2;
      const weight = builder.weight(`${name}/kernel`, drawKernel([out, input.channels, kernel, kernel], initializer, seed, `${name}/kernel`));
      const bias = useBias ? [builder.weight(`${name}/bias`, filled([out], 0))] : [];
      const attributes = { kernel_shape: ints([kernel, kernel]), strides: ints([stride, stride]), pads: ints([pad, pad, pad, pad]) };
      return { value: builder.op('Conv', [input.value, weight, ...bias], attributes, { name, output: name }), channels: out };
    },
    norm: (name: string, input: Feature): Feature => {
      if (!useBatchNorm) return input;
      const parameters = (['gamma', 'beta', 'moving_mean', 'moving_variance'] as const).map(each =>
        builder.weight(`${name}/${each}`, filled([input.channels], each === 'gamma' || each === 'moving_variance' ? 1 : 0)),
      );
      const attributes = { epsilon: float(batchNorm.epsilon), momentum: float(batchNorm.momentum), training_mode: int(0) };
      return { value: builder.op('BatchNormalization', [input.value, ...parameters], attributes, { name, output: name }), channels: input.channels };
    },
    relu: (name: string, input: Feature): Feature => ({ value: builder.op('Relu', [input.value], {}, { name, output: name }), channels: input.channels }),
  };
}
