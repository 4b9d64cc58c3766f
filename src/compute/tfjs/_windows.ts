import { floatOf, intOf, intsOf, sizeOf } from '../../graph/ir.ts';
import { type Geometry, geometryOf } from '../lowerings/_geometry.ts';
import { type Call, type Kernel, shapeOf, type Tf, type TfTensor } from './_api.ts';

/** tfjs' native backends know one layout on the processor, channels last, and no padding but whole: images are turned, padded by hand, and every window is "valid". */
const last = (tf: Tf, x: TfTensor) => tf.transpose(x, [0, 2, 3, 1]);
const first = (tf: Tf, x: TfTensor) => tf.transpose(x, [0, 3, 1, 2]);
const strides = (g: Geometry): readonly [number, number] => [g.strides[0], g.strides[1]];

/** What a window's last position needs beyond the input, and the size that makes. */
function reachOf(g: Geometry): { readonly end: readonly [number, number]; readonly size: readonly [number, number] } {
  const along = (axis: 0 | 1) => Math.max(0, (g.output[axis] - 1) * g.strides[axis] + g.dilations[axis] * (g.kernel[axis] - 1) + 1 - g.input[axis] - g.begin[axis]);
  const end = [along(0), along(1)] as const;
  return { end, size: [g.begin[0] + g.input[0] + end[0], g.begin[1] + g.input[1] + end[1]] };
}
const padded = (tf: Tf, x: TfTensor, g: Geometry, value = 0): TfTensor => {
  const { end } = reachOf(g);
  if (g.begin[0] + g.begin[1] + end[0] + end[1] === 0) return x;
  return tf.pad(
    x,
    [
      [0, 0],
      [g.begin[0], end[0]],
      [g.begin[1], end[1]],
      [0, 0],
    ],
    value,
  );
};
/** The input's share of a gradient over the padded input. */
const cropped = (tf: Tf, dx: TfTensor, g: Geometry): TfTensor => tf.slice(dx, [0, g.begin[0], g.begin[1], 0], [dx.shape[0] ?? 1, g.input[0], g.input[1], dx.shape[3] ?? 1]);

/** Kernel size with the holes of its dilation. */
const extent = (g: Geometry): readonly [number, number] => [g.dilations[0] * (g.kernel[0] - 1) + 1, g.dilations[1] * (g.kernel[1] - 1) + 1];
const isDilated = (g: Geometry): boolean => g.dilations[0] * g.dilations[1] > 1;
/** A kernel [kh, kw, …] with zeros in the holes of its dilation: tfjs has no gradient of a dilated convolution. */
function withHoles(tf: Tf, kernel: TfTensor, g: Geometry): TfTensor {
  if (!isDilated(g)) return kernel;
  const [, , a = 1, b = 1] = kernel.shape;
  const [rows, columns] = [g.kernel[0] * g.dilations[0], g.kernel[1] * g.dilations[1]];
  const spaced = tf.pad(tf.reshape(kernel, [g.kernel[0], 1, g.kernel[1], 1, a * b]), [
    [0, 0],
    [0, g.dilations[0] - 1],
    [0, 0],
    [0, g.dilations[1] - 1],
    [0, 0],
  ]);
  return tf.slice(tf.reshape(spaced, [rows, columns, a, b]), [0, 0, 0, 0], [...extent(g), a, b]);
}

