import { type Attributes, int, ints, intsOf, type Node, sizeOf } from '../../graph/ir.ts';
import { dimsOf, type EmitContext, words } from './_emit.ts';
import { type Geometry, type Span, spanOf } from './_geometry.ts';

/** Dilation-aware reach of a kernel beyond its first tap. */
const reach = (g: Span, axis: number): number => (g.dilations[axis] ?? 1) * ((g.kernel[axis] ?? 1) - 1);
/**
 * End padding with which a window of h output positions (dilated by the stride) lands exactly on the kernel's taps; negative where the forward
 * window left input unused.
 */
const exactEnd = (g: Span, axis: number): number => {
  const [input = 1, output = 1, stride = 1, begin = 0] = [g.input[axis], g.output[axis], g.strides[axis], g.begin[axis]];
  return reach(g, axis) + (output - 1) * stride + 1 - input - begin;
};

/** dX of a convolution: for stride 1 a convolution of dY with the weights flipped and their channels exchanged, else a transposed convolution. */
export function convGradInput(node: Node, { builder, types }: EmitContext): void {
  const [dY = '', w = ''] = node.inputs;
  const inputShape = intsOf(node, 'input_shape') ?? [];
  const weight = dimsOf(types, w);
  const g = spanOf(node, inputShape, dimsOf(types, dY), weight.slice(2));
  const { op } = words(builder);
  const begin = g.begin.map((pad, axis) => reach(g, axis) - pad);
  const end = g.begin.map((pad, axis) => (g.input[axis] ?? 1) - 1 + pad - ((g.output[axis] ?? 1) - 1));
  const plain = g.strides.every(stride => stride === 1) && Math.min(...begin, ...end) >= 0;
  if (plain) {
    op(
      'Conv',
      [dY, flipped(builder, w, weight, g.group)],
      { kernel_shape: ints(g.kernel), dilations: ints(g.dilations), pads: ints([...begin, ...end]), group: int(g.group) },
      node.outputs[0],
    );
    return;
  }
  op('ConvTranspose', [dY, w], { ...transposedWindow(g), group: int(g.group) }, node.outputs[0]);
}

/**
 * The transposed convolution that leads from a window's outputs back to its inputs. It yields (h−1)·s + reach + 1 − begin − cut per axis; `cut` absorbs
 * windows that overhang, output_padding what no window reached.
 */
export function transposedWindow(g: Span): Attributes {
  const spare = g.input.map((_, axis) => -exactEnd(g, axis));
  return {
    kernel_shape: ints(g.kernel),
    strides: ints(g.strides),
    dilations: ints(g.dilations),
    pads: ints([...g.begin, ...spare.map(s => Math.max(0, -s))]),
    output_padding: ints(spare.map(s => Math.max(0, s))),
  };
}

/** W [O, I/g, …kernel] → [I, O/g, …kernel] with all spatial axes reversed. */
function flipped(builder: EmitContext['builder'], w: string, dims: readonly number[], group: number): string {
  const { reshape, gather, transpose } = words(builder);
  const [o = 1, i = 1, ...kernel] = dims;
  const taps = sizeOf(kernel);
  let value = reshape(w, [group, o / group, i, taps]);
  if (taps > 1) {
    value = gather(
      value,
      Array.from({ length: taps }, (_, tap) => taps - 1 - tap),
      3,
    );
  }
  return reshape(transpose(value, [0, 2, 1, 3]), [group * i, o / group, ...kernel]);
}

/**
 * dW of a convolution as one convolution whose kernel is dY: the stride becomes the dilation and the batch the channels. With enough channels the
 * input is viewed as a volume [1, N, H, W, I], so that the engine's im2col copies I contiguous floats (twice as fast as any 2-D formulation here).
 */
