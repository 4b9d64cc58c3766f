import { intOf, intsOf, type Node, textOf } from '../../graph/ir.ts';

/** A window sliding over spatial axes, everything resolved to numbers; each array has one entry per axis. */
export interface Span {
  readonly input: readonly number[];
  readonly output: readonly number[];
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly begin: readonly number[];
  readonly end: readonly number[];
  readonly group: number;
}
type Pair = readonly [number, number];
/** A window over two spatial axes: [vertical, horizontal]. */
export interface Geometry extends Span {
  readonly input: Pair;
  readonly output: Pair;
  readonly kernel: Pair;
  readonly strides: Pair;
  readonly dilations: Pair;
  readonly begin: Pair;
  readonly end: Pair;
}

/** Reads the window of a Conv or pool node (and of their gradients) from x of shape `input` to y of shape `output`, resolving auto_pad. */
export function spanOf(node: Node, input: readonly number[], output: readonly number[], kernel: readonly number[]): Span {
  const [size, out] = [input.slice(2), output.slice(2)];
  const one = size.map(() => 1);
  const strides = intsOf(node, 'strides') ?? one;
  const dilations = intsOf(node, 'dilations') ?? one;
  const auto = textOf(node, 'auto_pad', 'NOTSET');
  const pads = (auto === 'VALID' ? undefined : intsOf(node, 'pads')) ?? [...one, ...one].fill(0);
  const same = auto === 'SAME_UPPER' || auto === 'SAME_LOWER';
  const padding = size.map((length, axis): Pair => {
    if (!same) return [pads[axis] ?? 0, pads[axis + size.length] ?? 0];
    const [o = 1, s = 1, d = 1, k = 1] = [out[axis], strides[axis], dilations[axis], kernel[axis]];
    const total = Math.max(0, (o - 1) * s + d * (k - 1) + 1 - length);
    const small = total >> 1;
    return auto === 'SAME_UPPER' ? [small, total - small] : [total - small, small];
  });
  return { input: size, output: out, kernel, strides, dilations, begin: padding.map(p => p[0]), end: padding.map(p => p[1]), group: intOf(node, 'group', 1) };
}
/** The same over two spatial axes; the caller has seen that there are two. */
export const geometryOf = (...of: Parameters<typeof spanOf>): Geometry => spanOf(...of) as Geometry;

/** One phase of a strided transposed window along one axis: the inputs congruent to `phase`. Output element a reads window positions a + offset … */
export interface Phase {
  /** Taps of the kernel, ordered so that the offsets ascend one by one. */
  readonly taps: readonly number[];
  readonly firstOffset: number;
}

/** The taps that reach inputs ≡ phase (mod stride) along `axis`: u + begin − tap = stride·window. Dilation 1. */
export function phaseOf(geometry: Geometry, axis: 0 | 1, phase: number): Phase {
  const stride = geometry.strides[axis];
  const taps: number[] = [];
  for (let tap = geometry.kernel[axis] - 1; tap >= 0; tap--) {
    if ((phase + geometry.begin[axis] - tap) % stride === 0) taps.push(tap);
  }
  return { taps, firstOffset: taps.length === 0 ? 0 : (phase + geometry.begin[axis] - (taps[0] as number)) / stride };
}
