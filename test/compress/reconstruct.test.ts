import { describe, expect, it } from 'vitest';
import { activationStatistics } from '../../src/compress/activation-statistics.ts';
import { pruneToBudget } from '../../src/compress/budget.ts';
import { pruneSettings } from '../../src/compress/prune.ts';
import { reconstruct } from '../../src/compress/reconstruct.ts';
import { openSession } from '../../src/compute/session.ts';
import { writeOnnx } from '../../src/formats/onnx.ts';
import { Builder } from '../../src/graph/builder.ts';
import { type Attributes, f32, type Graph, int, ints, type Tensor } from '../../src/graph/ir.ts';
import { keptChannelsOf } from '../../src/graph/kept-channels.ts';
import type { Network } from '../../src/tasks/task.ts';
import { buildNetwork } from '../../src/zoo/network.ts';
import { noise } from '../compute/_numbers.ts';

type Feeds = ReadonlyMap<string, Tensor>;
/** Smooth pictures, as cameras make them: neighbours tell of each other. */
function pictures(count: number, [channels, height, width]: readonly [number, number, number], seed: number): Feeds[] {
  return Array.from({ length: count }, (_, picture) => {
    const waves = noise([channels, 5, 4], 1000 * seed + picture).data as Float32Array;
    const data = Float32Array.from({ length: channels * height * width }, (_, i) => {
      const [c, y, x] = [Math.floor(i / (height * width)), Math.floor(i / width) % height, i % width];
      let sum = 0;
      for (let at = 20 * c; at < 20 * c + 20; at += 4) {
        const [size = 0, down = 0, right = 0, phase = 0] = waves.subarray(at, at + 4);
        sum += size * Math.sin((down * y + right * x) / 2 + 6 * phase);
      }
      return sum;
    });
    return new Map([['input_1', f32([1, channels, height, width], data)]]);
  });
}

/** ‖network − whole‖² / ‖whole‖² over pictures, of all outputs or of one value. */
async function error(graph: Graph, whole: Graph, images: readonly Feeds[]): Promise<number> {
  let [lost, all] = [0, 0];
  const sessions = [await openSession(writeOnnx(graph), { threads: 1 }), await openSession(writeOnnx(whole), { threads: 1 })] as const;
  for (const feeds of images) {
    const [own, wanted] = [await sessions[0].run(feeds), await sessions[1].run(feeds)];
    for (const [name, tensor] of wanted)
      (tensor.data as Float32Array).forEach((value, i) => {
        lost += (value - Number(own.get(name)?.data[i])) ** 2;
        all += value ** 2;
      });
  }
  for (const session of sessions) await session.close();
  return lost / all;
}
async function* each(images: readonly Feeds[]) {
  yield* images;
}
async function pruned(network: Network, keepMacs: number, images: readonly Feeds[]): Promise<Graph> {
  const statistics = await activationStatistics(network.graph, each(images), { threads: 1 });
  return pruneToBudget(network, { keepMacs }, pruneSettings.parse({ importance: 'energy', granularity: 1, minFilters: 2 }), statistics).network.graph;
}

/** Conv with a bias (SAME pads, stride 2), then blocks of 3×3 and depthwise, dilated, each with ReLU, then 1×1 without any place for a constant. */
function separable(blocks = 3, channels = 12): Network {
  const builder = new Builder('separable');
  let seed = 0;
  const conv = (input: string, name: string, dims: number[], attributes: Attributes, scale: number) => {
    const draw = (of: number[], size: number) =>
      f32(
        of,
        (noise(of, ++seed).data as Float32Array).map(value => size * value),
      );
    return builder.op('Conv', [input, builder.weight(`${name}/kernel`, draw(dims, scale)), builder.weight(`${name}/bias`, draw([dims[0] as number], 0.3))], attributes, { name });
  };
  const relu = (value: string) => builder.op('Relu', [value]);
  builder.input('input_1', 'float32', ['N', 3, 20, 24]);
  let value = relu(conv('input_1', 'first', [channels, 3, 3, 3], { auto_pad: { type: 'string', value: 'SAME_UPPER' }, strides: ints([2, 2]) }, 1));
  for (let block = 1; block <= blocks; block++) {
    value = relu(conv(value, `mix${block}`, [channels, channels, 3, 3], { pads: ints([1, 1, 1, 1]) }, 0.3));
    value = relu(conv(value, `depth${block}`, [channels, 1, 3, 3], { group: int(channels), dilations: ints([2, 2]), pads: ints([2, 2, 2, 2]) }, 0.7));
  }
  builder.op('Conv', [value, builder.weight('last/kernel', noise([4, channels, 1, 1], 77))], {}, { name: 'last', output: 'y' });
  builder.output('y', 'float32', ['N', 4, 10, 12]);
  return { graph: builder.graph(), info: {} as Network['info'], trainable: [], frozenNorms: [], regularized: [] };
}

const detector = buildNetwork({ architecture: 'detectnet_v2_resnet10', labels: ['a', 'b'], height: 64, width: 96, widthMultiplier: 0.25 });

