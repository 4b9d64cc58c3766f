import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { activationStatistics } from '../../src/compress/activation-statistics.ts';
import { pruneToBudget } from '../../src/compress/budget.ts';
import { channelClasses } from '../../src/compress/channel-groups.ts';
import { filterNorms, normalize } from '../../src/compress/importance.ts';
import { planPrune, prune, pruneAt, pruneSettings, retainedCount, sizedAt } from '../../src/compress/prune.ts';
import { pruneCurve } from '../../src/compress/prune-curve.ts';
import { sliceTensor } from '../../src/compress/slice.ts';
import { openSession } from '../../src/compute/session.ts';
import { writeOnnx } from '../../src/formats/onnx.ts';
import { Builder } from '../../src/graph/builder.ts';
import { costOf } from '../../src/graph/cost.ts';
import { f32, type Graph, int, ints, type Tensor } from '../../src/graph/ir.ts';
import type { Network } from '../../src/tasks/task.ts';
import { buildNetwork } from '../../src/zoo/network.ts';

const detector = (architecture = 'detectnet_v2_resnet10') => buildNetwork({ architecture, labels: ['a', 'b'], height: 64, width: 96, widthMultiplier: 0.5 });
const image = f32(
  [1, 3, 64, 96],
  Float32Array.from({ length: 3 * 64 * 96 }, (_, i) => Math.sin(i / 7)),
);

/** Filters whose kernels, norms and biases are zero carry nothing: without them a network must say the same. */
function silence(network: Network, isSilent: (layer: string, filter: number) => boolean): Network {
  const initializers = new Map(network.graph.initializers);
  for (const [name, tensor] of initializers) {
    const [layer, part] = name.split('/') as [string, string];
    if (!['kernel', 'gamma', 'beta', 'moving_mean', 'bias'].includes(part)) continue;
    const data = Float32Array.from(tensor.data as Float32Array);
    const filters = tensor.dims[0] as number;
    const inner = data.length / filters;
    const owner = layer.replace(/^bn_/, '').replace('_bn_', '_conv_');
    for (let filter = 0; filter < filters; filter++) if (isSilent(owner, filter)) data.fill(0, filter * inner, (filter + 1) * inner);
    initializers.set(name, { ...tensor, data });
  }
  return { ...network, graph: { ...network.graph, initializers } };
}

async function outputsOf(graph: Graph, x: Tensor = image): Promise<ReadonlyMap<string, Tensor>> {
  const session = await openSession(writeOnnx(graph), { threads: 1 });
  try {
    return await session.run(new Map([[graph.inputs[0]?.name as string, x]]));
  } finally {
    await session.close();
  }
}

describe('retainedCount', () => {
  it.each([
    // importance, threshold, minimum, granularity → kept (tlt-formats §6.1 step 3)
    [[1, 0.5, 0.2, 0.1], 0.3, 1, 1, 2],
    [[1, 0.5, 0.2, 0.1], 0.3, 3, 1, 3],
    [[1, 0.5, 0.2, 0.1], 0.3, 1, 4, 4],
    [[1, 0.5, 0.2, 0.1], 0.3, 16, 8, 4],
    [[1, 1, 1, 1], 2, 1, 1, 1],
  ])('%j above %d, at least %d, multiples of %d keeps %d', (importance, threshold, minFilters, granularity, kept) => {
    expect(retainedCount(Float64Array.from(importance), { threshold, minFilters, granularity })).toBe(kept);
  });

  it('never grows with the threshold and stays within its bounds', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 64 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer({ min: 1, max: 16 }),
        (values, a, b, granularity) => {
          const importance = Float64Array.from(values);
          const kept = (threshold: number) => retainedCount(importance, { threshold, minFilters: 4, granularity });
          expect(kept(Math.max(a, b))).toBeLessThanOrEqual(kept(Math.min(a, b)));
          expect(kept(a)).toBeGreaterThanOrEqual(Math.min(4, values.length));
          expect(kept(a) % granularity === 0 || kept(a) === values.length).toBe(true);
        },
      ),
    );
  });
});

describe('importance', () => {
  it('is the L2 norm of each filter, normalized per layer', () => {
    const weight = f32([2, 1, 1, 2], [3, 4, 0, 2]);
    expect([...filterNorms(weight, 0)]).toEqual([5, 2]);
    expect([...normalize(Float64Array.of(5, 2), 'max')]).toEqual([1, 0.4]);
    expect([...normalize(Float64Array.of(3, 4), 'L2')]).toEqual([1.2, 1.6]);
    expect([...filterNorms(weight, 3)]).toEqual([3, Math.hypot(4, 2)]);
  });
});

