import { int, intOf, intsOf, type Node, sizeOf } from '../../graph/ir.ts';
import { widenedOperands, words } from './_emit.ts';
import type { Layout } from './_layouts.ts';
import { affine } from './_nchwc-norm.ts';
import { nchwcDomain, type Places } from './_places.ts';
import { fakeQuantize as stdFakeQuantize } from './_std-quantize.ts';

/** Operators that treat each element alone, so that any common layout of their operands serves. true: zero in, zero out (the padding stays zero). */
const pointwise: Readonly<Record<string, boolean>> = {
  ...Object.fromEntries(
    ['Add', 'Sub', 'Mul', 'Neg', 'Abs', 'Sign', 'Relu', 'LeakyRelu', 'Clip', 'Tanh', 'Sqrt', 'HardSwish', 'Max', 'Min', 'Sum', 'Where', 'Identity'].map(t => [t, true]),
  ),
  ...Object.fromEntries(['Greater', 'Less', 'GreaterOrEqual', 'LessOrEqual', 'Equal', 'And', 'Or', 'Not', 'Cast'].map(t => [t, true])),
  ...Object.fromEntries(['Div', 'Reciprocal', 'Exp', 'Log', 'Sigmoid', 'HardSigmoid', 'Pow', 'Softplus', 'Erf', 'Elu'].map(t => [t, false])),
};
const comparisons = new Set(['Greater', 'Less', 'GreaterOrEqual', 'LessOrEqual', 'Equal', 'And', 'Or', 'Not', 'Cast', 'Where']);
export const isPointwise = (node: Node): boolean => node.domain === '' && Object.hasOwn(pointwise, node.type);

const isScalar = (dims: readonly number[]): boolean => sizeOf(dims) === 1;
const same = (a: readonly number[], b: readonly number[]): boolean => a.length === b.length && a.every((dim, axis) => dim === b[axis]);

/** The layout in which a pointwise node is written, or undefined for plain. */
function layoutFor(node: Node, places: Places): Exclude<Layout, 'plain' | 'channel'> | undefined {
  const [out = ''] = node.outputs;
  const dims = places.dims(out);
  if (dims.length !== 4) return undefined;
  const operands = node.inputs.filter(name => name !== '');
  if (!operands.every(name => same(places.dims(name), dims) || isScalar(places.dims(name)))) return undefined;
  const full = operands.filter(name => same(places.dims(name), dims));
  for (const name of full) {
    const layout = places.weightLayout(name);
    // Padded weights may leave zero on the way (ε in Adam's denominator), but every optimizer's step of a zero with gradient zero is zero.
    if (layout !== undefined) return layout;
  }
  if (!full.some(name => places.isBlocked(name))) return undefined;
  const c = dims[1] ?? 1;
  return places.padded(c) === c || keepsZero(node, full.length, operands, places) ? 'blocked' : undefined;
}
/** Whether padding channels that are zero in every operand stay zero, so that no later weight gradient can see them. */
function keepsZero(node: Node, fullOperands: number, operands: readonly string[], places: Places): boolean {
  if (comparisons.has(node.type)) return true;
  if (node.type === 'Div') return fullOperands === 1 && isScalar(places.dims(operands[1] ?? ''));
  if (node.type === 'Clip') return [1, 2].every(at => !node.inputs[at] || clipHoldsZero(node, places));
  if (pointwise[node.type] !== true) return false;
  return node.type === 'Mul' || operands.length === fullOperands;
}
function clipHoldsZero(node: Node, places: Places): boolean {
  const [low, high] = [places.constant(node.inputs[1])?.[0], places.constant(node.inputs[2])?.[0]];
  return (node.inputs[1] ? low !== undefined && low <= 0 : true) && (node.inputs[2] ? high !== undefined && high >= 0 : true);
}

export const pointwiseFits = (node: Node, places: Places): boolean => isPointwise(node) && layoutFor(node, places) !== undefined;
export function writePointwise(node: Node, places: Places): void {
  const [out = ''] = node.outputs;
  const dims = places.dims(out);
  const layout = layoutFor(node, places) ?? 'blocked';
  const widen = (name: string, ones: readonly number[]): string => places.once(`ones|${name}|${ones.length}`, () => words(places.builder).reshape(places.plain(name), ones));
  const operands = widenedOperands(node, places.types, widen).map((name, at) => {
    const own = node.inputs[at] ?? '';
    if (own === '' || name !== own) return name;
    return same(places.dims(own), dims) && !isScalar(dims) ? places.in(own, layout) : places.plain(own);
  });
  places.set(out, layout, words(places.builder).op(node.type, operands, node.attributes, places.claim(out, layout)));
}

