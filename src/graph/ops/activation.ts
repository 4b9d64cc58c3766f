import { z } from 'zod';
import type { Builder } from '../builder.ts';
import { int } from '../ir.ts';
import type { Bound, Operator, QuantizeRule } from '../operator.ts';
import { around, mapBroadcast, mapUnary } from './_array.ts';
import { asMask, axisOf, dimsAt, reduceTo, row, sameAxes, scaled, tie, typeAt, valueAt } from './_row.ts';

interface Unary<A> {
  readonly opsets?: readonly [number, number];
  readonly attributes?: z.ZodType<A>;
  f(value: number, attributes: A): number;
  /** dX from dY, or undefined where the derivative is zero everywhere. */
  gradient?: ((context: { readonly b: Builder; readonly dy: string; readonly x: string; readonly y: string; readonly bound: Bound<A> }) => string) | 'stop';
  readonly quantize?: QuantizeRule;
}
/** An elementwise function of one operand. */
const unary = <A = Record<string, never>>(type: string, own: Unary<A>): Operator => {
  const rule = own.gradient;
  return row<A>({
    type,
    ...(own.opsets ? { opsets: own.opsets } : {}),
    ...(own.attributes ? { attributes: own.attributes } : {}),
    shape: bound => [typeAt(bound, 0)],
    reference: (bound, inputs) => [mapUnary(valueAt(bound, inputs, 0), v => own.f(v, bound.attributes))],
    gradient:
      rule === undefined || rule === 'stop'
        ? (rule ?? 'missing')
        : ({ bound, builder, outputGradients }) => {
            const dy = outputGradients[0];
            return dy === undefined ? [] : [rule({ b: builder, dy, x: bound.node.inputs[0] as string, y: bound.node.outputs[0] as string, bound })];
          },
    ties: bound => sameAxes(dimsAt(bound, 0).length),
    ...(own.quantize ? { quantize: own.quantize } : {}),
  });
};
const passes = { kind: 'passes' } as const;

/** Abramowitz and Stegun 7.1.26 is too coarse for a reference: the Taylor series near zero, the continued fraction far out. */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  if (a < 2.5) {
    let term = a;
    let sum = a;
    for (let n = 1; n < 100 && Math.abs(term) > 1e-18; n++) {
      term *= (-a * a) / n;
      sum += term / (2 * n + 1);
    }
    return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / (Math.sqrt(Math.PI) * (a + fraction)));
}
const sigmoid = (v: number): number => (v >= 0 ? 1 / (1 + Math.exp(-v)) : Math.exp(v) / (1 + Math.exp(v)));
const softplus = (v: number): number => Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v)));
const alphaOf = (fallback: number) => z.object({ alpha: z.number().default(fallback) });
const hardSigmoidAttributes = z.object({ alpha: z.number().default(0.2), beta: z.number().default(0.5) });
const mul = (b: Builder, ...values: readonly string[]): string => values.reduce((left, right) => b.op('Mul', [left, right]));
/** dY where the condition holds, else another value. */
const where = (b: Builder, condition: string, yes: string, no: string): string => b.op('Where', [condition, yes, no]);
const positive = (b: Builder, x: string): string => b.op('Greater', [x, b.constant(0)]);

