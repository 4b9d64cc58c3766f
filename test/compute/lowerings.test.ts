import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { computeFacts } from '../../src/compute/choose.ts';
import { lowerNchwc } from '../../src/compute/lowerings/nchwc.ts';
import { lowerStd } from '../../src/compute/lowerings/std.ts';
import { lowerWebgpu } from '../../src/compute/lowerings/webgpu.ts';
import { blockSize, selfTestNchwc } from '../../src/compute/self-test.ts';
import { openReference, openSession } from '../../src/compute/session.ts';
import { openTfjs } from '../../src/compute/tfjs/session.ts';
import { writeOnnx } from '../../src/formats/onnx.ts';
import { Builder } from '../../src/graph/builder.ts';
import { float, type Graph, int, ints } from '../../src/graph/ir.ts';
import { distance, noise } from './_numbers.ts';

const hasTfjs = computeFacts().tfjs !== undefined;

/** Distance of every output of a graph from the float64 reference, under each lowering (run by onnxruntime on the CPU) and in tfjs, where it is installed. */
async function distances(graph: Graph): Promise<Record<'std' | 'nchwc' | 'webgpu' | 'tfjs', number>> {
  const feeds = new Map(graph.inputs.map(({ name, type }, seed) => [name, noise(type.dims as number[], seed + 1)]));
  const truth = await openReference(graph).run(feeds);
  const worst = { std: 0, nchwc: 0, webgpu: 0, tfjs: 0 };
  for (const name of ['std', 'nchwc', 'webgpu'] as const) {
    const lowered = name === 'std' ? lowerStd(graph) : name === 'webgpu' ? lowerWebgpu(graph) : lowerNchwc(graph, { block: await blockSize(writeOnnx) });
    const session = await openSession(writeOnnx(lowered.graph), { threads: 1 });
    const results = await session.run(feeds);
    await session.close();
    for (const output of graph.outputs) worst[name] = Math.max(worst[name], distance(results.get(output.name), truth.get(output.name)));
  }
  if (!hasTfjs) return worst;
  const session = await openTfjs(graph, { state: [] });
  const results = await session.run(feeds);
  await session.close();
  expect([...session.byReference], 'tfjs has kernels for all of it').toEqual([]);
  for (const output of graph.outputs) worst.tfjs = Math.max(worst.tfjs, distance(results.get(output.name), truth.get(output.name)));
  return worst;
}

