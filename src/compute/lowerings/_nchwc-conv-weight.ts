import { int, ints, intsOf, type Node } from '../../graph/ir.ts';
import { words } from './_emit.ts';
import { type Geometry, geometryOf } from './_geometry.ts';
import { weightLayoutFor } from './_nchwc-conv.ts';
import { nchwcDomain, type Places } from './_places.ts';

interface WeightGradient {
  readonly x: string;
  readonly dY: string;
  readonly out: string;
  readonly n: number;
  /** Logical and padded channel counts. */
  readonly inputs: number;
  readonly outputs: number;
  readonly paddedInputs: number;
  readonly paddedOutputs: number;
  readonly g: Geometry;
  /** The part of the input that the forward pass read, and the end padding beyond it. */
  readonly used: readonly [number, number];
  readonly end: readonly [number, number];
}

export function convGradWeightFits(node: Node): boolean {
  const group = node.attributes.group?.value ?? 1;
  return weightLayoutFor(intsOf(node, 'weight_shape') ?? [], Number(group)) !== undefined;
}

/** dW of a blocked convolution, written in the layout in which the weight is stored. */
export function convGradWeight(node: Node, places: Places): void {
  const [x = '', dY = ''] = node.inputs;
  const [out = ''] = node.outputs;
  const weight = intsOf(node, 'weight_shape') ?? [];
  const xDims = places.dims(x);
  const g = geometryOf(node, xDims, places.dims(dY), weight.slice(2));
  const ends = ([0, 1] as const).map(axis => g.dilations[axis] * (g.kernel[axis] - 1) + (g.output[axis] - 1) * g.strides[axis] + 1 - g.input[axis] - g.begin[axis]);
  const [endV = 0, endH = 0] = ends;
  const task: WeightGradient = {
    x,
    dY,
    out,
    n: xDims[0] ?? 1,
    inputs: xDims[1] ?? 1,
    outputs: weight[0] ?? 1,
    paddedInputs: places.padded(xDims[1] ?? 1),
    paddedOutputs: places.padded(weight[0] ?? 1),
    g,
    used: [g.input[0] + Math.min(0, endV), g.input[1] + Math.min(0, endH)],
    end: [Math.max(0, endV), Math.max(0, endH)],
  };
  if (g.group > 1) depthwise(task, places);
  else if (weightLayoutFor(weight, 1) === 'vector') ofImage(task, places);
  else ofBlocks(task, places);
}

/** dY as (C, N, h, w): the kernel of the weight-gradient convolution. */
const channelMajor = (dY: string, channels: number, places: Places): string =>
  places.once(`major|${dY}`, () => {
    const { op, transpose } = words(places.builder);
    return transpose(op('ReorderOutput', [places.blocked(dY)], { channels: int(channels) }, undefined, nchwcDomain), [1, 0, 2, 3]);
  });

/** A matrix with a row per output channel, filled up with zero rows to whole blocks. */
const fullRows = (matrix: string, rows: number, padded: number, places: Places): string =>
  rows === padded ? matrix : words(places.builder).pad(matrix, [0, 0], [padded - rows, 0]);

function ofImage({ x, dY, out, n, inputs, outputs, paddedOutputs, g, used, end }: WeightGradient, places: Places): void {
  const { op, reshape, transpose, slice } = words(places.builder);
  const source = used[0] < g.input[0] || used[1] < g.input[1] ? slice(places.plain(x), [0, 0], used, [2, 3]) : places.plain(x);
  const kernel = reshape(channelMajor(dY, outputs, places), [outputs, n, 1, g.output[0], g.output[1]]);
  const taps = op('Conv', [reshape(source, [1, n, inputs, used[0], used[1]]), kernel], {
    kernel_shape: ints([1, ...g.output]),
    dilations: ints([1, ...g.strides]),
    strides: ints([1, ...g.dilations]),
    pads: ints([0, ...g.begin, 0, ...end]),
  });
  const b = places.block;
  const size = inputs * g.kernel[0] * g.kernel[1];
  const rows = fullRows(reshape(taps, [outputs, size]), outputs, paddedOutputs, places);
  const blocks = transpose(reshape(rows, [paddedOutputs / b, b, size]), [0, 2, 1]);
  places.set(out, 'vector', reshape(blocks, [paddedOutputs, inputs, ...g.kernel], places.claim(out, 'vector')));
}

