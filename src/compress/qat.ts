import { z } from 'zod';
import { EdgeError } from '../core/errors.ts';
import { Builder } from '../graph/builder.ts';
import { atOpset17, removeUnused } from '../graph/clean.ts';
import { atLowestCost } from '../graph/fold.ts';
import { f32, type Graph, int, ints, type Node, type Tensor } from '../graph/ir.ts';
import { inferShapes } from '../graph/shapes.ts';
import type { Network } from '../tasks/task.ts';
import { type ActivationRange, type CalibrateOptions, calibrate, calibrationRecipe, type QuantizedEngine, type RangeTable } from './calibrate.ts';
import { type QuantizedRead, quantize, quantizedReads } from './quantize.ts';

/** Decay of a range's moving average, TLT's; while few batches are seen it is n/(n + 10), so that a short training does not keep its first guess. */
const decay = 0.999;
const warmth = 10;
/** Where TLT bounds every rectifier in quantization-aware training: a range of its own making holds no outlier. */
const bound = 6;
const rectifiers = ['Relu', 'LeakyRelu', 'PRelu', 'Elu'];

const batches = 'qat/batches';
const rangeOf = (value: string): string => `qat/${value}/range`;
const metadataKey = 'edgeforge.qat';
const metadataSchema = z.record(z.string(), z.number().nonnegative());

/** A network as enable_qat trains it: bounded, its first ranges the extent of its activations on a few batches. */
export async function startQat(
  network: Network,
  batches: () => AsyncIterable<ReadonlyMap<string, Tensor>>,
  options: Pick<CalibrateOptions, 'threads' | 'signal'> = {},
): Promise<Network> {
  const bounded = boundedNetwork(network);
  return qatNetwork(bounded, await calibrate(atLowestCost(bounded.graph), batches, calibrationRecipe.parse({ algorithm: 'minmax', images: 1 }), options));
}

/** The INT8 network that a network in quantization-aware training stands for now: exported and quantized with its own ranges. */
export function int8Form(graph: Graph, engine: QuantizedEngine): Graph {
  const exported = atLowestCost(learntNetwork(graph));
  return quantize(exported, learntRanges(exported) as RangeTable, { engine });
}

/** The network with every ReLU, LeakyReLU, PReLU and ELU as ReLU6, as TLT's enable_qat has it: what QAT trains and what is exported after it. Stale ranges go. */
export function boundedNetwork(network: Network): Network {
  const graph = withoutRanges(atOpset17(network.graph));
  const builder = Builder.from({ ...graph, nodes: [] });
  const [low, high] = [builder.constant(0), builder.constant(bound)];
  for (const node of graph.nodes)
    builder.nodes.push(rectifiers.includes(node.type) && node.domain === '' ? { ...node, type: 'Clip', inputs: [node.inputs[0] as string, low, high], attributes: {} } : node);
  const bounded = removeUnused(builder.graph());
  const kept = (names: readonly string[]) => names.filter(name => bounded.initializers.has(name));
  return { ...network, graph: bounded, trainable: kept(network.trainable), regularized: kept(network.regularized) };
}

/**
 * A bounded network that learns under quantization: each activation and weight that the exported network will read through Q/DQ passes an `edge::FakeQuantize` on the same grid
 * (activations per tensor with a running range, weights per channel by their present maximum; placement: TensorRT's). Batch norms stay as they are: a scale per output
 * channel folds into a per-channel grid without changing one integer. `table` gives the first ranges: those of the exported form of this very network.
 */
export function qatNetwork(network: Network, table: RangeTable): Network {
  const { graph } = network;
  const exported = atLowestCost(graph);
  const reads = quantizedReads(exported, 'tensorrt');
  // onnxruntime quantizes more operands: their ranges are watched too, though training does not round there.
  const watched = [...reads, ...quantizedReads(exported, 'onnxruntime')].flatMap(read => (read.kind === 'activation' ? [read.range] : []));
  const first = new Map(table.ranges.map(range => [range.name, range.amax]));
  const work = new Rewriter(graph, reads);
  for (const value of new Set(watched)) work.watch(value, first.get(value) ?? 0);
  const rewritten = work.rewrite();
  return { ...network, graph: rewritten, running: work.running };
}

class Rewriter {
  readonly running: { readonly initializer: string; readonly next: string }[] = [];
  readonly #builder: Builder;
  readonly #graph: Graph;
  readonly #reads = new Map<string, QuantizedRead>();
  readonly #scales = new Map<string, string>();
  readonly #made = new Map<string, string>();
  /** What must be computed once a value is there, by that value. */
  readonly #watched = new Map<string, number>();
  readonly #share: readonly [kept: string, fresh: string];

  constructor(graph: Graph, reads: readonly QuantizedRead[]) {
    this.#graph = graph;
    this.#builder = Builder.from({ ...graph, nodes: [] });
    const named = new Set(graph.nodes.map(node => node.name));
    if (named.size !== graph.nodes.length || reads.some(read => !named.has(read.node)))
      throw new EdgeError('graph-invalid', `The nodes of "${graph.name}" have no names of their own.`, { hint: 'Import the network again: edgeforge run initialize' });
    for (const name of graph.nodes.flatMap(node => [...node.outputs, `node:${node.name}`])) if (name !== '') this.#builder.fresh(name);
    for (const read of reads) this.#reads.set(`${read.node}|${read.input}`, read);
    const b = this.#builder;
    const seen = b.weight(batches, f32([], [warmth]));
    this.running.push({ initializer: seen, next: b.op('Add', [seen, b.constant(1)]) });
    const kept = b.op('Min', [b.constant(decay), b.op('Div', [seen, b.op('Add', [seen, b.constant(warmth)])])]);
    this.#share = [kept, b.op('Sub', [b.constant(1), kept])];
  }