describe('pruning by energy', () => {
  // 1×1 → depthwise → 1×1 → mean, as in MobileNet: channel k is written by the first two kernels and read by the third.
  const separable = (): Network => {
    const builder = new Builder('separable');
    builder.input('x', 'float32', ['N', 3, 4, 4]);
    const weight = (name: string, dims: number[], at: (i: number) => number) =>
      builder.weight(
        name,
        f32(
          dims,
          Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => at(i)),
        ),
      );
    // Channel 1 is written large but always the same (its kernel is zero, its bias is not); channel 3 is large and nearly unread.
    const write = weight('write/kernel', [4, 3, 1, 1], i => (Math.floor(i / 3) === 1 ? 0 : 1 + Math.sin(i)));
    const bias = weight('write/bias', [4], i => (i === 1 ? 7 : 0.1));
    const depth = weight('depth/kernel', [4, 1, 1, 1], () => 3);
    const read = weight('read/kernel', [2, 4, 1, 1], i => (i % 4 === 3 ? 1e-4 : 1 + Math.cos(i)));
    const zero = weight('read/bias', [2], () => 0.5);
    const a = builder.op('Conv', ['x', write, bias], {}, { name: 'write' });
    const b = builder.op('Conv', [a, depth], { group: int(4), kernel_shape: ints([1, 1]) }, { name: 'depth', output: 'b' });
    builder.op('Conv', [b, read, zero], {}, { name: 'read', output: 'y' });
    builder.output('y', 'float32', ['N', 2, 4, 4]);
    return { graph: builder.graph(), info: {} as Network['info'], trainable: [], frozenNorms: [], regularized: [] };
  };
  const picture = f32(
    [2, 3, 4, 4],
    Float32Array.from({ length: 96 }, (_, i) => Math.sin(i * i)),
  );
  async function* batches() {
    yield new Map([['x', picture]]);
  }
  const settings = pruneSettings.parse({ importance: 'energy', minFilters: 1, granularity: 1, threshold: 1e-3 });

  it('measures mean and variance of what each layer reads', async () => {
    const b = (await activationStatistics(separable().graph, batches(), { threads: 1 })).get('b');
    expect(b?.mean[1]).toBeCloseTo(21, 4);
    expect(b?.variance[1]).toBeCloseTo(0, 4);
    expect(b?.variance[0]).toBeGreaterThan(0.1);
    for (let c = 0; c < 4; c++) expect(b?.covariance[5 * c]).toBeCloseTo(b?.variance[c] as number, 3);
  });

  it('drops what never varies and what nobody reads, and keeps its mean in the reader’s bias', async () => {
    const network = separable();
    const statistics = await activationStatistics(network.graph, batches(), { threads: 1 });
    const { network: pruned } = prune(network, settings, statistics);
    expect((pruned.graph.initializers.get('depth/kernel') as Tensor).dims).toEqual([2, 1, 1, 1]);
    const [before, after] = [await outputsOf(network.graph, picture), await outputsOf(pruned.graph, picture)];
    ((before.get('y') as Tensor).data as Float32Array).forEach((value, i) => {
      expect(Math.abs(value - (after.get('y')?.data[i] as number))).toBeLessThan(2e-3);
    });
  });

  it('shifts running means where a batch norm stands behind the reader', async () => {
    const network = detector();
    const x = f32([1, 3, 64, 96], image.data as Float32Array);
    async function* one() {
      yield new Map([['input_1', x]]);
    }
    const statistics = await activationStatistics(network.graph, one(), { threads: 1 });
    const error = async (importance: 'magnitude' | 'energy') => {
      const { network: pruned } = pruneToBudget(network, { keepMacs: 0.8 }, pruneSettings.parse({ importance, minFilters: 1, granularity: 1 }), statistics);
      expect(costOf(pruned.graph).macs).toBeLessThanOrEqual(0.8 * costOf(network.graph).macs);
      const [a, b] = [await outputsOf(network.graph, x), await outputsOf(pruned.graph, x)];
      return ((a.get('output_cov') as Tensor).data as Float32Array).reduce((sum, value, i) => sum + (value - (b.get('output_cov')?.data[i] as number)) ** 2, 0);
    };
    expect(await error('energy')).toBeLessThan(0.5 * (await error('magnitude')));
  });

  it('lets the kept channels take over a channel that they tell', async () => {
    // Channel 2 is channel 0 again: whichever goes, the other speaks for both.
    const network = separable();
    const write = network.graph.initializers.get('write/kernel') as Tensor;
    const data = Float32Array.from(write.data as Float32Array);
    data.set(data.slice(0, 3), 6);
    const twin = { ...network, graph: { ...network.graph, initializers: new Map(network.graph.initializers).set('write/kernel', { ...write, data }) } };
    const statistics = await activationStatistics(twin.graph, batches(), { threads: 1 });
    const plan = planPrune(twin, settings, statistics);
    const [least] = plan.groups.filter(group => group.locked === undefined).map(group => [...group.importance].sort((a, b) => a - b)[2] as number);
    const pruned = pruneAt(plan, least as number);
    expect((pruned.graph.initializers.get('depth/kernel') as Tensor).dims[0]).toBe(1);
    const before = (await outputsOf(twin.graph, picture)).get('y') as Tensor;
    const worst = async ({ graph }: Network) => {
      const after = (await outputsOf(graph, picture)).get('y') as Tensor;
      return (before.data as Float32Array).reduce((most, value, i) => Math.max(most, Math.abs(value - Number(after.data[i]))), 0);
    };
    expect(await worst(pruned)).toBeLessThan(0.05 * (await worst(sizedAt(plan, least as number))));
  });

  it('refuses to guess without images', () => {
    expect(() => prune(separable(), settings)).toThrow(/needs images/);
  });
});

