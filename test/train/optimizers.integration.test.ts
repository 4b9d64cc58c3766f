import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { Builder } from '../../src/graph/builder.ts';
import { int, type Tensor } from '../../src/graph/ir.ts';
import type { NetworkInfo } from '../../src/graph/network-info.ts';
import { openClassification } from '../../src/tasks/classification.ts';
import type { Annotation, Network } from '../../src/tasks/task.ts';
import type { OptimizerSettings } from '../../src/train/optimizers.ts';
import { compileTrainStep, type TrainStepOptions } from '../../src/train/step.ts';
import { distance, noise } from '../compute/_numbers.ts';

const python = '/usr/bin/python3';
const hasTorch = spawnSync(python, ['-c', 'import torch']).status === 0;
if (!hasTorch) console.warn(`SKIPPED: torch.optim as the judge, because ${python} has no torch. Install it with: apt-get install python3-torch`);

const labels = ['a', 'b', 'c'];
const [inputs, hidden, batch, steps] = [6, 5, 4, 10];
/** Two dense layers with a LeakyRelu between. */
function dense(): Network {
  const b = new Builder('dense');
  const x = b.input('x', 'float32', ['N', inputs]);
  const layer = (name: string, value: string, from: number, to: number, seed: number) =>
    b.op('Gemm', [value, b.weight(`${name}/kernel`, noise([to, from], seed)), b.weight(`${name}/bias`, noise([to], seed + 1))], { transB: int(1) }, { name });
  const first = b.op('LeakyRelu', [layer('first', x, inputs, hidden, 1)]);
  b.op('Softmax', [layer('head', first, hidden, labels.length, 3)], { axis: int(-1) }, { name: 'predictions', output: 'predictions' });
  b.output('predictions', 'float32', ['N', labels.length]);
  const info: NetworkInfo = {
    task: 'classification',
    architecture: 'dense',
    labels,
    input: 'x',
    outputs: ['predictions'],
    preprocess: { scale: 1, offset: [0, 0, 0], order: 'rgb', resize: 'stretch' },
  };
  return { graph: b.graph(), info, trainable: ['first/kernel', 'first/bias', 'head/kernel', 'head/bias'], frozenNorms: [], regularized: ['first/kernel', 'head/kernel'] };
}
const network = dense();
const annotations = (step: number): Annotation[] => Array.from({ length: batch }, (_, i) => ({ kind: 'class', classIndex: (i * 2 + step) % 3 }));

interface Case {
  readonly name: string;
  readonly options: Omit<TrainStepOptions, 'batch'>;
  readonly learningRate: number;
  /** Arguments of torch.optim's class. */
  readonly torch: { readonly class: string; readonly arguments: Readonly<Record<string, unknown>>; readonly clipNorm?: number; readonly clipValue?: number };
  readonly smoothing?: number;
}
const plain = (name: string, optimizer: OptimizerSettings, learningRate: number, torch: Case['torch']): Case => ({ name, options: { optimizer }, learningRate, torch });
const cases: readonly Case[] = [
  plain('SGD', { kind: 'sgd', momentum: 0 }, 0.1, { class: 'SGD', arguments: {} }),
  plain('SGD with momentum', { kind: 'sgd', momentum: 0.9 }, 0.05, { class: 'SGD', arguments: { momentum: 0.9 } }),
  plain('SGD with Nesterov', { kind: 'sgd', momentum: 0.9, nesterov: true }, 0.05, { class: 'SGD', arguments: { momentum: 0.9, nesterov: true } }),
  // PyTorch's ε lies beside the corrected root: the two differ by ε·(1/√(1 − β₂ᵗ) − 1), nothing at 1e-10.
  plain('Adam', { kind: 'adam', epsilon: 1e-10 }, 0.02, { class: 'Adam', arguments: { eps: 1e-10 } }),
  plain('AdamW', { kind: 'adamw', beta1: 0.8, beta2: 0.99, epsilon: 1e-3, decay: 0.1 }, 0.02, { class: 'AdamW', arguments: { betas: [0.8, 0.99], eps: 1e-3, weight_decay: 0.1 } }),
  plain('RMSprop', { kind: 'rmsprop', rho: 0.9, epsilon: 1e-4 }, 0.01, { class: 'RMSprop', arguments: { alpha: 0.9, eps: 1e-4 } }),
  {
    name: 'clipped by norm, L2, label smoothing',
    options: { optimizer: { kind: 'sgd', momentum: 0.9 }, clip: { kind: 'norm', limit: 0.2 }, regularizer: { kind: 'l2', weight: 0.01 } },
    learningRate: 0.5,
    // Keras' L2 is weight·Σw², PyTorch's weight_decay comes after clipping: the judge adds it to the loss instead.
    torch: { class: 'SGD', arguments: { momentum: 0.9 }, clipNorm: 0.2 },
    smoothing: 0.1,
  },
  {
    name: 'clipped by value',
    options: { optimizer: { kind: 'adam', epsilon: 1e-10 }, clip: { kind: 'value', limit: 0.02 } },
    learningRate: 0.02,
    torch: { class: 'Adam', arguments: { eps: 1e-10 }, clipValue: 0.02 },
  },
];

async function ours({ options, learningRate, smoothing = 0 }: Case) {
  const task = openClassification({ labels, labelSmoothing: smoothing });
  const step = await compileTrainStep(network, task, { batch, lowering: 'std', threads: 1, ...options });
  for (let t = 1; t <= steps; t++)
    await step.run({ images: noise([batch, inputs], 20 + t), targets: task.encode(annotations(t)), lossWeights: task.lossWeights(), t, learningRate });
  const state = await step.state();
  await step.close();
  return state;
}
const values = (tensor: Tensor) => ({ dims: tensor.dims, data: Array.from(tensor.data as Float32Array) });
const jobOf = ({ torch, learningRate, smoothing = 0, options }: Case) => ({
  ...torch,
  learningRate,
  smoothing,
  l2: options.regularizer?.kind === 'l2' ? options.regularizer.weight : 0,
  decayed: network.regularized,
  weights: Object.fromEntries(network.trainable.map(name => [name, values(network.graph.initializers.get(name)!)])),
  batches: Array.from({ length: steps }, (_, k) => ({
    x: values(noise([batch, inputs], 21 + k)),
    classes: annotations(k + 1).map(each => (each.kind === 'class' ? each.classIndex : 0)),
  })),
});

describe.skipIf(!hasTorch)('torch.optim is the judge of ten steps', () => {
  let judged: readonly Readonly<Record<string, number[]>>[] = [];
  beforeAll(() => {
    const script = fileURLToPath(new URL('optimizers-judge.py', import.meta.url));
    judged = JSON.parse(execFileSync(python, [script], { input: JSON.stringify(cases.map(jobOf)), encoding: 'utf8' })) as typeof judged;
  }, 120_000);
  it.each(cases.map((each, index) => ({ ...each, index })))('$name', async each => {
    const truth = judged[each.index]!;
    const mine = await ours(each);
    for (const name of network.trainable) {
      const tensor = network.graph.initializers.get(name)!;
      const wanted: Tensor = { dataType: 'float64', dims: tensor.dims, data: Float64Array.from(truth[name]!) };
      expect(distance(mine.get(name), wanted), name).toBeLessThan(1e-5);
      expect(distance(tensor, wanted), `${name} moves`).toBeGreaterThan(1e-3);
    }
  });
});