describe('reconstruct', () => {
  const [known, unseen] = [pictures(40, [3, 20, 24], 1), pictures(20, [3, 20, 24], 2)];

  it('brings a pruned network nearer to the whole one, on images it was not fitted to', async () => {
    const network = separable();
    const cut = await pruned(network, 0.5, known);
    const fit = await reconstruct(cut, network.graph, known, { threads: 1 });
    const [before, after] = [await error(cut, network.graph, unseen), await error(fit, network.graph, unseen)];
    expect(before).toBeGreaterThan(0.01);
    expect(after).toBeLessThan(0.95 * before);
    expect([...fit.initializers].map(([name, { dims }]) => [name, dims])).toEqual([...cut.initializers].map(([name, { dims }]) => [name, dims]));
  });

  const spoil = (graph: Graph, isSpoilt: (name: string) => boolean): Graph => {
    const initializers = new Map(graph.initializers);
    for (const [name, tensor] of initializers)
      if (isSpoilt(name)) initializers.set(name, { ...tensor, data: Float32Array.from(tensor.data as Float32Array, (value, i) => value * (1 + 0.8 * Math.sin(i * i))) });
    return { ...graph, initializers };
  };
  it.each([
    ['dense and depthwise kernels with biases', separable(), known, unseen, /^(mix|depth)2/],
    ['kernels ahead of batch norms and shortcuts', detector, pictures(60, [3, 64, 96], 3), pictures(8, [3, 64, 96], 4), /^block_(2a|3a)_(conv_.*\/kernel|bn_.*\/moving_mean)/],
  ] as const)('finds spoilt weights again: %s', async (_, network, images, others, names) => {
    const cut = await pruned(network, 0.6, images);
    const spoilt = spoil(cut, name => names.test(name));
    const [fit, mended] = [await reconstruct(cut, network.graph, images, { threads: 1 }), await reconstruct(spoilt, network.graph, images, { threads: 1 })];
    const [good, bad, back] = [await error(fit, network.graph, others), await error(spoilt, network.graph, others), await error(mended, network.graph, others)];
    expect(bad).toBeGreaterThan(2 * good);
    expect(back - good).toBeLessThan(0.1 * (bad - good));
  });

  it('leaves a layer no better weight nearby: least squares at its first fit', async () => {
    const network = separable();
    const cut = await pruned(network, 0.5, known);
    const fit = await reconstruct(cut, network.graph, known, { threads: 1 });
    const types = { dataType: 'float32', dims: ['N', 12, 10, 12] } as const;
    const kept = (fit.initializers.get('mix1/kernel') as Tensor).dims[0] as number;
    const at = (graph: Graph, channels: number): Graph => ({
      ...graph,
      outputs: [{ name: graph.nodes.find(({ name }) => name === 'mix1')?.outputs[0] as string, type: { ...types, dims: ['N', channels, 10, 12] } }],
    });
    const names = keptChannelsOf(cut)[cut.nodes.find(({ name }) => name === 'mix2')?.inputs[0] as string]?.kept as number[];
    expect(names.length).toBe(kept);
    const distance = async (graph: Graph) => {
      let sum = 0;
      const [own, whole] = [await openSession(writeOnnx(at(graph, kept)), { threads: 1 }), await openSession(writeOnnx(at(network.graph, 12)), { threads: 1 })];
      for (const feeds of known) {
        const [a, b] = [[...(await own.run(feeds)).values()][0]?.data as Float32Array, [...(await whole.run(feeds)).values()][0]?.data as Float32Array];
        names.forEach((filter, k) => {
          for (let cell = 0; cell < 120; cell++) sum += ((a[k * 120 + cell] as number) - (b[filter * 120 + cell] as number)) ** 2;
        });
      }
      await own.close();
      await whole.close();
      return sum;
    };
    const least = await distance(fit);
    expect(least).toBeLessThan(await distance(cut));
    const kernel = fit.initializers.get('mix1/kernel') as Tensor;
    for (const seed of [1, 2, 3, 4]) {
      const step = noise(kernel.dims, seed).data;
      const moved = { ...kernel, data: Float32Array.from(kernel.data as Float32Array, (value, i) => value + 0.05 * Number(step[i])) };
      expect(await distance({ ...fit, initializers: new Map(fit.initializers).set('mix1/kernel', moved) })).toBeGreaterThan(least);
    }
  });

  it('gives back the same graph where nothing was pruned, and tells its passes otherwise', async () => {
    const network = separable();
    expect(await reconstruct(network.graph, network.graph, known)).toBe(network.graph);
    const told: (readonly [number, number])[] = [];
    await reconstruct(await pruned(network, 0.5, known), network.graph, known, { threads: 1, onImages: (done, total) => told.push([done, total]) });
    expect(told.at(-1)).toEqual([320, 320]);
    expect(told.length).toBe(320);
  });

  it('stops when asked to', async () => {
    const network = separable();
    const cut = await pruned(network, 0.5, known);
    await expect(reconstruct(cut, network.graph, known, { signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
  });
});