describe('sliceTensor', () => {
  it('keeps the named indices of each axis', () => {
    const tensor = f32([2, 3], [0, 1, 2, 10, 11, 12]);
    expect([...sliceTensor(tensor, [undefined, [0, 2]]).data]).toEqual([0, 2, 10, 12]);
    expect([...sliceTensor(tensor, [[1], [1]]).data]).toEqual([11]);
    expect(sliceTensor(tensor, [undefined, undefined])).toBe(tensor);
  });
});

describe('prune', () => {
  it.each(['detectnet_v2_resnet10', 'detectnet_v2_resnet18', 'detectnet_v2_resnet50'])('leaves what %s computes alone when only silent filters go', async architecture => {
    // Every second filter says nothing; blocks are odd, so that a slice off by one shows.
    const network = silence(detector(architecture), (layer, filter) => !layer.startsWith('output') && filter % 2 === 1);
    const { network: pruned, report } = prune(network, pruneSettings.parse({ threshold: 1e-6, granularity: 1, minFilters: 1 }));
    expect(report.parametersAfter).toBeLessThan(0.4 * report.parametersBefore);
    const [before, after] = [await outputsOf(network.graph), await outputsOf(pruned.graph)];
    for (const [name, tensor] of before) {
      const other = after.get(name)?.data as Float32Array;
      expect(other.length).toBe(tensor.data.length);
      (tensor.data as Float32Array).forEach((value, i) => {
        expect(Math.abs(value - (other[i] as number))).toBeLessThan(1e-4);
      });
    }
  });

  it('follows granularity, minimum and the equalization of residual groups', () => {
    const { network, report } = prune(detector(), pruneSettings.parse({ threshold: 0.95 }));
    for (const layer of report.layers) expect(layer.kept !== undefined || layer.filtersAfter % 8 === 0).toBe(true);
    const filters = (name: string) => report.layers.find(layer => layer.layer === name)?.filtersAfter;
    expect(filters('block_2a_conv_2')).toBe(filters('block_2a_conv_shortcut'));
    expect(report.layers.filter(layer => layer.layer.startsWith('output')).map(layer => layer.filtersAfter)).toEqual([8, 2]);
    expect(costOf(network.graph).macs).toBe(report.macsAfter);
  });

  it('keeps excluded layers and their whole group', () => {
    const { report } = prune(detector(), pruneSettings.parse({ threshold: 0.99, excluded: ['block_2a_conv_2'] }));
    const kept = report.layers.filter(layer => layer.kept?.startsWith('excluded')).map(layer => layer.layer);
    expect(kept).toContain('block_2a_conv_shortcut');
    expect(() => prune(detector(), pruneSettings.parse({ excluded: ['no_such'] }))).toThrow(/no prunable layer "no_such"/);
  });

  it('takes depthwise convolutions with their producer, and offsets through a concat', async () => {
    const network = depthwiseAndConcat();
    const { network: pruned, report } = prune(network, pruneSettings.parse({ threshold: 0.01, granularity: 1, minFilters: 1 }));
    const depthwise = pruned.graph.nodes.find(node => node.name === 'dw');
    expect(depthwise?.attributes.group?.value).toBe(2);
    expect(report.layers.find(layer => layer.layer === 'left')?.filtersAfter).toBe(2);
    expect(report.layers.find(layer => layer.layer === 'right')?.filtersAfter).toBe(3);
    expect(pruned.graph.initializers.get('head/w')?.dims).toEqual([2, 5, 1, 1]);
    const x = f32(
      [1, 3, 5, 5],
      Float32Array.from({ length: 75 }, (_, i) => Math.cos(i)),
    );
    const [a, b] = [await outputsOf(network.graph, x), await outputsOf(pruned.graph, x)];
    for (const [name, tensor] of a)
      (tensor.data as Float32Array).forEach((value, i) => {
        expect(value).toBeCloseTo(b.get(name)?.data[i] as number, 4);
      });
  });

  it('binds both operands of an Add into one class per channel', () => {
    const classes = channelClasses(detector().graph);
    expect(classes.classOf('block_1a_conv_2', 1, 3)).toBe(classes.classOf('block_1a_conv_shortcut', 1, 3));
    expect(classes.classOf('block_1a_conv_2', 1, 3)).not.toBe(classes.classOf('block_1a_conv_2', 1, 4));
    expect(classes.lockOf(classes.classOf('output_bbox', 1, 0))).toBe('network output');
  });
});