  watch(value: string, amax: number): void {
    this.#watched.set(value, amax);
  }

  rewrite(): Graph {
    for (const { name } of this.#graph.inputs) this.#observe(name);
    for (const node of this.#graph.nodes) {
      const inputs = node.inputs.map((name, index) => this.#quantized(name, this.#reads.get(`${node.name}|${index}`)));
      this.#builder.nodes.push({ ...node, inputs });
      for (const name of node.outputs) this.#observe(name);
    }
    return this.#builder.graph();
  }

  /** range ← decay·range + (1 − decay)·max|x| of this batch. */
  #observe(value: string): void {
    const amax = this.#watched.get(value);
    if (amax === undefined) return;
    const b = this.#builder;
    const range = b.weight(rangeOf(value), f32([], [amax]));
    const most = b.op('ReduceMax', [b.op('Abs', [value])], { keepdims: int(0) });
    const next = b.op('Add', [b.op('Mul', [range, this.#share[0]]), b.op('Mul', [most, this.#share[1]])]);
    this.running.push({ initializer: range, next });
    this.#scales.set(value, b.op('Div', [b.op('Max', [next, b.constant(2 ** -100)]), b.constant(127)]));
  }

  #quantized(name: string, read: QuantizedRead | undefined): string {
    if (!read) return name;
    const key = `${name}|${read.kind === 'weight' ? `axis ${read.axis}` : read.range}`;
    const known = this.#made.get(key);
    if (known !== undefined) return known;
    const b = this.#builder;
    const made =
      read.kind === 'weight'
        ? b.op('FakeQuantize', [name, this.#weightScale(name, read.axis)], { axis: int(read.axis), clipped: int(0) }, { domain: 'edge' })
        : b.op('FakeQuantize', [name, this.#scales.get(read.range) as string], {}, { domain: 'edge' });
    this.#made.set(key, made);
    return made;
  }

  #weightScale(weight: string, axis: number): string {
    const b = this.#builder;
    const rank = this.#graph.initializers.get(weight)?.dims.length ?? 0;
    const others = Array.from({ length: rank }, (_, k) => k).filter(k => k !== axis);
    const most = b.op('ReduceMax', [b.op('Abs', [weight])], { axes: ints(others), keepdims: int(0) });
    return b.op('Div', [b.op('Max', [most, b.constant(2 ** -100)]), b.constant(127)]);
  }
}

/** The plain network again, with the ranges it learnt in its metadata: they travel with it to export, cache and Q/DQ. */
export function learntNetwork(graph: Graph): Graph {
  const instead = new Map<string, string>();
  const nodes: Node[] = [];
  for (const node of graph.nodes) {
    if (node.domain === 'edge' && node.type === 'FakeQuantize') instead.set(node.outputs[0] as string, node.inputs[0] as string);
    else nodes.push({ ...node, inputs: node.inputs.map(name => instead.get(name) ?? name) });
  }
  const { edge: _, ...opsets } = graph.opsets;
  const ranges: Record<string, number> = {};
  for (const name of nodes.flatMap(node => node.outputs).concat(graph.inputs.map(input => input.name))) {
    const range = graph.initializers.get(rangeOf(name));
    if (range) ranges[name] = Number(range.data[0]);
  }
  return { ...removeUnused({ ...graph, nodes, opsets }), metadata: { ...graph.metadata, [metadataKey]: JSON.stringify(ranges) } };
}

/** The graph without learnt ranges: after other training or pruning they are another network's. */
export function withoutRanges(graph: Graph): Graph {
  const { [metadataKey]: _, ...metadata } = graph.metadata;
  return { ...graph, metadata };
}

/** The table that quantization-aware training left in an exported graph, or undefined: the same form as a calibration's, for the same consumers. */
export function learntRanges(graph: Graph): RangeTable | undefined {
  const text = graph.metadata[metadataKey];
  if (text === undefined) return undefined;
  const ranges = metadataSchema.parse(JSON.parse(text));
  const types = inferShapes(graph);
  const makers = new Map(graph.nodes.flatMap(node => node.outputs.map(name => [name, node] as const)));
  const order = [...graph.inputs.map(input => input.name), ...makers.keys()];
  const found = order.flatMap((name): ActivationRange[] => {
    const amax = ranges[name];
    const nonNegative = isNonNegative(graph, makers.get(name));
    return amax === undefined || !types.has(name) ? [] : [{ name, amax, min: nonNegative ? 0 : -amax, max: amax }];
  });
  return { schemaVersion: 1, recipe: { algorithm: 'qat' }, images: 0, ranges: found };
}

/** Whether a clamp at zero makes the value: onnxruntime then needs no zero point. */
const isNonNegative = (graph: Graph, maker: Node | undefined): boolean =>
  maker?.type === 'Relu' || (maker?.type === 'Clip' && Number(graph.initializers.get(maker.inputs[1] ?? '')?.data[0] ?? -1) >= 0);