/** A convolution's parts over dense groups; depthwise ones (one input channel per group) have kernels of their own. */
interface Convolution {
  readonly tf: Tf;
  readonly g: Geometry;
  readonly inputs: number;
  readonly outputs: number;
}
const isDepthwise = ({ g, inputs }: Convolution): boolean => g.group > 1 && g.group === inputs;
/** [O, I/g, kh, kw] → tfjs' [kh, kw, I/g, O], or depthwise [kh, kw, C, O/C]. */
const filterOf = (c: Convolution, w: TfTensor): TfTensor => {
  const turned = c.tf.transpose(w, [2, 3, 1, 0]);
  return withHoles(c.tf, isDepthwise(c) ? c.tf.reshape(turned, [c.g.kernel[0], c.g.kernel[1], c.inputs, c.outputs / c.inputs]) : turned, c.g);
};
const groupsOf = (c: Convolution, value: TfTensor, axis: number): TfTensor[] => (c.g.group === 1 ? [value] : c.tf.split(value, c.g.group, axis));
const joined = (tf: Tf, parts: readonly TfTensor[], axis: number): TfTensor => (parts.length === 1 ? (parts[0] as TfTensor) : tf.concat(parts, axis));

function forward(c: Convolution, x: TfTensor, w: TfTensor): TfTensor {
  const { tf, g } = c;
  const [source, filter] = [padded(tf, last(tf, x), g), filterOf(c, w)];
  if (isDepthwise(c)) return first(tf, tf.depthwiseConv2d(source, filter, strides(g), 'valid'));
  const filters = groupsOf(c, filter, 3);
  return first(
    tf,
    joined(
      tf,
      groupsOf(c, source, 3).map((part, at) => tf.conv2d(part, filters[at] as TfTensor, strides(g), 'valid')),
      3,
    ),
  );
}
function backwardInput(c: Convolution, dy: TfTensor, w: TfTensor, n: number): TfTensor {
  const { tf, g } = c;
  const [rows, columns] = reachOf(g).size;
  const [slope, filter] = [last(tf, dy), filterOf(c, w)];
  const shape = (channels: number) => [n, rows, columns, channels];
  if (isDepthwise(c)) {
    const attributes = { strides: strides(g), pad: 'valid', dilations: [1, 1], inputShape: shape(c.inputs) };
    return first(tf, cropped(tf, tf.engine().runKernel('DepthwiseConv2dNativeBackpropInput', { dy: slope, filter }, attributes), g));
  }
  const filters = groupsOf(c, filter, 3);
  const parts = groupsOf(c, slope, 3).map((part, at) => tf.conv2dTranspose(part, filters[at] as TfTensor, shape(c.inputs / g.group), strides(g), 'valid'));
  return first(tf, cropped(tf, joined(tf, parts, 3), g));
}
function backwardWeight(c: Convolution, x: TfTensor, dy: TfTensor): TfTensor {
  const { tf, g } = c;
  const [source, slope] = [padded(tf, last(tf, x), g), last(tf, dy)];
  const common = { strides: strides(g), pad: 'valid' };
  const taps = (dw: TfTensor): TfTensor => (isDilated(g) ? tf.stridedSlice(dw, [0, 0, 0, 0], dw.shape, [g.dilations[0], g.dilations[1], 1, 1]) : dw);
  if (isDepthwise(c)) {
    const filterShape = [...extent(g), c.inputs, c.outputs / c.inputs];
    const dw = taps(tf.engine().runKernel('DepthwiseConv2dNativeBackpropFilter', { x: source, dy: slope }, { ...common, dilations: [1, 1], filterShape }));
    return tf.transpose(tf.reshape(dw, [g.kernel[0], g.kernel[1], 1, c.outputs]), [3, 2, 0, 1]);
  }
  const filterShape = [...extent(g), c.inputs / g.group, c.outputs / g.group];
  const slopes = groupsOf(c, slope, 3);
  const parts = groupsOf(c, source, 3).map((part, at) =>
    taps(tf.engine().runKernel('Conv2DBackpropFilter', { x: part, dy: slopes[at] as TfTensor }, { ...common, dataFormat: 'NHWC', filterShape })),
  );
  return tf.transpose(joined(tf, parts, 3), [3, 2, 0, 1]);
}

const over = (call: Call, input: readonly number[], output: readonly number[], kernel: readonly number[]): Geometry | undefined =>
  input.length === 4 ? geometryOf(call.bound.node, input, output, kernel) : undefined;
