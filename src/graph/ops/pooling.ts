import { z } from 'zod';
import { type F64Tensor, ints, sizeOf } from '../ir.ts';
import type { Bound, Operator } from '../operator.ts';
import { dimsAt, list, row, sameAxes, scaled, staticDims, typeAt, valueAt, wrong } from './_row.ts';
import { explicitAttributes, tapTable, type Window, windowAttributes, windowOver } from './_window.ts';

const attributes = windowAttributes.extend({ count_include_pad: z.number().default(0), storage_order: z.number().default(0) });
type PoolAttributes = z.infer<typeof attributes>;

function poolOver(bound: Bound<PoolAttributes>, dims: readonly (number | string)[]): Window {
  const kernel = bound.attributes.kernel_shape;
  if (kernel === undefined) throw wrong(bound, 'kernel_shape is missing', 'graph-invalid');
  return windowOver(bound, bound.attributes, dims.slice(2), kernel);
}
const poolShape = (bound: Bound<PoolAttributes>) => {
  const type = typeAt(bound, 0);
  return { dataType: type.dataType, dims: [...type.dims.slice(0, 2), ...poolOver(bound, type.dims).out] };
};

/** The place of each window's first maximum in its input plane, row-major. */
function maxima(bound: Bound<PoolAttributes>, x: F64Tensor): { readonly dims: readonly number[]; readonly at: Float64Array; readonly plane: number } {
  const window = poolOver(bound, x.dims);
  const spatial = x.dims.slice(2);
  const { table, taps, places } = tapTable(window, spatial);
  const plane = sizeOf(spatial);
  const planes = sizeOf(x.dims.slice(0, 2));
  const at = new Float64Array(planes * places);
  for (let c = 0; c < planes; c++)
    for (let p = 0; p < places; p++) {
      let best = -1;
      for (let t = 0; t < taps; t++) {
        const i = table[t * places + p] as number;
        if (i >= 0 && (best < 0 || (x.data[c * plane + i] as number) > (x.data[c * plane + best] as number))) best = i;
      }
      at[c * places + p] = c * plane + Math.max(best, 0);
    }
  return { dims: [...x.dims.slice(0, 2), ...(window.out as number[])], at, plane };
}

const maxPool = row<PoolAttributes>({
  type: 'MaxPool',
  attributes,
  shape: bound => {
    const type = poolShape(bound);
    return bound.node.outputs.length > 1 ? [type, { ...type, dataType: 'int64' }] : [type];
  },
  reference: (bound, inputs) => {
    const x = valueAt(bound, inputs, 0);
    const { dims, at } = maxima(bound, x);
    return [{ dims, data: at.map(i => x.data[i] as number) }, ...(bound.node.outputs.length > 1 ? [{ dims, data: at }] : [])];
  },
  gradient: ({ bound, builder, outputGradients }) => {
    const dy = outputGradients[0];
    if (dy === undefined) return [];
    const window = poolOver(bound, staticDims(bound, bound.inputs[0]));
    return [
      builder.op(
        'MaxPoolGrad',
        [dy, bound.node.inputs[0] as string, bound.node.outputs[0] as string],
        { ...explicitAttributes(window), ceil_mode: { type: 'int', value: bound.attributes.ceil_mode } },
        { domain: 'edge' },
      ),
    ];
  },
  ties: bound => (bound.node.outputs.length > 1 ? { locked: 'the indices of the maxima would change' } : sameAxes(2)),
  quantize: { kind: 'passes' },
});

const maxPoolGrad = row<PoolAttributes>({
  type: 'MaxPoolGrad',
  domain: 'edge',
  attributes,
  shape: bound => [typeAt(bound, 1)],
  reference: (bound, inputs) => {
    const dy = valueAt(bound, inputs, 0);
    const x = valueAt(bound, inputs, 1);
    const data = new Float64Array(x.data.length);
    maxima(bound, x).at.forEach((i, k) => {
      data[i]! += dy.data[k] as number;
    });
    return [{ dims: x.dims, data }];
  },
});

/** Calls visit(x place, y place, weight) for each element of each averaging window. */
function averages(bound: Bound<PoolAttributes>, dims: readonly number[], visit: (x: number, y: number, weight: number) => void): readonly number[] {
  const window = poolOver(bound, dims);
  const spatial = dims.slice(2);
  const out = window.out as readonly number[];
  const { table, taps, places } = tapTable(window, spatial);
  // With count_include_pad, what a ceil_mode window reaches beyond the padding still does not count.
  const padded = tapTable(
    { ...window, pads: window.pads.map(() => 0) },
    spatial.map((size, axis) => size + (window.pads[axis] as number) + (window.pads[axis + spatial.length] as number)),
  ).table;
  const counted = bound.attributes.count_include_pad === 1 ? padded : table;
  const plane = sizeOf(spatial);
  const weights = new Float64Array(places);
  for (let p = 0; p < places; p++) {
    let count = 0;
    for (let t = 0; t < taps; t++) if ((counted[t * places + p] as number) >= 0) count++;
    weights[p] = 1 / Math.max(count, 1);
  }
  for (let c = 0; c < sizeOf(dims.slice(0, 2)); c++)
    for (let t = 0; t < taps; t++)
      for (let p = 0; p < places; p++) {
        const i = table[t * places + p] as number;
        if (i >= 0) visit(c * plane + i, c * places + p, weights[p] as number);
      }
  return [...dims.slice(0, 2), ...out];
}

