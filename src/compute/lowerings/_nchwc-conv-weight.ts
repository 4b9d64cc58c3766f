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
  /** Padding beyond the input that the forward pass read; negative where it left input unread. */
  readonly beyond: readonly [number, number];
  /** Taps of the same convolution over all of the input, which may be more than the kernel has. */
  readonly whole: readonly [number, number];
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
  const tapsOver = (axis: 0 | 1, unread: number) => g.kernel[axis] + Math.floor(Math.max(0, -unread) / g.dilations[axis]);
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
    beyond: [endV, endH],
    whole: [tapsOver(0, endV), tapsOver(1, endH)],
  };
  if (g.group > 1) depthwise(task, places);
  else if (weightLayoutFor(weight, 1) === 'vector') ofImage(task, places);
  else ofBlocks(task, places);
}

/** dY as (N, C, h, w). */
const imageMajor = (dY: string, channels: number, places: Places): string =>
  places.once(`images|${dY}`, () => words(places.builder).op('ReorderOutput', [places.blocked(dY)], { channels: int(channels) }, undefined, nchwcDomain));
/** dY as (C, N, h, w): the kernel of the weight-gradient convolution. */
const channelMajor = (dY: string, channels: number, places: Places): string =>
  places.once(`major|${dY}`, () => words(places.builder).transpose(imageMajor(dY, channels, places), [1, 0, 2, 3]));

/** A blocked value as (N, h, w, C). */
const channelsLast = (value: string, channels: number, places: Places): string =>
  places.once(`last|${value}|${channels}`, () =>
    words(places.builder).op('ReorderOutput', [places.blocked(value)], { channels: int(channels), channels_last: int(1) }, undefined, nchwcDomain),
  );

/** A matrix with a row per output channel, filled up with zero rows to whole blocks. */
const fullRows = (matrix: string, rows: number, padded: number, places: Places): string =>
  rows === padded ? matrix : words(places.builder).pad(matrix, [0, 0], [padded - rows, 0]);

/**
 * Rows of dY that one group of `ofRows` sums over: few, so that they stay in the cache for all taps, and so many that the groups' sums are little beside
 * the work, and that the groups fill whole blocks (else undefined).
 */
function rowsPerGroup({ n, g }: WeightGradient, block: number): number | undefined {
  const [height, width] = g.output;
  const fits = [8, 7, 6, 5, 4, 3, 2, 1].find(rows => height % rows === 0 && ((n * height) / rows) % block === 0);
  return fits !== undefined && fits * width >= 256 ? fits : undefined;
}

/**
 * dW of few input channels: a convolution with dY, as it lies, for its weights. Each few rows of dY are a group of their own, with the rows of x (pixels and
 * channels in one line) that they read as its one input channel; the groups' sums are added. It copies no windows, which a 3-D convolution does: that pays
 * only where many channels share a copy. Returns (O/b, taps, channels, b).
 */
function ofRows({ dY, n, paddedOutputs, g, beyond }: WeightGradient, pixels: string, channels: number, rows: number, places: Places): string {
  const { op, reshape, transpose, pad, gather, sum } = words(places.builder);
  const b = places.block;
  const lines = reshape(pixels, [n, g.input[0], g.input[1] * channels]);
  const framed = pad(lines, [0, g.begin[0], g.begin[1] * channels], [0, beyond[0], beyond[1] * channels]);
  const chunks = g.output[0] / rows;
  const read = (rows - 1) * g.strides[0] + (g.kernel[0] - 1) * g.dilations[0] + 1;
  const starts = Array.from({ length: chunks }, (_, chunk) => chunk * rows * g.strides[0]);
  const taken = gather(
    framed,
    starts.flatMap(start => Array.from({ length: read }, (_, row) => start + row)),
    1,
  );
  const groups = n * chunks;
  const weights = transpose(reshape(places.blocked(dY), [n, paddedOutputs / b, chunks, rows * g.output[1] * b]), [0, 2, 1, 3]);
  const width = (g.input[1] + g.begin[1] + beyond[1]) * channels;
  const taps = g.kernel[0] * g.kernel[1];
  const window = {
    group: int(groups),
    kernel_shape: ints([rows, g.output[1]]),
    dilations: ints([g.strides[0], g.strides[1] * channels]),
    strides: ints([g.dilations[0], 1]),
    pads: ints([0, 0, 0, 0]),
  };
  const operands = [reshape(taken, [1, groups, read, width]), reshape(weights, [groups * paddedOutputs, 1, rows, g.output[1]])];
  const parts = op('Conv', operands, window, undefined, nchwcDomain);
  const whole = sum(reshape(parts, [groups, paddedOutputs * taps * channels]), [0]);
  return reshape(whole, [paddedOutputs / b, taps, channels, b]);
}

