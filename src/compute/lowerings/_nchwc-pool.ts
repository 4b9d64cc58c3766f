import { type Attributes, int, intOf, intsOf, type Node } from '../../graph/ir.ts';
import { words } from './_emit.ts';
import { type Geometry, geometryOf, phaseOf } from './_geometry.ts';
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

/** True where every tied maximum is a zero that a ReLU made, whose gradient the ReLU stops anyway. */
function tiesAreHarmless(x: string, places: Places): boolean {
  const producer = places.producer(x);
  if (producer?.type === 'Relu') return true;
  return false;
}
const gradGeometry = (node: Node, places: Places): Geometry =>
  geometryOf(node, places.dims(node.inputs[1] ?? ''), places.dims(node.inputs[0] ?? ''), intsOf(node, 'kernel_shape') ?? []);

export function maxPoolGradFits(node: Node, places: Places): boolean {
  const [, x = ''] = node.inputs;
  if (!places.isBlocked(x) || places.dims(x).length !== 4 || !tiesAreHarmless(x, places)) return false;
  const g = gradGeometry(node, places);
  return g.dilations[0] === 1 && g.dilations[1] === 1 && ([0, 1] as const).every(axis => g.input[axis] % g.strides[axis] === 0);
}

/** dX[u] = Σ over the windows that hold u of dY·[x[u] = y], one phase of u at a time. Splits no tie that could matter: see tiesAreHarmless. */
export function maxPoolGrad(node: Node, places: Places): void {
  const [dY = '', x = '', y = ''] = node.inputs;
  const [dX = ''] = node.outputs;
  const g = gradGeometry(node, places);
  const [n = 1, c = 1] = places.dims(x);
  const channels = places.padded(c);
  const rows = n * (channels / places.block);
  const size: readonly [number, number] = [g.input[0] / g.strides[0], g.input[1] / g.strides[1]];
  const { op, reshape, pad, mul, sub } = words(places.builder);
  const shifted = (value: string, dy: number, dx: number): string => {
    const extra = [size[0] - g.output[0] + dy, size[1] - g.output[1] + dx] as const;
    if (dy === 0 && dx === 0 && extra[0] === 0 && extra[1] === 0) return value;
    return places.once(`shift|${value}|${dy}|${dx}|${size}`, () =>
      reshape(pad(reshape(value, [rows, ...g.output, places.block]), [0, -dy, -dx, 0], [0, extra[0], extra[1], 0]), [n, channels, ...size]),
    );
  };
  const parts = splitPhases(places.blocked(x), rows, size, g, places).map((part, at) => {
    const source = reshape(part, [n, channels, ...size]);
    const offsets = ([0, 1] as const).map(axis => {
      const { taps, firstOffset } = phaseOf(g, axis, axis === 0 ? Math.floor(at / g.strides[1]) : at % g.strides[1]);
      return taps.map((_, step) => firstOffset + step);
    });
    const shares = (offsets[0] ?? []).flatMap(dy =>
      (offsets[1] ?? []).map(dx => {
        const mask = op('HardSigmoid', [sub(source, shifted(places.blocked(y), dy, dx))], hardSigmoid(1e30, 1));
        return mul(mask, shifted(places.blocked(dY), dy, dx));
      }),
    );
    return shares.length === 0 ? undefined : shares.length === 1 ? shares[0] : op('Sum', shares);
  });
  places.setPhases(dX, { strides: g.strides, size, parts });
}

/** The elements ≡ (r, c) modulo the strides, row-major over (r, c). */
function splitPhases(x: string, rows: number, size: readonly [number, number], g: Geometry, places: Places): string[] {
  const { ops, reshape } = words(places.builder);
  const split = (value: string, axis: number, count: number): string[] =>
    count === 1 ? [value] : ops('Split', [value], { axis: int(axis) }, Array<undefined>(count).fill(undefined));
  const view = reshape(x, [rows * size[0], g.strides[0], size[1], g.strides[1] * places.block]);
  return split(view, 1, g.strides[0]).flatMap(row => split(reshape(row, [rows * size[0], size[1], g.strides[1], places.block]), 2, g.strides[1]));
}
