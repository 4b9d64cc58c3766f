import { describe, expect, it } from 'vitest';
import { pruneToBudget } from '../../src/compress/budget.ts';
import { pruneSettings } from '../../src/compress/prune.ts';
import { openReference, openSession } from '../../src/compute/session.ts';
import { writeOnnx } from '../../src/formats/onnx.ts';
import { Builder } from '../../src/graph/builder.ts';
import { f32, type Graph, type Tensor } from '../../src/graph/ir.ts';
import { keptChannelsOf, withoutKeptChannels } from '../../src/graph/kept-channels.ts';
import { inferShapes } from '../../src/graph/shapes.ts';
import { openDetectnet } from '../../src/tasks/detectnet.ts';
import type { Annotation, Network, Task } from '../../src/tasks/task.ts';
import { predict } from '../../src/train/predict.ts';
import { compileTrainStep, resultOf, type TrainStepOptions } from '../../src/train/step.ts';
import { buildNetwork } from '../../src/zoo/network.ts';
import { noise } from '../compute/_numbers.ts';
import { toyBatch, toyNetwork, toyTask } from './_toys.ts';

const batch = 12;
/** Trains for some steps; `lie` tells the network wrong classes. */
async function trained(network: Network, task: Task, steps: number, more: Partial<TrainStepOptions> = {}, lie = false): Promise<{ network: Network; losses: number[] }> {
  const step = await compileTrainStep(network, task, { batch, optimizer: { kind: 'adam' }, lowering: 'nchwc', threads: 1, ...more });
  const losses: number[] = [];
  for (let t = 1; t <= steps; t++) {
    const { images, annotations } = toyBatch(batch, t);
    const told = lie ? annotations.map((each): Annotation => (each.kind === 'class' ? { kind: 'class', classIndex: (each.classIndex + 1) % 3 } : each)) : annotations;
    losses.push((await step.run({ images, targets: task.encode(told), lossWeights: task.lossWeights(), t, learningRate: 5e-3 })).loss);
  }
  const graph = resultOf(network, await step.state());
  await step.close();
  return { network: { ...network, graph }, losses };
}
async function accuracy({ graph }: Network): Promise<number> {
  const { images, annotations } = toyBatch(60, 999);
  async function* one() {
    yield { images, n: 60 };
  }
  return toyTask().score(await predict(graph, toyTask(), one(), { threads: 1 }), annotations).value;
}

