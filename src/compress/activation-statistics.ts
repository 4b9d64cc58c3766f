import { openSession } from '../compute/session.ts';
import { writeOnnx } from '../formats/onnx.ts';
import type { Graph, Tensor } from '../graph/ir.ts';
import { inferShapes } from '../graph/shapes.ts';
import { type Layer, layersOf } from './importance.ts';

/** What the channels of a value did over images and cells: mean and variance of each, and their covariance, row-major C×C, over a sample of cells. */
export interface ChannelStatistics {
  readonly mean: Float64Array;
  readonly variance: Float64Array;
  readonly covariance: Float64Array;
}
/** By name of the value, for the inputs of every layer that mixes channels. */
export type ActivationStatistics = ReadonlyMap<string, ChannelStatistics>;

/** A layer that mixes the channels it reads, so that leaving one out changes what it says: a convolution in one group, a dense layer. */
export type Reader = Layer & { readonly inputAxis: number };
export function readersOf(graph: Graph): Reader[] {
  const types = inferShapes(graph);
  return layersOf(graph).flatMap(layer => {
    const { node } = layer;
    const rank = types.get(node.inputs[0] as string)?.dims.length;
    const mixes = node.type === 'Conv' ? (node.attributes.group?.value ?? 1) === 1 : (node.type === 'Gemm' || node.type === 'MatMul') && rank === 2;
    return mixes ? [{ ...layer, inputAxis: 1 - layer.axis }] : [];
  });
}

/** Cells of one image that enter the covariance: enough for 1024 channels over some dozens of images, and quick. */
const cellsPerImage = 64;

/** About `wanted` of a map's cells, others for every image. An odd step walks through all columns of the map, whatever its width. */
export function sampledCells(cells: number, wanted: number, image: number): number[] {
  const step = Math.max(1, Math.floor(cells / wanted)) | 1;
  return Array.from({ length: Math.ceil((cells - (image % step)) / step) }, (_, at) => (image % step) + at * step);
}

/** The graph with these of its values as its only outputs. */
export function withOutputs(graph: Graph, names: readonly string[]): Graph {
  const types = inferShapes(graph);
  const outputs = names.flatMap(name => {
    const type = types.get(name);
    return type ? [{ name, type }] : [];
  });
  return { ...graph, outputs };
}

/** Runs images through a network and keeps what the channels that a layer reads did. Batches must not be padded. */
export async function activationStatistics(
  graph: Graph,
  batches: AsyncIterable<ReadonlyMap<string, Tensor>>,
  options: { readonly threads?: number; readonly signal?: AbortSignal; readonly onImages?: (done: number) => void } = {},
): Promise<ActivationStatistics> {
  const inputs = new Set(graph.inputs.map(input => input.name));
  const names = new Set(readersOf(graph).map(({ node }) => node.inputs[0] as string));
  const watched = withOutputs(
    graph,
    [...names].filter(name => !inputs.has(name)),
  );
  const session = await openSession(writeOnnx(watched), options.threads === undefined ? {} : { threads: options.threads });
  const sums = new Map<string, Sums>();
  let images = 0;
  try {
    for await (const feeds of batches) {
      options.signal?.throwIfAborted();
      for (const [name, tensor] of await session.run(feeds)) {
        const sum = sums.get(name) ?? new Sums(tensor.dims[1] as number);
        sums.set(name, sum);
        sum.add(tensor);
      }
      images += [...feeds.values()][0]?.dims[0] ?? 0;
      options.onImages?.(images);
    }
  } finally {
    await session.close();
  }
  return new Map([...sums].map(([name, sum]) => [name, sum.statistics()]));
}

class Sums {
  readonly #channels: number;
  readonly #sum: Float64Array;
  readonly #squares: Float64Array;
  #count = 0;
  /** Over the sampled cells alone. */
  readonly #products: Float64Array;
  readonly #sampledSum: Float64Array;
  #sampled = 0;

  constructor(channels: number) {
    this.#channels = channels;
    this.#sum = new Float64Array(channels);
    this.#squares = new Float64Array(channels);
    this.#products = new Float64Array(channels * channels);
    this.#sampledSum = new Float64Array(channels);
  }

  add({ dims, data }: Tensor): void {
    const images = dims[0] as number;
    const cells = data.length / (images * this.#channels);
    const values = data as Float32Array;
    for (let image = 0; image < images; image++) {
      const start = image * this.#channels * cells;
      for (let c = 0; c < this.#channels; c++) {
        let [sum, squares] = [0, 0];
        for (let i = start + c * cells, end = i + cells; i < end; i++) {
          const value = values[i] as number;
          sum += value;
          squares += value * value;
        }
        this.#sum[c] = (this.#sum[c] as number) + sum;
        this.#squares[c] = (this.#squares[c] as number) + squares;
      }
      for (const cell of sampledCells(cells, cellsPerImage, image)) this.#sample(values, start + cell, cells);
    }
    this.#count += images * cells;
  }

  #sample(values: Float32Array, start: number, cells: number): void {
    const n = this.#channels;
    const row = new Float64Array(n);
    for (let c = 0; c < n; c++) row[c] = values[start + c * cells] as number;
    const products = this.#products;
    for (let i = 0; i < n; i++) {
      const a = row[i] as number;
      // Half of what a ReLU leaves is zero.
      if (a === 0) continue;
      this.#sampledSum[i] = (this.#sampledSum[i] as number) + a;
      for (let j = i, at = i * n + i; j < n; j++, at++) products[at] = (products[at] as number) + a * (row[j] as number);
    }
    this.#sampled++;
  }

  statistics(): ChannelStatistics {
    const n = this.#channels;
    const mean = this.#sum.map(value => value / this.#count);
    const variance = this.#squares.map((value, c) => Math.max(0, value / this.#count - (mean[c] as number) ** 2));
    const covariance = new Float64Array(n * n);
    for (let i = 0; i < n; i++)
      for (let j = i; j < n; j++) {
        const product = (this.#products[i * n + j] as number) / this.#sampled;
        const value = product - ((this.#sampledSum[i] as number) / this.#sampled) * ((this.#sampledSum[j] as number) / this.#sampled);
        covariance[i * n + j] = value;
        covariance[j * n + i] = value;
      }
    return { mean, variance, covariance };
  }
}
