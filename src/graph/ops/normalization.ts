import { z } from 'zod';
import { type F64Tensor, float, int, sizeOf } from '../ir.ts';
import type { Bound, Operator } from '../operator.ts';
import { dimsAt, row, sameAxes, scaled, staticDims, tie, typeAt, valueAt } from './_row.ts';

const attributes = z.object({ epsilon: z.number().default(1e-5), momentum: z.number().default(0.9), training_mode: z.number().default(0) });
type NormAttributes = z.infer<typeof attributes>;

/** y = x·a[c] + b[c] over axis 1. */
function affine(x: F64Tensor, f: (value: number, channel: number) => number): F64Tensor {
  const channels = x.dims[1] ?? 1;
  const plane = sizeOf(x.dims.slice(2));
  const data = new Float64Array(x.data.length);
  for (let i = 0; i < data.length; i++) data[i] = f(x.data[i] as number, Math.floor(i / plane) % channels);
  return { dims: x.dims, data };
}
/** Σ over all but axis 1 of f(element, its place, channel). */
function perChannel(x: F64Tensor, f: (value: number, at: number, channel: number) => number): Float64Array {
  const channels = x.dims[1] ?? 1;
  const plane = sizeOf(x.dims.slice(2));
  const sums = new Float64Array(channels);
  for (let i = 0; i < x.data.length; i++) {
    const c = Math.floor(i / plane) % channels;
    sums[c]! += f(x.data[i] as number, i, c);
  }
  return sums;
}

const batchNormalization = row<NormAttributes>({
  type: 'BatchNormalization',
  attributes,
  shape: bound => {
    const { dataType } = typeAt(bound, 3);
    return [typeAt(bound, 0), ...bound.node.outputs.slice(1).map((_, k) => (k < 2 ? { dataType, dims: dimsAt(bound, 3) } : { dataType, dims: [] }))].slice(
      0,
      Math.max(1, bound.node.outputs.length),
    );
  },
  reference: (bound, inputs) => {
    const [x, scale, shift, mean, variance] = [0, 1, 2, 3, 4].map(k => valueAt(bound, inputs, k)) as [F64Tensor, F64Tensor, F64Tensor, F64Tensor, F64Tensor];
    if (bound.attributes.training_mode === 1) return learning(bound, [x, scale, shift, mean, variance]);
    const a = scale.data.map((s, c) => s / Math.sqrt((variance.data[c] as number) + bound.attributes.epsilon));
    return [affine(x, (v, c) => (v - (mean.data[c] as number)) * (a[c] as number) + (shift.data[c] as number)), mean, variance].slice(0, Math.max(1, bound.node.outputs.length));
  },
  // Running statistics are constants here: a norm that learns is in training form (edge::BatchNormTrain), or exported in training mode.
  gradient: ({ bound, builder, outputGradients, wanted }) => {
    const dy = outputGradients[0];
    if (dy === undefined) return [];
    const [x, gamma, , mean, variance] = bound.node.inputs as [string, string, string, string, string];
    const dims = dimsAt(bound, 0);
    const spread = Array.from({ length: dims.length - 2 }, (_, k) => k + 1);
    const wide = (value: string) => (spread.length === 0 ? value : builder.op('Unsqueeze', [value, builder.indices(spread)]));
    const others = builder.indices([0, ...spread.map(axis => axis + 1)]);
    const sum = (value: string) => builder.op('ReduceSum', [value, others], { keepdims: int(0) });
    if (bound.attributes.training_mode === 1) {
      const share = (dims[1] as number) / sizeOf(staticDims(bound, bound.inputs[0]));
      const batchMean = scaled(builder, sum(x), share);
      const centred = builder.op('Sub', [x, wide(batchMean)]);
      const batchVariance = scaled(builder, sum(builder.op('Mul', [centred, centred])), share);
      return builder.ops('BatchNormGrad', [dy, x, gamma, batchMean, batchVariance], { epsilon: float(bound.attributes.epsilon) }, { domain: 'edge', outputs: 3 });
    }
    const inverse = builder.op('Reciprocal', [builder.op('Sqrt', [builder.op('Add', [variance, builder.constant(bound.attributes.epsilon)])])]);
    return [
      wanted[0] ? builder.op('Mul', [dy, wide(builder.op('Mul', [gamma, inverse]))]) : undefined,
      wanted[1] ? builder.op('Mul', [sum(builder.op('Mul', [dy, builder.op('Sub', [x, wide(mean)])])), inverse]) : undefined,
      wanted[2] ? sum(dy) : undefined,
    ];
  },
  ties: bound => [...sameAxes(dimsAt(bound, 0).length), ...[1, 2, 3, 4].map(k => tie(['in', k], 0, ['out', 0], 1))],
});

interface Statistics {
  readonly mean: Float64Array;
  readonly variance: Float64Array;
}
function statistics(x: F64Tensor): Statistics {
  const count = x.data.length / (x.dims[1] ?? 1);
  const mean = perChannel(x, v => v).map(s => s / count);
  return { mean, variance: perChannel(x, (v, _, c) => (v - (mean[c] as number)) ** 2).map(s => s / count) };
}

