import { Builder } from '../../src/graph/builder.ts';
import { f32, float, type Graph, int, ints, type Tensor } from '../../src/graph/ir.ts';
import { type NetworkInfo, withNetworkInfo } from '../../src/graph/network-info.ts';
import { openClassification } from '../../src/tasks/classification.ts';
import type { Annotation, Network, Task } from '../../src/tasks/task.ts';
import { noise } from '../compute/_numbers.ts';

export const labels = ['red', 'green', 'blue'];
const size = 16;

/** A small classifier with one of everything that vision networks train through; `width` 24 fills no block of channels. */
export function toyNetwork({ width = 16, batchNorm = true, seed = 1 }: { width?: number; batchNorm?: boolean; seed?: number } = {}): Network {
  const b = new Builder('toy');
  let draws = seed * 100;
  const regularized: string[] = [];
  const trainable: string[] = [];
  const weight = (name: string, dims: readonly number[], scale: number, offset = 0): string => {
    const tensor = noise(dims, ++draws);
    b.weight(
      name,
      f32(
        dims,
        Float32Array.from(tensor.data as Float32Array, value => value * scale + offset),
      ),
    );
    trainable.push(name);
    return name;
  };
  const conv = (name: string, x: string, inputs: number, outputs: number, kernel: number, stride: number, group = 1): string => {
    const fan = (inputs / group) * kernel * kernel;
    const w = weight(`${name}/kernel`, [outputs, inputs / group, kernel, kernel], Math.sqrt(4 / fan));
    regularized.push(w);
    const pad = (kernel - 1) / 2;
    const inputs2 = batchNorm ? [x, w] : [x, w, weight(`${name}/bias`, [outputs], 0.1)];
    return b.op(
      'Conv',
      inputs2,
      { kernel_shape: ints([kernel, kernel]), strides: ints([stride, stride]), pads: ints([pad, pad, pad, pad]), group: int(group) },
      { name, output: name },
    );
  };
  const norm = (name: string, x: string, channels: number): string => {
    if (!batchNorm) return x;
    const [gamma, beta] = [weight(`${name}/gamma`, [channels], 0.2, 1), weight(`${name}/beta`, [channels], 0.2)];
    b.weight(`${name}/mean`, f32([channels], new Float32Array(channels)));
    b.weight(`${name}/variance`, f32([channels], new Float32Array(channels).fill(1)));
    return b.op('BatchNormalization', [x, gamma, beta, `${name}/mean`, `${name}/variance`], { epsilon: float(1e-3), momentum: float(0.9) }, { name, output: name });
  };
  const relu = (name: string, x: string): string => b.op('Relu', [x], {}, { name, output: name });

  const x = b.input('input', 'float32', ['N', 3, size, size]);
  const stem = relu('stem_relu', norm('stem_bn', conv('stem', x, 3, width, 3, 1), width));
  const pooled = b.op('MaxPool', [stem], { kernel_shape: ints([3, 3]), strides: ints([2, 2]), pads: ints([1, 1, 1, 1]) }, { name: 'pool', output: 'pool' });
  const a = relu('a_relu', norm('a_bn', conv('a', pooled, width, 2 * width, 3, 2), 2 * width));
  const main = norm('b_bn', conv('b', a, 2 * width, 2 * width, 3, 1), 2 * width);
  const shortcut = norm('c_bn', conv('c', pooled, width, 2 * width, 1, 2), 2 * width);
  const joined = relu('joined', b.op('Add', [main, shortcut], {}, { name: 'add', output: 'add' }));
  const deep = norm('d_bn', conv('d', joined, 2 * width, 2 * width, 3, 1, 2 * width), 2 * width);
  const six = b.op('Clip', [deep, b.constant(0), b.constant(6)], {}, { name: 'relu6', output: 'relu6' });
  const average = b.op('GlobalAveragePool', [six], {}, { name: 'average', output: 'average' });
  const flat = b.op('Flatten', [average], { axis: int(1) }, { name: 'flatten', output: 'flatten' });
  regularized.push(weight('head/kernel', [labels.length, 2 * width], 0.4));
  const logits = b.op('Gemm', [flat, 'head/kernel', weight('head/bias', [labels.length], 0.1)], { transB: int(1) }, { name: 'head', output: 'logits' });
  b.op('Softmax', [logits], { axis: int(-1) }, { name: 'predictions', output: 'predictions' });
  b.output('predictions', 'float32', ['N', labels.length]);
  const info: NetworkInfo = {
    task: 'classification',
    architecture: 'toy',
    labels,
    input: 'input',
    outputs: ['predictions'],
    preprocess: { scale: 1, offset: [0, 0, 0], order: 'rgb', resize: 'stretch' },
  };
  const graph: Graph = withNetworkInfo(b.graph(), info);
  return { graph, info, trainable, frozenNorms: [], regularized };
}

export const toyTask = (): Task => openClassification({ labels: [...labels] });

/** Images whose class is the channel that is brightest, decided by (seed, index) alone. */
export function toyBatch(n: number, seed: number): { images: Tensor; annotations: Annotation[] } {
  const images = noise([n, 3, size, size], seed);
  const data = images.data as Float32Array;
  const annotations = Array.from({ length: n }, (_, i): Annotation => ({ kind: 'class', classIndex: (i * 7 + seed) % 3 }));
  annotations.forEach((annotation, i) => {
    if (annotation.kind !== 'class') return;
    const start = (i * 3 + annotation.classIndex) * size * size;
    for (let at = start; at < start + size * size; at++) data[at] = (data[at] as number) + 0.5;
  });
  return { images, annotations };
}
export async function* toyEpoch(epoch: number, steps: number, batch: number) {
  for (let step = 0; step < steps; step++) yield toyBatch(batch, epoch * 1000 + step);
}

/** The toy without batch norm and with a Dropout between two of its convolutions, as an imported graph may bring one. */
export function droppingNetwork(options: Parameters<typeof toyNetwork>[0] = { batchNorm: false }): Network {
  const network = toyNetwork(options);
  const nodes = network.graph.nodes.flatMap(node => [
    { ...node, inputs: node.inputs.map(name => (name === 'joined' ? 'dropped' : name)) },
    ...(node.name === 'joined' ? [{ name: 'dropout', type: 'Dropout', domain: '', inputs: ['joined', 'ratio'], outputs: ['dropped'], attributes: {} }] : []),
  ]);
  const initializers = new Map([...network.graph.initializers, ['ratio', f32([], [0.3])]]);
  return { ...network, graph: { ...network.graph, nodes, initializers } };
}