const averagePool = row<PoolAttributes>({
  type: 'AveragePool',
  attributes,
  shape: bound => [poolShape(bound)],
  reference: (bound, inputs) => {
    const x = valueAt(bound, inputs, 0);
    const dims = [...x.dims.slice(0, 2), ...(poolOver(bound, x.dims).out as number[])];
    const data = new Float64Array(sizeOf(dims));
    averages(bound, x.dims, (i, o, weight) => {
      data[o]! += weight * (x.data[i] as number);
    });
    return [{ dims, data }];
  },
  gradient: ({ bound, builder, outputGradients }) => {
    const dy = outputGradients[0];
    if (dy === undefined) return [];
    const dims = staticDims(bound, bound.inputs[0]);
    const more = {
      count_include_pad: { type: 'int', value: bound.attributes.count_include_pad },
      ceil_mode: { type: 'int', value: bound.attributes.ceil_mode },
      input_shape: ints(dims),
    } as const;
    return [builder.op('AveragePoolGrad', [dy], explicitAttributes(poolOver(bound, dims), more), { domain: 'edge' })];
  },
  ties: () => sameAxes(2),
  quantize: { kind: 'input-only' },
});

const averageGradAttributes = attributes.extend({ input_shape: list });
const averagePoolGrad = row<z.infer<typeof averageGradAttributes>>({
  type: 'AveragePoolGrad',
  domain: 'edge',
  attributes: averageGradAttributes,
  shape: bound => [{ dataType: typeAt(bound, 0).dataType, dims: [...bound.attributes.input_shape] }],
  reference: (bound, inputs) => {
    const dy = valueAt(bound, inputs, 0);
    const data = new Float64Array(sizeOf(bound.attributes.input_shape));
    averages(bound, bound.attributes.input_shape, (i, o, weight) => {
      data[i]! += weight * (dy.data[o] as number);
    });
    return [{ dims: bound.attributes.input_shape, data }];
  },
});

/** A pool over each whole plane. */
const globalPool = (
  type: string,
  start: number,
  step: (sum: number, value: number) => number,
  end: (sum: number, count: number) => number,
  own: Partial<Parameters<typeof row>[0]>,
): Operator =>
  row({
    type,
    shape: bound => {
      const { dataType, dims } = typeAt(bound, 0);
      return [{ dataType, dims: dims.map((dim, axis) => (axis < 2 ? dim : 1)) }];
    },
    reference: (bound, inputs) => {
      const x = valueAt(bound, inputs, 0);
      const plane = sizeOf(x.dims.slice(2));
      const data = new Float64Array(sizeOf(x.dims.slice(0, 2)));
      for (let c = 0; c < data.length; c++) {
        let sum = start;
        for (let i = 0; i < plane; i++) sum = step(sum, x.data[c * plane + i] as number);
        data[c] = end(sum, plane);
      }
      return [{ dims: x.dims.map((dim, axis) => (axis < 2 ? dim : 1)), data }];
    },
    ties: () => sameAxes(2),
    ...own,
  });

const globalAveragePool = globalPool(
  'GlobalAveragePool',
  0,
  (s, v) => s + v,
  (s, n) => s / n,
  {
    quantize: { kind: 'input-only' },
    gradient: ({ bound, builder, outputGradients }) => {
      const dy = outputGradients[0];
      if (dy === undefined) return [];
      const dims = staticDims(bound, { dataType: 'float32', dims: dimsAt(bound, 0) });
      return [builder.op('Expand', [scaled(builder, dy, 1 / sizeOf(dims.slice(2))), builder.indices(dims)])];
    },
  },
);
const globalMaxPool = globalPool('GlobalMaxPool', Number.NEGATIVE_INFINITY, Math.max, s => s, {
  quantize: { kind: 'passes' },
  gradient: ({ bound, builder, outputGradients }) => {
    const dy = outputGradients[0];
    if (dy === undefined) return [];
    const plane = staticDims(bound, bound.inputs[0]).slice(2);
    return [builder.op('MaxPoolGrad', [dy, bound.node.inputs[0] as string, bound.node.outputs[0] as string], { kernel_shape: ints(plane) }, { domain: 'edge' })];
  },
});

export const pooling: readonly Operator[] = [maxPool, averagePool, globalAveragePool, globalMaxPool, maxPoolGrad, averagePoolGrad];
