import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { LoweringName } from '../../src/compute/lowering.ts';
import { lowerNchwc } from '../../src/compute/lowerings/nchwc.ts';
import { lowerStd } from '../../src/compute/lowerings/std.ts';
import { blockSize } from '../../src/compute/self-test.ts';
import { openReference, openSession } from '../../src/compute/session.ts';
import { writeOnnx } from '../../src/formats/onnx.ts';
import { Builder } from '../../src/graph/builder.ts';
import { differentiate } from '../../src/graph/differentiate.ts';
import { type Attributes, float, type Graph, int, ints, type Tensor, type TensorType, text } from '../../src/graph/ir.ts';
import { inferShapes } from '../../src/graph/shapes.ts';
import { distance, noise } from './_numbers.ts';

const channels = 16;
const size = [2, channels, 7, 6];
/** What stands behind a convolution; `more` are further operands: tensors learn too, numbers do not. */
interface Middle {
  readonly type: string;
  readonly attributes?: Attributes;
  readonly more?: readonly (Tensor | readonly number[] | number)[];
  readonly outputs?: number;
}
const window = (kernel: readonly number[], more: Attributes = {}): Attributes => ({ kernel_shape: ints(kernel), ...more });
const middles: readonly Middle[] = [
  {
    type: 'ConvTranspose',
    attributes: window([3, 2], { strides: ints([2, 2]), pads: ints([1, 0, 1, 0]), output_padding: ints([1, 0]) }),
    more: [noise([channels, channels, 3, 2], 3)],
  },
  { type: 'ConvTranspose', attributes: window([2, 2], { strides: ints([2, 2]), group: int(channels) }), more: [noise([channels, 1, 2, 2], 4), noise([channels], 5)] },
  { type: 'MaxPool', attributes: window([3, 3], { strides: ints([2, 2]), ceil_mode: int(1) }) },
  { type: 'MaxPool', attributes: window([1, 3], { strides: ints([1, 2]), pads: ints([0, 2, 0, 2]), ceil_mode: int(1) }) },
  { type: 'MaxPool', attributes: window([2, 3], { strides: ints([1, 2]), pads: ints([0, 1, 1, 1]) }) },
  { type: 'MaxPool', attributes: window([3, 2], { dilations: ints([2, 2]) }) },
  { type: 'MaxPool', attributes: window([5, 5], { pads: ints([2, 2, 2, 2]) }) },
  { type: 'MaxPool', attributes: window([3, 3], { strides: ints([2, 2]), auto_pad: text('SAME_UPPER') }) },
  { type: 'AveragePool', attributes: window([3, 3], { strides: ints([2, 2]), ceil_mode: int(1) }) },
  { type: 'AveragePool', attributes: window([1, 3], { strides: ints([1, 2]), pads: ints([0, 2, 0, 2]), ceil_mode: int(1) }) },
  { type: 'AveragePool', attributes: window([3, 2], { pads: ints([1, 1, 1, 0]), count_include_pad: int(1) }) },
  { type: 'AveragePool', attributes: window([3, 3], { strides: ints([2, 1]), auto_pad: text('SAME_LOWER') }) },
  { type: 'GlobalAveragePool' },
  { type: 'GlobalMaxPool' },
  {
    type: 'BatchNormalization',
    more: [noise([channels], 6), noise([channels], 7), Array.from({ length: channels }, (_, k) => k / 9 - 1), Array.from({ length: channels }, (_, k) => 0.5 + k / 9)],
  },
  { type: 'InstanceNormalization', more: [noise([channels], 9), noise([channels], 10)] },
  { type: 'LRN', attributes: { size: int(5), alpha: float(0.5) } },
  { type: 'Relu' },
  { type: 'Clip', more: [0, 0.6] },
  { type: 'Clip', more: [-0.3, 0.4] },
  { type: 'LeakyRelu', attributes: { alpha: float(0.1) } },
  { type: 'PRelu', more: [noise([channels, 1, 1], 11)] },
  { type: 'Elu' },
  { type: 'Sigmoid' },
  { type: 'HardSigmoid' },
  { type: 'HardSwish' },
  { type: 'Tanh' },
  { type: 'Softplus' },
  { type: 'Exp' },
  { type: 'Abs' },
  { type: 'Erf' },
  { type: 'Softmax', attributes: { axis: int(1) } },
  { type: 'LogSoftmax', attributes: { axis: int(1) } },
  { type: 'Add', more: [noise(size, 12)] },
  { type: 'Sub', more: [noise([channels, 1, 1], 13)] },
  { type: 'Mul', more: [noise([2, channels, 1, 1], 14)] },
  { type: 'Div', more: [1.5] },
  { type: 'Max', more: [noise([7, 1], 15)] },
  { type: 'Concat', attributes: { axis: int(1) }, more: [noise([2, 8, 7, 6], 16)] },
  { type: 'Split', attributes: { axis: int(1) }, outputs: 2 },
  { type: 'Transpose', attributes: { perm: ints([0, 2, 3, 1]) } },
  { type: 'ReduceMean', attributes: { axes: ints([2, 3]) } },
  { type: 'ReduceMax', attributes: { axes: ints([1]), keepdims: int(0) } },
  { type: 'Flatten' },
];