function normalized(bound: Bound<NormAttributes>, x: F64Tensor, gamma: F64Tensor, beta: F64Tensor): Statistics & { readonly y: F64Tensor } {
  const { mean, variance } = statistics(x);
  const scale = gamma.data.map((g, c) => g / Math.sqrt((variance[c] as number) + bound.attributes.epsilon));
  return { y: affine(x, (v, c) => (v - (mean[c] as number)) * (scale[c] as number) + (beta.data[c] as number)), mean, variance };
}
/** Training mode as ONNX has it: the batch's own statistics, and the running ones moved towards them (the variance biased). */
function learning(bound: Bound<NormAttributes>, [x, scale, shift, ...running]: readonly [F64Tensor, F64Tensor, F64Tensor, F64Tensor, F64Tensor]): readonly F64Tensor[] {
  const { momentum } = bound.attributes;
  const { y, mean, variance } = normalized(bound, x, scale, shift);
  const moved = [mean, variance].map((own, k) => ({ dims: scale.dims, data: own.map((v, c) => momentum * (running[k]?.data[c] as number) + (1 - momentum) * v) }));
  return [y, ...moved].slice(0, Math.max(1, bound.node.outputs.length));
}
const batchNormTrain = row<NormAttributes>({
  type: 'BatchNormTrain',
  domain: 'edge',
  attributes,
  shape: bound => [typeAt(bound, 0), typeAt(bound, 1), typeAt(bound, 1)],
  reference: (bound, inputs) => {
    const [x, gamma, beta] = [0, 1, 2].map(k => valueAt(bound, inputs, k)) as [F64Tensor, F64Tensor, F64Tensor];
    const { y, mean, variance } = normalized(bound, x, gamma, beta);
    return [y, { dims: gamma.dims, data: mean }, { dims: gamma.dims, data: variance }];
  },
  gradient: ({ bound, builder, outputGradients }) => {
    const dy = outputGradients[0];
    if (dy === undefined) return [];
    const [x, gamma] = bound.node.inputs as [string, string];
    const [, mean, variance] = bound.node.outputs as [string, string, string];
    return builder.ops('BatchNormGrad', [dy, x, gamma, mean, variance], { epsilon: { type: 'float', value: bound.attributes.epsilon } }, { domain: 'edge', outputs: 3 });
  },
  ties: bound => [
    ...sameAxes(dimsAt(bound, 0).length),
    tie(['in', 1], 0, ['out', 0], 1),
    tie(['in', 2], 0, ['out', 0], 1),
    tie(['out', 1], 0, ['out', 0], 1),
    tie(['out', 2], 0, ['out', 0], 1),
  ],
});

/** dX = γ/σ · (dY − mean(dY) − x̂·mean(dY·x̂)), the usual result of differentiating through batch statistics. */
function batchNormBackward(bound: Bound<NormAttributes>, inputs: readonly (F64Tensor | undefined)[]): readonly F64Tensor[] {
  const [dy, x, gamma, mean, variance] = [0, 1, 2, 3, 4].map(k => valueAt(bound, inputs, k)) as [F64Tensor, F64Tensor, F64Tensor, F64Tensor, F64Tensor];
  const inverse = variance.data.map(v => 1 / Math.sqrt(v + bound.attributes.epsilon));
  const normal = affine(x, (v, c) => (v - (mean.data[c] as number)) * (inverse[c] as number));
  const count = x.data.length / (x.dims[1] ?? 1);
  const dBeta = perChannel(dy, v => v);
  const dGamma = perChannel(dy, (v, at) => v * (normal.data[at] as number));
  const channels = x.dims[1] ?? 1;
  const plane = sizeOf(x.dims.slice(2));
  const data = dy.data.map((v, at) => {
    const c = Math.floor(at / plane) % channels;
    return (gamma.data[c] as number) * (inverse[c] as number) * (v - (dBeta[c] as number) / count - ((normal.data[at] as number) * (dGamma[c] as number)) / count);
  });
  return [
    { dims: x.dims, data },
    { dims: gamma.dims, data: dGamma },
    { dims: gamma.dims, data: dBeta },
  ];
}
const batchNormGrad = row<NormAttributes>({
  type: 'BatchNormGrad',
  domain: 'edge',
  attributes,
  shape: bound => [typeAt(bound, 1), typeAt(bound, 2), typeAt(bound, 2)],
  reference: batchNormBackward,
});

