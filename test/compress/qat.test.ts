import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { biasErrors, withCorrectedBiases } from '../../src/compress/bias-correction.ts';
import { calibrate, calibrationRecipe } from '../../src/compress/calibrate.ts';
import { sqnr } from '../../src/compress/compare.ts';
import { int8Form, learntNetwork, learntRanges, startQat, withoutRanges } from '../../src/compress/qat.ts';
import { quantize } from '../../src/compress/quantize.ts';
import { openReference, openSession } from '../../src/compute/session.ts';
import { cacheFor, parseCalibrationCache } from '../../src/formats/calibration-cache.ts';
import { readOnnx, writeOnnx } from '../../src/formats/onnx.ts';
import { Builder } from '../../src/graph/builder.ts';
import { bindBatch } from '../../src/graph/clean.ts';
import { differentiate } from '../../src/graph/differentiate.ts';
import { atLowestCost } from '../../src/graph/fold.ts';
import { f32, type Graph, int, type Tensor } from '../../src/graph/ir.ts';
import type { Network, Score } from '../../src/tasks/task.ts';
import { readCheckpoint } from '../../src/train/checkpoint.ts';
import { type FitOptions, fit } from '../../src/train/fit.ts';
import { openGraph } from '../../src/train/open-graph.ts';
import { predict } from '../../src/train/predict.ts';
import { compileTrainStep } from '../../src/train/step.ts';
import { toyBatch, toyEpoch, toyNetwork, toyTask } from '../train/_toys.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'edgeforge-qat-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function* images(n = 4) {
  for (let seed = 1; seed <= n; seed++) yield new Map([['input', toyBatch(8, seed).images]]);
}
const start = (network: Network) => startQat(network, images, { threads: 1 });
const run = async (graph: Graph, x: Tensor, lowering?: 'std' | 'nchwc'): Promise<Float32Array> => {
  const session = lowering ? await openGraph(graph, { lowering, threads: 1 }) : await openSession(writeOnnx(graph), { threads: 1 });
  const out = await session.run(new Map([['input', x]]));
  await session.close();
  return out.get('predictions')?.data as Float32Array;
};
const score = async (graph: Graph): Promise<Score> => {
  const { images: x, annotations } = toyBatch(300, 999);
  async function* one() {
    yield { images: x, n: 300 };
  }
  return toyTask().score(await predict(graph, toyTask(), one(), { threads: 1 }), annotations);
};
const settings = (network: Network, folder: string, changes: Partial<FitOptions> = {}): FitOptions => ({
  network,
  task: toyTask(),
  batches: epoch => toyEpoch(epoch, 8, 6),
  stepsPerEpoch: 8,
  batch: 6,
  epochs: 3,
  optimizer: { kind: 'adam' },
  schedule: { kind: 'soft-start-annealing', minimum: 1e-4, maximum: 5e-3, softStart: 0.2, annealing: 0.6 },
  folder: join(root, folder),
  threads: 1,
  ...changes,
});

describe('FakeQuantize', () => {
  it.each([{ dims: [] }, { dims: [3] }])('rounds like QuantizeLinear (scale of shape $dims), and lets gradients through where the grid reaches', async ({ dims }) => {
    const b = new Builder();
    b.input('x', 'float32', [2, 3, 4, 4]);
    b.input('scale', 'float32', dims);
    b.op('FakeQuantize', ['x', 'scale'], dims.length === 0 ? {} : { axis: int(1) }, { output: 'y', domain: 'edge' });
    b.op('ReduceSum', ['y'], { keepdims: int(0) }, { output: 'loss' });
    b.output('y', 'float32', [2, 3, 4, 4]);
    const { graph, gradients } = differentiate(b.graph(), { loss: 'loss', wrt: ['x'] });
    const dx = gradients.get('x') as string;
    const x = Float32Array.from({ length: 96 }, (_, i) => 3 * Math.sin(i));
    const scale = Float32Array.from({ length: dims.length === 0 ? 1 : 3 }, (_, c) => (1.5 + c) / 127);
    const feeds = new Map([
      ['x', f32([2, 3, 4, 4], x)],
      ['scale', f32(dims, scale)],
    ]);
    const both = { ...graph, outputs: [...graph.outputs, { name: dx, type: { dataType: 'float32' as const, dims: [2, 3, 4, 4] } }] };
    const session = await openGraph(both, { lowering: 'std', threads: 1 });
    for (const values of [await session.run(feeds), await openReference(both).run(feeds)]) {
      for (const [i, value] of x.entries()) {
        const step = scale[dims.length === 0 ? 0 : Math.floor(i / 16) % 3] as number;
        expect(values.get('y')?.data[i]).toBeCloseTo(Math.max(-128, Math.min(127, Math.round(value / step))) * step, 5);
        expect(values.get(dx)?.data[i]).toBe(Math.abs(value) <= 127.5 * step ? 1 : 0);
      }
    }
    await session.close();
  });
});