const unaries: readonly Operator[] = [
  unary('Relu', {
    f: v => Math.max(v, 0),
    gradient: ({ b, dy, y }) => b.op('ReluGrad', [dy, y], {}, { domain: 'edge' }),
    quantize: passes,
  }),
  unary<{ alpha: number }>('LeakyRelu', {
    attributes: alphaOf(0.01),
    f: (v, { alpha }) => (v < 0 ? alpha * v : v),
    gradient: ({ b, dy, x, bound }) => where(b, positive(b, x), dy, scaled(b, dy, bound.attributes.alpha)),
  }),
  unary<{ alpha: number }>('Elu', {
    attributes: alphaOf(1),
    f: (v, { alpha }) => (v < 0 ? alpha * Math.expm1(v) : v),
    gradient: ({ b, dy, x, y, bound }) => where(b, positive(b, x), dy, mul(b, dy, b.op('Add', [y, b.constant(bound.attributes.alpha)]))),
  }),
  unary('Sigmoid', { f: sigmoid, gradient: ({ b, dy, y }) => mul(b, dy, y, b.op('Sub', [b.constant(1), y])) }),
  unary<{ alpha: number; beta: number }>('HardSigmoid', {
    attributes: hardSigmoidAttributes,
    f: (v, { alpha, beta }) => Math.min(1, Math.max(0, alpha * v + beta)),
    gradient: ({ b, dy, y, bound }) => mul(b, scaled(b, dy, bound.attributes.alpha), asMask(b, b.op('And', [positive(b, y), b.op('Less', [y, b.constant(1)])]))),
  }),
  unary('HardSwish', {
    f: v => v * Math.min(1, Math.max(0, v / 6 + 0.5)),
    gradient: ({ b, dy, x }) => {
      const slope = b.op('Add', [scaled(b, x, 1 / 3), b.constant(0.5)]);
      const above = where(b, b.op('Greater', [x, b.constant(3)]), b.constant(1), slope);
      return mul(b, dy, where(b, b.op('Less', [x, b.constant(-3)]), b.constant(0), above));
    },
  }),
  unary('Mish', {
    opsets: [18, 99],
    f: v => v * Math.tanh(softplus(v)),
    gradient: ({ b, dy, x }) => {
      const t = b.op('Tanh', [b.op('Softplus', [x])]);
      const slope = mul(b, x, b.op('Sigmoid', [x]), b.op('Sub', [b.constant(1), mul(b, t, t)]));
      return mul(b, dy, b.op('Add', [t, slope]));
    },
  }),
  unary<{ alpha: number }>('Swish', {
    opsets: [24, 99],
    attributes: alphaOf(1),
    f: (v, { alpha }) => v * sigmoid(alpha * v),
    gradient: ({ b, dy, x, bound }) => {
      const inner = scaled(b, x, bound.attributes.alpha);
      const s = b.op('Sigmoid', [inner]);
      return mul(b, dy, s, b.op('Add', [b.constant(1), mul(b, inner, b.op('Sub', [b.constant(1), s]))]));
    },
  }),
  unary('Softplus', { f: softplus, gradient: ({ b, dy, x }) => mul(b, dy, b.op('Sigmoid', [x])) }),
  unary('Softsign', {
    f: v => v / (1 + Math.abs(v)),
    gradient: ({ b, dy, x }) => {
      const d = b.op('Add', [b.op('Abs', [x]), b.constant(1)]);
      return b.op('Div', [dy, mul(b, d, d)]);
    },
  }),
  unary('Tanh', { f: Math.tanh, gradient: ({ b, dy, y }) => mul(b, dy, b.op('Sub', [b.constant(1), mul(b, y, y)])) }),
  unary('Exp', { f: Math.exp, gradient: ({ b, dy, y }) => mul(b, dy, y) }),
  unary('Log', { f: Math.log, gradient: ({ b, dy, x }) => b.op('Div', [dy, x]) }),
  unary('Sqrt', { f: Math.sqrt, gradient: ({ b, dy, y }) => b.op('Div', [scaled(b, dy, 0.5), y]) }),
  unary('Reciprocal', { f: v => 1 / v, gradient: ({ b, dy, y }) => b.op('Neg', [mul(b, dy, y, y)]) }),
  unary('Neg', { f: v => -v, gradient: ({ b, dy }) => b.op('Neg', [dy]), quantize: passes }),
  unary('Abs', { f: Math.abs, gradient: ({ b, dy, x }) => mul(b, dy, b.op('Sign', [x])) }),
  unary('Erf', { f: erf, gradient: ({ b, dy, x }) => mul(b, scaled(b, dy, 2 / Math.sqrt(Math.PI)), b.op('Exp', [b.op('Neg', [mul(b, x, x)])])) }),
  unary('Sin', { f: Math.sin, gradient: ({ b, dy, x }) => mul(b, dy, b.op('Cos', [x])) }),
  unary('Cos', { f: Math.cos, gradient: ({ b, dy, x }) => b.op('Neg', [mul(b, dy, b.op('Sin', [x]))]) }),
  unary('Sign', { f: Math.sign, gradient: 'stop' }),
  unary('Floor', { f: Math.floor, gradient: 'stop' }),
  unary('Ceil', { f: Math.ceil, gradient: 'stop' }),
  unary('Not', { f: v => (v === 0 ? 1 : 0), gradient: 'stop' }),
];

const reluGrad = row({
  type: 'ReluGrad',
  domain: 'edge',
  shape: bound => [typeAt(bound, 0)],
  reference: (bound, inputs) => [mapBroadcast(bound, [valueAt(bound, inputs, 0), valueAt(bound, inputs, 1)], (dy, y) => (y > 0 ? dy : 0))],
  ties: bound => [...sameAxes(dimsAt(bound, 0).length), ...sameAxes(dimsAt(bound, 1).length, 1)],
});

