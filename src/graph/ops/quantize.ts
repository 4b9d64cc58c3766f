import { z } from 'zod';
import { type DataType, type F64Tensor, sizeOf } from '../ir.ts';
import type { Bound, Operator } from '../operator.ts';
import { axisOf, dimsAt, row, sameAxes, tie, typeAt, valueAt } from './_row.ts';
import { saturate } from './shape.ts';

const attributes = z.object({ axis: z.number().default(1) });
type QuantizeAttributes = z.infer<typeof attributes>;

/** f(element, scale, zero point), both per tensor or per channel of the axis. */
function perScale(bound: Bound<QuantizeAttributes>, inputs: readonly (F64Tensor | undefined)[], f: (value: number, scale: number, zero: number) => number): readonly F64Tensor[] {
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
const ties = (bound: Bound<QuantizeAttributes>) => {
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

export const quantize: readonly Operator[] = [quantizeLinear, dequantizeLinear];