function ofImage(task: WeightGradient, places: Places): void {
  const { x, out, inputs, paddedOutputs, g } = task;
  const rows = g.dilations[1] === 1 ? rowsPerGroup(task, places.block) : undefined;
  if (rows === undefined) {
    ofImageInVolume(task, places);
    return;
  }
  const { reshape, transpose } = words(places.builder);
  const sums = ofRows(task, transpose(places.plain(x), [0, 2, 3, 1]), inputs, rows, places);
  places.set(out, 'vector', reshape(transpose(sums, [0, 2, 1, 3]), [paddedOutputs, inputs, ...g.kernel], places.claim(out, 'vector')));
}

/** The same as one 3-D convolution over (channel, height, width), for batches that fill no block. */
function ofImageInVolume({ x, dY, out, n, inputs, outputs, paddedOutputs, g, used, end }: WeightGradient, places: Places): void {
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
    const { reshape, slice } = words(places.builder);
    const whole = channelsLast(x, inputs, places);
    if (steps[0] * steps[1] === 1 && used[0] === g.input[0] && used[1] === g.input[1]) return reshape(whole, [1, n, ...g.input, inputs]);
    const size = [Math.ceil(used[0] / steps[0]), Math.ceil(used[1] / steps[1])];
    return reshape(slice(whole, [0, 0], used, [1, 2], steps), [1, n, ...size, inputs]);
  });
}

/** dW of a 1×1 window: dY·x, image by image where adding up those products moves less memory than bringing dY's images together. */
function ofPixels(task: WeightGradient, places: Places): string {
  const { dY, n, inputs, outputs, g } = task;
  const { op, reshape, sum } = words(places.builder);
  const cells = g.output[0] * g.output[1];
  const volume = volumeOf(task, true, places);
  if (2 * inputs > cells) return op('MatMul', [reshape(channelMajor(dY, outputs, places), [outputs, n * cells]), reshape(volume, [n * cells, inputs])]);
  return sum(op('MatMul', [reshape(imageMajor(dY, outputs, places), [n, outputs, cells]), reshape(volume, [n, cells, inputs])]), [0]);
}

function ofBlocks(task: WeightGradient, places: Places): void {
  const { x, dY, out, n, inputs, outputs, paddedInputs, paddedOutputs, g, end } = task;
  const { op, reshape, transpose, pad } = words(places.builder);
  const b = places.block;
  const taps = g.kernel[0] * g.kernel[1];
  const rows = taps > 1 && paddedInputs <= 64 && g.dilations[1] === 1 ? rowsPerGroup(task, b) : undefined;
  if (rows !== undefined) {
    const sums = ofRows(task, channelsLast(x, paddedInputs, places), paddedInputs, rows, places);
    const tiles = transpose(reshape(sums, [paddedOutputs / b, taps, paddedInputs / b, b, b]), [0, 2, 1, 4, 3]);
    places.set(out, 'matrix', reshape(tiles, [paddedOutputs, paddedInputs, ...g.kernel], places.claim(out, 'matrix')));
    return;
  }
  let product: string;
  if (taps === 1 && g.begin[0] + g.begin[1] + end[0] + end[1] === 0) {
    product = ofPixels(task, places);
  } else {
    const major = channelMajor(dY, outputs, places);
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

/** Each image and channel apart: a depthwise convolution of x with dY as its window (so both are read where they lie), then the sum over the batch. */
function depthwise({ x, dY, out, n, paddedInputs, g, end, whole }: WeightGradient, places: Places): void {
  const { op, reshape, slice, sum } = words(places.builder);
  const b = places.block;
  const rows = n * paddedInputs;
  const window = {
    group: int(rows),
    kernel_shape: ints(g.output),
    dilations: ints(g.strides),
    strides: ints(g.dilations),
    pads: ints([...g.begin, ...end]),
  };
  const products = op('Conv', [reshape(places.blocked(x), [1, rows, ...g.input]), reshape(places.blocked(dY), [rows, 1, ...g.output])], window, undefined, nchwcDomain);
  const wide = sum(reshape(products, [n, paddedInputs / b, ...whole, b]), [0]);
  const cut = whole[0] === g.kernel[0] && whole[1] === g.kernel[1] ? wide : slice(wide, [0, 0], g.kernel, [1, 2]);
  places.set(out, 'vector', reshape(cut, [paddedInputs, 1, ...g.kernel], places.claim(out, 'vector')));
}