describe('learning from a teacher', () => {
  it('a pupil who is told wrong classes learns the teacher’s answers by its share', { timeout: 60_000 }, async () => {
    const { network: teacher } = await trained(toyNetwork(), toyTask(), 30);
    expect(await accuracy(teacher)).toBeGreaterThan(0.95);
    const pupil = () => toyNetwork({ width: 8, seed: 3 });
    const { network: liedTo } = await trained(pupil(), toyTask(), 30, {}, true);
    expect(await accuracy(liedTo)).toBeLessThan(0.05);
    const distill = { teacher, weight: 1, temperature: 2 };
    const { network: taught, losses } = await trained(pupil(), toyTask(), 30, { distill }, true);
    expect(await accuracy(taught)).toBeGreaterThan(0.9);
    expect(losses.at(-1)).toBeLessThan(losses[0]! / 4);
  });

  it('only the truth’s share is left where the pupil answers as the teacher does', async () => {
    // Without batch norm, training and inference say the same.
    const network = toyNetwork({ batchNorm: false });
    const task = toyTask();
    const first = async (more: Partial<TrainStepOptions>) => (await trained(network, task, 1, more)).losses[0]!;
    const plain = await first({});
    expect(await first({ distill: { teacher: network, weight: 0.25, temperature: 4 } })).toBeCloseTo(0.75 * plain, 4);
  });

  describe('within a pruned network', () => {
    // Without batch norm, training and inference say the same.
    const teacher = toyNetwork({ batchNorm: false });
    const { network: pruned } = pruneToBudget(teacher, { keepMacs: 0.5 }, pruneSettings.parse({ granularity: 1, minFilters: 2 }));
    const kept = keptChannelsOf(pruned.graph);
    const { images, annotations } = toyBatch(batch, 1);

    /** The same distance by hand: both networks run on their own, channel against channel. */
    async function distance(graph: Graph): Promise<number> {
      const values = Object.keys(kept).filter(value => value !== 'input');
      const run = async (of: Graph) => {
        const types = inferShapes(of);
        const session = await openSession(writeOnnx({ ...of, outputs: values.map(name => ({ name, type: types.get(name)! })) }), { threads: 1 });
        const outputs = await session.run(new Map([['input', images]]));
        await session.close();
        return outputs;
      };
      const [ours, whole] = [await run(graph), await run(teacher.graph)];
      const channel = ({ dims, data }: Tensor, image: number, c: number) => {
        const cells = data.length / (dims[0]! as number) / (dims[1]! as number);
        return (data as Float32Array).subarray((image * (dims[1] as number) + c) * cells, (image * (dims[1] as number) + c + 1) * cells);
      };
      const shares = values.map(value => {
        let [error, energy] = [0, 0];
        for (let image = 0; image < batch; image++)
          kept[value]!.kept.forEach((original, c) => {
            const wanted = channel(whole.get(value)!, image, original);
            channel(ours.get(value)!, image, c).forEach((x, i) => {
              error += (x - wanted[i]!) ** 2;
              energy += wanted[i]! ** 2;
            });
          });
        return error / energy;
      });
      return shares.reduce((a, b) => a + b, 0) / shares.length;
    }

    it('counts the distance to the teacher’s same channels, and brings it down', { timeout: 60_000 }, async () => {
      expect(Object.values(kept).some(({ of, kept: left }) => left.length < of)).toBe(true);
      const distill = { teacher, weight: 0.5, temperature: 1, features: 2 };
      const task = toyTask();
      const open = (features: number) => compileTrainStep(pruned, task, { batch, optimizer: { kind: 'adam' }, lowering: 'nchwc', threads: 1, distill: { ...distill, features } });
      const step = await open(2);
      const feeds = { images, targets: task.encode(annotations), lossWeights: task.lossWeights(), learningRate: 5e-3 };
      const first = await step.run({ ...feeds, t: 1 });
      const expected = await distance(pruned.graph);
      expect(first.parts.features).toBeCloseTo(expected, 5);
      const plain = await open(0);
      expect(first.loss).toBeCloseTo((await plain.run({ ...feeds, t: 1 })).loss + 2 * expected, 4);
      await plain.close();
      for (let t = 2; t <= 60; t++) await step.run({ ...feeds, t });
      expect(await distance(resultOf(pruned, await step.state()))).toBeLessThan(expected / 2);
      await step.close();
    });

    it('is left out where nothing says which channels are the same', async () => {
      const distill = { teacher, weight: 0.5, temperature: 1, features: 2 };
      const strange = { ...pruned, graph: withoutKeptChannels(pruned.graph) };
      const other = { ...toyNetwork({ batchNorm: false, width: 12 }), graph: { ...toyNetwork({ batchNorm: false, width: 12 }).graph, metadata: pruned.graph.metadata } };
      for (const pupil of [strange, other, teacher]) {
        const step = await compileTrainStep(pupil, toyTask(), { batch, optimizer: { kind: 'adam' }, lowering: 'nchwc', threads: 1, distill });
        const { parts } = await step.run({ images, targets: toyTask().encode(annotations), lossWeights: toyTask().lossWeights(), t: 1, learningRate: 1e-3 });
        expect(Object.keys(parts)).not.toContain('features');
        await step.close();
      }
    });
  });

  it('refuses a teacher of other classes', async () => {
    const network = toyNetwork();
    const teacher = { ...network, info: { ...network.info, labels: ['x', 'y', 'z'] } };
    await expect(trained(network, toyTask(), 1, { distill: { teacher, weight: 0.5, temperature: 1 } })).rejects.toMatchObject({ code: 'graph-invalid' });
  });
});