describe('pruneToBudget', () => {
  it.each([0.7, 0.5, 0.3])('leaves at most %d of the MACs, and not much less', keepMacs => {
    const { report } = pruneToBudget(detector(), { keepMacs }, pruneSettings.parse({}));
    const left = report.macsAfter / report.macsBefore;
    expect(left).toBeLessThanOrEqual(keepMacs);
    expect(left).toBeGreaterThan(keepMacs - 0.15);
  });
  it('foresees on its curve exactly what a prune to a budget or at a threshold gives', () => {
    const settings = pruneSettings.parse({ minFilters: 4 });
    const curve = pruneCurve(detector(), settings);
    expect(curve.points[0]).toMatchObject({ threshold: 0, macs: curve.macs, parameters: curve.parameters });
    for (const key of ['macs', 'parameters'] as const) {
      const sizes = curve.points.map(point => point[key]);
      expect(sizes).toEqual([...sizes].sort((a, b) => b - a));
    }
    const half = curve.budgets.find(({ keep }) => keep === 0.5);
    const { report } = pruneToBudget(detector(), { keepMacs: 0.5 }, settings);
    expect(half?.macs).toMatchObject({ threshold: report.settings.threshold, macs: report.macsAfter, parameters: report.parametersAfter });
    const filters = new Map(curve.layers.map(({ layer }, index) => [layer, half?.macs?.filters[index]]));
    for (const { layer, filtersAfter } of report.layers) expect(filters.get(layer)).toBe(filtersAfter);
    const { threshold, macs, parameters } = curve.points[16]!;
    expect(prune(detector(), { ...settings, threshold }).report).toMatchObject({ macsAfter: macs, parametersAfter: parameters });
  });
  it('names the least that can be reached', () => {
    expect(() => pruneToBudget(detector(), { keepMacs: 0.0001 }, pruneSettings.parse({}))).toThrow(/at least \d/);
  });
});

/** left(4, two silent) → dw → concat with right(4, one silent) → head. */
function depthwiseAndConcat(): Network {
  const builder = new Builder('mixed');
  const x = builder.input('x', 'float32', ['N', 3, 5, 5]);
  const random = (dims: number[], silent: readonly number[] = []) => {
    const inner = dims.slice(1).reduce((a, b) => a * b, 1);
    return f32(
      dims,
      Float32Array.from({ length: (dims[0] as number) * inner }, (_, i) => (silent.includes(Math.floor(i / inner)) ? 0 : 1 + Math.sin(i * 12.9))),
    );
  };
  const conv = (name: string, input: string, dims: number[], silent: readonly number[], group = 1) =>
    builder.op(
      'Conv',
      [input, builder.weight(`${name}/w`, random(dims, silent))],
      { kernel_shape: ints(dims.slice(2)), group: int(group), ...(dims[2] === 3 ? { pads: ints([1, 1, 1, 1]) } : {}) },
      { name, output: name },
    );
  const left = conv('left', x, [4, 3, 1, 1], [1, 2]);
  const dw = conv('dw', left, [4, 1, 3, 3], [1, 2], 4);
  const right = conv('right', x, [4, 3, 1, 1], [0]);
  const joined = builder.op('Concat', [dw, right], { axis: int(1) }, { name: 'concat', output: 'concat' });
  builder.output(conv('head', joined, [2, 8, 1, 1], []), 'float32', ['N', 2, 5, 5]);
  const info = {
    task: 'classification' as const,
    architecture: 'mixed',
    labels: ['a', 'b'],
    input: 'x',
    outputs: ['head'],
    preprocess: { scale: 1, offset: [0, 0, 0] as [number, number, number], order: 'rgb' as const, resize: 'stretch' as const },
  };
  return { graph: builder.graph(), info, trainable: [], frozenNorms: [], regularized: [] };
}
