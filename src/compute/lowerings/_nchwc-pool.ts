import { type Attributes, int, intOf, intsOf, type Node } from '../../graph/ir.ts';
import { words } from './_emit.ts';
import { type Geometry, geometryOf } from './_geometry.ts';
import { hardSigmoid, nchwcDomain, type Places } from './_places.ts';

export const poolFits = (node: Node, places: Places): boolean =>
  places.isBlocked(node.inputs[0] ?? '') && places.dims(node.inputs[0] ?? '').length === 4 && (node.outputs[1] ?? '') === '' && intOf(node, 'storage_order', 0) === 0;

export function pool(node: Node, places: Places): void {
  const [y = ''] = node.outputs;
  const { storage_order: _, ...attributes } = node.attributes;
  places.set(y, 'blocked', words(places.builder).op(node.type, [places.blocked(node.inputs[0] ?? '')], attributes as Attributes, places.claim(y, 'blocked'), nchwcDomain));
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
  return g.kernel[0] * g.kernel[1] <= mostTaps && g.dilations[0] === 1 && g.dilations[1] === 1 && ([0, 1] as const).every(axis => g.input[axis] % g.strides[axis] === 0);
}

/**
 * Tap by tap in row-major order: the windows whose maximum lies at this tap, and at none before it, hand their gradient to it. So ties go to the first,
 * as in the reference (flat regions of an image do tie, away from ReLU's zero). x is read and dX is left in phases of the stride.
 */
export function maxPoolGrad(node: Node, places: Places): void {
  const [dY = '', x = '', y = ''] = node.inputs;
  const [dX = ''] = node.outputs;
  const g = gradGeometry(node, places);
  const [n = 1, c = 1] = places.dims(x);
  const channels = places.padded(c);
  const rows = n * (channels / places.block);
  const size: readonly [number, number] = [g.input[0] / g.strides[0], g.input[1] / g.strides[1]];
  const { op, reshape, mul, sub } = words(places.builder);
  const image = (value: string, of: readonly [number, number]): string => reshape(value, [n, channels, ...of]);
  const shift = (value: string, from: Pair, to: Pair, by: Pair, fill: number): string => {
    const end = [to[0] - from[0] + by[0], to[1] - from[1] + by[1]] as const;
    if (by[0] === 0 && by[1] === 0 && end[0] === 0 && end[1] === 0) return image(value, to);
    const view = reshape(value, [rows, ...from, places.block]);
    return image(op('Pad', [view, places.builder.indices([0, -by[0], -by[1], 0, 0, ...end, 0]), places.builder.constant(fill)]), to);
  };
  const phases = splitPhases(places.blocked(x), rows, size, g, places);
  const shares: string[][] = phases.map(() => []);
  let free: string | undefined;
  for (let tap = 0; tap < g.kernel[0] * g.kernel[1]; tap++) {
    const at = [Math.floor(tap / g.kernel[1]) - g.begin[0], (tap % g.kernel[1]) - g.begin[1]] as const;
    const by = [Math.floor(at[0] / g.strides[0]), Math.floor(at[1] / g.strides[1])] as const;
    const phase = (at[0] - by[0] * g.strides[0]) * g.strides[1] + at[1] - by[1] * g.strides[1];
    const seen = shift(phases[phase] ?? '', size, g.output, by, lowest);
    const mask = op('HardSigmoid', [sub(seen, places.blocked(y))], hardSigmoid(1e30, 1));
    const first = free === undefined ? mask : mul(mask, free);
    free = free === undefined ? op('HardSigmoid', [mask], hardSigmoid(-1, 1)) : sub(free, first);
    shares[phase]?.push(shift(mul(first, places.blocked(dY)), g.output, size, [-by[0], -by[1]], 0));
  }
  const parts = shares.map(each => (each.length === 0 ? undefined : each.length === 1 ? each[0] : op('Sum', each)));
  places.setPhases(dX, { strides: g.strides, size, parts });
}
type Pair = readonly [number, number];
/** Below every activation, and no infinity, which times zero would be no number. */
const lowest = -1e38;

/** The elements ≡ (r, c) modulo the strides, row-major over (r, c). */
function splitPhases(x: string, rows: number, size: readonly [number, number], g: Geometry, places: Places): string[] {
  const { ops, reshape } = words(places.builder);
  const split = (value: string, axis: number, count: number): string[] =>
    count === 1 ? [value] : ops('Split', [value], { axis: int(axis) }, Array<undefined>(count).fill(undefined));
  const view = reshape(x, [rows * size[0], g.strides[0], size[1], g.strides[1] * places.block]);
  return split(view, 1, g.strides[0]).flatMap(row => split(reshape(row, [rows * size[0], size[1], g.strides[1], places.block]), 2, g.strides[1]));
}