const convolution = (call: Call, g: Geometry, inputs: number, outputs: number): Convolution => ({ tf: call.tf, g, inputs, outputs });

const convolutions: Readonly<Record<string, Kernel>> = {
  Conv: call => {
    const [input, weight, [output = []]] = [shapeOf(call, 0), shapeOf(call, 1), call.dims];
    const g = over(call, input, output, weight.slice(2));
    const [x, w, bias] = call.x as [TfTensor, TfTensor, TfTensor?];
    if (g === undefined) return undefined;
    const y = forward(convolution(call, g, input[1] ?? 1, weight[0] ?? 1), x, w);
    return bias === undefined ? y : call.tf.add(y, call.tf.reshape(bias, [1, weight[0] ?? 1, 1, 1]));
  },
  ConvGradInput: call => {
    const [[input = []], weight] = [call.dims, shapeOf(call, 1)];
    const g = over(call, input, shapeOf(call, 0), weight.slice(2));
    const [dy, w] = call.x as [TfTensor, TfTensor];
    return g && backwardInput(convolution(call, g, input[1] ?? 1, weight[0] ?? 1), dy, w, input[0] ?? 1);
  },
  ConvGradWeight: call => {
    const [input, [weight = []]] = [shapeOf(call, 0), call.dims];
    const g = over(call, input, shapeOf(call, 1), weight.slice(2));
    const [x, dy] = call.x as [TfTensor, TfTensor];
    return g && backwardWeight(convolution(call, g, input[1] ?? 1, weight[0] ?? 1), x, dy);
  },
};

/** The pool of a node whose input has shape `input`, where tfjs can do it. */
function poolOf(call: Call, input: readonly number[], output: readonly number[]): Geometry | undefined {
  const { node } = call.bound;
  const g = over(call, input, output, intsOf(node, 'kernel_shape') ?? []);
  return g === undefined || isDilated(g) || node.outputs.length > 1 ? undefined : g;
}
/** kernel size ÷ elements that count, per window: tfjs divides by the whole window. */
function shares(tf: Tf, g: Geometry, call: Call): TfTensor {
  const includes = intOf(call.bound.node, 'count_include_pad', 0) === 1;
  const counts = ([0, 1] as const).map(axis =>
    Array.from({ length: g.output[axis] }, (_, window) => {
      const from = window * g.strides[axis] - g.begin[axis];
      const [low, high] = includes ? [-g.begin[axis], g.input[axis] + g.end[axis]] : [0, g.input[axis]];
      return Math.max(1, Math.min(from + g.kernel[axis], high) - Math.max(from, low));
    }),
  );
  const factors = (counts[0] ?? []).flatMap(rows => (counts[1] ?? []).map(columns => sizeOf(g.kernel) / (rows * columns)));
  return tf.tensor(Float32Array.from(factors), [1, g.output[0], g.output[1], 1], 'float32');
}
/** Below every activation, and finite. */
const lowest = -3e38;
const windowOf = (g: Geometry) => ({ filterSize: [g.kernel[0], g.kernel[1]], strides: strides(g), pad: 'valid' });