interface ConvCase {
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly size: readonly [number, number];
  readonly kernel: number;
  readonly stride?: number;
  readonly pads?: readonly [number, number, number, number];
  readonly dilation?: number;
  readonly group?: number;
}
const cases: readonly ConvCase[] = [
  { name: '3×3', inputs: 16, outputs: 32, size: [7, 9], kernel: 3, pads: [1, 1, 1, 1] },
  { name: '3×3, channels that fill no block', inputs: 24, outputs: 40, size: [6, 5], kernel: 3, pads: [1, 1, 1, 1] },
  { name: '3×3 stride 2', inputs: 16, outputs: 16, size: [8, 10], kernel: 3, stride: 2, pads: [1, 1, 1, 1] },
  { name: '3×3 stride 2, odd size', inputs: 16, outputs: 16, size: [7, 9], kernel: 3, stride: 2, pads: [1, 1, 1, 1] },
  { name: '3×3 stride 2, TensorFlow’s padding', inputs: 16, outputs: 16, size: [8, 8], kernel: 3, stride: 2, pads: [0, 0, 1, 1] },
  { name: '1×1 stride 2', inputs: 16, outputs: 32, size: [8, 10], kernel: 1, stride: 2 },
  { name: '1×1 stride 2, odd size', inputs: 16, outputs: 32, size: [7, 9], kernel: 1, stride: 2 },
  { name: '1×1', inputs: 24, outputs: 15, size: [5, 6], kernel: 1 },
  { name: '7×7 stride 2 of an image', inputs: 3, outputs: 16, size: [16, 12], kernel: 7, stride: 2, pads: [3, 3, 3, 3] },
  { name: 'no padding', inputs: 16, outputs: 8, size: [7, 7], kernel: 3 },
  { name: 'dilated', inputs: 16, outputs: 16, size: [9, 9], kernel: 3, dilation: 2, pads: [2, 2, 2, 2] },
  { name: '2×2 stride 2', inputs: 16, outputs: 16, size: [9, 8], kernel: 2, stride: 2 },
  { name: '5×5 stride 3', inputs: 16, outputs: 16, size: [11, 12], kernel: 5, stride: 3, pads: [2, 2, 2, 2] },
  { name: 'depthwise', inputs: 24, outputs: 24, size: [7, 8], kernel: 3, pads: [1, 1, 1, 1], group: 24 },
  { name: 'depthwise stride 2', inputs: 16, outputs: 16, size: [8, 8], kernel: 3, stride: 2, pads: [0, 0, 1, 1], group: 16 },
  { name: '3×3 over many pixels', inputs: 16, outputs: 32, size: [16, 128], kernel: 3, pads: [1, 1, 1, 1] },
  { name: '3×3 stride 2 over many pixels, channels that fill no block', inputs: 24, outputs: 8, size: [32, 256], kernel: 3, stride: 2, pads: [0, 0, 1, 1] },
  { name: '3×3 stride 2 over many pixels, the last ones unread', inputs: 8, outputs: 16, size: [34, 258], kernel: 3, stride: 2 },
  { name: '7×7 stride 2 of a large image', inputs: 3, outputs: 8, size: [32, 256], kernel: 7, stride: 2, pads: [3, 3, 3, 3] },
  { name: '3×3 of a large grey image', inputs: 1, outputs: 16, size: [16, 128], kernel: 3, pads: [1, 1, 1, 1] },
  { name: 'depthwise stride 2, the last ones unread', inputs: 16, outputs: 16, size: [10, 12], kernel: 3, stride: 2, group: 16 },
  { name: 'groups', inputs: 16, outputs: 32, size: [6, 6], kernel: 3, pads: [1, 1, 1, 1], group: 4 },
];

function convolution({ inputs, outputs, size, kernel, stride = 1, pads = [0, 0, 0, 0], dilation = 1, group = 1 }: ConvCase): Graph {
  const b = new Builder('conv');
  const n = 2;
  const reach = dilation * (kernel - 1) + 1;
  const out = ([0, 1] as const).map(axis => Math.floor(((size[axis] as number) + pads[axis] + pads[axis + 2]! - reach) / stride) + 1);
  const weight = [outputs, inputs / group, kernel, kernel];
  b.input('x', 'float32', [n, inputs, ...size]);
  b.input('w', 'float32', weight);
  b.input('bias', 'float32', [outputs]);
  b.input('dy', 'float32', [n, outputs, ...out]);
  const attributes = { kernel_shape: ints([kernel, kernel]), strides: ints([stride, stride]), pads: ints(pads), dilations: ints([dilation, dilation]), group: int(group) };
  b.op('Conv', ['x', 'w', 'bias'], attributes, { output: 'y' });
  b.op('ConvGradInput', ['dy', 'w'], { ...attributes, input_shape: ints([n, inputs, ...size]) }, { domain: 'edge', output: 'dx' });
  b.op('ConvGradWeight', ['x', 'dy'], { ...attributes, weight_shape: ints(weight) }, { domain: 'edge', output: 'dw' });
  b.output('y', 'float32', [n, outputs, ...out]);
  b.output('dx', 'float32', [n, inputs, ...size]);
  b.output('dw', 'float32', weight);
  return b.graph();
}

describe('convolution and its gradients against float64', () => {
  it.each(cases)('$name', async each => {
    const { std, nchwc, webgpu, tfjs } = await distances(convolution(each));
    expect(std).toBeLessThan(1e-5);
    expect(nchwc).toBeLessThan(1e-5);
    expect(webgpu).toBeLessThan(1e-5);
    expect(tfjs).toBeLessThan(1e-5);
  });
});