/** x as (1, N, h, w, C), strided where a 1×1 window skips pixels. */
function volumeOf({ x, n, inputs, g, used }: WeightGradient, strided: boolean, places: Places): string {
  const steps: readonly [number, number] = strided ? g.strides : [1, 1];
  return places.once(`volume|${x}|${used.join()}|${steps.join()}`, () => {
    const { op, reshape, slice } = words(places.builder);
    const whole = places.once(`last|${x}`, () => op('ReorderOutput', [places.blocked(x)], { channels: int(inputs), channels_last: int(1) }, undefined, nchwcDomain));
    if (steps[0] * steps[1] === 1 && used[0] === g.input[0] && used[1] === g.input[1]) return reshape(whole, [1, n, ...g.input, inputs]);
    const size = [Math.ceil(used[0] / steps[0]), Math.ceil(used[1] / steps[1])];
    return reshape(slice(whole, [0, 0], used, [1, 2], steps), [1, n, ...size, inputs]);
  });
}

function ofBlocks(task: WeightGradient, places: Places): void {
  const { dY, out, n, inputs, outputs, paddedInputs, paddedOutputs, g, end } = task;
  const { op, reshape, transpose, pad } = words(places.builder);
  const b = places.block;
  const taps = g.kernel[0] * g.kernel[1];
  const cells = n * g.output[0] * g.output[1];
  const major = channelMajor(dY, outputs, places);
  let product: string;
  if (taps === 1 && g.begin[0] + g.begin[1] + end[0] + end[1] === 0) {
    product = op('MatMul', [reshape(major, [outputs, cells]), reshape(volumeOf(task, true, places), [cells, inputs])]);
  } else {
    // onnxruntime's im2col of this volume copies whole runs of C floats: the fastest form of dW there is here.
    product = op('Conv', [volumeOf(task, false, places), reshape(major, [outputs, n, ...g.output, 1])], {
      kernel_shape: ints([...g.output, 1]),
      dilations: ints([...g.strides, 1]),
      strides: ints([...g.dilations, 1]),
      pads: ints([...g.begin, 0, ...end, 0]),
    });
  }
  let full = reshape(product, [outputs, taps * inputs]);
  if (inputs !== paddedInputs) full = reshape(pad(reshape(product, [outputs, taps, inputs]), [0, 0, 0], [0, 0, paddedInputs - inputs]), [outputs, taps * paddedInputs]);
  full = fullRows(full, outputs, paddedOutputs, places);
  const blocks = transpose(reshape(full, [paddedOutputs / b, b, taps, paddedInputs / b, b]), [0, 3, 2, 1, 4]);
  places.set(out, 'matrix', reshape(blocks, [paddedOutputs, paddedInputs, ...g.kernel], places.claim(out, 'matrix')));
}

/** Per tap: the mean over the image of (x shifted by the tap)·dY, in blocked layout; then over the batch. */
function depthwise({ x, dY, out, n, paddedInputs, g, end }: WeightGradient, places: Places): void {
  const { op, reshape, transpose, slice, pad, mul, sum } = words(places.builder);
  const b = places.block;
  const rows = n * (paddedInputs / b);
  const framed = pad(reshape(places.blocked(x), [rows, ...g.input, b]), [0, ...g.begin, 0], [0, ...end, 0]);
  const shape = [n, paddedInputs, ...g.output];
  const taps: string[] = [];
  for (let i = 0; i < g.kernel[0]; i++) {
    for (let j = 0; j < g.kernel[1]; j++) {
      const from = [i * g.dilations[0], j * g.dilations[1]];
      const to = ([0, 1] as const).map(axis => (from[axis] ?? 0) + (g.output[axis] - 1) * g.strides[axis] + 1);
      const shifted = reshape(slice(framed, from, to, [1, 2], g.strides), shape);
      taps.push(reshape(op('GlobalAveragePool', [mul(shifted, places.blocked(dY))], {}, undefined, nchwcDomain), [1, n, paddedInputs]));
    }
  }
  const means = sum(op('Concat', taps, { axis: int(0) }), [1]);
  const scaled = mul(means, places.builder.constant(g.output[0] * g.output[1]));
  const blocks = transpose(reshape(scaled, [taps.length, paddedInputs / b, b]), [1, 0, 2]);
  places.set(out, 'vector', reshape(blocks, [paddedInputs, 1, ...g.kernel], places.claim(out, 'vector')));
}
