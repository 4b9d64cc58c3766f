import { type Attributes, int, intOf, ints, intsOf, type Node, text } from '../../graph/ir.ts';
import { words } from './_emit.ts';
import { flooredPool, type Geometry, geometryOf } from './_geometry.ts';
import { nchwcDomain, type Places } from './_places.ts';

export const poolFits = (node: Node, places: Places): boolean =>
  places.isBlocked(node.inputs[0] ?? '') && places.dims(node.inputs[0] ?? '').length === 4 && (node.outputs[1] ?? '') === '' && intOf(node, 'storage_order', 0) === 0;

export function pool(node: Node, places: Places): void {
  const [y = ''] = node.outputs;
  const [x = ''] = node.inputs;
  const { storage_order: _, ...attributes } = flooredPool(node, places.dims(x), places.dims(y));
  places.set(y, 'blocked', words(places.builder).op(node.type, [places.blocked(x)], attributes as Attributes, places.claim(y, 'blocked'), nchwcDomain));
}

/** (N, C, 1, 1) lies the same in blocked and plain layout, up to the padding. */
export function globalAveragePool(node: Node, places: Places): void {
  const [x = ''] = node.inputs;
  const [y = ''] = node.outputs;
  const c = places.dims(x)[1] ?? 1;
  const { op, slice } = words(places.builder);
  const whole = places.padded(c) === c;
  const value = op('GlobalAveragePool', [places.blocked(x)], {}, whole ? places.claim(y, 'plain') : undefined, nchwcDomain);
  places.set(y, 'plain', whole ? value : slice(value, [0], [c], [1], undefined, places.claim(y, 'plain')));
}

const gradGeometry = (node: Node, places: Places): Geometry =>
  geometryOf(node, places.dims(node.inputs[1] ?? ''), places.dims(node.inputs[0] ?? ''), intsOf(node, 'kernel_shape') ?? []);

/** Tap by tap pays for small windows; the pyramids of detectors and global pools have hundreds of taps. */
const mostTaps = 25;
export function maxPoolGradFits(node: Node, places: Places): boolean {
  const [, x = ''] = node.inputs;
  if (!places.isBlocked(x) || places.dims(x).length !== 4) return false;
  const g = gradGeometry(node, places);
  return g.kernel[0] * g.kernel[1] <= mostTaps;
}

/**
 * Tap by tap in row-major order: what is left of dY stays left where this tap is below the maximum, and goes to the tap where it is not. So ties go to the
 * first, as in the reference (flat regions of an image do tie, away from ReLU's zero). Taps are read, and gradients are moved to where they belong, by
 * convolutions per channel with a single one in their window; dX is left in phases of the stride.
 */
export function maxPoolGrad(node: Node, places: Places): void {
  const [dY = '', x = '', y = ''] = node.inputs;
  const [dX = ''] = node.outputs;
  const g = gradGeometry(node, places);
  const channels = places.padded(places.dims(x)[1] ?? 1);
  const size: Pair = [Math.ceil(g.input[0] / g.strides[0]), Math.ceil(g.input[1] / g.strides[1])];
  const { op, mul, sub } = words(places.builder);
  const shares: Share[][] = Array.from({ length: g.strides[0] * g.strides[1] }, () => []);
  const along = (axis: 0 | 1) => Array.from({ length: g.kernel[axis] }, (_, tap) => tap * g.dilations[axis] - g.begin[axis]).filter(at => reaches(g, axis, at).includes(true));
  const taps = along(0).flatMap(row => along(1).map((column): Pair => [row, column]));
  let left = places.blocked(dY);
  for (const [k, at] of taps.entries()) {
    const by: Pair = [Math.floor(at[0] / g.strides[0]), Math.floor(at[1] / g.strides[1])];
    const phase = (at[0] - by[0] * g.strides[0]) * g.strides[1] + at[1] - by[1] * g.strides[1];
    let share = left;
    // What no tap before took belongs to the last.
    if (k < taps.length - 1) {
      const below = single(places, { from: g.input, to: g.output, strides: g.strides, by: at, channels, weight: -1 });
      const kept = op('Conv', [places.blocked(x), below.weight, '', beside(y, g, at, places)], { ...below.attributes, ...masks }, undefined, nchwcDomain);
      const next = mul(left, kept);
      share = sub(left, next);
      left = next;
    }
    shares[phase]?.push({ value: share, by: [-by[0], -by[1]] });
  }
  places.setPhases(dX, { strides: g.strides, size, parts: shares.map(each => gathered(each, g.output, size, channels, places)) });
}
type Pair = readonly [number, number];
interface Share {
  readonly value: string;
  readonly by: Pair;
}
/** 1 where the result is above 0. */
const masks: Attributes = { activation: text('HardSigmoid'), activation_params: { type: 'floats', value: [1e30, 0] } };
/** For each output along an axis, whether the tap at `at` lies on the input. */
const reaches = (g: Geometry, axis: 0 | 1, at: number): boolean[] =>
  Array.from({ length: g.output[axis] }, (_, window) => window * g.strides[axis] + at >= 0 && window * g.strides[axis] + at < g.input[axis]);

