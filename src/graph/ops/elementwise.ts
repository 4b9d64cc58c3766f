import { z } from 'zod';
import type { Builder } from '../builder.ts';
import type { DataType, Dim, TensorType } from '../ir.ts';
import { isFloat, roundEven } from '../numbers.ts';
import type { Bound, Operator, QuantizeRule, Tie } from '../operator.ts';
import { broadcastDims, mapBroadcast } from './_array.ts';
import { asMask, dimAdd, dimMul, dimsAt, reduceTo, row, scaled, tie, typeAt, valueAt } from './_row.ts';

const shapeOf = (bound: Bound<unknown>, dataType: DataType = typeAt(bound, 0).dataType, from = 0): readonly TensorType[] => [
  {
    dataType,
    dims: broadcastDims(
      bound,
      bound.inputs.slice(from).flatMap(type => (type ? [type.dims] : [])),
    ).slice(),
  },
];
/** Ties of broadcast operands: an axis of the output's size is the output's axis. */
function broadcastTies(bound: Bound<unknown>): Tie[] {
  const shapes = bound.inputs.map(type => type?.dims ?? []);
  const out = broadcastDims(bound, shapes);
  return shapes.flatMap((dims, k) =>
    dims.flatMap((dim, axis) => (dim === out[axis + out.length - dims.length] ? [tie(['in', k], axis, ['out', 0], axis + out.length - dims.length)] : [])),
  );
}

/** Gradient of operand k before it is summed down to the operand's shape. */
type Parts = (
  context: { readonly b: Builder; readonly dy: string; readonly inputs: readonly string[]; readonly y: string; readonly count: number },
  k: number,
) => string | undefined;
interface Many {
  f(...values: number[]): number;
  readonly parts?: Parts;
  readonly logical?: boolean;
  readonly quantize?: QuantizeRule;
  /** Arithmetic on symbolic sizes, for shape computations in the graph. */
  dims?(a: Dim, b: Dim): Dim | undefined;
  /** Integer semantics where they differ. */
  readonly integer?: (...values: number[]) => number;
}
/** An elementwise function of broadcast operands. */
const many = (type: string, own: Many): Operator =>
  row({
    type,
    shape: bound => shapeOf(bound, own.logical ? 'bool' : typeAt(bound, 0).dataType),
    reference: (bound, inputs) => [
      mapBroadcast(
        bound,
        bound.inputs.map((_, k) => valueAt(bound, inputs, k)),
        own.integer && !isFloat(typeAt(bound, 0).dataType) ? own.integer : own.f,
      ),
    ],
    gradient:
      own.parts === undefined
        ? 'stop'
        : ({ bound, builder, outputs, outputGradients, wanted }) => {
            const dy = outputGradients[0];
            const out = outputs[0]?.dims;
            if (dy === undefined || out === undefined) return [];
            const context = { b: builder, dy, inputs: bound.node.inputs, y: bound.node.outputs[0] as string, count: bound.node.inputs.length };
            return bound.node.inputs.map((_, k) => {
              const part = wanted[k] ? own.parts?.(context, k) : undefined;
              return part === undefined ? undefined : reduceTo(builder, part, out, dimsAt(bound, k));
            });
          },
    ties: broadcastTies,
    ...(own.quantize ? { quantize: own.quantize } : {}),
    ...(own.dims ? { partial: (bound: Bound<unknown>) => partial(bound, own.dims as (a: Dim, b: Dim) => Dim | undefined) } : {}),
  });

function partial(bound: Bound<unknown>, f: (a: Dim, b: Dim) => Dim | undefined): readonly Dim[] | undefined {
  const [a, b] = [bound.values?.[0], bound.values?.[1]];
  if (a === undefined || b === undefined || (a.length !== b.length && a.length !== 1 && b.length !== 1)) return undefined;
  const result: Dim[] = [];
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const value = f(a[a.length === 1 ? 0 : i] as Dim, b[b.length === 1 ? 0 : i] as Dim);
    if (value === undefined) return undefined;
    result.push(value);
  }
  return result;
}

const join = { kind: 'join' } as const;
/** dY where this operand is the extreme one; equal ones share it. */
const extreme: Parts = ({ b, dy, inputs, y }, k) => {
  const masks = inputs.map(input => asMask(b, b.op('Equal', [input, y])));
  return b.op('Mul', [dy, b.op('Div', [masks[k] as string, b.op('Sum', masks)])]);
};
const sub = (a: Dim, b: Dim): Dim | undefined => (typeof a === 'number' && typeof b === 'number' ? a - b : b === 0 ? a : `(${a}-${b})`);
const quotient = (a: Dim, b: Dim): Dim | undefined => (b === 1 ? a : typeof a === 'number' && typeof b === 'number' ? (b === 0 ? undefined : Math.trunc(a / b)) : `(${a}/${b})`);

