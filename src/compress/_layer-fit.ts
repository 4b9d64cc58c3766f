import { openSession, type Session } from '../compute/session.ts';
import { writeOnnx } from '../formats/onnx.ts';
import { Builder } from '../graph/builder.ts';
import { f32, int, type Tensor } from '../graph/ir.ts';
import type { tapsOf } from '../graph/ops/convolution.ts';
import type { constantOf } from './absorb.ts';
import type { Layer } from './importance.ts';
import { choleskyInPlace, solved } from './least-squares.ts';

/** A convolution of the pruned network that is fitted anew: where it reads and writes, and which of the whole network's channels its outputs are. */
export interface Fit {
  readonly layer: Layer;
  readonly weight: Tensor;
  readonly input: readonly number[];
  readonly kept: readonly number[];
  readonly taps: ReturnType<typeof tapsOf>;
  /** Cells of one image that enter the fit. */
  readonly cells: number;
  readonly constant: ReturnType<typeof constantOf>;
}

/** Ridge, in mean squares of what a layer reads: pulls towards the weights that pruning left. */
const ridge = 0.01;

/** What the reading side of a fit gathers: filter by filter, how its taps and its constant (the last) must change. */
export interface Sums {
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
export class DenseSums implements Sums {
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
export class DepthwiseSums implements Sums {
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
export function* fitted(initializers: ReadonlyMap<string, Tensor>, { layer, weight, constant }: Fit, changes: readonly Float64Array[]): Generator<readonly [string, Tensor]> {
  const size = weight.data.length / changes.length;
  const at = (index: number) => changes[Math.floor(index / size)]?.[index % size] as number;
  yield [layer.weight, { ...weight, data: Float32Array.from(weight.data as Float32Array, (old, index) => old + at(index)) }];
  if (constant === undefined) return;
  const tensor = initializers.get(constant.name) as Tensor;
  const data = Float32Array.from(tensor.data as Float32Array, (old, filter) => old + constant.sign * (changes[filter]?.[size] as number));
  yield [constant.name, { ...tensor, data }];
}
