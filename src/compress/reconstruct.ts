import { openSession, type Session } from '../compute/session.ts';
import { writeOnnx } from '../formats/onnx.ts';
import { Builder } from '../graph/builder.ts';
import { f32, type Graph, int, type Node, type Tensor } from '../graph/ir.ts';
import { keptChannelsOf } from '../graph/kept-channels.ts';
import { tapsOf } from '../graph/ops/convolution.ts';
import { inferShapes } from '../graph/shapes.ts';
import { constantOf, isAlone } from './absorb.ts';
import { sampledCells } from './activation-statistics.ts';
import { channelClasses } from './channel-groups.ts';
import { type Layer, layersOf } from './importance.ts';
import { choleskyInPlace, solved } from './least-squares.ts';

type Feeds = ReadonlyMap<string, Tensor>;
export interface ReconstructOptions {
  readonly threads?: number;
  readonly signal?: AbortSignal;
  /** Images that went through, of all passes: one through the whole network, one up to each layer. */
  readonly onImages?: (done: number, total: number) => void;
}

/** A convolution of the pruned network that is fitted anew: where it reads and writes, and which of the whole network's channels its outputs are. */
interface Fit {
  readonly layer: Layer;
  readonly node: Node;
  readonly weight: Tensor;
  readonly input: readonly number[];
  readonly kept: readonly number[];
  readonly taps: ReturnType<typeof tapsOf>;
  /** Cells of one image that enter the fit. */
  readonly cells: number;
  readonly constant: ReturnType<typeof constantOf>;
}

/** Samples for each unknown of a filter: with fewer a fit tells more of the images than of the network. */
const [samplesPerUnknown, leastPerUnknown] = [32, 4];
/** Ridge, in mean squares of what a layer reads: pulls towards the weights that pruning left. */
const ridge = 0.01;

/**
 * The pruned graph with its convolutions fitted, from the first to the last, to say what the whole network's say: each by least squares over images, from what the pruned
 * network itself gives it to read, so that a layer also mends what those before it got wrong (He et al. 2017 "Channel Pruning", §3.2). Where a batch norm
 * follows, before it. Unchanged where nothing was pruned. `images` hold one image each and go through once for every layer.
 */
export async function reconstruct(pruned: Graph, whole: Graph, images: readonly Feeds[], options: ReconstructOptions = {}): Promise<Graph> {
  const fits = fitsOf(pruned, whole, images.length);
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
    const input = fit.node.inputs[0] as string;
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
  const isCut = (value: string, axis: number) => (classes.dimsOf(value)[axis] ?? 0) !== types.get(value)?.dims[axis];
  return pruned.nodes.flatMap(node => {
    const layer = layers.get(node);
    const input = node.inputs[0] as string;
    // What a layer that still reads all its channels says of the kept ones is right as it is; a depthwise one reads no others.
    const reads = node.inputs.some(value => differs.has(value)) || (layer !== undefined && !layer.depthwise && isCut(input, 1));
    if (!reads) return [];
    for (const value of node.outputs) differs.add(value);
    if (layer === undefined || node.type !== 'Conv' || !isAlone(pruned, layer.weight)) return [];
    const weight = pruned.initializers.get(layer.weight) as Tensor;
    const dims = [1, ...(types.get(input)?.dims.slice(1) ?? [])];
    if (!dims.every(dim => typeof dim === 'number') || (!layer.depthwise && weight.dims[1] !== dims[1])) return [];
    const kept = Array.from({ length: classes.dimsOf(layer.output)[1] ?? 0 }, (_, channel) => channel).filter(channel => !removed.has(classes.classOf(layer.output, 1, channel)));
    const taps = tapsOf(node, dims, weight.dims);
    const unknowns = (layer.depthwise ? 1 : (weight.dims[1] as number)) * taps.taps + 1;
    const cells = Math.min(taps.places, Math.max(16, Math.ceil((samplesPerUnknown * unknowns) / images)));
    if (cells * images < leastPerUnknown * unknowns || kept.length !== weight.dims[0]) return [];
    return [{ layer, node, weight, input: dims, kept, taps, cells, constant: constantOf(pruned, node) }];
  });
}