describe('quantization-aware training', () => {
  it('rounds exactly where the exported network will: both are the same function but for a thousandth of a range', async () => {
    const network = await start(toyNetwork());
    const { images: x } = toyBatch(2, 77);
    // After so many batches one moves the ranges by a thousandth.
    const held = { ...network.graph, initializers: new Map([...network.graph.initializers, ['qat/batches', f32([], [1e9])]]) };
    const exported = atLowestCost(learntNetwork(network.graph));
    const fake = await run(bindBatch(held, 2), x, 'std');
    const exact = await run(int8Form(network.graph, 'tensorrt'), x);
    expect(sqnr(exact, fake)).toBeGreaterThan(25);
    const q = quantize(exported, learntRanges(exported) as never, { engine: 'tensorrt' });
    const fakes = network.graph.nodes.filter(node => node.type === 'FakeQuantize');
    expect(fakes.length).toBe(
      q.nodes.filter(node => node.type === 'QuantizeLinear').length + [...q.initializers.values()].filter(t => t.dataType === 'int8' && t.dims.length > 1).length,
    );
  });

  it.each(['std', 'nchwc'] as const)('steps alike in the %s lowering, and moves its ranges', async lowering => {
    const network = await start(toyNetwork());
    const task = toyTask();
    const step = await compileTrainStep(network, task, { batch: 6, optimizer: { kind: 'sgd', momentum: 0.9, nesterov: false }, lowering, threads: 1 });
    const { images: x, annotations } = toyBatch(6, 5);
    const losses: number[] = [];
    for (let t = 1; t <= 3; t++) losses.push((await step.run({ images: x, targets: task.encode(annotations), lossWeights: task.lossWeights(), t, learningRate: 1e-3 })).loss);
    const state = await step.state();
    await step.close();
    expect(losses[0]).toBeCloseTo(1.3335, 3);
    expect(losses[2]).toBeCloseTo(1.3096, 3);
    expect(state.get('qat/batches')?.data[0]).toBe(13);
    expect(state.get('qat/relu6/range')?.data[0]).not.toBe(network.graph.initializers.get('qat/relu6/range')?.data[0]);
  });

  it('gives one table: in the checkpoint, in the network’s metadata, in the Q/DQ graph and in the TensorRT cache', { timeout: 300_000 }, async () => {
    const network = await start(toyNetwork());
    const result = await fit(settings(network, 'table', { epochs: 1 }));
    const plain = readOnnx(writeOnnx(learntNetwork(result.network.graph)));
    expect(plain.nodes.some(node => node.domain === 'edge' || node.type === 'Relu')).toBe(false);
    const exported = atLowestCost(plain);
    const table = learntRanges(exported);
    if (!table) throw new Error('no table');
    const checkpoint = await readCheckpoint(join(root, 'table', 'last.ckpt'));
    const cache = parseCalibrationCache(cacheFor(new Map(table.ranges.map(range => [range.name, range])), { tensorrt: '8.6.1' }));
    const qdq = quantize(exported, table, { engine: 'tensorrt' });
    expect(table.ranges.map(range => range.name)).toEqual(cache.entries.map(entry => entry.name));
    for (const [at, { name, amax }] of table.ranges.entries()) {
      expect(checkpoint?.tensors.get(`qat/${name}/range`)?.data[0]).toBe(amax);
      expect(cache.entries[at]?.scale).toBe(Math.fround(amax / 127));
    }
    const scales = qdq.nodes.filter(node => node.type === 'QuantizeLinear').map(node => qdq.initializers.get(node.inputs[1] as string)?.data[0]);
    for (const scale of scales) expect(table.ranges.map(range => Math.fround(range.amax / 127))).toContain(scale);
    expect(learntRanges(withoutRanges(exported))).toBeUndefined();
  });

  it('ends with the very same bits when cancelled and resumed', { timeout: 300_000 }, async () => {
    const network = await start(toyNetwork());
    const straight = await fit(settings(network, 'straight', { epochs: 2 }));
    const controller = new AbortController();
    const onProgress: FitOptions['onProgress'] = ({ epoch, step }) => epoch === 2 && step === 3 && controller.abort();
    await expect(fit(settings(network, 'resumed', { epochs: 2, signal: controller.signal, onProgress }))).rejects.toMatchObject({ code: 'cancelled' });
    const resumed = await fit(settings(network, 'resumed', { epochs: 2, resume: true }));
    for (const [name, tensor] of straight.network.graph.initializers) expect(resumed.network.graph.initializers.get(name), name).toEqual(tensor);
  });

  it('brings a network with planted activation outliers, which calibration breaks, back to its FP32 accuracy', { timeout: 300_000 }, async () => {
    const trained = await fit(settings(toyNetwork(), 'float', { epochs: 5 }));
    const planted: Network = { ...trained.network, graph: withOutliers(trained.network.graph) };
    const before = (await score(planted.graph)).value;
    const exported = atLowestCost(planted.graph);
    for (const algorithm of ['entropy', 'minmax', 'percentile'] as const) {
      const table = await calibrate(exported, images, calibrationRecipe.parse({ algorithm, images: 8 }), { threads: 1 });
      const corrected = withCorrectedBiases(exported, await biasErrors(exported, quantize(exported, table, { engine: 'tensorrt' }), images(), { threads: 1 }));
      for (const graph of [exported, corrected]) expect((await score(quantize(graph, table, { engine: 'tensorrt' }))).value, algorithm).toBeLessThan(before - 0.1);
    }
    const network = await start(planted);
    const learnt = await fit(settings(network, 'outliers', { epochs: 5, validate: graph => score(int8Form(graph, 'tensorrt')) }));
    const best = learnt.best?.network.graph as Graph;
    console.log(`planted outliers: FP32 ${before}, QAT INT8 ${learnt.history.map(record => record.validation?.value).join(' ')}, of 300`);
    expect((await score(int8Form(best, 'tensorrt'))).value).toBeGreaterThanOrEqual(before - 0.01);
    expect((await score(int8Form(best, 'onnxruntime'))).value).toBeGreaterThanOrEqual(before - 0.01);
  });
});

/** The same function with every channel of two layers on another scale: batch norm's output times 4ᵏ, and the kernels that read it divided by it. */
function withOutliers(graph: Graph): Graph {
  const initializers = new Map(graph.initializers);
  const factor = (channel: number) => 4 ** (channel % 8);
  const scale = (name: string, by: (index: number, dims: readonly number[]) => number) => {
    const { dims, data } = initializers.get(name) as Tensor;
    initializers.set(
      name,
      f32(
        dims,
        (data as Float32Array).map((value, index) => value * by(index, dims)),
      ),
    );
  };
  for (const name of ['stem_bn/gamma', 'stem_bn/beta', 'a_bn/gamma', 'a_bn/beta']) scale(name, factor);
  for (const name of ['a/kernel', 'c/kernel', 'b/kernel']) scale(name, (index, [, inputs = 1, height = 1, width = 1]) => 1 / factor(Math.floor(index / (height * width)) % inputs));
  return { ...graph, initializers };
}
