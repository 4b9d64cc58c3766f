import { float, floatOf, int, intsOf, type Node, sizeOf } from '../../graph/ir.ts';
import { dimsOf, type EmitContext, unique, words } from './_emit.ts';
import { flooredPool, type Span, spanOf } from './_geometry.ts';
import { transposedWindow } from './_std-conv.ts';

/** Axes of a batch norm's statistics: all but the channels. */
const statisticsAxes = (rank: number): number[] => Array.from({ length: rank }, (_, axis) => axis).filter(axis => axis !== 1);
const perChannel = (dims: readonly number[]): number[] => [dims[1] ?? 1, ...dims.slice(2).map(() => 1)];

/** onnxruntime's own training BatchNormalization: with momentum 0 its "running" outputs are the batch's mean and biased variance. */
export function batchNormTrain(node: Node, { builder, types }: EmitContext): void {
  const [x = '', gamma = '', beta = ''] = node.inputs;
  const channels = dimsOf(types, gamma)[0] ?? 1;
  // Times momentum 0, so their values count for nothing; but onnxruntime writes its outputs over initializers that several nodes read, and itself lets equal
  // ones of up to 8 elements be one, so no two may be equal.
  const unread = () => {
    const name = unique(builder, 'unread');
    return builder.weight(name, { dataType: 'float32', dims: [channels], data: new Float32Array(channels).fill(Number(name.split('~')[1])) });
  };
  const { ops } = words(builder);
  ops('BatchNormalization', [x, gamma, beta, unread(), unread()], { training_mode: int(1), momentum: float(0), epsilon: float(floatOf(node, 'epsilon', 1e-5)) }, [
    node.outputs[0],
    node.outputs[1] || undefined,
    node.outputs[2] || undefined,
  ]);
}

export const batchNormGrad = (node: Node, context: EmitContext): void => normGradBy((value, rank) => words(context.builder).mean(value, statisticsAxes(rank)), node, context);

/** dX = γ·s·(dY − mean(dY) − x̂·mean(dY·x̂)), dγ = Σ dY·x̂, dβ = Σ dY, with s = 1/sqrt(variance + ε) and x̂ = (x − mean)·s; `average` means over all axes but the channels. */
export function normGradBy(average: (value: string, rank: number) => string, node: Node, { builder, types }: EmitContext): void {
  const [dY = '', x = '', gamma = '', mean = '', variance = ''] = node.inputs;
  const [dX, dGamma, dBeta] = node.outputs;
  const dims = dimsOf(types, x);
  const count = sizeOf(dims) / (dims[1] ?? 1);
  const { op, reshape, mul, sub, inverseDeviation } = words(builder);
  const wide = (value: string) => reshape(value, perChannel(dims));
  const s = inverseDeviation(variance, floatOf(node, 'epsilon', 1e-5));
  const centred = sub(x, wide(mean));
  const slope = average(dY, dims.length);
  const covariance = average(mul(dY, centred), dims.length);
  const many = builder.constant(count);
  if (dBeta) mul(slope, many, dBeta);
  if (dGamma) mul(mul(covariance, s), many, dGamma);
  if (!dX) return;
  const inner = sub(sub(dY, wide(slope)), mul(centred, wide(mul(covariance, mul(s, s)))));
  op('Mul', [inner, wide(mul(gamma, s))], {}, dX);
}

export function pool(node: Node, { builder, types }: EmitContext): void {
  const attributes = flooredPool(node, dimsOf(types, node.inputs[0] ?? ''), dimsOf(types, node.outputs[0] ?? ''));
  builder.ops(node.type, node.inputs, attributes, { name: node.name, outputs: node.outputs });
}

/** The forward pool again, for its indices of the first maximum, and a scatter-add onto them. */
export function maxPoolGrad(node: Node, { builder, types }: EmitContext): void {
  const [dY = '', x = ''] = node.inputs;
  const dims = dimsOf(types, x);
  const size = dims.reduce((a, b) => a * b, 1);
  const { op, ops, reshape } = words(builder);
  const attributes = flooredPool(node, dims, dimsOf(types, dY));
  const [, indices = ''] = ops('MaxPool', [x], attributes, [undefined, undefined]);
  const zeros = op('ConstantOfShape', [builder.indices([size])]);
  const scattered = op('ScatterElements', [zeros, reshape(indices, [-1]), reshape(dY, [-1])], { axis: int(0), reduction: { type: 'string', value: 'add' } });
  reshape(scattered, dims, node.outputs[0]);
}

/** Every window gives its share dY/count to each of its elements: a depthwise transposed convolution with ones. */
export function averagePoolGrad(node: Node, { builder, types }: EmitContext): void {
  const [dY = ''] = node.inputs;
  const shape = intsOf(node, 'input_shape') ?? [];
  const g = spanOf(node, shape, dimsOf(types, dY), intsOf(node, 'kernel_shape') ?? []);
  const channels = shape[1] ?? 1;
  const counts = g.input.map((_, axis) => countsAlong(g, axis, node.attributes.count_include_pad?.value === 1));
  const shares = counts.reduce((all, along) => all.flatMap(share => along.map(count => share / count)), [1]);
  const { op, mul } = words(builder);
  const ones = builder.constant(new Float32Array(channels * sizeOf(g.kernel)).fill(1), [channels, 1, ...g.kernel]);
  op('ConvTranspose', [mul(dY, builder.constant(shares, [1, 1, ...g.output])), ones], { ...transposedWindow(g), group: int(channels) }, node.outputs[0]);
}
/** How many taps of each window along an axis count: those over the input, or over its padding too, but not what ceil_mode reaches beyond. */
function countsAlong(g: Span, axis: number, includesPads: boolean): number[] {
  const [input = 1, kernel = 1, stride = 1, dilation = 1, begin = 0, end = 0] = [g.input[axis], g.kernel[axis], g.strides[axis], g.dilations[axis], g.begin[axis], g.end[axis]];
  const [first, last] = includesPads ? [-begin, input + end] : [0, input];
  return Array.from({ length: g.output[axis] ?? 1 }, (_, window) => {
    const places = Array.from({ length: kernel }, (_, tap) => window * stride - begin + tap * dilation);
    return Math.max(1, places.filter(place => place >= first && place < last).length);
  });
}

/** dY where Y > 0. */
export function reluGrad(node: Node, { builder }: EmitContext): void {
  const [dY = '', y = ''] = node.inputs;
  const { mul, positive } = words(builder);
  mul(dY, positive(y), node.outputs[0]);
}