/** x → convolution (its weight learns) → the operator → a loss, for each of them side by side: outputs, and gradients of all that learns. */
function sideBySide(): Graph {
  const b = new Builder('side-by-side');
  b.input('x', 'float32', size);
  const wrt: string[] = [];
  const learnt = (name: string, tensor: Tensor): string => {
    wrt.push(b.input(name, 'float32', tensor.dims));
    return name;
  };
  const ends = middles.flatMap(({ type, attributes = {}, more = [], outputs = 1 }, k) => {
    const h = b.op('Conv', ['x', learnt(`w${k}`, noise([channels, channels, 1, 1], k))], { kernel_shape: ints([1, 1]) });
    const operands = more.map((o, at) => (typeof o === 'object' && 'dataType' in o ? learnt(`w${k}.${at}`, o) : b.constant(o)));
    return b.ops(type, [h, ...operands], attributes, { outputs });
  });
  const types = inferShapes(b.graph());
  const parts = ends.map((y, k) => {
    const dims = types.get(y)?.dims as number[];
    return b.op('ReduceSum', [b.op('Mul', [y, b.constant(noise(dims, 100 + k).data as Float32Array, dims)])], { keepdims: int(0) });
  });
  b.op('Sum', parts, {}, { output: 'loss' });
  const { graph, gradients } = differentiate(b.graph(), { loss: 'loss', wrt });
  const all = inferShapes(graph);
  return { ...graph, outputs: [...ends, ...gradients.values()].map(name => ({ name, type: all.get(name) as TensorType })) };
}

/** Outputs of a graph that lie further than 1e-4 (relative L2) from the float64 reference. */
async function far(graph: Graph, name: LoweringName): Promise<string[]> {
  const feeds = new Map(graph.inputs.map(({ name: input, type }, seed) => [input, noise(type.dims as number[], seed + 1)]));
  const lowered = name === 'std' ? lowerStd(graph) : lowerNchwc(graph, { block: await blockSize(writeOnnx) });
  const session = await openSession(writeOnnx(lowered.graph), { threads: 1 });
  const results = await session.run(feeds);
  await session.close();
  const truth = await openReference(graph).run(feeds);
  return graph.outputs.flatMap(output => {
    const error = distance(results.get(output.name), truth.get(output.name));
    return error < 1e-4 ? [] : [`${output.name}: ${error}`];
  });
}

it.each<LoweringName>(['std', 'nchwc'])('every operator behind a convolution, forward and backward, agrees with float64: %s', async name => {
  expect(await far(sideBySide(), name)).toEqual([]);
});

const axis = fc
  .record({
    kernel: fc.integer({ min: 1, max: 4 }),
    stride: fc.integer({ min: 1, max: 3 }),
    dilation: fc.integer({ min: 1, max: 2 }),
    more: fc.nat(6),
    begin: fc.nat(3),
    end: fc.nat(3),
  })
  .map(({ kernel, stride, dilation, more, begin, end }) => ({
    kernel,
    stride,
    dilation,
    size: dilation * (kernel - 1) + 1 + more,
    begin: Math.min(begin, kernel - 1),
    end: Math.min(end, kernel - 1),
  }));
/** Values of −1, 0 and 1, or all different, in blocks, pooled; ties go to the first. */
function pooled(v: typeof axis extends fc.Arbitrary<infer T> ? T : never, h: typeof v, flat: boolean): Graph {
  const b = new Builder('pooled');
  b.input('x', 'float32', [1, channels, v.size, h.size]);
  const unit = Float32Array.from({ length: channels * channels }, (_, at) => (at % (channels + 1) === 0 ? 1 : 0));
  const values = flat ? b.op('Sign', [b.op('Relu', [b.op('Sub', ['x', b.constant(-0.2)])])]) : 'x';
  const r = b.op('Conv', [values, b.constant(unit, [channels, channels, 1, 1])], { kernel_shape: ints([1, 1]) });
  const own = {
    kernel_shape: ints([v.kernel, h.kernel]),
    strides: ints([v.stride, h.stride]),
    dilations: ints([v.dilation, h.dilation]),
    pads: ints([v.begin, h.begin, v.end, h.end]),
  };
  const y = b.op('MaxPool', [r], own, { output: 'y' });
  const dims = inferShapes(b.graph()).get(y)?.dims as number[];
  b.input('dy', 'float32', dims);
  b.op('MaxPoolGrad', ['dy', r, y], own, { domain: 'edge', output: 'dx' });
  b.output('y', 'float32', dims);
  b.output('dx', 'float32', [1, channels, v.size, h.size]);
  return b.graph();
}
it('max pools of any window hand the gradient to the first of equals', () =>
  fc.assert(
    fc.asyncProperty(axis, axis, fc.boolean(), async (v, h, flat) => {
      expect(await far(pooled(v, h, flat), 'nchwc')).toEqual([]);
    }),
    { numRuns: 25, seed: 20261124 },
  ));
