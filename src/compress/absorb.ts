import type { Graph, Node, Tensor } from '../graph/ir.ts';
import { type ActivationStatistics, type ChannelStatistics, type Reader, readersOf } from './activation-statistics.ts';
import type { ChannelClasses } from './channel-groups.ts';
import { choleskyInPlace, solved } from './least-squares.ts';

/** Where a constant can be added to what a reader says: its own bias (sign +1), or the running mean of the batch norm right behind it (sign −1). */
export function constantOf(graph: Graph, node: Node): { readonly name: string; readonly sign: 1 | -1 } | undefined {
  const bias = node.type === 'MatMul' ? '' : (node.inputs[2] ?? '');
  if (bias !== '') return isAlone(graph, bias) ? { name: bias, sign: 1 } : undefined;
  const consumers = graph.nodes.filter(each => each.inputs.includes(node.outputs[0] as string));
  const [norm] = consumers;
  const mean = norm?.type === 'BatchNormalization' && consumers.length === 1 ? (norm.inputs[3] ?? '') : '';
  return isAlone(graph, mean) ? { name: mean, sign: -1 } : undefined;
}
/** Whether a weight may change without changing another layer. */
export const isAlone = (graph: Graph, name: string): boolean =>
  graph.initializers.get(name)?.dataType === 'float32' && graph.nodes.filter(each => each.inputs.includes(name)).length === 1;

/** Ridge, in mean variances: keeps the weights of nearly equal channels from growing against each other. */
const ridge = 0.01;

/** removed ≈ mean + weights·(kept − its mean): each removed channel as the kept ones tell it. Rows of weights are removed channels, columns kept ones. */
interface Prediction {
  readonly kept: readonly number[];
  readonly removed: readonly number[];
  readonly weights: readonly Float64Array[];
}

/**
 * The graph (still whole) in which whoever reads the removed channels has taken over what the kept ones tell of them: by least squares over the statistics, a removed
 * channel is a constant and a sum of kept ones, and both go into the reader's kernel and bias. A reader without a place for the constant stays as it is.
 */
export function absorb(graph: Graph, statistics: ActivationStatistics, classes: ChannelClasses, removed: ReadonlySet<number>): Graph {
  const initializers = new Map(graph.initializers);
  const predictions = new Map<string, Prediction>();
  for (const reader of readersOf(graph)) {
    const value = reader.node.inputs[0] as string;
    const seen = statistics.get(value);
    const place = seen && constantOf(graph, reader.node);
    const constant = initializers.get(place?.name ?? '');
    const weight = graph.initializers.get(reader.weight) as Tensor;
    if (!seen || !place || !constant || !isAlone(graph, reader.weight) || constant.data.length !== weight.dims[reader.axis]) continue;
    const prediction = predictions.get(value) ?? predict(seen, channel => removed.has(classes.classOf(reader.weight, reader.inputAxis, channel)));
    predictions.set(value, prediction);
    if (prediction.removed.length === 0) continue;
    const { kernel, shift } = taken(weight, reader, seen, prediction);
    initializers.set(reader.weight, { ...weight, data: kernel });
    initializers.set(place.name, { ...constant, data: Float32Array.from(constant.data as Float32Array, (old, filter) => old + place.sign * (shift[filter] as number)) });
  }
  return { ...graph, initializers };
}

function predict({ variance, covariance }: ChannelStatistics, isRemoved: (channel: number) => boolean): Prediction {
  const n = variance.length;
  const all = Array.from({ length: n }, (_, channel) => channel);
  const removed = all.filter(isRemoved);
  const kept = all.filter(channel => !isRemoved(channel));
  if (removed.length === 0) return { kept, removed, weights: [] };
  const mean = variance.reduce((a, b) => a + b, 0) / n;
  const k = kept.length;
  const matrix = new Float64Array(k * k);
  kept.forEach((row, i) => {
    kept.forEach((column, j) => {
      matrix[i * k + j] = (covariance[row * n + column] as number) + (i === j ? ridge * mean + 1e-12 : 0);
    });
  });
  choleskyInPlace(matrix, k);
  return {
    kept,
    removed,
    weights: removed.map(channel =>
      solved(
        matrix,
        Float64Array.from(kept, other => covariance[channel * n + other] as number),
      ),
    ),
  };
}

/** The reader's kernel with the removed channels' share moved to the kept ones, and the constant that is left per filter. */
function taken(
  weight: Tensor,
  reader: Reader,
  { mean }: ChannelStatistics,
  { kept, removed, weights }: Prediction,
): { readonly kernel: Float32Array; readonly shift: Float64Array } {
  const kernel = Float32Array.from(weight.data as Float32Array);
  const filters = weight.dims[reader.axis] as number;
  const cells = weight.dims.slice(2).reduce((a, b) => a * b, 1);
  const second = weight.dims[1] as number;
  const at = (filter: number, channel: number): number => (reader.axis === 0 ? filter * second + channel : channel * second + filter) * cells;
  const constants = removed.map(
    (channel, r) => (mean[channel] as number) - kept.reduce((sum, other, i) => sum + ((weights[r] as Float64Array)[i] as number) * (mean[other] as number), 0),
  );
  const shift = new Float64Array(filters);
  for (let filter = 0; filter < filters; filter++)
    for (let cell = 0; cell < cells; cell++) {
      const more = new Float64Array(kept.length);
      removed.forEach((channel, r) => {
        const value = (weight.data as Float32Array)[at(filter, channel) + cell] as number;
        const row = weights[r] as Float64Array;
        // At the border padding stands for some cells; their mean counts as everywhere else.
        shift[filter] = (shift[filter] as number) + value * (constants[r] as number);
        for (let i = 0; i < more.length; i++) more[i] = (more[i] as number) + value * (row[i] as number);
      });
      kept.forEach((channel, i) => {
        const index = at(filter, channel) + cell;
        kernel[index] = (kernel[index] as number) + (more[i] as number);
      });
    }
  return { kernel, shift };
}
