import { openSession } from '../compute/session.ts';
import { writeOnnx } from '../formats/onnx.ts';
import { costOf } from '../graph/cost.ts';
import type { Graph, Node, Tensor } from '../graph/ir.ts';
import { inferShapes } from '../graph/shapes.ts';
import type { ChannelClasses } from './channel-groups.ts';
import { filterNorms, type Layer, layersOf } from './importance.ts';

/** What each channel of a value did over images and cells. */
export interface ChannelStatistics {
  readonly mean: readonly number[];
  readonly variance: readonly number[];
}
/** By name of the value, for the inputs of every layer that mixes channels. Plain data: it crosses to other processes. */
export type ActivationStatistics = Readonly<Record<string, ChannelStatistics>>;

/** A layer that mixes the channels it reads, so that leaving one out changes what it says: a convolution in one group, a dense layer. */
type Reader = Layer & { readonly inputAxis: number };
function readersOf(graph: Graph): Reader[] {
  const types = inferShapes(graph);
  return layersOf(graph).flatMap(layer => {
    const { node } = layer;
    const rank = types.get(node.inputs[0] as string)?.dims.length;
    const mixes = node.type === 'Conv' ? (node.attributes.group?.value ?? 1) === 1 : (node.type === 'Gemm' || node.type === 'MatMul') && rank === 2;
    return mixes ? [{ ...layer, inputAxis: 1 - layer.axis }] : [];
  });
}

/** Runs images through a network and keeps, per channel that a layer reads, mean and variance. Batches must not be padded. */
export async function activationStatistics(
  graph: Graph,
  batches: AsyncIterable<ReadonlyMap<string, Tensor>>,
  options: { readonly threads?: number; readonly signal?: AbortSignal; readonly onImages?: (done: number) => void } = {},
): Promise<ActivationStatistics> {
  const types = inferShapes(graph);
  const inputs = new Set(graph.inputs.map(input => input.name));
  const names = [...new Set(readersOf(graph).map(({ node }) => node.inputs[0] as string))].filter(name => !inputs.has(name) && types.has(name));
  const outputs = names.map(name => ({ name, type: types.get(name) as NonNullable<ReturnType<typeof types.get>> }));
  const session = await openSession(writeOnnx({ ...graph, outputs }), options.threads === undefined ? {} : { threads: options.threads });
  const sums = new Map<string, { count: number; sum: Float64Array; squares: Float64Array }>();
  let images = 0;
  try {
    for await (const feeds of batches) {
      options.signal?.throwIfAborted();
      for (const [name, tensor] of await session.run(feeds)) add(sums, name, tensor);
      images += [...feeds.values()][0]?.dims[0] ?? 0;
      options.onImages?.(images);
    }
  } finally {
    await session.close();
  }
  return Object.fromEntries(
    [...sums].map(([name, { count, sum, squares }]) => {
      const mean = Array.from(sum, value => value / count);
      return [name, { mean, variance: mean.map((value, c) => Math.max(0, (squares[c] as number) / count - value * value)) }];
    }),
  );
}

function add(sums: Map<string, { count: number; sum: Float64Array; squares: Float64Array }>, name: string, tensor: Tensor): void {
  const [n = 1, channels = 1] = tensor.dims;
  const cells = tensor.data.length / (n * channels);
  const known = sums.get(name) ?? { count: 0, sum: new Float64Array(channels), squares: new Float64Array(channels) };
  const data = tensor.data as Float32Array;
  for (let i = 0, at = 0; i < n; i++)
    for (let c = 0; c < channels; c++) {
      let [sum, squares] = [0, 0];
      for (const end = at + cells; at < end; at++) {
        const value = data[at] as number;
        sum += value;
        squares += value * value;
      }
      known.sum[c] = (known.sum[c] as number) + sum;
      known.squares[c] = (known.squares[c] as number) + squares;
    }
  sums.set(name, { ...known, count: known.count + n * cells });
}

/**
 * What is lost with a channel, per multiply-accumulate that goes with it: the share of each reader's output energy that varies with the channel, Σ w²·variance
 * over the reader's whole (its mean can be kept in a bias, `keepMeans`), summed over readers, over the share of the network's multiply-accumulates in the kernels
 * that write and read it. Needs no gradients; comparable between layers, however their norms differ.
 */
