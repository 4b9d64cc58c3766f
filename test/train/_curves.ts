import type { Tensor } from '../../src/graph/ir.ts';
import { openDetectnet } from '../../src/tasks/detectnet.ts';
import type { Annotation, Network, Task } from '../../src/tasks/task.ts';
import { compileTrainStep, type TrainStepOptions } from '../../src/train/step.ts';
import { buildNetwork } from '../../src/zoo/network.ts';
import { distance, noise } from '../compute/_numbers.ts';
import { toyBatch, toyNetwork, toyTask } from './_toys.ts';

/** Ten steps of a small training, the same wherever they are computed. */
export interface CurveCase {
  readonly name: string;
  readonly batch: number;
  readonly optimizer: 'sgd' | 'adam';
  readonly learningRate: number;
  network(): Network;
  task(): Task;
  batchAt(index: number): { readonly images: Tensor; readonly annotations: readonly Annotation[] };
}
export interface Curve {
  readonly losses: readonly number[];
  readonly state: ReadonlyMap<string, Tensor>;
}
const steps = 10;
const labels = ['car', 'person'];
const [height, width] = [32, 48];
const boxes = (index: number): Annotation => ({
  kind: 'boxes',
  ignored: [],
  boxes: [
    { classIndex: 0, x1: 2 + 3 * index, y1: 5, x2: 20 + 3 * index, y2: 24 },
    { classIndex: 1, x1: 28, y1: 2 + 2 * index, x2: 40, y2: 24 + index },
  ],
});

export const curveCases: readonly CurveCase[] = [
  {
    name: 'a classifier, SGD with momentum',
    batch: 4,
    optimizer: 'sgd',
    learningRate: 0.02,
    network: () => toyNetwork({ width: 8 }),
    task: toyTask,
    batchAt: index => toyBatch(4, index),
  },
  {
    name: 'DetectNet_v2-ResNet10, Adam',
    batch: 2,
    optimizer: 'adam',
    learningRate: 5e-4,
    network: () => buildNetwork({ architecture: 'detectnet_v2_resnet10', labels, height, width, widthMultiplier: 0.0625 }),
    task: () => openDetectnet({ labels, width, height }),
    batchAt: index => ({ images: noise([2, 3, height, width], index + 9), annotations: [boxes(index), boxes(index + 1)] }),
  },
];

/** The losses of the ten steps and the state after them. */
export async function curveOf(each: CurveCase, options: Pick<TrainStepOptions, 'compute' | 'lowering' | 'stepsPerCall' | 'thread' | 'profile'>): Promise<Curve> {
  const task = each.task();
  const step = await compileTrainStep(each.network(), task, { batch: each.batch, optimizer: { kind: each.optimizer }, threads: 1, ...options });
  try {
    const feeds = Array.from({ length: steps }, (_, at) => {
      const { images, annotations } = each.batchAt(at % 4);
      return { images, targets: task.encode(annotations), lossWeights: task.lossWeights(), t: at + 1, learningRate: each.learningRate };
    });
    const losses: number[] = [];
    for (let at = 0; at < steps; at += step.stepsPerCall) losses.push(...(await step.runMany(feeds.slice(at, at + step.stepsPerCall))).map(({ loss }) => loss));
    return { losses, state: await step.state() };
  } finally {
    await step.close();
  }
}

/** Furthest loss and furthest tensor of the state (relative L2) between two curves. */
export const apart = (a: Curve, b: Curve) => ({
  losses: Math.max(...a.losses.map((loss, at) => Math.abs(loss - (b.losses[at] ?? Number.POSITIVE_INFINITY)))),
  state: Math.max(...[...b.state].map(([name, tensor]) => distance(a.state.get(name), tensor))),
});