const arithmetic: readonly Operator[] = [
  many('Add', { f: (a, b) => a + b, parts: ({ dy }) => dy, quantize: join, dims: dimAdd }),
  many('Sub', { f: (a, b) => a - b, parts: ({ b, dy }, k) => (k === 0 ? dy : b.op('Neg', [dy])), quantize: join, dims: sub }),
  many('Mul', { f: (a, b) => a * b, parts: ({ b, dy, inputs }, k) => b.op('Mul', [dy, inputs[1 - k] as string]), quantize: join, dims: dimMul }),
  many('Div', {
    f: (a, b) => a / b,
    integer: (a, b) => (b === 0 ? 0 : Math.trunc(a / b)),
    parts: ({ b, dy, inputs, y }, k) => (k === 0 ? b.op('Div', [dy, inputs[1] as string]) : b.op('Neg', [b.op('Div', [b.op('Mul', [dy, y]), inputs[1] as string])])),
    dims: quotient,
  }),
  many('Pow', {
    f: (a, b) => a ** b,
    parts: ({ b, dy, inputs: [x, p], y }, k) =>
      k === 0
        ? b.op('Mul', [dy, b.op('Mul', [p as string, b.op('Pow', [x as string, b.op('Sub', [p as string, b.constant(1)])])])])
        : b.op('Mul', [dy, b.op('Mul', [y, b.op('Log', [x as string])])]),
  }),
  many('Max', { f: Math.max, parts: extreme, quantize: join }),
  many('Min', { f: Math.min, parts: extreme, quantize: join }),
  many('Sum', { f: (...v) => v.reduce((a, b) => a + b, 0), parts: ({ dy }) => dy, quantize: join }),
  many('Mean', { f: (...v) => v.reduce((a, b) => a + b, 0) / v.length, parts: ({ b, dy, count }) => scaled(b, dy, 1 / count), quantize: join }),
];
const bit = (holds: boolean): number => (holds ? 1 : 0);
const logic: readonly Operator[] = [
  many('Equal', { f: (a, b) => bit(a === b), logical: true }),
  many('Greater', { f: (a, b) => bit(a > b), logical: true }),
  many('GreaterOrEqual', { f: (a, b) => bit(a >= b), logical: true }),
  many('Less', { f: (a, b) => bit(a < b), logical: true }),
  many('LessOrEqual', { f: (a, b) => bit(a <= b), logical: true }),
  many('And', { f: (a, b) => bit(a !== 0 && b !== 0), logical: true }),
  many('Or', { f: (a, b) => bit(a !== 0 || b !== 0), logical: true }),
  many('Xor', { f: (a, b) => bit((a !== 0) !== (b !== 0)), logical: true }),
];

const modAttributes = z.object({ fmod: z.number().default(0) });
const mod = row<z.infer<typeof modAttributes>>({
  type: 'Mod',
  attributes: modAttributes,
  shape: bound => shapeOf(bound),
  reference: (bound, inputs) => [
    mapBroadcast(bound, [valueAt(bound, inputs, 0), valueAt(bound, inputs, 1)], (a, b) => (b === 0 ? 0 : bound.attributes.fmod === 1 ? a % b : a - b * Math.floor(a / b))),
  ],
  gradient: 'stop',
  ties: broadcastTies,
});

const where = row({
  type: 'Where',
  shape: bound => [{ ...shapeOf(bound)[0], dataType: typeAt(bound, 1).dataType } as TensorType],
  reference: (bound, inputs) => [
    mapBroadcast(
      bound,
      [0, 1, 2].map(k => valueAt(bound, inputs, k)),
      (c, a, b) => (c !== 0 ? a : b),
    ),
  ],
  gradient: ({ bound, builder, outputs, outputGradients, wanted }) => {
    const dy = outputGradients[0];
    const out = outputs[0]?.dims;
    if (dy === undefined || out === undefined) return [];
    const condition = bound.node.inputs[0] as string;
    const zero = builder.constant(0);
    return [
      undefined,
      wanted[1] ? reduceTo(builder, builder.op('Where', [condition, dy, zero]), out, dimsAt(bound, 1)) : undefined,
      wanted[2] ? reduceTo(builder, builder.op('Where', [condition, zero, dy]), out, dimsAt(bound, 2)) : undefined,
    ];
  },
  ties: broadcastTies,
});

const round = row({
  type: 'Round',
  shape: bound => [typeAt(bound, 0)],
  reference: (bound, inputs) => {
    const x = valueAt(bound, inputs, 0);
    return [{ dims: x.dims, data: x.data.map(roundEven) }];
  },
  gradient: 'stop',
  ties: broadcastTies,
});

export const elementwise: readonly Operator[] = [...arithmetic, ...logic, mod, where, round];
