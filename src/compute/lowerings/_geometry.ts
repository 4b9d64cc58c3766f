import { EdgeError } from '../../core/errors.ts';
import { intOf, ints, intsOf, type Node, textOf } from '../../graph/ir.ts';

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
/** The same for lowerings that know two spatial axes only. Throws `operator-unsupported` where there are not two. */
export function geometryOf(node: Node, input: readonly number[], output: readonly number[], kernel: readonly number[]): Geometry {
  if (input.length === 4 && kernel.length === 2) return spanOf(node, input, output, kernel) as Geometry;
  throw new EdgeError('operator-unsupported', `The node ${node.name} (${node.type}) slides over ${kernel.length} axes; this engine's training knows two.`, {
    hint: 'Freeze the network below this node (its gradient is then not needed), or train with onnxruntime on the CPU.',
    where: { path: node.name },
  });
}

/**
 * A pool's window without ceil_mode: its padding reaches as far as its last window. onnxruntime's shape inference counts windows that begin in
 * the padding, its kernels and all others do not; without ceil_mode they agree. Left as it is where that would change an average that counts its padding, or
 * would pad as much as the kernel holds, which onnxruntime refuses.
 */
export function flooredPool(node: Node, input: readonly number[], output: readonly number[]): Node['attributes'] {
  const { ceil_mode: ceil, auto_pad: _, ...rest } = node.attributes;
  if (ceil?.value !== 1) return node.attributes;
  const g = spanOf(node, input, output, intsOf(node, 'kernel_shape') ?? []);
  const ends = g.input.map((size, axis) => {
    const [windows = 1, stride = 1, dilation = 1, kernel = 1, begin = 0] = [g.output[axis], g.strides[axis], g.dilations[axis], g.kernel[axis], g.begin[axis]];
    return Math.max(0, (windows - 1) * stride + dilation * (kernel - 1) + 1 - size - begin);
  });
  const longer = ends.some((end, axis) => end > (g.end[axis] ?? 0));
  const refused = ends.some((end, axis) => end >= (g.kernel[axis] ?? 1));
  return refused || (longer && node.attributes.count_include_pad?.value === 1) ? node.attributes : { ...rest, pads: ints([...g.begin, ...ends]) };
}

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
