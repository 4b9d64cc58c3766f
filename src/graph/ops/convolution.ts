import { z } from 'zod';
import { type Dim, int, ints, type Node, sizeOf } from '../ir.ts';
import type { Bound, Operator, Tie } from '../operator.ts';
import { atOne, dimsAt, list, row, staticDims, tie, typeAt, valueAt, wrong } from './_row.ts';
import { explicitAttributes, tapTable, type Window, windowAttributes, windowOver } from './_window.ts';

const attributes = windowAttributes.extend({ group: z.number().int().positive().default(1) });
type ConvAttributes = z.infer<typeof attributes>;
interface Geometry extends Window {
  readonly n: Dim;
  readonly group: number;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly spatial: readonly Dim[];
}

/** Sizes of a convolution from the dims of X and W. */
function geometry(bound: Pick<Bound<ConvAttributes>, 'node' | 'attributes'>, x: readonly Dim[], w: readonly Dim[]): Geometry {
  const { group } = bound.attributes;
  const [n, inChannels, ...spatial] = x;
  const [outChannels, perGroup, ...kernel] = w;
  if (n === undefined || typeof inChannels !== 'number' || typeof outChannels !== 'number' || x.length !== w.length || !kernel.every(k => typeof k === 'number'))
    throw wrong(bound, `input [${x}] and kernel [${w}] do not fit`);
  const stated = bound.attributes.kernel_shape;
  if (stated !== undefined && stated.join() !== kernel.join()) throw wrong(bound, `kernel_shape [${stated}] is not that of the kernel [${w}]`);
  if (inChannels !== (perGroup as number) * group || outChannels % group !== 0) throw wrong(bound, `${inChannels} channels in ${group} groups do not fit the kernel [${w}]`);
  return { ...windowOver(bound, bound.attributes, spatial, kernel as number[]), n, group, inChannels, outChannels, spatial };
}

/** Which place of its input's plane each tap of a Conv reads for each place of its output: `table[tap·places + place]`, −1 in the padding. */
export function tapsOf(node: Node, x: readonly number[], w: readonly number[]): ReturnType<typeof tapTable> {
  const own = attributes.parse(Object.fromEntries(Object.entries(node.attributes).map(([name, attribute]) => [name, attribute.value])));
  return tapTable(geometry({ node, attributes: own }, x, w), x.slice(2));
}

/** Walks every (sample, output channel, input channel, tap) with the places of its planes in X, W and Y. */
function walk(g: Geometry, visit: (x: number, w: number, y: number, table: Int32Array, row: number, places: number) => void): void {
  const spatial = g.spatial as number[];
  const { table, taps, places } = tapTable(g, spatial);
  const plane = sizeOf(spatial);
  const inPer = g.inChannels / g.group;
  const outPer = g.outChannels / g.group;
  for (let n = 0; n < (g.n as number); n++)
    for (let o = 0; o < g.outChannels; o++)
      for (let i = 0; i < inPer; i++) {
        const x = (n * g.inChannels + Math.floor(o / outPer) * inPer + i) * plane;
        for (let t = 0; t < taps; t++) visit(x, (o * inPer + i) * taps + t, (n * g.outChannels + o) * places, table, t * places, places);
      }
}

function convolve(g: Geometry, x: Float64Array, w: Float64Array, bias: Float64Array | undefined): Float64Array {
  const places = sizeOf(g.out as number[]);
  const y = new Float64Array((g.n as number) * g.outChannels * places);
  if (bias) for (let i = 0; i < y.length; i++) y[i] = bias[Math.floor(i / places) % g.outChannels] as number;
  walk(g, (xAt, wAt, yAt, table, start, count) => {
    const weight = w[wAt] as number;
    if (weight === 0) return;
    for (let p = 0; p < count; p++) {
      const from = table[start + p] as number;
      if (from >= 0) y[yAt + p]! += weight * (x[xAt + from] as number);
    }
  });
  return y;
}

