import { describe, expect, it } from 'vitest';
import { chooseCompute, computeFacts } from '../../src/compute/choose.ts';
import { openReference } from '../../src/compute/session.ts';
import { openTfjs } from '../../src/compute/tfjs/session.ts';
import { Builder } from '../../src/graph/builder.ts';
import { f32, float, type Graph, int, ints, text } from '../../src/graph/ir.ts';
import { inferShapes } from '../../src/graph/shapes.ts';
import { distance, noise } from './_numbers.ts';

const hasTfjs = computeFacts().tfjs !== undefined;
if (!hasTfjs) console.warn('SKIPPED: tfjs, because none of its packages is installed. Install the development dependencies with: npm ci');

type Make = (b: Builder) => string;
const unary = (types: string): [string, Make][] => types.split(' ').map(type => [type, b => b.op(type, ['x'])]);
const binary = (types: string): [string, Make][] => types.split(' ').map(type => [type, b => b.op(type, ['x', 'y'])]);
const compared = (types: string): [string, Make][] => types.split(' ').map(type => [type, b => b.op('Cast', [b.op(type, ['x', 'y'])], { to: int(1) })]);
const positive: Make = b => b.op('Add', [b.op('Abs', ['x']), b.constant(0.1)]);
const both =
  (type: string): Make =>
  b =>
    b.op('Cast', [b.op(type, [b.op('Greater', ['x', 'y']), b.op('Less', ['x', b.constant(0.5)])])], { to: int(1) });

/** Operators over x and y [2, 4, 3, 5]: each has a kernel, none falls to the reference. */
const cases: readonly [string, Make][] = [
  ...unary('Relu LeakyRelu Elu Sigmoid HardSigmoid HardSwish Softplus Tanh Exp Neg Abs Sin Cos Sign Floor Ceil Identity GlobalAveragePool'),
  ...binary('Add Sub Mul Max Min'),
  ...compared('Equal Greater GreaterOrEqual Less LessOrEqual'),
  ...['And', 'Or', 'Xor'].map((type): [string, Make] => [type, both(type)]),
  ...['Log', 'Sqrt', 'Reciprocal'].map((type): [string, Make] => [type, b => b.op(type, [positive(b)])]),
  ...['ReduceMean', 'ReduceMax', 'ReduceMin', 'ReduceL1', 'ReduceL2', 'ReduceSumSquare'].map((type): [string, Make] => [
    type,
    b => b.op(type, ['x'], { axes: ints([0, -1]), keepdims: int(0) }),
  ]),
  ['ReduceSum', b => b.op('ReduceSum', ['x', b.indices([0, 2, 3])], { keepdims: int(0) })],
  ['Div', b => b.op('Div', ['x', positive(b)])],
  ['Pow', b => b.op('Pow', [positive(b), b.constant(1.5)])],
  ['Sum', b => b.op('Sum', ['x', 'y', 'x'])],
  ['Mean', b => b.op('Mean', ['x', 'y'])],
  ['Clip', b => b.op('Clip', ['x', b.constant(-0.3), b.constant(0.4)])],
  ['PRelu', b => b.op('PRelu', ['x', b.constant([0.1, 0.2, 0.3, 0.4], [4, 1, 1])])],
  ['Where', b => b.op('Where', [b.op('Greater', ['x', 'y']), 'x', b.constant(2)])],
  ['Not', b => b.op('Cast', [b.op('Not', [b.op('Less', ['x', 'y'])])], { to: int(1) })],
  ['Softmax', b => b.op('Softmax', ['x'], { axis: int(1) })],
  ['LogSoftmax', b => b.op('LogSoftmax', ['x'], { axis: int(-1) })],
  ['Reshape', b => b.op('Reshape', ['x', b.indices([4, -1])])],
  ['Flatten', b => b.op('Flatten', ['x'], { axis: int(2) })],
  ['Unsqueeze and Squeeze', b => b.op('Squeeze', [b.op('Unsqueeze', ['x', b.indices([0, 2])]), b.indices([0])])],
  ['Expand', b => b.op('Expand', [b.op('ReduceSum', ['x', b.indices([1])]), b.indices([2, 4, 3, 5])])],
  ['Transpose', b => b.op('Transpose', ['x'], { perm: ints([2, 0, 3, 1]) })],
  ['Concat', b => b.op('Concat', ['x', 'y', 'x'], { axis: int(-3) })],
  ['Split', b => b.op('Concat', b.ops('Split', ['x', b.indices([1, 3])], { axis: int(1) }, { outputs: 2 }).toReversed(), { axis: int(1) })],
  ['Slice', b => b.op('Slice', ['x', b.indices([1, -4]), b.indices([4, 1000]), b.indices([1, -1]), b.indices([2, 3])])],
  ['Pad', b => b.op('Pad', ['x', b.indices([0, 1, 0, 2, 1, 0, 0, 3]), b.constant(-9)])],
  ['Gather', b => b.op('Gather', ['x', b.indices([3, -4, 1])], { axis: int(1) })],
  ['MatMul', b => b.op('MatMul', ['x', b.op('Transpose', ['y'], { perm: ints([0, 1, 3, 2]) })])],
  [
    'Gemm',
    b =>
      b.op('Gemm', [b.op('Reshape', ['x', b.indices([5, 24])]), b.op('Reshape', ['y', b.indices([5, 24])]), b.constant(2)], { transA: int(1), alpha: float(0.5), beta: float(3) }),
  ],
  ['MaxPool with ceil', b => b.op('MaxPool', ['x'], { kernel_shape: ints([2, 2]), strides: ints([2, 2]), ceil_mode: int(1) })],
  ['AveragePool', b => b.op('AveragePool', ['x'], { kernel_shape: ints([3, 3]), strides: ints([2, 2]), pads: ints([1, 1, 1, 1]) })],
  ['BatchNormalization', b => b.op('BatchNormalization', ['x', ...[2, 3, 4, 5].map(at => b.constant([1, 2, 3, at]))])],
];
const graphOf = (make: Make): Graph => {
  const b = new Builder('one');
  for (const name of ['x', 'y']) b.input(name, 'float32', [2, 4, 3, 5]);
  const name = make(b);
  b.output(name, 'float32', []);
  const graph = b.graph();
  const type = inferShapes(graph).get(name);
  return type ? { ...graph, outputs: [{ name, type }] } : graph;
};
const feeds = new Map(['x', 'y'].map((name, at) => [name, noise([2, 4, 3, 5], at + 1)]));

