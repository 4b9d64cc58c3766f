import { describe, expect, it } from 'vitest';
import type { LoweringName } from '../../src/compute/lowering.ts';
import { randomAt } from '../../src/data/random.ts';
import { f32, type Tensor } from '../../src/graph/ir.ts';
import { betaDraw, mixup, mixupPlan } from '../../src/train/mixup.ts';
import { compileTrainStep, resultOf, type TrainStepOptions } from '../../src/train/step.ts';
import { distance } from '../compute/_numbers.ts';
import { droppingNetwork, toyBatch, toyNetwork, toyTask } from './_toys.ts';

const task = toyTask();
const network = toyNetwork({ batchNorm: false });
type Feeds = Pick<Parameters<Awaited<ReturnType<typeof compileTrainStep>>['run']>[0], 'images' | 'targets' | 'lossWeights'>;
const feedsOf = (n: number, seed: number): Feeds => {
  const { images, annotations } = toyBatch(n, seed);
  return { images, targets: task.encode(annotations), lossWeights: task.lossWeights() };
};
const rows = (tensor: Tensor, from: number, to: number): Tensor => {
  const size = tensor.data.length / tensor.dims[0]!;
  return f32([to - from, ...tensor.dims.slice(1)], (tensor.data as Float32Array).slice(from * size, to * size));
};
const part = ({ images, targets, lossWeights }: Feeds, from: number, to: number): Feeds => ({
  images: rows(images, from, to),
  targets: new Map([...targets].map(([name, tensor]) => [name, rows(tensor, from, to)])),
  lossWeights,
});
const open = (batch: number, more: Partial<TrainStepOptions> = {}) =>
  compileTrainStep(network, task, { batch, optimizer: { kind: 'sgd', momentum: 0.9 }, lowering: 'std', threads: 1, ...more });

describe.each<LoweringName>(['std', 'nchwc'])('gradient accumulation, %s', lowering => {
  const whole = feedsOf(8, 4);
  it('two half batches move the weights as the whole batch does, and only at the second', async () => {
    const one = await open(8, { lowering });
    const two = await open(4, { lowering, accumulate: 2 });
    for (let t = 1; t <= 2; t++) {
      await one.run({ ...whole, t, learningRate: 0.1 });
      const before = await two.state();
      await two.run({ ...part(whole, 0, 4), t, learningRate: 0.1, share: { first: true, last: false, count: 2 } });
      const between = await two.state();
      for (const name of network.trainable) for (const kept of [name, `${name}/velocity`]) expect(between.get(kept), kept).toEqual(before.get(kept));
      await two.run({ ...part(whole, 4, 8), t, learningRate: 0.1, share: { first: false, last: true, count: 2 } });
    }
    const [left, right] = [await one.state(), await two.state()];
    for (const name of network.trainable) expect(distance(right.get(name), left.get(name)), name).toBeLessThan(1e-5);
    await one.close();
    await two.close();
  });
  it('says that batch norm sees the parts', async () => {
    const step = await compileTrainStep(toyNetwork(), task, { batch: 4, optimizer: { kind: 'sgd' }, lowering, threads: 1, accumulate: 2 });
    expect(step.notes).toEqual(['2 batches of 4 make an update together; 5 batch norms still see 4 images at a time.']);
    await step.close();
  });
  it('a group that is cut short is the mean of what it has', async () => {
    const one = await open(4, { lowering });
    const short = await open(4, { lowering, accumulate: 3 });
    const feeds = feedsOf(4, 9);
    await one.run({ ...feeds, t: 1, learningRate: 0.1 });
    await short.run({ ...feeds, t: 1, learningRate: 0.1, share: { first: true, last: true, count: 1 } });
    const [left, right] = [await one.state(), await short.state()];
    for (const name of network.trainable) expect(right.get(name), name).toEqual(left.get(name));
    await one.close();
    await short.close();
  });
});

describe('gradient clipping', () => {
  /** The gradient as the first velocity at rate 1 shows it. */
  const gradients = async (more: Partial<TrainStepOptions>) => {
    const step = await open(4, more);
    await step.run({ ...feedsOf(4, 2), t: 1, learningRate: 1 });
    const state = await step.state();
    await step.close();
    return network.trainable.map(name => state.get(`${name}/velocity`)!.data as Float32Array);
  };
  const normOf = (all: readonly Float32Array[]) => Math.sqrt(all.reduce((sum, each) => sum + each.reduce((own, value) => own + value * value, 0), 0));
  it.each<LoweringName>(['std', 'nchwc'])('holds the norm of all gradients together, %s', async lowering => {
    const plain = await gradients({ lowering });
    const limit = normOf(plain) / 3;
    const clipped = await gradients({ lowering, clip: { kind: 'norm', limit } });
    expect(normOf(clipped)).toBeCloseTo(limit, 5);
    for (const [at, each] of clipped.entries()) for (const [k, value] of each.entries()) expect(value).toBeCloseTo(plain[at]![k]! / 3, 5);
    // One that is small enough stays as it is.
    expect(await gradients({ lowering, clip: { kind: 'norm', limit: 1e6 } })).toEqual(plain);
  });
  it('holds each number', async () => {
    const plain = await gradients({});
    const clipped = await gradients({ clip: { kind: 'value', limit: 0.01 } });
    for (const [at, each] of clipped.entries()) for (const [k, value] of each.entries()) expect(value).toBeCloseTo(Math.max(-0.01, Math.min(0.01, plain[at]![k]!)), 6);
  });
});

