import { floatOf, int, intOf, ints, intsOf, type Node } from '../../graph/ir.ts';
import { dimsOf, type EmitContext, words } from './_emit.ts';
import { type Geometry, geometryOf } from './_geometry.ts';
import * as std from './_std-conv.ts';
import * as rest from './_std-rest.ts';

/** Mean over all axes but the channels, the innermost axes first: a GPU reduces these in parallel, all at once it would take one thread per channel. */
function channelMean({ builder }: EmitContext, value: string, rank: number): string {
  const { mean } = words(builder);
  return rank <= 2
    ? mean(value, [0])
    : mean(
        mean(
          value,
          Array.from({ length: rank - 2 }, (_, at) => at + 2),
        ),
        [0],
      );
}

/** Batch statistics in plain operators: the training form of BatchNormalization is claimed by the provider and then fails when it runs. */
export function batchNormTrain(node: Node, context: EmitContext): void {
  const [x = '', gamma = '', beta = ''] = node.inputs;
  const [y, mean, variance] = node.outputs;
  const { builder, types } = context;
  const dims = dimsOf(types, x);
  const { op, reshape, sub, mul, add, inverseDeviation } = words(builder);
  const wide = (value: string) => reshape(value, [dims[1] ?? 1, ...dims.slice(2).map(() => 1)]);
  const named = (value: string, name: string | undefined): string => (name ? op('Identity', [value], {}, name) : value);
  const average = named(channelMean(context, x, dims.length), mean);
  const centred = sub(x, wide(average));
  const spread = named(channelMean(context, mul(centred, centred), dims.length), variance);
  const scale = mul(gamma, inverseDeviation(spread, floatOf(node, 'epsilon', 1e-5)));
  add(mul(centred, wide(scale)), wide(beta), y);
}
export const batchNormGrad = (node: Node, context: EmitContext): void => rest.normGradBy((value, rank) => channelMean(context, value, rank), node, context);

/** The window positions that read tap (row, column) of the kernel, from an input padded as the window wants it: [n, c, oh, ow]. */
function tapOf({ builder }: EmitContext, padded: string, g: Geometry, tap: number): string {
  const at = [Math.floor(tap / g.kernel[1]) * g.dilations[0], (tap % g.kernel[1]) * g.dilations[1]] as const;
  const end = ([0, 1] as const).map(axis => at[axis] + (g.output[axis] - 1) * g.strides[axis] + 1);
  return words(builder).slice(padded, at, end, [2, 3], g.strides);
}
/** x padded so that every window lies inside; `fill` beyond the edge. */
function padded({ builder }: EmitContext, x: string, g: Geometry, fill: number): string {
  const reach = ([0, 1] as const).map(axis => (g.output[axis] - 1) * g.strides[axis] + g.dilations[axis] * (g.kernel[axis] - 1) + 1);
  const end = ([0, 1] as const).map(axis => Math.max(0, (reach[axis] ?? 0) - g.input[axis] - g.begin[axis]));
  if (Math.max(...g.begin, ...end) === 0) return x;
  return words(builder).op('Pad', [x, builder.indices([0, 0, ...g.begin, 0, 0, ...end]), builder.constant(fill)]);
}
const tapsOf = (g: Geometry): number[] => Array.from({ length: g.kernel[0] * g.kernel[1] }, (_, tap) => tap);

/**
 * dW of a convolution as one matrix product per tap and image, summed over the images: the engines' convolutions are not made for kernels as large as an
 * image, their matrix products are.
 */
