import { floatOf, int, ints, type Node } from '../../graph/ir.ts';
import { words } from './_emit.ts';
import { nchwcDomain, type Pending, type Places, perChannelAttributes } from './_places.ts';

/** Mean over batch and image of a blocked tensor: (C) padded. */
function channelMean(x: string, n: number, channels: number, places: Places): string {
  const { op, reshape, mean } = words(places.builder);
  return mean(reshape(op('GlobalAveragePool', [x], {}, undefined, nchwcDomain), [n, channels]), [0]);
}
/** Mean over batch and image of a·b: a depthwise convolution whose window b is the whole image reads both once and writes no product. */
function channelMeanOfProduct(a: string, b: string, [n, channels, height, width]: readonly [number, number, number, number], places: Places): string {
  const { op, reshape, sum, mul } = words(places.builder);
  const [rows, cells] = [n * channels, height * width];
  const window = { group: int(rows), kernel_shape: ints([1, cells]), strides: ints([1, 1]), pads: ints([0, 0, 0, 0]) };
  const products = op('Conv', [reshape(a, [1, rows, 1, cells]), reshape(b, [rows, 1, 1, cells])], window, undefined, nchwcDomain);
  return mul(sum(reshape(products, [n, channels]), [0]), places.builder.constant(1 / (n * cells)));
}
/** x·scale + shift per channel, pending so that a residual and a ReLU ride along in the same pass. `sum` is added. */
export function affine(x: string, scale: string, shift: string | undefined, channels: number, places: Places, sum?: string): Pending {
  const { reshape } = words(places.builder);
  return {
    x,
    weight: reshape(scale, [channels, 1, 1, 1]),
    attributes: perChannelAttributes(channels),
    ...(shift === undefined ? {} : { bias: shift }),
    ...(sum === undefined ? {} : { sum }),
  };
}

const isImage = (name: string, places: Places): boolean => places.dims(name).length === 4;
export const normFits = (node: Node, places: Places): boolean => isImage(node.inputs[0] ?? '', places) && places.isBlocked(node.inputs[0] ?? '');

/**
 * Batch statistics by a global average pool and a sum of squares, variance = E[x²] − E[x]² (a few digits less exact than two passes: the price of one read less),
 * never below zero; then one depthwise 1×1 convolution.
 */
export function batchNormTrain(node: Node, places: Places): void {
  const [x = '', gamma = '', beta = ''] = node.inputs;
  const [y = '', mean = '', variance = ''] = node.outputs;
  const [n = 1, c = 1, height = 1, width = 1] = places.dims(x);
  const channels = places.padded(c);
  const { op, mul, sub } = words(places.builder);
  const source = places.blocked(x);
  const average = channelMean(source, n, channels, places);
  const squares = channelMeanOfProduct(source, source, [n, channels, height, width], places);
  const spread = op('Relu', [sub(squares, mul(average, average))]);
  const scale = mul(places.in(gamma, 'channel'), deviation(spread, node, places));
  const shift = sub(places.in(beta, 'channel'), mul(average, scale));
  for (const [name, value] of [
    [mean, average],
    [variance, spread],
  ] as const) {
    if (name === '') continue;
    places.set(name, 'channel', value);
    if (channels === c) places.set(name, 'plain', value);
  }
  places.setPending(y, affine(source, scale, shift, channels, places));
}

/** 1/sqrt(variance + ε), shared by a norm and its gradient. */
const deviation = (variance: string, node: Node, places: Places): string =>
  places.once(`deviation|${variance}`, () => words(places.builder).inverseDeviation(variance, floatOf(node, 'epsilon', 1e-5)));

export const normGradFits = (node: Node, places: Places): boolean => {
  const [dY = '', x = ''] = node.inputs;
  return isImage(x, places) && (places.isBlocked(dY) || places.isBlocked(x));
};
/** dX = a·dY + b·x + c per channel: two chained depthwise convolutions. With s = 1/sqrt(v + ε) and cov = E[dY·x] − mean·E[dY]: a = γs, b = −a·s²·cov, c = −a·E[dY] − b·mean. */
export function batchNormGrad(node: Node, places: Places): void {
  const [dYName = '', xName = '', gamma = '', meanName = '', varianceName = ''] = node.inputs;
  const [dX, dGamma, dBeta] = node.outputs;
  const dims = places.dims(xName);
  const [n = 1, c = 1, height = 1, width = 1] = dims;
  const channels = places.padded(c);
  const { op, mul, sub, add, slice } = words(places.builder);
  const [dY, x] = [places.blocked(dYName), places.blocked(xName)];
  const [mean, variance] = [places.in(meanName, 'channel'), places.in(varianceName, 'channel')];
  const s = deviation(variance, node, places);
  const slope = channelMean(dY, n, channels, places);
  const covariance = sub(channelMeanOfProduct(dY, x, [n, channels, height, width], places), mul(mean, slope));
  const many = places.builder.constant(n * height * width);
  const parameter = (name: string | undefined, value: string) => {
    if (name === undefined || name === '') return;
    const all = mul(value, many, channels === c ? places.claim(name, 'plain') : undefined);
    places.set(name, 'plain', channels === c ? all : slice(all, [0], [c], [0], undefined, places.claim(name, 'plain')));
  };
  parameter(dBeta, slope);
  parameter(dGamma, mul(covariance, s));
  if (dX === undefined || dX === '') return;
  const a = mul(places.in(gamma, 'channel'), s);
  const b = op('Neg', [mul(mul(a, covariance), mul(s, s))]);
  const shift = op('Neg', [add(mul(a, slope), mul(b, mean))]);
  const { ops, reshape } = words(places.builder);
  const [inner = ''] = ops('Conv', [x, reshape(b, [channels, 1, 1, 1]), shift], perChannelAttributes(channels), [undefined], nchwcDomain);
  places.setPending(dX, affine(dY, a, places.builder.constant(new Float32Array(channels)), channels, places, inner));
}

/** A norm in inference form (frozen): its statistics are constants or inputs. */
export function batchNormInference(node: Node, places: Places): void {
  const [x = '', gamma = '', beta = '', mean = '', variance = ''] = node.inputs;
  const channels = places.padded(places.dims(x)[1] ?? 1);
  const { mul, sub } = words(places.builder);
  const scale = mul(places.in(gamma, 'channel'), deviation(places.in(variance, 'channel'), node, places));
  const shift = sub(places.in(beta, 'channel'), mul(places.in(mean, 'channel'), scale));
  places.setPending(node.outputs[0] ?? '', affine(places.blocked(x), scale, shift, channels, places));
}
