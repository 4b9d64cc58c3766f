import { floatOf, i64, int, intOf, type Node, sizeOf } from '../../graph/ir.ts';
import { dropoutKeys, dropoutPrime } from '../../graph/ops/dropout.ts';
import { dimsOf, type EmitContext, unique, words } from './_emit.ts';

/** The mask as the row defines it, in int64 arithmetic: rounds of x ← x³ + key modulo a prime on the places of the elements, then a threshold. */
export function dropoutTrain(node: Node, { builder, types }: EmitContext): void {
  const [x = '', step = ''] = node.inputs;
  const [y, mask] = node.outputs;
  const dims = dimsOf(types, x);
  const { op, reshape, mul } = words(builder);
  const number = (value: number) => builder.indices([value], []);
  const modulo = (value: string) => op('Mod', [value, number(dropoutPrime)]);
  const steps = modulo(reshape(op('Cast', [step], { to: int(7) }), []));
  const [first = '', ...rounds] = dropoutKeys(intOf(node, 'seed', 0)).map(({ factor, offset }) => modulo(op('Add', [op('Mul', [steps, number(factor)]), number(offset)])));
  const places = builder.weight(unique(builder, 'places'), i64(Array.from({ length: sizeOf(dims) }, (_, at) => at)));
  const mixed = rounds.reduce((value, key) => modulo(op('Add', [op('Mul', [modulo(op('Mul', [value, value])), value]), key])), modulo(op('Add', [places, first])));
  const ratio = floatOf(node, 'ratio', 0.5);
  const kept = op('GreaterOrEqual', [mixed, number(Math.ceil(ratio * dropoutPrime))]);
  const whole = op('Mul', [reshape(op('Cast', [kept], { to: int(1) }), dims), builder.constant(1 / (1 - ratio))], {}, mask);
  mul(x, whole, y);
}