it('the average of the weights follows (1 + t)/(10 + t) up to its decay, and is what is handed on', async () => {
  const normed = toyNetwork();
  const step = await compileTrainStep(normed, task, { batch: 4, optimizer: { kind: 'sgd' }, lowering: 'nchwc', threads: 1, average: 0.3 });
  const names = ['a/kernel', 'b_bn/gamma', 'b_bn/variance'];
  const expected = new Map(names.map(name => [name, Float64Array.from(normed.graph.initializers.get(name)!.data as Float32Array)]));
  for (let t = 1; t <= 4; t++) {
    await step.run({ ...feedsOf(4, t), t, learningRate: 0.1 });
    const state = await step.state();
    const decay = Math.min(0.3, (1 + t) / (10 + t));
    for (const [name, average] of expected)
      expected.set(
        name,
        average.map((value, k) => decay * value + (1 - decay) * Number(state.get(name)!.data[k])),
      );
  }
  const state = await step.state();
  await step.close();
  const handed = resultOf(normed, state);
  for (const [name, average] of expected) {
    const data = handed.initializers.get(name)!.data;
    expect(data, name).toEqual(state.get(`${name}/average`)!.data);
    for (const [k, value] of average.entries()) expect(Number(data[k])).toBeCloseTo(value, 5);
    expect(data, name).not.toEqual(state.get(name)!.data);
  }
});

describe.each<LoweringName>(['std', 'nchwc'])('dropout, %s', lowering => {
  const inner = droppingNetwork();
  /** The loss of one step from the first weights, and the weights after it. */
  const stepped = async (of: typeof network, count: number, more: Partial<TrainStepOptions>) => {
    const step = await compileTrainStep(of, task, { batch: 4, optimizer: { kind: 'sgd' }, lowering, threads: 1, ...more });
    const { loss } = await step.run({ ...feedsOf(4, 1), t: 1, learningRate: 0.1, count });
    const state = await step.state();
    await step.close();
    return { loss, kernel: state.get('a/kernel') };
  };
  it.each([
    ['ahead of the head', network, { seed: 7, rate: 0.5 }],
    ['where the graph has a Dropout of its own', inner, { seed: 7 }],
  ] as const)('acts %s: by seed and step alone, and not at all without settings', async (_, of, dropout) => {
    const first = await stepped(of, 3, { dropout });
    expect(await stepped(of, 3, { dropout })).toEqual(first);
    const plain = await stepped(network, 3, {});
    const others = [await stepped(of, 4, { dropout }), await stepped(of, 3, { dropout: { ...dropout, seed: 8 } }), plain];
    for (const { loss } of others) expect(loss).not.toBe(first.loss);
    expect((await stepped(of, 3, {})).loss).toBe(plain.loss);
    expect(distance(first.kernel, plain.kernel)).toBeGreaterThan(1e-4);
  });
  it('drops the same in every lowering', async () => {
    const [here, std] = [await stepped(inner, 5, { dropout: { seed: 1 } }), await stepped(inner, 5, { dropout: { seed: 1 }, lowering: 'std' })];
    expect(distance(here.kernel, std.kernel)).toBeLessThan(1e-5);
  });
});

describe('mixup', () => {
  it('draws its shares from Beta(alpha, alpha)', () => {
    for (const alpha of [0.2, 1, 3]) {
      const draws = Array.from({ length: 4000 }, (_, k) => betaDraw(alpha, randomAt(5, k)));
      const mean = draws.reduce((sum, x) => sum + x, 0) / draws.length;
      const variance = draws.reduce((sum, x) => sum + (x - mean) ** 2, 0) / draws.length;
      expect(mean).toBeCloseTo(0.5, 1);
      expect(Math.abs(variance * 4 * (2 * alpha + 1) - 1), `alpha ${alpha}`).toBeLessThan(0.1);
    }
  });
  it('mixes images and targets by the same pairs, the same for the same step', () => {
    const { images, targets } = feedsOf(6, 3);
    const plan = mixupPlan(6, 0.4, { seed: 42, epoch: 2, step: 5 });
    expect(mixupPlan(6, 0.4, { seed: 42, epoch: 2, step: 5 })).toEqual(plan);
    expect(mixupPlan(6, 0.4, { seed: 42, epoch: 2, step: 6 })).not.toEqual(plan);
    const mixed = mixup(images, targets, plan);
    for (const [before, after] of [[images, mixed.images] as const, ...[...targets].map(([name, tensor]) => [tensor, mixed.targets.get(name)!] as const)]) {
      const size = before.data.length / 6;
      for (let row = 0; row < 6; row++) {
        const partner = plan.partners[row]!;
        for (let k = 0; k < size; k += 7)
          expect(Number(after.data[row * size + k])).toBeCloseTo(plan.share * Number(before.data[row * size + k]) + (1 - plan.share) * Number(before.data[partner * size + k]), 5);
      }
    }
    expect(([...mixed.targets.values()][0]!.data as Float32Array).reduce((sum, value) => sum + value, 0)).toBeCloseTo(6, 4);
  });
});