function convTies(bound: Bound<ConvAttributes>): readonly Tie[] | { readonly locked: string } {
  const { group } = bound.attributes;
  const [, inChannels] = dimsAt(bound, 0);
  const [outChannels, perGroup] = dimsAt(bound, 1);
  const outputs = [tie(['in', 1], 0, ['out', 0], 1), ...(bound.inputs[2] ? [tie(['in', 2], 0, ['out', 0], 1)] : [])];
  const batch = tie(['in', 0], 0, ['out', 0], 0);
  if (group === 1) return [batch, tie(['in', 0], 1, ['in', 1], 1), ...outputs];
  if (group !== inChannels || perGroup !== 1) return { locked: `${group} groups of ${perGroup} channels each would become unequal` };
  return [batch, tie(['in', 0], 1, ['in', 1], 0, 0, (outChannels as number) / group), ...outputs];
}

const conv = row<ConvAttributes>({
  type: 'Conv',
  attributes,
  shape: bound => {
    const g = geometry(bound, dimsAt(bound, 0), dimsAt(bound, 1));
    return [{ dataType: typeAt(bound, 0).dataType, dims: [g.n, g.outChannels, ...g.out] }];
  },
  reference: (bound, inputs) => {
    const x = valueAt(bound, inputs, 0);
    const w = valueAt(bound, inputs, 1);
    const g = geometry(bound, x.dims, w.dims);
    return [{ dims: [g.n as number, g.outChannels, ...(g.out as number[])], data: convolve(g, x.data, w.data, inputs[2]?.data) }];
  },
  gradient: ({ bound, builder, outputGradients, wanted }) => {
    const dy = outputGradients[0];
    if (dy === undefined) return [];
    const [x, w] = bound.node.inputs as [string, string];
    const g = geometry(bound, dimsAt(bound, 0), dimsAt(bound, 1));
    const common = explicitAttributes(g, { group: int(g.group) });
    const edge = { domain: 'edge' };
    return [
      wanted[0] ? builder.op('ConvGradInput', [dy, w], { ...common, input_shape: ints(staticDims(bound, bound.inputs[0])) }, edge) : undefined,
      wanted[1] ? builder.op('ConvGradWeight', [x, dy], { ...common, weight_shape: ints(staticDims(bound, bound.inputs[1])) }, edge) : undefined,
      wanted[2] ? builder.op('ReduceSum', [dy, builder.indices([0, ...g.spatial.map((_, axis) => axis + 2)])], { keepdims: int(0) }) : undefined,
    ];
  },
  ties: convTies,
  quantize: { kind: 'weighted', weightInput: 1, weightAxis: 0 },
  macs: (bound, [y]) => sizeOf(atOne(y?.dims ?? [])) * sizeOf(atOne(dimsAt(bound, 1).slice(1))),
});

const gradInputAttributes = attributes.extend({ input_shape: list });
const convGradInput = row<z.infer<typeof gradInputAttributes>>({
  type: 'ConvGradInput',
  domain: 'edge',
  attributes: gradInputAttributes,
  shape: bound => [{ dataType: typeAt(bound, 0).dataType, dims: [...bound.attributes.input_shape] }],
  reference: (bound, inputs) => {
    const dy = valueAt(bound, inputs, 0);
    const w = valueAt(bound, inputs, 1);
    const dims = bound.attributes.input_shape;
    const dx = new Float64Array(sizeOf(dims));
    walk(geometry(bound, dims, w.dims), (xAt, wAt, yAt, table, start, count) => {
      const weight = w.data[wAt] as number;
      for (let p = 0; p < count; p++) {
        const to = table[start + p] as number;
        if (to >= 0) dx[xAt + to]! += weight * (dy.data[yAt + p] as number);
      }
    });
    return [{ dims, data: dx }];
  },
  macs: (bound, _outputs) => sizeOf(atOne(dimsAt(bound, 0))) * sizeOf(atOne(dimsAt(bound, 1).slice(1))),
});

