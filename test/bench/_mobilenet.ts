import { Builder } from '../../src/graph/builder.ts';
import { f32, float, int, ints, sizeOf } from '../../src/graph/ir.ts';
import { type NetworkInfo, withNetworkInfo } from '../../src/graph/network-info.ts';
import type { Network } from '../../src/tasks/task.ts';

/** Outputs and stride of the thirteen depthwise-separable blocks (Howard et al. 2017, table 1). */
const blocks: readonly (readonly [number, number])[] = [
  [64, 1],
  [128, 2],
  [128, 1],
  [256, 2],
  [256, 1],
  [512, 2],
  [512, 1],
  [512, 1],
  [512, 1],
  [512, 1],
  [512, 1],
  [1024, 2],
  [1024, 1],
];

/** MobileNetV1 with batch norms and ReLU6, freshly drawn: the depthwise case of the benchmark (the zoo gets MobileNets as ONNX files). */
export function mobilenet(labels: readonly string[], size: number): Network {
  const b = new Builder('mobilenet_v1');
  const trainable: string[] = [];
  const regularized: string[] = [];
  let draws = 1;
  const draw = (): number => {
    draws = (Math.imul(draws, 1664525) + 1013904223) >>> 0;
    return draws / 2 ** 32 - 0.5;
  };
  const weight = (name: string, dims: readonly number[], make: () => number, learns = true): string => {
    b.weight(
      name,
      f32(
        dims,
        Float32Array.from({ length: sizeOf(dims) }, () => make()),
      ),
    );
    if (learns) trainable.push(name);
    return name;
  };
  const layer = (name: string, x: string, inputs: number, outputs: number, kernel: number, stride: number, group: number): string => {
    const scale = Math.sqrt(24 / ((inputs / group) * kernel * kernel));
    const w = weight(`${name}/kernel`, [outputs, inputs / group, kernel, kernel], () => scale * draw());
    regularized.push(w);
    const pad = (kernel - 1) / 2;
    const window = { kernel_shape: ints([kernel, kernel]), strides: ints([stride, stride]), pads: ints([pad, pad, pad, pad]), group: int(group) };
    const y = b.op('Conv', [x, w], window, { name, output: name });
    const parameters = [weight(`${name}_bn/gamma`, [outputs], () => 1), weight(`${name}_bn/beta`, [outputs], () => 0)];
    const statistics = [weight(`${name}_bn/moving_mean`, [outputs], () => 0, false), weight(`${name}_bn/moving_variance`, [outputs], () => 1, false)];
    const normed = b.op('BatchNormalization', [y, ...parameters, ...statistics], { epsilon: float(1e-3), momentum: float(0.99) }, { name: `${name}_bn`, output: `${name}_bn` });
    return b.op('Clip', [normed, b.constant(0), b.constant(6)], {}, { name: `${name}_relu6`, output: `${name}_relu6` });
  };
  let x = layer('conv1', b.input('input_1', 'float32', ['N', 3, size, size]), 3, 32, 3, 2, 1);
  let channels = 32;
  for (const [at, [outputs, stride]] of blocks.entries()) {
    x = layer(`conv_dw_${at + 1}`, x, channels, channels, 3, stride, channels);
    x = layer(`conv_pw_${at + 1}`, x, channels, outputs, 1, 1, 1);
    channels = outputs;
  }
  const flat = b.op('Flatten', [b.op('GlobalAveragePool', [x], {}, { name: 'average', output: 'average' })], { axis: int(1) }, { name: 'flatten', output: 'flatten' });
  const kernel = weight('predictions/kernel', [labels.length, channels], () => 0.05 * draw());
  const logits = b.op('Gemm', [flat, kernel, weight('predictions/bias', [labels.length], () => 0)], { transB: int(1) }, { name: 'predictions', output: 'logits' });
  b.op('Softmax', [logits], { axis: int(-1) }, { name: 'softmax', output: 'predictions_softmax' });
  b.output('predictions_softmax', 'float32', ['N', labels.length]);
  const preprocess: NetworkInfo['preprocess'] = { scale: 1, offset: [0, 0, 0], order: 'rgb', resize: 'stretch' };
  const info: NetworkInfo = { task: 'classification', architecture: 'mobilenet_v1', labels: [...labels], input: 'input_1', outputs: ['predictions_softmax'], preprocess };
  return { graph: withNetworkInfo(b.graph(), info), info, trainable, frozenNorms: [], regularized };
}