describe.skipIf(!hasTfjs)('tfjs against float64', () => {
  it.each(cases)('%s', async (_, make) => {
    const graph = graphOf(make);
    const session = await openTfjs(graph, { state: [] });
    const [truth, own] = [await openReference(graph).run(feeds), await session.run(feeds)];
    await session.close();
    expect([...session.byReference]).toEqual([]);
    for (const { name, type } of graph.outputs) {
      expect(own.get(name)?.dims).toEqual(type.dims);
      expect(distance(own.get(name), truth.get(name))).toBeLessThan(1e-5);
    }
  });
  it('leaves what it has no kernel for to the reference, and says so', async () => {
    const graph = graphOf(b =>
      b.op('Resize', ['x', '', b.constant([1, 1, 2, 2])], { mode: text('nearest'), coordinate_transformation_mode: text('asymmetric'), nearest_mode: text('floor') }),
    );
    const session = await openTfjs(graph, { state: [] });
    const [truth, own] = [await openReference(graph).run(feeds), await session.run(feeds)];
    await session.close();
    expect([...session.byReference]).toEqual(['Resize']);
    for (const { name } of graph.outputs) expect(distance(own.get(name), truth.get(name))).toBeLessThan(1e-6);
  });
  it('keeps state, and no tensor that nobody reads', async () => {
    const { createRequire } = await import('node:module');
    const count = () => (createRequire(import.meta.url)('@tensorflow/tfjs-core') as { memory(): { numTensors: number } }).memory().numTensors;
    const b = new Builder('counter');
    b.input('step', 'float32', [2]);
    b.input('count', 'float32', [2]);
    b.op('Add', ['count', 'step'], {}, { output: 'next' });
    b.op('Neg', [b.op('Mul', ['next', b.constant(2)])], {}, { output: 'seen' });
    for (const name of ['next', 'seen']) b.output(name, 'float32', [2]);
    const first = count();
    const session = await openTfjs(b.graph(), { state: [{ input: 'count', output: 'next' }] });
    await session.load(new Map([['count', f32([2], [1, 10])]]));
    const step = new Map([['step', f32([2], [1, 2])]]);
    await session.run(step);
    await session.run(step);
    const settled = count();
    for (let k = 0; k < 3; k++) await session.run(step);
    expect(count()).toBe(settled);
    expect([...((await session.run(step)).get('seen')?.data ?? [])]).toEqual([-14, -44]);
    expect([...((await session.save()).get('count')?.data ?? [])]).toEqual([7, 22]);
    expect([...((await session.save('before')).get('count')?.data ?? [])]).toEqual([6, 20]);
    await session.close();
    expect(count()).toBe(first);
  });
});

describe('the choice of compute', () => {
  const none = { nvidia: false, cudaProvider: false, tfjs: undefined };
  it('takes a GPU where it is here and its files are installed, else the CPU, and says why', () => {
    expect(chooseCompute('auto', none)).toMatchObject({ name: 'onnxruntime-cpu', why: expect.stringContaining('no NVIDIA GPU') });
    expect(chooseCompute('auto', { ...none, cudaProvider: true }).name).toBe('onnxruntime-cpu');
    expect(chooseCompute('auto', { ...none, nvidia: true }).why).toContain('neither the CUDA files');
    expect(chooseCompute('auto', { ...none, nvidia: true, cudaProvider: true }).name).toBe('onnxruntime-cuda');
    expect(chooseCompute('auto', { ...none, nvidia: true, tfjs: '@tensorflow/tfjs-node-gpu' }).name).toBe('tfjs');
    expect(chooseCompute('auto', { ...none, nvidia: true, tfjs: '@tensorflow/tfjs-node' }).name).toBe('onnxruntime-cpu');
  });
  it('refuses what is not installed with the command that adds it', () => {
    expect(() => chooseCompute('onnxruntime-cuda', none)).toThrowError(
      expect.objectContaining({ code: 'engine-missing', hint: expect.stringContaining('ONNXRUNTIME_NODE_INSTALL=cuda12') }),
    );
    expect(() => chooseCompute('tfjs', none)).toThrowError(expect.objectContaining({ hint: expect.stringContaining('npm install @tensorflow/tfjs-node') }));
    expect(() => chooseCompute('tfjs', { ...none, nvidia: true })).toThrowError(expect.objectContaining({ hint: expect.stringContaining('tfjs-node-gpu') }));
    expect(chooseCompute('onnxruntime-webgpu', none).name).toBe('onnxruntime-webgpu');
  });
});
