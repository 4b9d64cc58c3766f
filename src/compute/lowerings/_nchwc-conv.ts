import { type Attributes, int, intOf, ints, intsOf, type Node } from '../../graph/ir.ts';
import { words } from './_emit.ts';
import { type Geometry, geometryOf, phaseOf } from './_geometry.ts';
import { nchwcDomain, type Pending, type Places } from './_places.ts';

/** With this many input channels or fewer (an image), a convolution reads plain input; with more, it reads blocked input, padded to whole blocks. */
const imageChannels = 4;

/** The layout in which a convolution keeps its weights (O, I/groups, kH, kW): undefined where it stays in plain layout. */
export function weightLayoutFor(weight: readonly number[], group: number): 'matrix' | 'vector' | undefined {
  const [o = 0, i = 0] = weight;
  if (weight.length !== 4) return undefined;
  if (group === 1) return i <= imageChannels ? 'vector' : 'matrix';
  return i === 1 && o === group ? 'vector' : undefined;
}
const layoutOf = (node: Node, weight: readonly number[]) => weightLayoutFor(weight, intOf(node, 'group', 1));
const readsImage = (weight: readonly number[], group: number): boolean => group === 1 && (weight[1] ?? 0) <= imageChannels;

const window = (g: Geometry, outputs: number): Attributes => ({
  kernel_shape: ints(g.kernel),
  strides: ints(g.strides),
  dilations: ints(g.dilations),
  pads: ints([...g.begin, ...g.end]),
  ...(g.group > 1 ? { group: int(outputs) } : {}),
});

export const convFits = (node: Node, places: Places): boolean => layoutOf(node, places.dims(node.inputs[1] ?? '')) !== undefined;
export function conv(node: Node, places: Places): void {
  const [x = '', w = '', bias = ''] = node.inputs;
  const [y = ''] = node.outputs;
  const weight = places.dims(w);
  const g = geometryOf(node, places.dims(x), places.dims(y), weight.slice(2));
  const pending: Pending = {
    x: readsImage(weight, g.group) ? places.plain(x) : places.blocked(x),
    weight: forwardWeight(w, weight, g.group, places),
    attributes: window(g, places.padded(weight[0] ?? 1)),
    ...(bias === '' ? {} : { bias: places.in(bias, 'channel') }),
  };
  places.setPending(y, pending);
}

/** The engine wants (O/b, I/b, kH, kW, i, o): our masters with each block transposed, done by a product with the unit matrix (a generic Transpose takes 2–6× as long). */
function forwardWeight(w: string, dims: readonly number[], group: number, places: Places): string {
  if (group > 1 || readsImage(dims, group)) return places.in(w, 'vector');
  return places.once(`forward|${w}`, () => {
    const { op, reshape } = words(places.builder);
    const b = places.block;
    const unit = Float32Array.from({ length: b * b }, (_, at) => (at % (b + 1) === 0 ? 1 : 0));
    const [o, i, kh = 1, kw = 1] = [places.padded(dims[0] ?? 1), places.padded(dims[1] ?? 1), dims[2], dims[3]];
    const blocks = reshape(places.in(w, 'matrix'), [(o / b) * (i / b) * kh * kw, b, b]);
    const eye = places.once('unit', () => places.builder.constant(unit, [b, b]));
    return reshape(op('FusedMatMul', [blocks, eye], { transA: int(1) }, undefined, 'com.microsoft'), [o, i, kh, kw]);
  });
}

/** Weights of the transposed convolution restricted to `taps` (kernel positions in order): one gather of whole blocks. */
function backwardWeight(w: string, dims: readonly number[], taps: readonly number[], kernel: readonly [number, number], group: number, places: Places): string {
  return places.once(`backward|${w}|${taps.join()}`, () => {
    const { reshape, gather } = words(places.builder);
    const b = places.block;
    const [o, i, kk] = [places.padded(dims[0] ?? 1), places.padded(dims[1] ?? 1), (dims[2] ?? 1) * (dims[3] ?? 1)];
    if (group > 1) return reshape(gather(reshape(places.in(w, 'vector'), [o / b, kk, b]), taps, 1), [o, 1, ...kernel]);
    const rows: number[] = [];
    for (let ib = 0; ib < i / b; ib++) for (let ob = 0; ob < o / b; ob++) for (const tap of taps) rows.push((ob * (i / b) + ib) * kk + tap);
    return reshape(gather(reshape(places.in(w, 'matrix'), [(o / b) * (i / b) * kk, b * b]), rows, 0), [i, o, ...kernel]);
  });
}