/** Add of images: rides on a pending convolution as its `Sum`, adds phases before they are interleaved, else is pointwise. */
export function addFits(node: Node, places: Places): boolean {
  const [a = '', b = ''] = node.inputs;
  const dims = places.dims(node.outputs[0] ?? '');
  return dims.length === 4 && same(places.dims(a), dims) && same(places.dims(b), dims) && (places.isBlocked(a) || places.isBlocked(b));
}
export function add(node: Node, places: Places): void {
  const [a = '', b = ''] = node.inputs;
  const [out = ''] = node.outputs;
  const { add: plus } = words(places.builder);
  const [left, right] = [a === b ? undefined : places.takePhases(a), a === b ? undefined : places.takePhases(b)];
  if (left && right && left.parts.length === right.parts.length && `${left.strides}` === `${right.strides}`) {
    const parts = left.parts.map((part, at) => {
      const other = right.parts[at];
      return part === undefined || other === undefined ? (part ?? other) : plus(part, other);
    });
    places.setPhases(out, { ...left, parts });
    return;
  }
  for (const [name, other] of [
    [a, b],
    [b, a],
  ] as const) {
    const pending = name === other ? undefined : places.takePending(name);
    if (!pending || pending.sum !== undefined) continue;
    places.setPending(out, { ...pending, sum: places.blocked(other) });
    return;
  }
  places.set(out, 'blocked', plus(places.blocked(a), places.blocked(b), places.claim(out, 'blocked')));
}

/** Relu and Clip ride on the convolution before them. */
export const activationFits = (node: Node, places: Places): boolean =>
  places.takePending(node.inputs[0] ?? '') !== undefined &&
  (node.type === 'Relu' || ([1, 2].every(at => places.constant(node.inputs[at]) !== undefined) && clipHoldsZero(node, places)));
export function activation(node: Node, places: Places): void {
  const pending = places.takePending(node.inputs[0] ?? '');
  if (!pending) throw new Error(`${node.name} follows nothing pending.`);
  const bounds = [1, 2].map(at => places.constant(node.inputs[at])?.[0] ?? 0);
  places.write(node.outputs[0] ?? '', pending, node.type === 'Relu' ? { kind: 'Relu' } : { kind: 'Clip', parameters: bounds });
}

export function reluGradFits(node: Node, places: Places): boolean {
  const [dY = '', y = ''] = node.inputs;
  return places.dims(y).length === 4 && (places.isBlocked(y) || places.isBlocked(dY));
}
export function reluGrad(node: Node, places: Places): void {
  const [dY = '', y = ''] = node.inputs;
  const [dX = ''] = node.outputs;
  const { mul, positive } = words(places.builder);
  const mask = places.once(`positive|${y}`, () => positive(places.blocked(y)));
  places.set(dX, 'blocked', mul(places.blocked(dY), mask, places.claim(dX, 'blocked')));
}

/** [C,1,1] or [1,C,1,1]: a value per channel of an image. */
const perChannel = (dims: readonly number[], channels: number): boolean =>
  sizeOf(dims) === channels && channels > 1 && ((dims.length === 3 && dims[0] === channels) || (dims.length === 4 && dims[1] === channels));
function broadcast(node: Node, places: Places): { image: string; vector: string; first: boolean } | undefined {
  const [a = '', b = ''] = node.inputs;
  const dims = places.dims(node.outputs[0] ?? '');
  if (dims.length !== 4 || (dims[2] === 1 && dims[3] === 1)) return undefined;
  for (const [image, vector, first] of [
    [a, b, true],
    [b, a, false],
  ] as const) {
    if (same(places.dims(image), dims) && places.isBlocked(image) && perChannel(places.dims(vector), dims[1] ?? 1)) return { image, vector, first };
  }
  return undefined;
}
/** Mul, Add and Sub of an image with a value per channel: one depthwise convolution. */
export const perChannelFits = (node: Node, places: Places): boolean => {
  const found = broadcast(node, places);
  return found !== undefined && (node.type !== 'Sub' || found.first);
};
export function writePerChannel(node: Node, places: Places): void {
  const found = broadcast(node, places);
  if (!found) throw new Error(`${node.name} is no broadcast over channels.`);
  const { op, reshape } = words(places.builder);
  const c = places.dims(found.image)[1] ?? 1;
  const channels = places.padded(c);
  const flat = reshape(places.plain(found.vector), [c]);
  const missing = channels - c;
  const vector = missing === 0 ? flat : op('Concat', [flat, places.builder.constant(new Float32Array(missing))], { axis: int(0) });
  const ones = () => places.builder.constant(new Float32Array(channels).fill(1));
  const pending =
    node.type === 'Mul'
      ? affine(places.blocked(found.image), vector, undefined, channels, places)
      : affine(places.blocked(found.image), ones(), node.type === 'Sub' ? op('Neg', [vector]) : vector, channels, places);
  places.setPending(node.outputs[0] ?? '', pending);
}