export function convGradWeight(node: Node, context: EmitContext): void {
  const [x = '', dY = ''] = node.inputs;
  if (dimsOf(context.types, x).length !== 4) {
    std.convGradWeight(node, context);
    return;
  }
  const [n = 1, inputs = 1] = dimsOf(context.types, x);
  const outputs = dimsOf(context.types, dY)[1] ?? 1;
  const weight = intsOf(node, 'weight_shape') ?? [];
  const group = intOf(node, 'group', 1);
  const g = geometryOf(node, dimsOf(context.types, x), dimsOf(context.types, dY), weight.slice(2));
  const cells = g.output[0] * g.output[1];
  const { op, reshape, transpose, sum } = words(context.builder);
  const slopes = transpose(reshape(dY, [n, group, outputs / group, cells]), [0, 1, 3, 2]);
  const source = padded(context, x, g, 0);
  const taps = tapsOf(g).map(tap => {
    const seen = reshape(tapOf(context, source, g, tap), [n, group, inputs / group, cells]);
    return reshape(sum(op('MatMul', [seen, slopes]), [0]), [group, inputs / group, outputs / group, 1]);
  });
  const all = taps.length === 1 ? (taps[0] as string) : op('Concat', taps, { axis: int(3) });
  reshape(transpose(all, [0, 2, 1, 3]), [outputs, inputs / group, ...g.kernel], node.outputs[0]);
}

/**
 * The windows whose maximum lies at a tap, and at none before it, hand their gradient to it (ties go to the first, as in the reference); one transposed
 * convolution with a unit vector per tap lays the shares out. The pool's index output fails when it runs.
 */
export function maxPoolGrad(node: Node, context: EmitContext): void {
  const [dY = '', x = '', y = ''] = node.inputs;
  const { builder, types } = context;
  const dims = dimsOf(types, x);
  if (dims.length !== 4) {
    rest.maxPoolGrad(node, context);
    return;
  }
  const [n = 1, c = 1] = dims;
  const g = geometryOf(node, dims, dimsOf(types, dY), intsOf(node, 'kernel_shape') ?? []);
  const { op, reshape, mul, sub } = words(builder);
  const source = padded(context, x, g, -3e38);
  let free: string | undefined;
  const shares = tapsOf(g).map(tap => {
    const mask = op('Cast', [op('Equal', [tapOf(context, source, g, tap), y])], { to: int(1) });
    const first = free === undefined ? mask : mul(mask, free);
    free = free === undefined ? sub(builder.constant(1), mask) : sub(free, first);
    return reshape(mul(first, dY), [n * c, 1, ...g.output]);
  });
  const stacked = shares.length === 1 ? (shares[0] as string) : op('Concat', shares, { axis: int(1) });
  const count = shares.length;
  const unit = Float32Array.from({ length: count * count }, (_, at) => (at % (count + 1) === 0 ? 1 : 0));
  reshape(op('ConvTranspose', [stacked, builder.constant(unit, [count, 1, ...g.kernel])], std.transposedWindow(g)), dims, node.outputs[0]);
}

/** x − max − log Σ exp(x − max). */
export function logSoftmax(node: Node, { builder, types }: EmitContext): void {
  const [x = ''] = node.inputs;
  const axis = intOf(node, 'axis', -1);
  const at = axis < 0 ? axis + dimsOf(types, x).length : axis;
  const { op, sub } = words(builder);
  const shifted = sub(x, op('ReduceMax', [x], { axes: ints([at]), keepdims: int(1) }));
  const total = op('ReduceSum', [op('Exp', [shifted]), builder.indices([at])], { keepdims: int(1) });
  sub(shifted, op('Log', [total]), node.outputs[0]);
}

/** Two operands at a time. */
export function sum(node: Node, { builder }: EmitContext): void {
  const { op, add } = words(builder);
  const [first = '', ...rest] = node.inputs;
  const last = rest.pop();
  if (last === undefined) op('Identity', [first], {}, node.outputs[0]);
  else
    add(
      rest.reduce((total, value) => add(total, value), first),
      last,
      node.outputs[0],
    );
}

/** (x > 0) − (x < 0). */
export function sign(node: Node, { builder }: EmitContext): void {
  const [x = ''] = node.inputs;
  const { op, sub } = words(builder);
  const bit = (type: 'Greater' | 'Less') => op('Cast', [op(type, [x, builder.constant(0)])], { to: int(1) });
  sub(bit('Greater'), bit('Less'), node.outputs[0]);
}

/** not (not a and not b). */
export function or(node: Node, { builder }: EmitContext): void {
  const { op } = words(builder);
  const not = (value: string, output?: string) => op('Not', [value], {}, output);
  const [a = '', b = ''] = node.inputs;
  not(op('And', [not(a), not(b)]), node.outputs[0]);
}