const pools: Readonly<Record<string, Kernel>> = {
  MaxPool: call => {
    const g = poolOf(call, shapeOf(call, 0), call.dims[0] ?? []);
    const { tf, x } = call;
    return g && first(tf, tf.maxPool(padded(tf, last(tf, x[0] as TfTensor), g, lowest), [g.kernel[0], g.kernel[1]], strides(g), 'valid'));
  },
  MaxPoolGrad: call => {
    const g = poolOf(call, call.dims[0] ?? [], shapeOf(call, 0));
    const { tf } = call;
    const [dy, x, y] = call.x as [TfTensor, TfTensor, TfTensor];
    if (g === undefined) return undefined;
    const operands = { dy: last(tf, dy), input: padded(tf, last(tf, x), g, lowest), output: last(tf, y) };
    return first(tf, cropped(tf, tf.engine().runKernel('MaxPoolGrad', operands, windowOf(g)), g));
  },
  AveragePool: call => {
    const g = poolOf(call, shapeOf(call, 0), call.dims[0] ?? []);
    const { tf, x } = call;
    if (g === undefined) return undefined;
    const means = tf.avgPool(padded(tf, last(tf, x[0] as TfTensor), g), [g.kernel[0], g.kernel[1]], strides(g), 'valid');
    return first(tf, tf.mul(means, shares(tf, g, call)));
  },
  AveragePoolGrad: call => {
    const [input = []] = call.dims;
    const g = poolOf(call, input, shapeOf(call, 0));
    const { tf, x } = call;
    if (g === undefined) return undefined;
    const [rows, columns] = reachOf(g).size;
    const blank = tf.broadcastTo(tf.scalar(0), [input[0] ?? 1, rows, columns, input[1] ?? 1]);
    const dy = tf.mul(last(tf, x[0] as TfTensor), shares(tf, g, call));
    return first(tf, cropped(tf, tf.engine().runKernel('AvgPoolGrad', { dy, input: blank }, windowOf(g)), g));
  },
};

/** Statistics run over all axes but the channels; `wide` lays a vector of channels along them. */
function channels(call: Call, of: number) {
  const dims = shapeOf(call, of);
  return {
    axes: dims.flatMap((_, axis) => (axis === 1 ? [] : [axis])),
    count: sizeOf(dims) / (dims[1] ?? 1),
    wide: (value: TfTensor) => call.tf.reshape(value, [1, dims[1] ?? 1, ...dims.slice(2).map(() => 1)]),
  };
}
const inverseDeviation = ({ tf, bound }: Call, variance: TfTensor): TfTensor => tf.reciprocal(tf.sqrt(tf.add(variance, tf.scalar(floatOf(bound.node, 'epsilon', 1e-5)))));
function normalized(call: Call, [x, gamma, beta, mean, variance]: readonly TfTensor[], wide: (value: TfTensor) => TfTensor): TfTensor {
  const { tf } = call;
  const scale = tf.mul(gamma as TfTensor, inverseDeviation(call, variance as TfTensor));
  return tf.add(tf.mul(tf.sub(x as TfTensor, wide(mean as TfTensor)), wide(scale)), wide(beta as TfTensor));
}

const norms: Readonly<Record<string, Kernel>> = {
  BatchNormalization: call => (call.bound.node.outputs.length > 1 ? undefined : normalized(call, call.x, channels(call, 0).wide)),
  BatchNormTrain: call => {
    const { tf } = call;
    const [x, gamma, beta] = call.x as [TfTensor, TfTensor, TfTensor];
    const { axes, wide } = channels(call, 0);
    const mean = tf.mean(x, axes);
    const centred = tf.sub(x, wide(mean));
    const variance = tf.mean(tf.mul(centred, centred), axes);
    return [normalized(call, [x, gamma, beta, mean, variance], wide), mean, variance];
  },
  BatchNormGrad: call => {
    const { tf } = call;
    const [dy, x, gamma, mean, variance] = call.x as [TfTensor, TfTensor, TfTensor, TfTensor, TfTensor];
    const { axes, count, wide } = channels(call, 1);
    const s = inverseDeviation(call, variance);
    const normal = tf.mul(tf.sub(x, wide(mean)), wide(s));
    const [dBeta, dGamma] = [tf.sum(dy, axes), tf.sum(tf.mul(dy, normal), axes)];
    const part = (value: TfTensor) => wide(tf.div(value, tf.scalar(count)));
    const inner = tf.sub(tf.sub(dy, part(dBeta)), tf.mul(normal, part(dGamma)));
    return [tf.mul(inner, wide(tf.mul(gamma, s))), dGamma, dBeta];
  },
};

/** Convolutions, pools and batch norms with their gradients: our internal operators on the kernels that tfjs' own gradients use. */
export const windowKernels: Readonly<Record<string, Kernel>> = { ...convolutions, ...pools, ...norms };