const reducedAxes = (node: Node, places: Places): readonly number[] | undefined => {
  const rank = places.dims(node.inputs[0] ?? '').length;
  const axes = intsOf(node, 'axes') ?? places.constant(node.inputs[1]);
  if (axes === undefined && node.inputs[1]) return undefined;
  return axes === undefined ? Array.from({ length: rank }, (_, axis) => axis) : Array.from(axes, axis => (axis < 0 ? axis + rank : axis)).sort((p, q) => p - q);
};
/** Sums and means of an image over its pixels (with or without the batch), sums over everything (also of weights), and the maximum of all where padding zeros cannot be it. */
export function reduceFits(node: Node, places: Places): boolean {
  const [x = ''] = node.inputs;
  const axes = reducedAxes(node, places)?.join();
  if (places.dims(x).length !== 4) return false;
  if (node.type === 'ReduceMax')
    return axes === '0,1,2,3' && places.isBlocked(x) && (places.producer(x)?.type === 'Abs' || places.padded(places.dims(x)[1] ?? 1) === places.dims(x)[1]);
  if (axes === '0,1,2,3') return node.type === 'ReduceSum' && (places.isBlocked(x) || places.weightLayout(x) !== undefined);
  return places.isBlocked(x) && (axes === '0,2,3' || axes === '2,3');
}
export function reduce(node: Node, places: Places): void {
  const [x = ''] = node.inputs;
  const [out = ''] = node.outputs;
  const { op, reshape, sum, mean, slice, mul } = words(places.builder);
  const outDims = places.dims(out);
  const axes = reducedAxes(node, places) ?? [];
  if (axes.length === 4) {
    const all = places.in(x, places.weightLayout(x) ?? 'blocked');
    const value = node.type === 'ReduceMax' ? op('ReduceMax', [all], { keepdims: int(0) }) : sum(all, [0, 1, 2, 3]);
    places.set(out, 'plain', reshape(value, outDims, places.claim(out, 'plain')));
    return;
  }
  const [n = 1, c = 1, height = 1, width = 1] = places.dims(x);
  const channels = places.padded(c);
  let value = reshape(op('GlobalAveragePool', [places.blocked(x)], {}, undefined, nchwcDomain), [n, channels]);
  if (node.type === 'ReduceSum') value = mul(value, places.builder.constant(height * width));
  if (axes.length === 3) value = node.type === 'ReduceSum' ? sum(value, [0]) : mean(value, [0]);
  if (channels !== c) value = slice(value, [0], [c], [axes.length === 3 ? 0 : 1]);
  places.set(out, 'plain', reshape(value, outDims, places.claim(out, 'plain')));
}

/** Rounding with one scale knows no layout; zeros of the padding stay zero. */
export const fakeQuantizeFits = (node: Node, places: Places): boolean => places.dims(node.inputs[1] ?? '').length === 0 && places.isBlocked(node.inputs[0] ?? '');
export function fakeQuantize(node: Node, places: Places): void {
  const [x = '', scale = ''] = node.inputs;
  const [out = ''] = node.outputs;
  const blocked: Node = { ...node, inputs: [places.blocked(x), places.plain(scale)], outputs: [places.claim(out, 'blocked')] };
  stdFakeQuantize(blocked, { builder: places.builder, types: places.types });
  places.set(out, 'blocked', blocked.outputs[0] as string);
}

/** (N, C, 1, 1) spread over an image that is read in blocks later (the gradient of a global pool). */
export function expandFits(node: Node, places: Places): boolean {
  const from = places.dims(node.inputs[0] ?? '');
  const to = places.dims(node.outputs[0] ?? '');
  return from.length === 4 && to.length === 4 && from[2] === 1 && from[3] === 1 && from[0] === to[0] && from[1] === to[1] && (to[1] ?? 1) % places.block === 0;
}
export function expand(node: Node, places: Places): void {
  const [out = ''] = node.outputs;
  const [n = 1, c = 1, height = 1, width = 1] = places.dims(out);
  const { op, reshape } = words(places.builder);
  const groups = c / places.block;
  const cells = reshape(places.plain(node.inputs[0] ?? ''), [n, groups, 1, places.block]);
  const wide = op('Expand', [cells, places.builder.indices([n, groups, height * width, places.block])]);
  places.set(out, 'blocked', reshape(wide, [n, c, height, width], places.claim(out, 'blocked')));
}

/** Concat of whole blocks along the channels. */
export function concatFits(node: Node, places: Places): boolean {
  const axis = intOf(node, 'axis', 1);
  return (axis === 1 || axis === -3) && node.inputs.every(name => places.dims(name).length === 4 && (places.dims(name)[1] ?? 1) % places.block === 0 && places.isBlocked(name));
}
export function concat(node: Node, places: Places): void {
  const [out = ''] = node.outputs;
  places.set(
    out,
    'blocked',
    words(places.builder).op(
      'Concat',
      node.inputs.map(name => places.blocked(name)),
      { axis: int(1) },
      places.claim(out, 'blocked'),
    ),
  );
}