const gradWeightAttributes = attributes.extend({ weight_shape: list });
const convGradWeight = row<z.infer<typeof gradWeightAttributes>>({
  type: 'ConvGradWeight',
  domain: 'edge',
  attributes: gradWeightAttributes,
  shape: bound => [{ dataType: typeAt(bound, 0).dataType, dims: [...bound.attributes.weight_shape] }],
  reference: (bound, inputs) => {
    const x = valueAt(bound, inputs, 0);
    const dy = valueAt(bound, inputs, 1);
    const dims = bound.attributes.weight_shape;
    const dw = new Float64Array(sizeOf(dims));
    walk(geometry(bound, x.dims, dims), (xAt, wAt, yAt, table, start, count) => {
      let sum = 0;
      for (let p = 0; p < count; p++) {
        const from = table[start + p] as number;
        if (from >= 0) sum += (x.data[xAt + from] as number) * (dy.data[yAt + p] as number);
      }
      dw[wAt]! += sum;
    });
    return [{ dims, data: dw }];
  },
  macs: bound => sizeOf(atOne(dimsAt(bound, 1))) * sizeOf(bound.attributes.weight_shape.slice(1)),
});

const transposeAttributes = attributes.extend({ output_padding: list.optional(), output_shape: list.optional() });
type TransposeAttributes = z.infer<typeof transposeAttributes>;
/** A transposed convolution is the input gradient of the convolution that would lead from Y's sizes to X's. */
function transposed(bound: Bound<TransposeAttributes>, x: readonly Dim[], w: readonly Dim[]): { readonly dims: readonly Dim[]; readonly pads: readonly number[] } {
  const { group, strides, pads, dilations, output_padding: extra, output_shape: wanted, auto_pad: auto } = bound.attributes;
  const [n, inChannels, ...spatial] = x;
  const [wIn, perGroup, ...kernel] = w;
  if (n === undefined || inChannels !== wIn || typeof perGroup !== 'number') throw wrong(bound, `input [${x}] and kernel [${w}] do not fit`);
  const begins: number[] = [];
  const ends: number[] = [];
  const out = spatial.map((size, axis) => {
    const stride = strides?.[axis] ?? 1;
    const extent = ((kernel[axis] as number) - 1) * (dilations?.[axis] ?? 1) + 1;
    if (typeof size !== 'number') throw wrong(bound, `needs a known size, not ${size}`);
    const full = stride * (size - 1) + (extra?.[axis] ?? 0) + extent;
    const target = wanted?.[axis - spatial.length + wanted.length] ?? (auto.startsWith('SAME') ? Math.min(full, size * stride) : undefined);
    if (target !== undefined) {
      const total = Math.max(0, full - target);
      const less = Math.floor(total / 2);
      begins.push(auto === 'SAME_UPPER' ? less : total - less);
      ends.push(auto === 'SAME_UPPER' ? total - less : less);
      return target;
    }
    begins.push(pads?.[axis] ?? 0);
    ends.push(pads?.[axis + spatial.length] ?? 0);
    return full - (begins[axis] as number) - (ends[axis] as number);
  });
  return { dims: [n, perGroup * group, ...out], pads: [...begins, ...ends] };
}
/** The convolution from Y to X, over no more of Y than its windows read. */
function backwards(bound: Bound<TransposeAttributes>, x: readonly number[], w: readonly number[]): Geometry {
  const { dims, pads } = transposed(bound, x, w);
  const out = x.slice(2);
  const one = out.map(() => 1);
  const { group, strides = one, dilations = one } = bound.attributes;
  const kernel = w.slice(2);
  const begins = pads.slice(0, out.length);
  const reach = out.map((size, axis) => (size - 1) * (strides[axis] as number) + ((kernel[axis] as number) - 1) * (dilations[axis] as number) + 1 - (begins[axis] as number));
  const spatial = reach.map((end, axis) => Math.min(end, dims[axis + 2] as number));
  const ends = reach.map((end, axis) => end - (spatial[axis] as number));
  return { kernel, strides, dilations, pads: [...begins, ...ends], out, n: x[0] as number, group, inChannels: dims[1] as number, outChannels: x[1] as number, spatial };
}
const convTranspose = row<TransposeAttributes>({
  type: 'ConvTranspose',
  attributes: transposeAttributes,
  shape: bound => [{ dataType: typeAt(bound, 0).dataType, dims: transposed(bound, dimsAt(bound, 0), dimsAt(bound, 1)).dims }],
  reference: (bound, inputs) => {
    const x = valueAt(bound, inputs, 0);
    const w = valueAt(bound, inputs, 1);
    const { dims, pads } = transposed(bound, x.dims, w.dims);
    const concrete = dims as number[];
    const y = new Float64Array(sizeOf(concrete));
    const plane = sizeOf(concrete.slice(2));
    const bias = inputs[2]?.data;
    if (bias) for (let i = 0; i < y.length; i++) y[i] = bias[Math.floor(i / plane) % (concrete[1] as number)] as number;
    const spatial = concrete.slice(2);
    const one = spatial.map(() => 1);
    const { group, strides = one, dilations = one } = bound.attributes;
    const g: Geometry = {
      kernel: w.dims.slice(2),
      strides,
      dilations,
      pads,
      out: x.dims.slice(2),
      n: x.dims[0] as number,
      group,
      inChannels: concrete[1] as number,
      outChannels: x.dims[1] as number,
      spatial,
    };
    walk(g, (yAt, wAt, xAt, table, start, count) => {
      const weight = w.data[wAt] as number;
      for (let p = 0; p < count; p++) {
        const to = table[start + p] as number;
        if (to >= 0) y[yAt + to]! += weight * (x.data[xAt + p] as number);
      }
    });
    return [{ dims: concrete, data: y }];
  },
  gradient: ({ bound, builder, outputs, outputGradients, wanted }) => {
    const given = outputGradients[0];
    if (given === undefined) return [];
    const [x, w] = bound.node.inputs as [string, string];
    const [size, weight, from] = [bound.inputs[0], bound.inputs[1], outputs[0]].map(type => staticDims(bound, type)) as [readonly number[], readonly number[], readonly number[]];
    const g = backwards(bound, size, weight);
    const spatial = g.spatial.map((_, axis) => axis + 2);
    const [read, axes] = [builder.indices(g.spatial as number[]), builder.indices(spatial)];
    // What output_padding added behind the last window comes from no input.
    const dy = g.spatial.every((dim, axis) => dim === from[axis + 2]) ? given : builder.op('Slice', [given, builder.indices(spatial.map(() => 0)), read, axes]);
    const common = explicitAttributes(g, { group: int(g.group) });
    return [
      wanted[0] ? builder.op('Conv', [dy, w], common) : undefined,
      wanted[1] ? builder.op('ConvGradWeight', [dy, x], { ...common, weight_shape: ints(weight) }, { domain: 'edge' }) : undefined,
      wanted[2] ? builder.op('ReduceSum', [given, builder.indices([0, ...spatial])], { keepdims: int(0) }) : undefined,
    ];
  },
  ties: bound =>
    bound.attributes.group === 1
      ? [tie(['in', 0], 0, ['out', 0], 0), tie(['in', 0], 1, ['in', 1], 0), tie(['in', 1], 1, ['out', 0], 1), ...(bound.inputs[2] ? [tie(['in', 2], 0, ['out', 0], 1)] : [])]
      : { locked: 'a transposed convolution with groups' },
  quantize: { kind: 'weighted', weightInput: 1, weightAxis: 1 },
  macs: bound => sizeOf(atOne(dimsAt(bound, 0))) * sizeOf(atOne(dimsAt(bound, 1).slice(1))),
});

export const convolution: readonly Operator[] = [conv, convTranspose, convGradInput, convGradWeight];
