import { z } from 'zod';
import { type DataType, type F64Tensor, int, sizeOf } from '../ir.ts';
import type { Bound, Operator } from '../operator.ts';
import { asMask, axisOf, dimsAt, row, sameAxes, scaled, tie, typeAt, valueAt } from './_row.ts';
import { saturate } from './shape.ts';

const attributes = z.object({ axis: z.number().default(1) });
type QuantizeAttributes = z.infer<typeof attributes>;

/** f(element, scale, zero point), both per tensor or per channel of the axis. */
function perScale(
  bound: Bound<Pick<QuantizeAttributes, 'axis'>>,
  inputs: readonly (F64Tensor | undefined)[],
  f: (value: number, scale: number, zero: number) => number,
): readonly F64Tensor[] {
  const x = valueAt(bound, inputs, 0);
  const scale = valueAt(bound, inputs, 1).data;
  const zero = inputs[2]?.data;
  const single = scale.length === 1;
  const axis = single ? 0 : axisOf(bound, bound.attributes.axis, x.dims.length);
  const inner = sizeOf(x.dims.slice(axis + 1));
  const size = x.dims[axis] ?? 1;
  const data = x.data.map((v, i) => {
    const c = single ? 0 : Math.floor(i / inner) % size;
    return f(v, scale[c] as number, zero?.[c] ?? 0);
  });
  return [{ dims: x.dims, data }];
}
const ties = (bound: Bound<Pick<QuantizeAttributes, 'axis'>>) => {
  const rank = dimsAt(bound, 0).length;
  const perChannel = dimsAt(bound, 1).length === 1 && dimsAt(bound, 1)[0] !== 1;
  const axis = perChannel ? axisOf(bound, bound.attributes.axis, rank) : 0;
  return [...sameAxes(rank), ...(perChannel ? [1, 2].filter(k => bound.inputs[k]).map(k => tie(['in', k], 0, ['out', 0], axis)) : [])];
};
const storedAs = (bound: Bound<QuantizeAttributes>): DataType => bound.inputs[2]?.dataType ?? 'uint8';

const quantizeLinear = row<QuantizeAttributes>({
  type: 'QuantizeLinear',
  attributes,
  shape: bound => [{ dataType: storedAs(bound), dims: dimsAt(bound, 0) }],
  reference: (bound, inputs) => perScale(bound, inputs, (v, scale, zero) => saturate(storedAs(bound), zero + saturate('int32', v / scale))),
  ties,
  folds: false,
});
const dequantizeLinear = row<QuantizeAttributes>({
  type: 'DequantizeLinear',
  attributes,
  shape: bound => [{ dataType: typeAt(bound, 1).dataType, dims: dimsAt(bound, 0) }],
  reference: (bound, inputs) => perScale(bound, inputs, (v, scale, zero) => (v - zero) * scale),
  ties,
  folds: false,
});

const fakeAttributes = z.object({ axis: z.number().default(0), clipped: z.number().default(1) });
/**
 * x on the int8 grid of a scale (per tensor, or per channel of an axis) and back: what quantization-aware training rounds with.
 * Its gradient is the straight-through estimate: that of x where the grid reaches, zero beyond (nowhere beyond with clipped 0); none for the scale. It is no derivative:
 * the function is a staircase, so finite differences say nothing of it.
 */
const fakeQuantize = row<z.infer<typeof fakeAttributes>>({
  type: 'FakeQuantize',
  domain: 'edge',
  attributes: fakeAttributes,
  shape: bound => [typeAt(bound, 0)],
  reference: (bound, inputs) => perScale(bound, inputs, (v, scale) => saturate('int8', saturate('int32', v / scale)) * scale),
  gradient: ({ bound, builder: b, outputGradients }) => {
    const dy = outputGradients[0];
    if (dy === undefined || bound.attributes.clipped === 0) return [dy];
    const [x, scale] = bound.node.inputs as [string, string];
    const reach = scaled(b, scale, 127.5);
    const rank = dimsAt(bound, 1).length;
    const wide = rank === 0 ? reach : b.op('Reshape', [reach, b.indices(dimsAt(bound, 0).map((_, axis) => (axis === bound.attributes.axis ? -1 : 1)))], { allowzero: int(0) });
    return [scaled(b, dy, asMask(b, b.op('LessOrEqual', [b.op('Abs', [x]), wide])))];
  },
  ties,
  folds: false,
});

export const quantize: readonly Operator[] = [quantizeLinear, dequantizeLinear, fakeQuantize];
