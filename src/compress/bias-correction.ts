import { openSession } from '../compute/session.ts';
import { writeOnnx } from '../formats/onnx.ts';
import { Builder } from '../graph/builder.ts';
import { removeUnused } from '../graph/clean.ts';
import { f32, type Graph, type Node, type Tensor } from '../graph/ir.ts';
import { inferShapes } from '../graph/shapes.ts';

/** What quantization adds to each output channel on average, by name of the node: (float − quantized) over images and cells, ready to be added to the bias. */
export type BiasCorrection = ReadonlyMap<string, readonly number[]>;

/**
 * The mean error that its own rounding and clipping give each weighted node (Nagel et al. 2019, "Data-Free Quantization", the empirical form): node by node the same
 * float input goes through the node and through its quantized twin, so that one pass serves all layers and no error is counted twice.
 * `quantized` is what `quantize` made of `graph`. Batches must not be padded.
 */
export async function biasErrors(
  graph: Graph,
  quantized: Graph,
  batches: AsyncIterable<ReadonlyMap<string, Tensor>>,
  options: { readonly threads?: number; readonly signal?: AbortSignal; readonly onImages?: (done: number) => void } = {},
): Promise<BiasCorrection> {
  const twins = twinGraph(graph, quantized);
  if (twins.nodes.size === 0) return new Map();
  const session = await openSession(writeOnnx(twins.graph), options.threads === undefined ? {} : { threads: options.threads });
  const sums = new Map<string, Float64Array>();
  let images = 0;
  try {
    for await (const feeds of batches) {
      options.signal?.throwIfAborted();
      for (const [name, { dims, data }] of await session.run(feeds)) {
        const channels = dims[1] as number;
        const sum = sums.get(name) ?? new Float64Array(channels);
        sums.set(name, sum);
        for (let i = 0; i < data.length; i++) sum[i % channels] = (sum[i % channels] as number) + Number(data[i]);
      }
      images += [...feeds.values()][0]?.dims[0] ?? 0;
      options.onImages?.(images);
    }
  } finally {
    await session.close();
  }
  return new Map([...sums].map(([output, sum]) => [twins.nodes.get(output) as string, Array.from(sum, value => value / images)]));
}

/** The float graph with a quantized twin beside each weighted node; its outputs are the mean difference per image and channel, by node. */
function twinGraph(graph: Graph, quantized: Graph): { readonly graph: Graph; readonly nodes: ReadonlyMap<string, string> } {
  const types = inferShapes(graph);
  const producers = new Map(quantized.nodes.flatMap(node => node.outputs.map(output => [output, node] as const)));
  const builder = Builder.from(graph);
  for (const [name, tensor] of quantized.initializers) if (!builder.initializers.has(name)) builder.weight(name, tensor);
  builder.outputs.length = 0;
  const copied = new Set<Node>();
  /** A value of the quantized graph in the twin: Q and DQ come along, anything else is the float graph's own. */
  const bring = (name: string): void => {
    const node = producers.get(name);
    if (!node || copied.has(node) || (node.type !== 'DequantizeLinear' && node.type !== 'QuantizeLinear')) return;
    copied.add(node);
    for (const input of node.inputs) bring(input);
    builder.nodes.push(node);
  };
  const nodes = new Map<string, string>();
  for (const node of quantized.nodes) {
    const rank = types.get(node.outputs[0] as string)?.dims.length;
    if (!correctable(graph, node) || producers.get(node.inputs[1] as string)?.type !== 'DequantizeLinear' || (rank !== 2 && rank !== 4)) continue;
    for (const input of node.inputs) bring(input);
    const twin = builder.op(node.type, node.inputs, node.attributes);
    const difference = builder.op('Sub', [node.outputs[0] as string, twin]);
    const mean = rank === 4 ? builder.op('GlobalAveragePool', [difference]) : difference;
    nodes.set(mean, node.name);
    builder.output(mean, 'float32', []);
  }
  const sorted = builder.graph();
  return { graph: removeUnused({ ...sorted, outputs: sorted.outputs.map(({ name }) => ({ name, type: inferShapes(sorted).get(name) as never })) }), nodes };
}

const biasInput = 2;
/** Whether a node has a bias, or room for one, with a value for each of its output channels. */
function correctable(graph: Graph, node: Node): boolean {
  if (node.type !== 'Conv' && node.type !== 'ConvTranspose' && node.type !== 'Gemm') return false;
  const name = node.inputs[biasInput] ?? '';
  return name === '' || graph.initializers.has(name) || graph.nodes.every(each => !each.outputs.includes(name));
}

/** The float graph with corrected biases: names as before, a bias where there was none. What is built with a calibration cache, and what `quantize` takes next. */
export function withCorrectedBiases(graph: Graph, correction: BiasCorrection): Graph {
  const initializers = new Map(graph.initializers);
  const nodes = graph.nodes.map(node => {
    const added = correction.get(node.name);
    if (!added) return node;
    const old = graph.initializers.get(node.inputs[biasInput] ?? '');
    const name = `${node.outputs[0]}/int8_bias`;
    initializers.set(
      name,
      f32(
        [added.length],
        added.map((value, channel) => Number(old?.data[old.data.length === 1 ? 0 : channel] ?? 0) + value),
      ),
    );
    return { ...node, inputs: [node.inputs[0] as string, node.inputs[1] as string, name] };
  });
  return removeUnused({ ...graph, nodes, initializers });
}