export function convGradWeight(node: Node, { builder, types }: EmitContext): void {
  const [x = '', dY = ''] = node.inputs;
  const xDims = dimsOf(types, x);
  const dyDims = dimsOf(types, dY);
  const weight = intsOf(node, 'weight_shape') ?? [];
  const g = spanOf(node, xDims, dyDims, weight.slice(2));
  const { slice } = words(builder);
  const spatial = g.input.map((_, axis) => axis + 2);
  const ends = g.input.map((_, axis) => exactEnd(g, axis));
  // Convolutions take no negative padding: cut what the forward pass never read.
  const used = g.input.map((size, axis) => size + Math.min(0, ends[axis] ?? 0));
  const source = Math.min(...ends) < 0 ? slice(x, [...spatial].fill(0), used, spatial) : x;
  const task: WeightTask<Span> = { builder, x: source, dY, n: xDims[0] ?? 1, inputs: xDims[1] ?? 1, outputs: dyDims[1] ?? 1, g, used, end: ends.map(end => Math.max(0, end)) };
  const out = node.outputs[0];
  if (g.group > 1 || spatial.length !== 2) grouped(task, out);
  else overTwoAxes(task as WeightTask<Geometry>, out);
}
function overTwoAxes(task: WeightTask<Geometry>, out: string | undefined): void {
  const { g } = task;
  const unpadded = g.begin[0] + g.begin[1] + task.end[0] + task.end[1] === 0;
  if (task.inputs < 16) fewChannels(task, out);
  else if (g.kernel[0] * g.kernel[1] === 1 && g.strides[0] * g.strides[1] === 1 && unpadded) pointwise(task, out);
  else volume(task, out);
}

interface WeightTask<G extends Span> {
  readonly builder: EmitContext['builder'];
  readonly x: string;
  readonly dY: string;
  readonly n: number;
  readonly inputs: number;
  readonly outputs: number;
  readonly g: G;
  readonly used: G['input'];
  readonly end: G['end'];
}

function volume({ builder, x, dY, n, inputs, outputs, g, used, end }: WeightTask<Geometry>, out: string | undefined): void {
  const { op, reshape, transpose } = words(builder);
  const images = reshape(transpose(x, [0, 2, 3, 1]), [1, n, used[0], used[1], inputs]);
  const kernel = reshape(transpose(dY, [1, 0, 2, 3]), [outputs, n, g.output[0], g.output[1], 1]);
  const taps = op('Conv', [images, kernel], {
    kernel_shape: ints([g.output[0], g.output[1], 1]),
    dilations: ints([g.strides[0], g.strides[1], 1]),
    strides: ints([g.dilations[0], g.dilations[1], 1]),
    pads: ints([g.begin[0], g.begin[1], 0, end[0], end[1], 0]),
  });
  reshape(transpose(reshape(taps, [outputs, g.kernel[0] * g.kernel[1], inputs]), [0, 2, 1]), [outputs, inputs, ...g.kernel], out);
}

function fewChannels({ builder, x, dY, n, inputs, outputs, g, used, end }: WeightTask<Geometry>, out: string | undefined): void {
  const { op, reshape, transpose } = words(builder);
  const images = reshape(x, [1, n, inputs, used[0], used[1]]);
  const kernel = reshape(transpose(dY, [1, 0, 2, 3]), [outputs, n, 1, g.output[0], g.output[1]]);
  const taps = op('Conv', [images, kernel], {
    kernel_shape: ints([1, g.output[0], g.output[1]]),
    dilations: ints([1, g.strides[0], g.strides[1]]),
    strides: ints([1, g.dilations[0], g.dilations[1]]),
    pads: ints([0, g.begin[0], g.begin[1], 0, end[0], end[1]]),
  });
  reshape(taps, [outputs, inputs, ...g.kernel], out);
}

function pointwise({ builder, x, dY, n, inputs, outputs, g }: WeightTask<Geometry>, out: string | undefined): void {
  const { op, reshape, transpose } = words(builder);
  const cells = n * g.output[0] * g.output[1];
  const left = reshape(transpose(dY, [1, 0, 2, 3]), [outputs, cells]);
  const right = reshape(transpose(x, [0, 2, 3, 1]), [cells, inputs]);
  reshape(op('MatMul', [left, right]), [outputs, inputs, 1, 1], out);
}

/** Each group is a convolution of its own: the group's input channels become the batch, the images its channels. */
function grouped({ builder, x, dY, n, inputs, outputs, g, used, end }: WeightTask<Span>, out: string | undefined): void {
  const { op, reshape, transpose } = words(builder);
  const each = inputs / g.group;
  const spatial = used.map((_, axis) => axis + 2);
  const images = reshape(transpose(reshape(x, [n, g.group, each, ...used]), [2, 1, 0, ...spatial.map(axis => axis + 1)]), [each, g.group * n, ...used]);
  const kernel = transpose(dY, [1, 0, ...spatial]);
  const taps = op('Conv', [images, kernel], {
    kernel_shape: ints(g.output),
    dilations: ints(g.strides),
    strides: ints(g.dilations),
    pads: ints([...g.begin, ...end]),
    group: int(g.group),
  });
  if (each === 1) reshape(taps, [outputs, 1, ...g.kernel], out);
  else transpose(taps, [1, 0, ...spatial], out);
}