const clipAttributes = z.object({ min: z.number().optional(), max: z.number().optional() });
const clip = row<z.infer<typeof clipAttributes>>({
  type: 'Clip',
  attributes: clipAttributes,
  shape: bound => [typeAt(bound, 0)],
  reference: (bound, inputs) => {
    const low = inputs[1]?.data[0] ?? bound.attributes.min ?? Number.NEGATIVE_INFINITY;
    const high = inputs[2]?.data[0] ?? bound.attributes.max ?? Number.POSITIVE_INFINITY;
    return [mapUnary(valueAt(bound, inputs, 0), v => Math.min(high, Math.max(low, v)))];
  },
  gradient: ({ bound, builder: b, outputGradients, wanted }) => {
    const dy = outputGradients[0];
    if (dy === undefined) return [];
    const [x, lowInput, highInput] = bound.node.inputs;
    const edge = (input: string | undefined, stated: number | undefined) => input || (stated === undefined ? undefined : b.constant(stated));
    const low = edge(lowInput, bound.attributes.min);
    const high = edge(highInput, bound.attributes.max);
    const above = low === undefined ? undefined : b.op('Greater', [x as string, low]);
    const below = high === undefined ? undefined : b.op('Less', [x as string, high]);
    const inside = above === undefined ? below : below === undefined ? above : b.op('And', [above, below]);
    /** A learnt bound gets what it holds back. */
    const held = (k: number, type: string) =>
      wanted[k] ? reduceTo(b, mul(b, dy, asMask(b, b.op(type, [x as string, bound.node.inputs[k] as string]))), dimsAt(bound, 0), dimsAt(bound, k)) : undefined;
    return [inside === undefined ? dy : mul(b, dy, asMask(b, inside)), held(1, 'Less'), held(2, 'Greater')];
  },
  ties: bound => sameAxes(dimsAt(bound, 0).length),
  quantize: passes,
});

const prelu = row({
  type: 'PRelu',
  shape: bound => [typeAt(bound, 0)],
  reference: (bound, inputs) => [mapBroadcast(bound, [valueAt(bound, inputs, 0), valueAt(bound, inputs, 1)], (x, slope) => (x < 0 ? slope * x : x))],
  gradient: ({ bound, builder: b, outputGradients, wanted }) => {
    const dy = outputGradients[0];
    if (dy === undefined) return [];
    const [x, slope] = bound.node.inputs as [string, string];
    const above = positive(b, x);
    return [
      wanted[0] ? where(b, above, dy, mul(b, dy, slope)) : undefined,
      wanted[1] ? reduceTo(b, where(b, above, b.constant(0), mul(b, dy, x)), dimsAt(bound, 0), dimsAt(bound, 1)) : undefined,
    ];
  },
  ties: bound => {
    const rank = dimsAt(bound, 0).length;
    const slope = dimsAt(bound, 1);
    return [...sameAxes(rank), ...slope.flatMap((dim, axis) => (dim === 1 ? [] : [tie(['in', 1], axis, ['out', 0], axis + rank - slope.length)]))];
  },
});

const softAttributes = z.object({ axis: z.number().optional() });
type SoftAttributes = z.infer<typeof softAttributes>;
/** Opset 13 normalizes along one axis; before, all axes from `axis` (default 1) on together. */
function softAxes(bound: Bound<SoftAttributes>): readonly number[] {
  const rank = dimsAt(bound, 0).length;
  const axis = axisOf(bound, bound.attributes.axis ?? (bound.opset < 13 ? Math.min(1, rank - 1) : -1), rank);
  return bound.opset < 13 ? Array.from({ length: rank - axis }, (_, k) => axis + k) : [axis];
}
/** Softmax and its logarithm share all but the last step and the gradient. */
const soft = (type: 'Softmax' | 'LogSoftmax'): Operator =>
  row<SoftAttributes>({
    type,
    attributes: softAttributes,
    shape: bound => [typeAt(bound, 0)],
    reference: (bound, inputs) => {
      const x = valueAt(bound, inputs, 0);
      const axes = softAxes(bound);
      const [outer, size, inner] =
        axes.length === 1 ? around(x.dims, axes[0] as number) : [around(x.dims, axes[0] as number)[0], axes.reduce((p, a) => p * (x.dims[a] as number), 1), 1];
      const data = new Float64Array(x.data.length);
      for (let o = 0; o < outer; o++)
        for (let i = 0; i < inner; i++) {
          const at = (k: number) => (o * size + k) * inner + i;
          let max = Number.NEGATIVE_INFINITY;
          for (let k = 0; k < size; k++) max = Math.max(max, x.data[at(k)] as number);
          let sum = 0;
          for (let k = 0; k < size; k++) sum += Math.exp((x.data[at(k)] as number) - max);
          for (let k = 0; k < size; k++) data[at(k)] = type === 'Softmax' ? Math.exp((x.data[at(k)] as number) - max) / sum : (x.data[at(k)] as number) - max - Math.log(sum);
        }
      return [{ dims: x.dims, data }];
    },
    gradient: ({ bound, builder: b, outputGradients }) => {
      const dy = outputGradients[0];
      if (dy === undefined) return [];
      const y = bound.node.outputs[0] as string;
      const sum = (value: string) => b.op('ReduceSum', [value, b.indices(softAxes(bound))], { keepdims: int(1) });
      return [type === 'Softmax' ? mul(b, y, b.op('Sub', [dy, sum(mul(b, dy, y))])) : b.op('Sub', [dy, mul(b, b.op('Exp', [y]), sum(dy))])];
    },
    ties: bound => sameAxes(dimsAt(bound, 0).length, 0, softAxes(bound)),
  });

export const activation: readonly Operator[] = [...unaries, clip, prelu, soft('Softmax'), soft('LogSoftmax'), reluGrad];
