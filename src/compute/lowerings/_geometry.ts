import { EdgeError } from '../../core/errors.ts';
import { intOf, intsOf, type Node, textOf } from '../../graph/ir.ts';

/** A window sliding over two spatial axes, everything resolved to numbers. Each array is [vertical, horizontal]. */
export interface Geometry {
  readonly input: readonly [number, number];
  readonly output: readonly [number, number];
  readonly kernel: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly dilations: readonly [number, number];
  readonly begin: readonly [number, number];
  readonly end: readonly [number, number];
  readonly group: number;
}

const pair = (values: readonly number[] | undefined, fallback: number): [number, number] => [values?.[0] ?? fallback, values?.[1] ?? fallback];

/** Reads the window of a Conv or pool node (and of their gradients) over x of `input` size, resolving auto_pad. Throws `operator-unsupported` unless 2-D. */
export function geometryOf(node: Node, input: readonly number[], output: readonly number[], kernel: readonly number[]): Geometry {
  if (input.length !== 4 || kernel.length !== 2) {
    throw new EdgeError('operator-unsupported', `The node ${node.name} (${node.type}) slides over ${kernel.length} axes; training knows two.`, {
      hint: 'Freeze the network below this node: its gradient is then not needed.',
      where: { path: node.name },
    });
  }
  const size = pair(input.slice(2), 1);
  const out = pair(output.slice(2), 1);
  const k = pair(kernel, 1);
  const strides = pair(intsOf(node, 'strides'), 1);
  const dilations = pair(intsOf(node, 'dilations'), 1);
  const pads = intsOf(node, 'pads') ?? [0, 0, 0, 0];
  const auto = textOf(node, 'auto_pad', 'NOTSET');
  const begin: [number, number] = [pads[0] ?? 0, pads[1] ?? 0];
  const end: [number, number] = [pads[2] ?? 0, pads[3] ?? 0];
  if (auto === 'SAME_UPPER' || auto === 'SAME_LOWER') {
    for (const axis of [0, 1] as const) {
      const total = Math.max(0, (out[axis] - 1) * strides[axis] + dilations[axis] * (k[axis] - 1) + 1 - size[axis]);
      const small = total >> 1;
      begin[axis] = auto === 'SAME_UPPER' ? small : total - small;
      end[axis] = total - begin[axis];
    }
  } else if (auto === 'VALID') {
    begin.fill(0);
    end.fill(0);
  }
  return { input: size, output: out, kernel: k, strides, dilations, begin, end, group: intOf(node, 'group', 1) };
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
