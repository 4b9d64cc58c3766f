import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LoweringName } from '../../src/compute/lowering.ts';
import { f32, type Tensor } from '../../src/graph/ir.ts';
import { openDetectnet } from '../../src/tasks/detectnet.ts';
import type { Annotation, Network, Task } from '../../src/tasks/task.ts';
import { compileTrainStep } from '../../src/train/step.ts';
import { buildNetwork } from '../../src/zoo/network.ts';
import { distance, noise } from '../compute/_numbers.ts';
import { toyBatch, toyNetwork, toyTask } from './_toys.ts';

const python = '/usr/bin/python3';
const hasTorch = spawnSync(python, ['-c', 'import torch']).status === 0;
if (!hasTorch) console.warn(`SKIPPED: PyTorch as the judge, because ${python} has no torch. Install it with: apt-get install python3-torch`);

const steps = 20;
interface Case {
  readonly name: string;
  readonly network: Network;
  readonly task: () => Task;
  readonly batch: number;
  readonly optimizer: 'sgd' | 'adam';
  readonly learningRate: number;
  batchAt(index: number): { images: Tensor; annotations: readonly Annotation[] };
}
const detectorLabels = ['car', 'person'];
const [height, width] = [64, 96];
const boxes = (index: number): Annotation => ({
  kind: 'boxes',
  ignored: [],
  boxes: [
    { classIndex: 0, x1: 5 + 7 * index, y1: 10, x2: 40 + 7 * index, y2: 45 },
    { classIndex: 1, x1: 60, y1: 4 + 5 * index, x2: 78, y2: 50 + index },
  ],
});
const cases: readonly Case[] = [
  { name: 'classifier, SGD with momentum', network: toyNetwork(), task: toyTask, batch: 8, optimizer: 'sgd', learningRate: 0.02, batchAt: index => toyBatch(8, index) },
  { name: 'classifier 24 wide, Adam', network: toyNetwork({ width: 24 }), task: toyTask, batch: 8, optimizer: 'adam', learningRate: 1e-3, batchAt: index => toyBatch(8, index) },
  {
    name: 'DetectNet_v2-ResNet10, Adam',
    network: buildNetwork({ architecture: 'detectnet_v2_resnet10', labels: detectorLabels, height, width, widthMultiplier: 0.25 }),
    task: () => openDetectnet({ labels: detectorLabels, width, height }),
    batch: 4,
    optimizer: 'adam',
    learningRate: 5e-4,
    batchAt: index => ({ images: noise([4, 3, height, width], index + 9), annotations: Array.from({ length: 4 }, (_, at) => boxes((index + at) % 4)) }),
  },
];

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'edgeforge-pytorch-'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Our losses, and after the first step the gradients (SGD without momentum at rate 1: the step itself). */
async function ours({ network, task, batch, optimizer, learningRate, batchAt }: Case, lowering: LoweringName) {
  const judged = task();
  const feeds = (index: number) => {
    const { images, annotations } = batchAt(index);
    return { images, targets: judged.encode(annotations), lossWeights: judged.lossWeights() };
  };
  const step = await compileTrainStep(network, judged, { batch, optimizer: { kind: optimizer }, lowering, threads: 2 });
  const losses: number[] = [];
  for (let t = 1; t <= steps; t++) losses.push((await step.run({ ...feeds((t - 1) % 4), t, learningRate })).loss);
  await step.close();
  const slope = await compileTrainStep(network, judged, { batch, optimizer: { kind: 'sgd', momentum: 0.9 }, lowering, threads: 2 });
  await slope.run({ ...feeds(0), t: 1, learningRate: 1 });
  const state = await slope.state();
  await slope.close();
  return {
    losses,
    gradient: (name: string): Tensor =>
      f32(
        state.get(`${name}/velocity`)!.dims,
        Float32Array.from(state.get(`${name}/velocity`)!.data as Float32Array, v => -v),
      ),
  };
}

function judge({ network, task, optimizer, learningRate, batchAt }: Case, folder: string) {
  let files = 0;
  const save = (name: string, tensor: Tensor) => {
    const file = `tensor-${++files}.bin`;
    writeFileSync(join(folder, file), new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength));
    return { name, dims: tensor.dims, file };
  };
  const opened = task();
  const batches = [0, 1, 2, 3].map(index => {
    const { images, annotations } = batchAt(index);
    return [...new Map([[network.info.input, images], ...opened.encode(annotations), ...opened.lossWeights()])].map(([name, tensor]) => save(name, tensor));
  });
  const nodes = network.graph.nodes.map(node => ({ ...node, attributes: Object.fromEntries(Object.entries(node.attributes).map(([name, each]) => [name, each.value])) }));
  const weights = [...network.graph.initializers].filter(([, tensor]) => tensor.dataType === 'float32').map(([name, tensor]) => save(name, tensor));
  const job = { task: opened.name, labels: opened.labels, nodes, weights, trainable: network.trainable, batches, steps, optimizer, learningRate };
  writeFileSync(join(folder, 'job.json'), JSON.stringify(job));
  execFileSync(python, [fileURLToPath(new URL('pytorch-judge.py', import.meta.url)), folder], { env: { ...process.env, OMP_WAIT_POLICY: 'PASSIVE' } });
  const losses = JSON.parse(readFileSync(join(folder, 'losses.json'), 'utf8')) as Record<'float64' | 'float32', number[]>;
  const gradient = (name: string, type: 'float64' | 'float32'): Tensor => {
    const bytes = readFileSync(join(folder, `${type}.${name.replaceAll('/', '.')}.bin`));
    return { dataType: 'float64', dims: [bytes.length / 8], data: new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)) };
  };
  return { losses, gradient };
}

describe.skipIf(!hasTorch)('PyTorch is the judge', () => {
  it.each(cases)('$name', { timeout: 300_000 }, async each => {
    const folder = mkdtempSync(join(root, 'case-'));
    const torch = judge(each, folder);
    for (const lowering of ['std', 'nchwc'] as const) {
      const mine = await ours(each, lowering);
      for (const name of each.network.trainable) {
        const limit = Math.max(lowering === 'std' ? 1e-4 : 1e-3, 3 * distance(torch.gradient(name, 'float32'), torch.gradient(name, 'float64')));
        expect(distance(mine.gradient(name), torch.gradient(name, 'float64')), `${lowering}: gradient of ${name}`).toBeLessThan(limit);
      }
      mine.losses.forEach((loss, at) => {
        const truth = torch.losses.float64[at]!;
        const limit = Math.max(1e-3, 3 * Math.abs(torch.losses.float32[at]! - truth));
        expect(Math.abs(loss - truth), `${lowering}: loss of step ${at + 1} (${loss} against ${truth})`).toBeLessThan(limit);
      });
      expect(mine.losses.at(-1), lowering).toBeLessThan(mine.losses[0]!);
      const furthest = Math.max(...mine.losses.map((loss, at) => Math.abs(loss - torch.losses.float64[at]!)));
      const theirs = Math.max(...torch.losses.float32.map((loss, at) => Math.abs(loss - torch.losses.float64[at]!)));
      console.info(`${each.name}, ${lowering}: 20 losses within ${furthest.toExponential(1)} of float64 PyTorch (float32 PyTorch ${theirs.toExponential(1)})`);
    }
  });
});