const anyConvolution = fc
  .record({
    inputs: fc.constantFrom(1, 3, 4, 5, 8, 16, 24, 40),
    outputs: fc.constantFrom(1, 6, 8, 16, 24, 33),
    height: fc.integer({ min: 5, max: 12 }),
    width: fc.integer({ min: 5, max: 12 }),
    kernel: fc.integer({ min: 1, max: 5 }),
    stride: fc.integer({ min: 1, max: 3 }),
    pads: fc.tuple(fc.nat(2), fc.nat(2), fc.nat(2), fc.nat(2)),
    dilation: fc.integer({ min: 1, max: 2 }),
    depthwise: fc.boolean(),
  })
  .filter(({ height, width, kernel, dilation, pads }) => Math.min(height + pads[0] + pads[2], width + pads[1] + pads[3]) > dilation * (kernel - 1) && Math.max(...pads) < kernel)
  .map(({ height, width, depthwise, ...rest }): ConvCase => ({ ...rest, name: '', size: [height, width], ...(depthwise ? { outputs: rest.inputs, group: rest.inputs } : {}) }));
it('holds for any window', { timeout: 120_000 }, () =>
  fc.assert(
    fc.asyncProperty(anyConvolution, async each => {
      const { std, nchwc, webgpu, tfjs } = await distances(convolution(each));
      expect(Math.max(std, nchwc, webgpu, tfjs)).toBeLessThan(1e-5);
    }),
    { numRuns: Number(process.env.RUNS ?? 25) },
  ),
);

/** conv → BN → (+ residual) → ReLU → pool, with the gradients of all of it. */
function block(channels: number, pool: { kernel: number; stride: number; pads: readonly number[] }): Graph {
  const b = new Builder('block');
  const [n, size, out] = [2, 8, 4];
  b.input('x', 'float32', [n, channels, size, size]);
  b.input('w', 'float32', [channels, channels, 3, 3]);
  b.input('gamma', 'float32', [channels]);
  b.input('beta', 'float32', [channels]);
  b.input('dy', 'float32', [n, channels, out, out]);
  const edge = { domain: 'edge' };
  const same = { kernel_shape: ints([3, 3]), pads: ints([1, 1, 1, 1]) };
  const c = b.op('Conv', ['x', 'w'], same);
  const [y1 = '', mean = '', variance = ''] = b.ops('BatchNormTrain', [c, 'gamma', 'beta'], { epsilon: float(1e-3) }, { ...edge, outputs: ['bn', 'mean', 'variance'] });
  const r = b.op('Relu', [b.op('Add', [y1, 'x'])]);
  const window = { kernel_shape: ints([pool.kernel, pool.kernel]), strides: ints([pool.stride, pool.stride]), pads: ints(pool.pads) };
  const p = b.op('MaxPool', [r], window, { output: 'p' });
  const dR = b.op('MaxPoolGrad', ['dy', r, p], window, edge);
  const dSum = b.op('ReluGrad', [dR, r], {}, edge);
  const [dC = ''] = b.ops('BatchNormGrad', [dSum, c, 'gamma', mean, variance], { epsilon: float(1e-3) }, { ...edge, outputs: ['dc', 'dgamma', 'dbeta'] });
  const dX = b.op('ConvGradInput', [dC, 'w'], { ...same, input_shape: ints([n, channels, size, size]) }, edge);
  b.op('Add', [dX, dSum], {}, { output: 'dx' });
  b.op('ConvGradWeight', ['x', dC], { ...same, weight_shape: ints([channels, channels, 3, 3]) }, { ...edge, output: 'dw' });
  b.output('p', 'float32', [n, channels, out, out]);
  b.output('dx', 'float32', [n, channels, size, size]);
  b.output('dw', 'float32', [channels, channels, 3, 3]);
  for (const name of ['mean', 'variance', 'dgamma', 'dbeta']) b.output(name, 'float32', [channels]);
  return b.graph();
}
const pools = [
  { kernel: 3, stride: 2, pads: [1, 1, 1, 1] },
  { kernel: 2, stride: 2, pads: [0, 0, 0, 0] },
  { kernel: 3, stride: 2, pads: [0, 0, 1, 1] },
];
describe('a residual block with batch norm and pooling, against float64', () => {
  // 8: onnxruntime shares equal initializers up to that size.
  it.each([8, 16, 24].flatMap(channels => pools.map(pool => ({ channels, pool }))))('$channels channels, pool $pool', async ({ channels, pool }) => {
    const { std, nchwc, webgpu, tfjs } = await distances(block(channels, pool));
    expect(std).toBeLessThan(1e-4);
    expect(nchwc).toBeLessThan(1e-3);
    expect(Math.max(webgpu, tfjs)).toBeLessThan(1e-4);
  });
});