/** Y, far above everything where the tap lies in the padding (whose zeros the convolution reads). */
function beside(y: string, g: Geometry, at: Pair, places: Places): string {
  const [rows, columns] = [reaches(g, 0, at[0]), reaches(g, 1, at[1])];
  const value = places.blocked(y);
  if (!rows.includes(false) && !columns.includes(false)) return value;
  return places.once(`beside|${y}|${rows.join()}|${columns.join()}`, () => {
    const { reshape, add } = words(places.builder);
    const [n = 1, c = 1] = places.dims(y);
    const far = rows.flatMap(row => columns.flatMap(column => Array<number>(places.block).fill(row && column ? 0 : 1e30)));
    const [height, width] = g.output;
    const view = reshape(value, [n * (places.padded(c) / places.block), height, width * places.block]);
    return reshape(add(view, places.builder.constant(far, [height, width * places.block])), [n, places.padded(c), height, width]);
  });
}

/** The sum of all shares, each moved to its place. */
function gathered(shares: readonly Share[], from: Pair, to: Pair, channels: number, places: Places): string | undefined {
  const { op } = words(places.builder);
  return shares.reduce<string | undefined>((sum, { value, by }) => {
    if (by[0] === 0 && by[1] === 0 && from[0] === to[0] && from[1] === to[1]) return sum === undefined ? value : op('Add', [sum, value]);
    const moved = single(places, { from, to, strides: [1, 1], by, channels, weight: 1 });
    return op('Conv', [value, moved.weight, ...(sum === undefined ? [] : ['', sum])], moved.attributes, undefined, nchwcDomain);
  }, undefined);
}

interface Single {
  readonly from: Pair;
  readonly to: Pair;
  readonly strides: Pair;
  readonly by: Pair;
  readonly channels: number;
  readonly weight: number;
}
/** A convolution per channel with one weight: output o (of `to`) is `weight` times input strides·o + by (of `from`), zero beyond the edges. */
function single(places: Places, { from, to, strides, by, channels, weight }: Single): { readonly weight: string; readonly attributes: Attributes } {
  const [v, h] = ([0, 1] as const).map(axis => {
    const begin = Math.max(0, -by[axis]);
    const tap = by[axis] + begin;
    // As long as it must be for exactly `to` outputs.
    const kernel = Math.max(tap + 1, from[axis] + begin - to[axis] * strides[axis] + 1);
    return { begin, tap, kernel, end: Math.max(0, (to[axis] - 1) * strides[axis] + kernel - begin - from[axis]) };
  }) as [Along, Along];
  const one = Array.from({ length: v.kernel * h.kernel }, (_, at) => (at === v.tap * h.kernel + h.tap ? weight : 0));
  const key = `single|${channels}|${v.kernel}|${h.kernel}|${one.indexOf(weight)}|${weight}`;
  const lanes = () => Float32Array.from({ length: channels * one.length }, (_, at) => one[Math.floor(at / places.block) % one.length] as number);
  return {
    weight: places.once(key, () => places.builder.constant(lanes(), [channels, 1, v.kernel, h.kernel])),
    attributes: { group: int(channels), kernel_shape: ints([v.kernel, h.kernel]), strides: ints(strides), pads: ints([v.begin, h.begin, v.end, h.end]) },
  };
}
interface Along {
  readonly begin: number;
  readonly tap: number;
  readonly kernel: number;
  readonly end: number;
}