const gradGeometry = (node: Node, places: Places): Geometry => {
  const [dY = '', w = ''] = node.inputs;
  return geometryOf(node, intsOf(node, 'input_shape') ?? [], places.dims(dY), places.dims(w).slice(2));
};
/** Padding of the stride-1 transposed window. */
const transposedPads = (g: Geometry): number[] => {
  const reach = ([0, 1] as const).map(axis => g.dilations[axis] * (g.kernel[axis] - 1) - g.begin[axis]);
  return [...reach, ...([0, 1] as const).map(axis => g.input[axis] - 1 + g.begin[axis] - (g.output[axis] - 1))];
};
const unitStride = (g: Geometry): boolean => g.strides[0] === 1 && g.strides[1] === 1;
interface PhaseWindow {
  readonly taps: readonly number[];
  readonly kernel: readonly [number, number];
  readonly pads: readonly number[];
}
function phaseWindows(g: Geometry): (PhaseWindow | undefined)[] {
  const along = ([0, 1] as const).map(axis => {
    const size = Math.ceil(g.input[axis] / g.strides[axis]);
    return Array.from({ length: g.strides[axis] }, (_, r) => {
      const { taps, firstOffset } = phaseOf(g, axis, r);
      return { taps, begin: -firstOffset, end: size - g.output[axis] + taps.length - 1 + firstOffset };
    });
  });
  return (along[0] ?? []).flatMap(v =>
    (along[1] ?? []).map(h => {
      if (v.taps.length === 0 || h.taps.length === 0) return undefined;
      return {
        taps: v.taps.flatMap(i => h.taps.map(j => i * g.kernel[1] + j)),
        kernel: [v.taps.length, h.taps.length] as const,
        pads: [v.begin, h.begin, v.end, h.end],
      };
    }),
  );
}

export function convGradInputFits(node: Node, places: Places): boolean {
  const weight = places.dims(node.inputs[1] ?? '');
  if (layoutOf(node, weight) === undefined || readsImage(weight, intOf(node, 'group', 1))) return false;
  const g = gradGeometry(node, places);
  if (unitStride(g)) return Math.min(...transposedPads(g)) >= 0;
  return g.dilations[0] === 1 && g.dilations[1] === 1 && phaseWindows(g).every(phase => phase === undefined || Math.min(...phase.pads) >= 0);
}
/** Stride 1: a convolution of dY with flipped weights, left pending so that the residual's gradient is added for free. Else one small convolution per phase. */
export function convGradInput(node: Node, places: Places): void {
  const [dY = '', w = ''] = node.inputs;
  const [dX = ''] = node.outputs;
  const weight = places.dims(w);
  const g = gradGeometry(node, places);
  const channels = places.padded(intsOf(node, 'input_shape')?.[1] ?? 1);
  const group: Attributes = g.group > 1 ? { group: int(channels) } : {};
  const taps = g.kernel[0] * g.kernel[1];
  if (unitStride(g)) {
    const flipped = Array.from({ length: taps }, (_, tap) => taps - 1 - tap);
    places.setPending(dX, {
      x: places.blocked(dY),
      weight: backwardWeight(w, weight, flipped, g.kernel, g.group, places),
      attributes: { kernel_shape: ints(g.kernel), strides: ints([1, 1]), dilations: ints(g.dilations), pads: ints(transposedPads(g)), ...group },
    });
    return;
  }
  const { op } = words(places.builder);
  const parts = phaseWindows(g).map(phase =>
    phase === undefined
      ? undefined
      : op(
          'Conv',
          [places.blocked(dY), backwardWeight(w, weight, phase.taps, phase.kernel, g.group, places)],
          { kernel_shape: ints(phase.kernel), strides: ints([1, 1]), pads: ints(phase.pads), ...group },
          undefined,
          nchwcDomain,
        ),
  );
  places.setPhases(dX, { strides: g.strides, size: [Math.ceil(g.input[0] / g.strides[0]), Math.ceil(g.input[1] / g.strides[1])], parts });
}