describe('max pools over flat regions', () => {
  it.each(pools)('hand the gradient to the first of equals, $kernel×$kernel', async ({ kernel, stride, pads }) => {
    const b = new Builder('flat');
    b.input('x', 'float32', [2, 16, 8, 8]);
    b.input('dy', 'float32', [2, 16, 4, 4]);
    // Rounded to −1, 0 and 1, so that most windows tie; the convolution brings it into blocks.
    const unit = Float32Array.from({ length: 256 }, (_, at) => (at % 17 === 0 ? 1 : 0));
    const r = b.op('Conv', [b.op('Sign', [b.op('Relu', [b.op('Sub', ['x', b.constant(-0.2)])])]), b.constant(unit, [16, 16, 1, 1])], { kernel_shape: ints([1, 1]) });
    const window = { kernel_shape: ints([kernel, kernel]), strides: ints([stride, stride]), pads: ints(pads) };
    const p = b.op('MaxPool', [r], window, { output: 'p' });
    b.op('MaxPoolGrad', ['dy', r, p], window, { domain: 'edge', output: 'dx' });
    b.output('dx', 'float32', [2, 16, 8, 8]);
    const { std, nchwc, webgpu, tfjs } = await distances(b.graph());
    expect(Math.max(std, nchwc, webgpu, tfjs)).toBeLessThan(1e-6);
  });
});

describe('average pools', () => {
  it.each([
    { kernel: 2, stride: 2, pads: [0, 0, 0, 0], included: 0 },
    { kernel: 3, stride: 1, pads: [1, 1, 1, 1], included: 0 },
    { kernel: 3, stride: 2, pads: [1, 1, 1, 1], included: 1 },
  ])('$kernel×$kernel stride $stride', async ({ kernel, stride, pads, included }) => {
    const b = new Builder('average');
    const out = Math.floor((8 + 2 * (pads[0] ?? 0) - kernel) / stride) + 1;
    b.input('dy', 'float32', [2, 3, out, out]);
    const attributes = { kernel_shape: ints([kernel, kernel]), strides: ints([stride, stride]), pads: ints(pads), count_include_pad: int(included) };
    b.op('AveragePoolGrad', ['dy'], { ...attributes, input_shape: ints([2, 3, 8, 8]) }, { domain: 'edge', output: 'dx' });
    b.output('dx', 'float32', [2, 3, 8, 8]);
    const { std, tfjs } = await distances(b.graph());
    expect(Math.max(std, tfjs)).toBeLessThan(1e-5);
  });
});

describe('the fast path', () => {
  it('passes its own test here', async () => {
    const verdict = await selfTestNchwc(writeOnnx);
    expect(verdict.note).toContain('Fast kernels');
    expect(verdict.usable).toBe(true);
  });
  it('falls back with a note where the engine refuses', async () => {
    const { selfTestNchwc: fresh } = await import('../../src/compute/self-test.ts?fresh' as string);
    const verdict = await fresh(() => new Uint8Array([1, 2, 3]));
    expect(verdict).toMatchObject({ usable: false });
    expect(verdict.note).toContain('portable');
  });
});