export function energyImportance(graph: Graph, statistics: ActivationStatistics, classes: ChannelClasses): ReadonlyMap<number, number> {
  const cost = costOf(graph);
  const macs = new Map(cost.nodes.map(({ node, macs }) => [node, macs]));
  const lost = new Map<number, number>();
  const price = new Map<number, number>();
  const raise = (map: Map<number, number>, channel: number, by: number) => map.set(channel, (map.get(channel) ?? 0) + by);
  for (const layer of layersOf(graph)) {
    const weight = graph.initializers.get(layer.weight) as Tensor;
    weight.dims.slice(0, 2).forEach((dim, axis) => {
      for (let i = 0; dim > 1 && i < dim; i++) raise(price, classes.classOf(layer.weight, axis, i), (macs.get(layer.node.name) ?? 0) / dim / cost.macs);
    });
  }
  for (const layer of readersOf(graph)) {
    const seen = statistics[layer.node.inputs[0] as string];
    if (!seen) continue;
    const energies = filterNorms(graph.initializers.get(layer.weight) as Tensor, layer.inputAxis).map(
      (norm, c) => norm * norm * ((seen.variance[c] as number) + (keeperOf(graph, layer.node) ? 0 : (seen.mean[c] as number) ** 2)),
    );
    const whole = energies.reduce((a, b) => a + b, 0);
    energies.forEach((energy, c) => {
      raise(lost, classes.classOf(layer.weight, layer.inputAxis, c), whole > 0 ? energy / whole : 0);
    });
  }
  return new Map([...price].map(([channel, share]) => [channel, (lost.get(channel) ?? 0) / Math.max(share, 1e-12)]));
}

/** Where the mean of what a reader no longer reads can stay: its own bias (sign +1), or the running mean of the batch norm right behind it (sign −1). */
function keeperOf(graph: Graph, node: Node): { readonly name: string; readonly sign: 1 | -1 } | undefined {
  const bias = node.type === 'MatMul' ? '' : (node.inputs[2] ?? '');
  const alone = (name: string) => graph.initializers.get(name)?.dataType === 'float32' && graph.nodes.filter(each => each.inputs.includes(name)).length === 1;
  if (bias !== '') return alone(bias) ? { name: bias, sign: 1 } : undefined;
  const consumers = graph.nodes.filter(each => each.inputs.includes(node.outputs[0] as string));
  const [norm] = consumers;
  const mean = norm?.type === 'BatchNormalization' && consumers.length === 1 ? (norm.inputs[3] ?? '') : '';
  return alone(mean) ? { name: mean, sign: -1 } : undefined;
}

/** The graph (still whole) with what the removed channels say on average put into the biases and running means of those who read them. */
export function keepMeans(graph: Graph, statistics: ActivationStatistics, classes: ChannelClasses, removed: ReadonlySet<number>): Graph {
  const initializers = new Map(graph.initializers);
  for (const layer of readersOf(graph)) {
    const seen = statistics[layer.node.inputs[0] as string];
    const keeper = seen && keeperOf(graph, layer.node);
    if (!seen || !keeper) continue;
    const weight = graph.initializers.get(layer.weight) as Tensor;
    const kept = initializers.get(keeper.name) as Tensor;
    const shift = new Float64Array(weight.dims[layer.axis] as number);
    // A kernel's cells that look at padding are counted too: the mean there is nearly that of the rest.
    const inner = weight.dims.slice(2).reduce((a, b) => a * b, 1);
    const second = weight.dims[1] as number;
    (weight.data as Float32Array).forEach((value, i) => {
      const index = [Math.floor(i / inner / second), Math.floor(i / inner) % second] as const;
      const channel = index[layer.inputAxis as 0 | 1];
      if (!removed.has(classes.classOf(layer.weight, layer.inputAxis, channel))) return;
      const filter = index[layer.axis as 0 | 1];
      shift[filter] = (shift[filter] as number) + value * (seen.mean[channel] as number);
    });
    // A Gemm's bias may be a scalar or a row; only one value per filter can take the shift.
    if (kept.data.length !== shift.length) continue;
    initializers.set(keeper.name, { ...kept, data: Float32Array.from(kept.data as Float32Array, (value, filter) => value + keeper.sign * (shift[filter] as number)) });
  }
  return { ...graph, initializers };
}