async function over(
  graph: Graph,
  values: readonly string[],
  images: readonly Feeds[],
  { threads }: ReconstructOptions,
  visit: (values: ReadonlyMap<string, Tensor>, image: number) => void | Promise<void>,
): Promise<void> {
  const types = inferShapes(graph);
  const outputs = values.flatMap(name => {
    const type = types.get(name);
    return type ? [{ name, type }] : [];
  });
  const session = await openSession(writeOnnx({ ...graph, outputs }), threads === undefined ? {} : { threads });
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

/** What the reading side of a fit gathers: filter by filter, how its taps and its constant (the last) must change. */
interface Sums {
  /** Adds the sampled cells of one image: what the layer reads, and a row of wanted outputs for each cell. */
  add(read: Float32Array, cells: readonly number[], wanted: Float32Array): void | Promise<void>;
  changes(initializers: ReadonlyMap<string, Tensor>): readonly Float64Array[] | Promise<readonly Float64Array[]>;
}

/** A filter's taps and its constant as they are: the constant is 0 behind a batch norm, whose mean takes the change. */
function present({ weight, constant }: Fit, initializers: ReadonlyMap<string, Tensor>, filter: number): Float64Array {
  const size = weight.data.length / (weight.dims[0] as number);
  const bias = constant?.sign === 1 ? (initializers.get(constant.name)?.data[filter] as number) : 0;
  return Float64Array.of(...(weight.data as Float32Array).subarray(filter * size, (filter + 1) * size), bias);
}

/** Δ of (XᵀX + ridge)·Δ = Xᵀy − XᵀX·w. The constant has no ridge; without a place for it, it stays. */
function solve(products: Float64Array, right: readonly Float64Array[], now: readonly Float64Array[], withConstant: boolean): Float64Array[] {
  const n = (now[0] as Float64Array).length;
  const rest = right.map((side, filter) =>
    side.map((value, row) => {
      let sum = value;
      for (let column = 0; column < n; column++) sum -= (products[row * n + column] as number) * (now[filter]?.[column] as number);
      return sum;
    }),
  );
  const matrix = products.slice();
  let trace = 0;
  for (let i = 0; i < n - 1; i++) trace += matrix[i * n + i] as number;
  for (let i = 0; i < n - 1; i++) matrix[i * n + i] = (matrix[i * n + i] as number) + (ridge * trace) / (n - 1) + 1e-9;
  if (!withConstant) {
    for (let i = 0; i < n; i++) matrix[(n - 1) * n + i] = matrix[i * n + n - 1] = i === n - 1 ? 1 : 0;
    for (const side of rest) side[n - 1] = 0;
  }
  choleskyInPlace(matrix, n);
  return rest.map(side => solved(matrix, side));
}

/** Every filter reads every channel: one matrix for all, multiplied by onnxruntime a thousand rows at a time and summed in float64. */
class DenseSums implements Sums {
  static readonly rows = 1024;
  readonly #fit: Fit;
  readonly #unknowns: number;
  readonly #x: Float32Array;
  readonly #y: Float32Array;
  readonly #products: Float64Array;
  readonly #right: Float64Array;
  readonly #model: Uint8Array;
  #session: Session | undefined;
  #filled = 0;

  constructor(fit: Fit) {
    this.#fit = fit;
    this.#unknowns = (fit.weight.dims[1] as number) * fit.taps.taps + 1;
    this.#x = new Float32Array(DenseSums.rows * this.#unknowns);
    this.#y = new Float32Array(DenseSums.rows * fit.kept.length);
    this.#products = new Float64Array(this.#unknowns ** 2);
    this.#right = new Float64Array(this.#unknowns * fit.kept.length);
    const builder = new Builder('products');
    for (const name of ['x', 'y']) builder.input(name, 'float32', ['rows', name === 'x' ? this.#unknowns : fit.kept.length]);
    for (const [name, other] of [
      ['products', 'x'],
      ['right', 'y'],
    ] as const) {
      builder.op('Gemm', ['x', other], { transA: int(1) }, { output: name });
      builder.output(name, 'float32', [this.#unknowns, other === 'x' ? this.#unknowns : fit.kept.length]);
    }
    this.#model = writeOnnx(builder.graph());
  }

  async add(read: Float32Array, cells: readonly number[], wanted: Float32Array): Promise<void> {
    const { input, taps, kept } = this.#fit;
    const plane = read.length / (input[1] as number);
    for (const [row, cell] of cells.entries()) {
      let at = this.#filled * this.#unknowns;
      for (let start = 0; start < read.length; start += plane)
        for (let tap = 0; tap < taps.taps; tap++) {
          const place = taps.table[tap * taps.places + cell] as number;
          this.#x[at++] = place < 0 ? 0 : (read[start + place] as number);
        }
      this.#x[at] = 1;
      this.#y.set(wanted.subarray(row * kept.length, (row + 1) * kept.length), this.#filled * kept.length);
      if (++this.#filled === DenseSums.rows) await this.#flush();
    }
  }

  async #flush(): Promise<void> {
    const rows = this.#filled;
    this.#filled = 0;
    if (rows === 0) return;
    const feed = (data: Float32Array) => f32([rows, data.length / DenseSums.rows], data.subarray(0, (rows * data.length) / DenseSums.rows));
    this.#session ??= await openSession(this.#model);
    const out = await this.#session.run(
      new Map([
        ['x', feed(this.#x)],
        ['y', feed(this.#y)],
      ]),
    );
    for (const [name, sum] of [
      ['products', this.#products],
      ['right', this.#right],
    ] as const) {
      const data = out.get(name)?.data as Float32Array;
      for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (data[i] as number);
    }
  }

  async changes(initializers: ReadonlyMap<string, Tensor>): Promise<readonly Float64Array[]> {
    await this.#flush();
    await this.#session?.close();
    const filters = Array.from(this.#fit.kept.keys());
    const right = filters.map(filter => Float64Array.from({ length: this.#unknowns }, (_, row) => this.#right[row * filters.length + filter] as number));
    const now = filters.map(filter => present(this.#fit, initializers, filter));
    return solve(this.#products, right, now, this.#fit.constant !== undefined);
  }
}

/** Every filter reads one channel: a small matrix for each. */
class DepthwiseSums implements Sums {
  readonly #fit: Fit;
  readonly #unknowns: number;
  readonly #products: readonly Float64Array[];
  readonly #right: readonly Float64Array[];

  constructor(fit: Fit) {
    this.#fit = fit;
    this.#unknowns = fit.taps.taps + 1;
    this.#products = fit.kept.map(() => new Float64Array(this.#unknowns ** 2));
    this.#right = fit.kept.map(() => new Float64Array(this.#unknowns));
  }

  add(read: Float32Array, cells: readonly number[], wanted: Float32Array): void {
    const { input, taps, kept } = this.#fit;
    const channels = input[1] as number;
    const plane = read.length / channels;
    const x = new Float64Array(this.#unknowns).fill(1);
    for (const [row, cell] of cells.entries())
      for (const filter of kept.keys()) {
        const start = Math.floor((filter * channels) / kept.length) * plane;
        for (let tap = 0; tap < taps.taps; tap++) {
          const place = taps.table[tap * taps.places + cell] as number;
          x[tap] = place < 0 ? 0 : (read[start + place] as number);
        }
        const [products, right] = [this.#products[filter] as Float64Array, this.#right[filter] as Float64Array];
        const y = wanted[row * kept.length + filter] as number;
        for (let i = 0; i < x.length; i++) {
          const a = x[i] as number;
          right[i] = (right[i] as number) + a * y;
          for (let j = 0; j < x.length; j++) products[i * x.length + j] = (products[i * x.length + j] as number) + a * (x[j] as number);
        }
      }
  }

  changes(initializers: ReadonlyMap<string, Tensor>): readonly Float64Array[] {
    return this.#products.flatMap((products, filter) =>
      solve(products, [this.#right[filter] as Float64Array], [present(this.#fit, initializers, filter)], this.#fit.constant !== undefined),
    );
  }
}

/** The weight, and the constant where there is a place for one, after their changes. */
function* fitted(initializers: ReadonlyMap<string, Tensor>, { layer, weight, constant }: Fit, changes: readonly Float64Array[]): Generator<readonly [string, Tensor]> {
  const size = weight.data.length / changes.length;
  const at = (index: number) => changes[Math.floor(index / size)]?.[index % size] as number;
  yield [layer.weight, { ...weight, data: Float32Array.from(weight.data as Float32Array, (old, index) => old + at(index)) }];
  if (constant === undefined) return;
  const tensor = initializers.get(constant.name) as Tensor;
  const data = Float32Array.from(tensor.data as Float32Array, (old, filter) => old + constant.sign * (changes[filter]?.[size] as number));
  yield [constant.name, { ...tensor, data }];
}
