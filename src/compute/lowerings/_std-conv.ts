import { int, ints, intsOf, type Node } from '../../graph/ir.ts';
import { dimsOf, type EmitContext, words } from './_emit.ts';
import { type Geometry, geometryOf } from './_geometry.ts';

/** Dilation-aware reach of a kernel beyond its first tap. */
const reach = (g: Geometry, axis: 0 | 1): number => g.dilations[axis] * (g.kernel[axis] - 1);
/**
 * End padding with which a window of h output positions (dilated by the stride) lands exactly on the kernel's taps; negative where the forward
 * window left input unused.
 */
const exactEnd = (g: Geometry, axis: 0 | 1): number => reach(g, axis) + (g.output[axis] - 1) * g.strides[axis] + 1 - g.input[axis] - g.begin[axis];

/** dX of a convolution: for stride 1 a convolution of dY with the weights flipped and their channels exchanged, else a transposed convolution. */
export function convGradInput(node: Node, { builder, types }: EmitContext): void {
  const [dY = '', w = ''] = node.inputs;
  const inputShape = intsOf(node, 'input_shape') ?? [];
  const weight = dimsOf(types, w);
  const g = geometryOf(node, inputShape, dimsOf(types, dY), weight.slice(2));
  const { op } = words(builder);
  const begin = [reach(g, 0) - g.begin[0], reach(g, 1) - g.begin[1]];
  const end = [g.input[0] - 1 + g.begin[0] - (g.output[0] - 1), g.input[1] - 1 + g.begin[1] - (g.output[1] - 1)];
  const plain = g.strides[0] === 1 && g.strides[1] === 1 && Math.min(...begin, ...end) >= 0;
  if (plain) {
    op(
      'Conv',
      [dY, flipped(builder, w, weight, g.group)],
      { kernel_shape: ints(g.kernel), dilations: ints(g.dilations), pads: ints([...begin, ...end]), group: int(g.group) },
      node.outputs[0],
    );
    return;
  }
  // The transposed convolution yields (h−1)·s + reach + 1 − begin − cut; `cut` absorbs windows that overhang, output_padding what no window reached.
  const spare = ([0, 1] as const).map(axis => -exactEnd(g, axis));
  op(
    'ConvTranspose',
    [dY, w],
    {
      kernel_shape: ints(g.kernel),
      strides: ints(g.strides),
      dilations: ints(g.dilations),
      group: int(g.group),
      pads: ints([...g.begin, ...spare.map(s => Math.max(0, -s))]),
      output_padding: ints(spare.map(s => Math.max(0, s))),
    },
    node.outputs[0],
  );
}

/** W [O, I/g, kh, kw] → [I, O/g, kh, kw] with both spatial axes reversed. */
function flipped(builder: EmitContext['builder'], w: string, dims: readonly number[], group: number): string {
  const { reshape, gather, transpose } = words(builder);
  const [o = 1, i = 1, kh = 1, kw = 1] = dims;
  const taps = kh * kw;
  let value = reshape(w, [group, o / group, i, taps]);
  if (taps > 1) {
    value = gather(
      value,
      Array.from({ length: taps }, (_, tap) => taps - 1 - tap),
      3,
    );
  }
  return reshape(transpose(value, [0, 2, 1, 3]), [group * i, o / group, kh, kw]);
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
  const g = geometryOf(node, xDims, dyDims, weight.slice(2));
  const { slice } = words(builder);
  const ends = [exactEnd(g, 0), exactEnd(g, 1)] as const;
  // Convolutions take no negative padding: cut what the forward pass never read.
  const used = [g.input[0] + Math.min(0, ends[0]), g.input[1] + Math.min(0, ends[1])] as const;
  const source = used[0] < g.input[0] || used[1] < g.input[1] ? slice(x, [0, 0], used, [2, 3]) : x;
  const task: WeightTask = { builder, x: source, dY, n: xDims[0] ?? 1, inputs: xDims[1] ?? 1, outputs: dyDims[1] ?? 1, g, used, end: [Math.max(0, ends[0]), Math.max(0, ends[1])] };
  const out = node.outputs[0];
  if (g.group > 1) grouped(task, out);
  else if (task.inputs < 16) fewChannels(task, out);
  else if (g.kernel[0] * g.kernel[1] === 1 && g.strides[0] * g.strides[1] === 1 && g.begin[0] + g.begin[1] + task.end[0] + task.end[1] === 0) pointwise(task, out);
  else volume(task, out);
}

interface WeightTask {
  readonly builder: EmitContext['builder'];
  readonly x: string;
  readonly dY: string;
  readonly n: number;
  readonly inputs: number;
  readonly outputs: number;
  readonly g: Geometry;
  readonly used: readonly [number, number];
  readonly end: readonly [number, number];
}

function volume({ builder, x, dY, n, inputs, outputs, g, used, end }: WeightTask, out: string | undefined): void {
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

function fewChannels({ builder, x, dY, n, inputs, outputs, g, used, end }: WeightTask, out: string | undefined): void {
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

function pointwise({ builder, x, dY, n, inputs, outputs, g }: WeightTask, out: string | undefined): void {
  const { op, reshape, transpose } = words(builder);
  const cells = n * g.output[0] * g.output[1];
  const left = reshape(transpose(dY, [1, 0, 2, 3]), [outputs, cells]);
  const right = reshape(transpose(x, [0, 2, 3, 1]), [cells, inputs]);
  reshape(op('MatMul', [left, right]), [outputs, inputs, 1, 1], out);
}

/** Each group is a convolution of its own: the group's input channels become the batch, the images its channels. */
function grouped({ builder, x, dY, n, inputs, outputs, g, used, end }: WeightTask, out: string | undefined): void {
  const { op, reshape, transpose } = words(builder);
  const each = inputs / g.group;
  const images = reshape(transpose(reshape(x, [n, g.group, each, used[0], used[1]]), [2, 1, 0, 3, 4]), [each, g.group * n, used[0], used[1]]);
  const kernel = transpose(dY, [1, 0, 2, 3]);
  const taps = op('Conv', [images, kernel], {
    kernel_shape: ints(g.output),
    dilations: ints(g.strides),
    strides: ints(g.dilations),
    pads: ints([...g.begin, ...end]),
    group: int(g.group),
  });
  if (each === 1) reshape(taps, [outputs, 1, ...g.kernel], out);
  else transpose(taps, [1, 0, 2, 3], out);
}