const instanceNormalization = row<NormAttributes>({
  type: 'InstanceNormalization',
  attributes,
  shape: bound => [typeAt(bound, 0)],
  reference: (bound, inputs) => {
    const [x, scale, shift] = [0, 1, 2].map(k => valueAt(bound, inputs, k)) as [F64Tensor, F64Tensor, F64Tensor];
    const channels = x.dims[1] ?? 1;
    // Each (sample, channel) plane is a channel of its own.
    const flat: F64Tensor = { dims: [1, sizeOf(x.dims.slice(0, 2)), ...x.dims.slice(2)], data: x.data };
    const { mean, variance } = statistics(flat);
    const { data } = affine(
      flat,
      (v, c) =>
        ((v - (mean[c] as number)) / Math.sqrt((variance[c] as number) + bound.attributes.epsilon)) * (scale.data[c % channels] as number) + (shift.data[c % channels] as number),
    );
    return [{ dims: x.dims, data }];
  },
  gradient: ({ bound, builder: b, outputGradients, wanted }) => {
    const dy = outputGradients[0];
    if (dy === undefined) return [];
    const [x, gamma] = bound.node.inputs as [string, string];
    const dims = staticDims(bound, bound.inputs[0]);
    const spatial = dims.slice(2).map((_, k) => k + 2);
    const mul = (...values: readonly string[]) => values.reduce((left, right) => b.op('Mul', [left, right]));
    const mean = (value: string) => scaled(b, b.op('ReduceSum', [value, b.indices(spatial)], { keepdims: int(1) }), 1 / sizeOf(dims.slice(2)));
    const perChannel = (value: string) => b.op('ReduceSum', [value, b.indices([0, ...spatial])], { keepdims: int(0) });
    const centred = b.op('Sub', [x, mean(x)]);
    const inverse = b.op('Reciprocal', [b.op('Sqrt', [b.op('Add', [mean(mul(centred, centred)), b.constant(bound.attributes.epsilon)])])]);
    const normal = mul(centred, inverse);
    const weighted = mul(dy, normal);
    const scale = () => mul(inverse, b.op('Unsqueeze', [gamma, b.indices([0, ...spatial])]));
    const inner = () => b.op('Sub', [b.op('Sub', [dy, mean(dy)]), mul(normal, mean(weighted))]);
    return [wanted[0] ? mul(inner(), scale()) : undefined, wanted[1] ? perChannel(weighted) : undefined, wanted[2] ? perChannel(dy) : undefined];
  },
  ties: bound => [...sameAxes(dimsAt(bound, 0).length), tie(['in', 1], 0, ['out', 0], 1), tie(['in', 2], 0, ['out', 0], 1)],
});

const lrnAttributes = z.object({ alpha: z.number().default(1e-4), beta: z.number().default(0.75), bias: z.number().default(1), size: z.number().int().positive() });
/** The channels around channel c that its sum takes in: from, to. */
const neighbours = (c: number, channels: number, size: number): readonly [number, number] => [
  Math.max(0, c - Math.floor((size - 1) / 2)),
  Math.min(channels - 1, c + Math.ceil((size - 1) / 2)),
];
const lrn = row<z.infer<typeof lrnAttributes>>({
  type: 'LRN',
  attributes: lrnAttributes,
  shape: bound => [typeAt(bound, 0)],
  reference: (bound, inputs) => {
    const x = valueAt(bound, inputs, 0);
    const { alpha, beta, bias, size } = bound.attributes;
    const channels = x.dims[1] ?? 1;
    const plane = sizeOf(x.dims.slice(2));
    const data = x.data.map((v, at) => {
      const c = Math.floor(at / plane) % channels;
      let sum = 0;
      const [from, to] = neighbours(c, channels, size);
      for (let k = from; k <= to; k++) sum += (x.data[at + (k - c) * plane] as number) ** 2;
      return v / (bias + (alpha / size) * sum) ** beta;
    });
    return [{ dims: x.dims, data }];
  },
  // With S = bias + α/size·Σ x² over the neighbours: dX = dY·S^−β − 2αβ/size·x·Σ (dY·x·S^(−β−1)) over the channels whose neighbour it is.
  gradient: ({ bound, builder: b, outputGradients }) => {
    const dy = outputGradients[0];
    if (dy === undefined) return [];
    const { alpha, beta, bias, size } = bound.attributes;
    const dims = staticDims(bound, bound.inputs[0]);
    const channels = dims[1] as number;
    const band = new Float32Array(channels * channels);
    for (let c = 0; c < channels; c++) {
      const [from, to] = neighbours(c, channels, size);
      band.fill(1, c * channels + from, c * channels + to + 1);
    }
    const turned = band.map((_, at) => band[(at % channels) * channels + Math.floor(at / channels)] as number);
    const mul = (...values: readonly string[]) => values.reduce((left, right) => b.op('Mul', [left, right]));
    const [x, upward] = [bound.node.inputs[0] as string, dy].map(v => b.op('Reshape', [v, b.indices([dims[0] as number, channels, sizeOf(dims.slice(2))])])) as [string, string];
    const sums = (matrix: Float32Array, value: string) => b.op('MatMul', [b.constant(matrix, [channels, channels]), value]);
    const s = b.op('Add', [scaled(b, sums(band, mul(x, x)), alpha / size), b.constant(bias)]);
    const power = b.op('Pow', [s, b.constant(-beta)]);
    const felt = sums(turned, b.op('Div', [mul(upward, x, power), s]));
    return [b.op('Reshape', [b.op('Sub', [mul(upward, power), scaled(b, mul(x, felt), (2 * alpha * beta) / size)]), b.indices(dims)])];
  },
  ties: bound => sameAxes(dimsAt(bound, 0).length, 0, [1]),
});

export const normalization: readonly Operator[] = [batchNormalization, instanceNormalization, lrn, batchNormTrain, batchNormGrad];
