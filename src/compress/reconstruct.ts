import { openSession } from '../compute/session.ts';
import { writeOnnx } from '../formats/onnx.ts';
import type { Graph, Tensor } from '../graph/ir.ts';
import { keptChannelsOf } from '../graph/kept-channels.ts';
import { tapsOf } from '../graph/ops/convolution.ts';
import { inferShapes } from '../graph/shapes.ts';
import { DenseSums, DepthwiseSums, type Fit, fitted } from './_layer-fit.ts';
import { constantOf, isAlone } from './absorb.ts';
import { sampledCells, withOutputs } from './activation-statistics.ts';
import { channelClasses } from './channel-groups.ts';
import { layersOf } from './importance.ts';

type Feeds = ReadonlyMap<string, Tensor>;
export interface ReconstructOptions {
  readonly threads?: number;
  readonly signal?: AbortSignal;
  /** Images that went through, of all passes: one through the whole network, one up to each layer. */
  readonly onImages?: (done: number, total: number) => void;
}

/** Samples for each unknown of a filter: with fewer a fit tells more of the images than of the network, and neighbouring cells say much the same. */
const [samplesPerUnknown, leastPerUnknown] = [128, 4];
/** Samples of a layer at most: what it should say at each is held in memory. */
const mostSamples = 2 ** 16;

/**
 * The pruned graph with its convolutions fitted, from the first to the last, to say what the whole network's say: each by least squares over images, from what the pruned
 * network itself gives it to read, so that a layer also mends what those before it got wrong (He et al. 2017 "Channel Pruning", §3.2). Where a batch norm
 * follows, before it. The graph itself where nothing was pruned. `images` hold one image each and go through once for every layer.
 */
export async function reconstruct(pruned: Graph, whole: Graph, images: readonly Feeds[], options: ReconstructOptions = {}): Promise<Graph> {
  const fits = fitsOf(pruned, whole, images.length);
  if (fits.length === 0) return pruned;
  let passed = 0;
  const onImage = () => {
    options.signal?.throwIfAborted();
    options.onImages?.(++passed, images.length * (fits.length + 1));
  };
  const wanted = new Map(fits.map(fit => [fit.layer.output, [] as Float32Array[]]));
  await over(whole, [...wanted.keys()], images, options, (values, image) => {
    for (const fit of fits) wanted.get(fit.layer.output)?.push(cellsOf(values.get(fit.layer.output) as Tensor, fit, image));
    onImage();
  });
  const initializers = new Map(pruned.initializers);
  for (const fit of fits) {
    const input = fit.layer.node.inputs[0] as string;
    const sums = fit.layer.depthwise ? new DepthwiseSums(fit) : new DenseSums(fit);
    const targets = wanted.get(fit.layer.output) as Float32Array[];
    await over({ ...pruned, initializers }, [input], images, options, async (values, image) => {
      await sums.add((values.get(input) as Tensor).data as Float32Array, sampledCells(fit.taps.places, fit.cells, image), targets[image] as Float32Array);
      onImage();
    });
    wanted.delete(fit.layer.output);
    for (const [name, tensor] of fitted(initializers, fit, await sums.changes(initializers))) initializers.set(name, tensor);
  }
  return { ...pruned, initializers };
}

/** The convolutions that read something else than in the whole network: pruned values, or what comes of them. */
function fitsOf(pruned: Graph, whole: Graph, images: number): Fit[] {
  const classes = channelClasses(whole);
  const removed = new Set(
    Object.entries(keptChannelsOf(pruned)).flatMap(([value, { of, kept }]) => {
      const left = new Set(kept);
      return Array.from({ length: of }, (_, channel) => channel).flatMap(channel => (left.has(channel) ? [] : [classes.classOf(value, 1, channel)]));
    }),
  );
  const types = inferShapes(pruned);
  const layers = new Map(layersOf(pruned).map(layer => [layer.node, layer]));
  const differs = new Set<string>();
  const isCut = (value: string) => (classes.dimsOf(value)[1] ?? 0) !== types.get(value)?.dims[1];
  return pruned.nodes.flatMap(node => {
    const layer = layers.get(node);
    const input = node.inputs[0] as string;
    // What a layer that still reads all its channels says of the kept ones is right as it is; a depthwise one reads no others.
    const reads = node.inputs.some(value => differs.has(value)) || (layer !== undefined && !layer.depthwise && isCut(input));
    if (!reads) return [];
    for (const value of node.outputs) differs.add(value);
    if (layer === undefined || node.type !== 'Conv' || !isAlone(pruned, layer.weight)) return [];
    const weight = pruned.initializers.get(layer.weight) as Tensor;
    const dims = [1, ...(types.get(input)?.dims.slice(1) ?? [])];
    if (!dims.every(dim => typeof dim === 'number') || (!layer.depthwise && weight.dims[1] !== dims[1])) return [];
    const kept = Array.from({ length: classes.dimsOf(layer.output)[1] ?? 0 }, (_, channel) => channel).filter(channel => !removed.has(classes.classOf(layer.output, 1, channel)));
    const taps = tapsOf(node, dims, weight.dims);
    const unknowns = (layer.depthwise ? 1 : (weight.dims[1] as number)) * taps.taps + 1;
    const cells = Math.min(taps.places, Math.max(16, Math.ceil(Math.min(samplesPerUnknown * unknowns, mostSamples) / images)));
    if (cells * images < leastPerUnknown * unknowns || kept.length !== weight.dims[0]) return [];
    return [{ layer, weight, input: dims, kept, taps, cells, constant: constantOf(pruned, node) }];
  });
}

async function over(
  graph: Graph,
  values: readonly string[],
  images: readonly Feeds[],
  { threads }: ReconstructOptions,
  visit: (values: ReadonlyMap<string, Tensor>, image: number) => void | Promise<void>,
): Promise<void> {
  const session = await openSession(writeOnnx(withOutputs(graph, values)), threads === undefined ? {} : { threads });
  try {
    for (const [index, feeds] of images.entries()) await visit(await session.run(feeds), index);
  } finally {
    await session.close();
  }
}

/** The kept channels at the sampled cells of one image: a row for each cell. */
function cellsOf({ data }: Tensor, { kept, taps: { places }, cells }: Fit, image: number): Float32Array {
  const sampled = sampledCells(places, cells, image);
  const rows = new Float32Array(sampled.length * kept.length);
  for (const [row, cell] of sampled.entries())
    for (const [column, channel] of kept.entries()) rows[row * kept.length + column] = (data as Float32Array)[channel * places + cell] as number;
  return rows;
}