describe('a detector’s teacher', () => {
  const labels = ['car', 'person'];
  const [height, width] = [32, 64];
  const task = openDetectnet({ labels, width, height, cost: { classes: { car: { coverageForegroundWeight: 0.4 } } } });
  const truth: Annotation[] = [
    { kind: 'boxes', boxes: [{ classIndex: 0, x1: 2, y1: 1, x2: 60, y2: 31 }], ignored: [] },
    { kind: 'boxes', boxes: [{ classIndex: 1, x1: 20, y1: 2, x2: 40, y2: 30 }], ignored: [] },
  ];
  const [cells, n] = [8, 2];
  const between = (tensor: Tensor, low: number, high: number) =>
    f32(
      tensor.dims,
      Float32Array.from(tensor.data as Float32Array, value => low + ((high - low) * (value + 1)) / 2),
    );
  const own = { cov: between(noise([n, 2, 2, 4], 1), 0.05, 0.95), bbox: noise([n, 8, 2, 4], 2) };
  const teacher = { cov: between(noise([n, 2, 2, 4], 3), 0.05, 0.95), bbox: noise([n, 8, 2, 4], 4) };

  it('weighs its boxes by its coverage, at the scale of the truth', async () => {
    const builder = new Builder();
    for (const [prefix, tensors] of Object.entries({ own, teacher })) for (const [name, { dims }] of Object.entries(tensors)) builder.input(`${prefix}_${name}`, 'float32', dims);
    for (const [name, type] of Object.entries(task.targets(n))) builder.input(name, type.dataType, type.dims);
    for (const [name, value] of task.lossWeights()) builder.input(name, value.dataType, value.dims);
    builder.output(task.distill!(builder, ['own_cov', 'own_bbox'], ['teacher_cov', 'teacher_bbox'], 1), 'float32', []);
    const targets = task.encode(truth);
    const graph = builder.graph();
    const feeds = new Map([...targets, ...task.lossWeights(), ['own_cov', own.cov], ['own_bbox', own.bbox], ['teacher_cov', teacher.cov], ['teacher_bbox', teacher.bbox]] as [
      string,
      Tensor,
    ][]);
    const found = Number((await openReference(graph).run(feeds)).get(graph.outputs[0]!.name)!.data[0]);

    const at = (tensor: Tensor, ...index: number[]) => Number(tensor.data[(index[0]! * tensor.dims[1]! + index[1]!) * cells + index[2]!]);
    const every = (f: (image: number, cell: number) => number) => {
      let sum = 0;
      for (let image = 0; image < n; image++) for (let cell = 0; cell < cells; cell++) sum += f(image, cell);
      return sum;
    };
    let wanted = 0;
    labels.forEach((label, c) => {
      const cov = every((i, k) => {
        const [p, t] = [at(own.cov, i, c, k), at(teacher.cov, i, c, k)];
        return -at(targets.get('target_coverage_weight')!, i, c, k) * (t * Math.log(p + 1e-5) + (1 - t) * Math.log(1 - p + 1e-5));
      });
      const scale = every((i, k) => at(targets.get('target_box_weight')!, i, 4 * c, k)) / (every((i, k) => at(teacher.cov, i, c, k)) + 1e-5);
      const box = every((i, k) => {
        const sides = [0, 1, 2, 3].map(side => Math.abs(at(own.bbox, i, 4 * c + side, k) - at(teacher.bbox, i, 4 * c + side, k)));
        return scale * at(teacher.cov, i, c, k) * (sides.reduce((sum, each) => sum + each, 0) / 4);
      });
      const weight = (objective: string) => Number(task.lossWeights().get(`loss_weight:${label}/${objective}`)!.data[0]);
      wanted += (weight('cov') * cov + weight('bbox') * box) / (n * cells);
    });
    expect(found).toBeCloseTo(wanted, 6);
  });

  // The pupil without batch norm: over these few cells it would magnify the rounding of either.
  it('trains in blocks of channels as in plain ones', { timeout: 60_000 }, async () => {
    const network = (seed: number, widthMultiplier: number) =>
      buildNetwork({ architecture: 'detectnet_v2_resnet10', labels, height, width, widthMultiplier, seed, useBatchNorm: widthMultiplier > 0.2 });
    const first = async (lowering: 'std' | 'nchwc') => {
      const distill = { teacher: network(1, 0.25), weight: 0.5, temperature: 1 };
      const step = await compileTrainStep(network(2, 0.125), task, { batch: n, optimizer: { kind: 'sgd' }, lowering, threads: 1, distill });
      const { loss, parts } = await step.run({ images: noise([n, 3, height, width], 7), targets: task.encode(truth), lossWeights: task.lossWeights(), t: 1, learningRate: 0.01 });
      await step.close();
      expect(parts.distillation).toBeGreaterThan(0);
      return loss;
    };
    expect(await first('nchwc')).toBeCloseTo(await first('std'), 4);
  });
});
