import type { Builder } from '../../graph/builder.ts';
import { type Attributes, float, type Graph, int, ints, type Node, type TensorType, text } from '../../graph/ir.ts';
import { dimsOf, unique, words } from './_emit.ts';
import type { Layout } from './_layouts.ts';

export const nchwcDomain = 'com.microsoft.nchwc';

/** A blocked convolution not yet written, so that a residual, a ReLU or a clip that follows can ride on it for free. */
export interface Pending {
  readonly x: string;
  readonly weight: string;
  readonly bias?: string;
  readonly sum?: string;
  readonly attributes: Attributes;
}
export interface Activation {
  readonly kind: string;
  readonly parameters?: readonly number[];
}
/** A gradient known only as its interleaved parts: part (r, c) holds the elements ≡ (r, c) modulo the strides; undefined parts are zero. All blocked. */
export interface Phases {
  readonly strides: readonly [number, number];
  /** Size of one part. */
  readonly size: readonly [number, number];
  readonly parts: readonly (string | undefined)[];
}
interface Place {
  readonly at: Map<Layout, string>;
  pending?: Pending;
  phases?: Phases;
}

/** Where each value of the graph being lowered lies: in which layouts it exists already, and how to get it into another. */
export class Places {
  readonly builder: Builder;
  readonly block: number;
  readonly types: Map<string, TensorType>;
  readonly #places = new Map<string, Place>();
  readonly #uses = new Map<string, number>();
  readonly #producers = new Map<string, Node>();
  readonly #homes: ReadonlyMap<string, Layout>;
  readonly #made = new Map<string, string>();

  /** `homes`: the layout in which an input or output of the graph is stored, where that is not plain. */
  constructor(graph: Graph, builder: Builder, types: ReadonlyMap<string, TensorType>, block: number, homes: ReadonlyMap<string, Layout>) {
    this.builder = builder;
    this.block = block;
    this.types = new Map(types);
    this.#homes = homes;
    for (const node of graph.nodes) {
      for (const output of node.outputs) this.#producers.set(output, node);
      for (const input of node.inputs) this.#uses.set(input, (this.#uses.get(input) ?? 0) + 1);
    }
    for (const output of graph.outputs) this.#uses.set(output.name, (this.#uses.get(output.name) ?? 0) + 1);
    for (const name of [...graph.inputs.map(input => input.name), ...graph.initializers.keys()]) this.set(name, homes.get(name) ?? 'plain', name);
  }

  dims(name: string): readonly number[] {
    return dimsOf(this.types, name);
  }
  /** Count rounded up to whole blocks. */
  padded(channels: number): number {
    return Math.ceil(channels / this.block) * this.block;
  }
  producer(name: string): Node | undefined {
    return this.#producers.get(name);
  }
  usedOnce(name: string): boolean {
    return this.#uses.get(name) === 1;
  }
  isUsed(name: string | undefined): name is string {
    return name !== undefined && name !== '' && (this.#uses.get(name) ?? 0) > 0;
  }
  constant(name: string | undefined): ArrayLike<number> | undefined {
    const tensor = name === undefined ? undefined : this.builder.initializers.get(name);
    return tensor === undefined ? undefined : Array.from(tensor.data as ArrayLike<number | bigint>, Number);
  }

  #place(name: string): Place {
    let place = this.#places.get(name);
    if (!place) {
      place = { at: new Map() };
      this.#places.set(name, place);
    }
    return place;
  }
  /** True where the value exists only outside plain layout (so that going on without leaving it is cheaper). */
  isBlocked(name: string): boolean {
    const place = this.#places.get(name);
    return place !== undefined && !place.at.has('plain') && (place.at.has('blocked') || place.pending !== undefined || place.phases !== undefined);
  }
  /** The weight layout in which a value exists and not in plain, if any. */
  weightLayout(name: string): 'matrix' | 'vector' | undefined {
    const at = this.#places.get(name)?.at;
    if (!at || at.has('plain')) return undefined;
    return at.has('matrix') ? 'matrix' : at.has('vector') ? 'vector' : undefined;
  }

  /** The name that the value `name` gets where it is written in `layout`: its own in its home layout, a fresh one elsewhere. */
  claim(name: string, layout: Layout): string {
    if ((this.#homes.get(name) ?? 'plain') === layout) return name;
    const fresh = unique(this.builder, `${name}.${layout}`);
    const type = this.types.get(name);
    if (layout === 'plain' && type) this.types.set(fresh, type);
    return fresh;
  }
  set(name: string, layout: Layout, value: string): void {
    this.#place(name).at.set(layout, value);
  }
  setPending(name: string, pending: Pending): void {
    this.#place(name).pending = pending;
  }
  setPhases(name: string, phases: Phases): void {
    this.#place(name).phases = phases;
  }
  /** A pending convolution that only the caller reads, to go on with. */
  takePending(name: string): Pending | undefined {
    const place = this.#places.get(name);
    return place?.pending && place.at.size === 0 && this.usedOnce(name) ? place.pending : undefined;
  }
  takePhases(name: string): Phases | undefined {
    const place = this.#places.get(name);
    return place?.phases && place.at.size === 0 && this.usedOnce(name) ? place.phases : undefined;
  }

  /** Writes `key` once. */
  once(key: string, make: () => string): string {
    const known = this.#made.get(key);
    if (known !== undefined) return known;
    const value = make();
    this.#made.set(key, value);
    return value;
  }

  /** Writes a pending convolution, with an activation on it, as the value `name`. */
  write(name: string, pending: Pending, activation?: Activation): void {
    const { ops } = words(this.builder);
    const inputs = [pending.x, pending.weight, pending.bias ?? '', pending.sum ?? ''];
    while (inputs.at(-1) === '') inputs.pop();
    const attributes: Attributes = {
      ...pending.attributes,
      ...(activation ? { activation: text(activation.kind) } : {}),
      ...(activation?.parameters ? { activation_params: { type: 'floats', value: activation.parameters } } : {}),
    };
    const [value = ''] = ops('Conv', inputs, attributes, [this.claim(name, 'blocked')], nchwcDomain);
    this.set(name, 'blocked', value);
  }

  /** The value in `layout`, converted where it is not there yet. */
  in(name: string, layout: Layout): string {
    const place = this.#places.get(name);
    if (!place) throw new Error(`The value ${name} is read before it is written.`);
    const known = place.at.get(layout);
    if (known !== undefined) return known;
    if (place.pending && !place.at.has('blocked')) {
      this.write(name, place.pending);
      return this.in(name, layout);
    }
    if (place.phases && !place.at.has('blocked')) {
      this.set(name, 'blocked', this.#merge(name, place.phases));
      return this.in(name, layout);
    }
    const value = layout === 'plain' ? this.#toPlain(name, place) : this.#fromPlain(name, layout);
    place.at.set(layout, value);
    return value;
  }
  plain(name: string): string {
    return this.in(name, 'plain');
  }
  blocked(name: string): string {
    return this.in(name, 'blocked');
  }

  #merge(name: string, { strides, size, parts }: Phases): string {
    const { op, reshape, slice } = words(this.builder);
    const [n = 1, channels = 1, height = 1, width = 1] = this.dims(name);
    const rows = n * (this.padded(channels) / this.block);
    const zero = () => op('ConstantOfShape', [this.builder.indices([rows * size[0], size[1], this.block])]);
    const lines = Array.from({ length: strides[0] }, (_, r) => {
      const cells = Array.from({ length: strides[1] }, (_, c) => {
        const part = parts[r * strides[1] + c];
        return part === undefined ? zero() : reshape(part, [rows * size[0], size[1], this.block]);
      });
      const joined = cells.length === 1 ? (cells[0] as string) : op('Concat', cells, { axis: int(2) });
      return reshape(joined, [rows, size[0], strides[1] * size[1] * this.block]);
    });
    let whole = lines.length === 1 ? (lines[0] as string) : op('Concat', lines, { axis: int(2) });
    const full = [size[0] * strides[0], size[1] * strides[1]] as const;
    if (full[0] !== height || full[1] !== width) {
      whole = slice(reshape(whole, [rows, full[0], full[1], this.block]), [0, 0], [height, width], [1, 2]);
    }
    return reshape(whole, [n, this.padded(channels), height, width], this.claim(name, 'blocked'));
  }

  #toPlain(name: string, place: Place): string {
    const { op, reshape, slice, transpose } = words(this.builder);
    const dims = this.dims(name);
    const out = this.claim(name, 'plain');
    const blocked = place.at.get('blocked');
    if (blocked !== undefined) return op('ReorderOutput', [blocked], { channels: int(dims[1] ?? 1) }, out, nchwcDomain);
    const channel = place.at.get('channel');
    if (channel !== undefined) return slice(channel, [0], [dims[0] ?? 1], [0], undefined, out);
    const [o = 1, i = 1, kh = 1, kw = 1] = dims;
    const b = this.block;
    const matrix = place.at.get('matrix');
    const vector = place.at.get('vector');
    const source = matrix ?? vector;
    if (source === undefined) throw new Error(`The value ${name} exists in no layout.`);
    const inputs = matrix === undefined ? i : this.padded(i);
    const view =
      matrix === undefined
        ? transpose(reshape(source, [this.padded(o) / b, i * kh * kw, b]), [0, 2, 1])
        : transpose(reshape(source, [this.padded(o) / b, inputs / b, kh * kw, b, b]), [0, 3, 1, 4, 2]);
    const whole = [this.padded(o), inputs, kh, kw];
    if (whole[0] === o && inputs === i) return reshape(view, dims, out);
    return slice(reshape(view, whole), [0, 0], [o, i], [0, 1], undefined, out);
  }

  #fromPlain(name: string, layout: Layout): string {
    const { op, reshape, pad, transpose } = words(this.builder);
    const dims = this.dims(name);
    const plain = this.plain(name);
    const out = this.claim(name, layout);
    const b = this.block;
    if (layout === 'channel') {
      const missing = this.padded(dims[0] ?? 1) - (dims[0] ?? 1);
      return missing === 0 ? plain : op('Concat', [plain, this.builder.constant(new Float32Array(missing))], { axis: int(0) }, out);
    }
    if (layout === 'blocked') {
      const missing = this.padded(dims[1] ?? 1) - (dims[1] ?? 1);
      return op('ReorderInput', [missing === 0 ? plain : pad(plain, [0, 0, 0, 0], [0, missing, 0, 0])], {}, out, nchwcDomain);
    }
    const [o = 1, i = 1, kh = 1, kw = 1] = dims;
    const [outputs, inputs] = [this.padded(o), layout === 'matrix' ? this.padded(i) : i];
    const whole = outputs === o && inputs === i ? plain : pad(plain, [0, 0, 0, 0], [outputs - o, inputs - i, 0, 0]);
    const view =
      layout === 'matrix'
        ? transpose(reshape(whole, [outputs / b, b, inputs / b, b, kh * kw]), [0, 2, 4, 1, 3])
        : transpose(reshape(whole, [outputs / b, b, i * kh * kw]), [0, 2, 1]);
    return reshape(view, [outputs, inputs, kh, kw], out);
  }
}

/** Attributes of a blocked 1×1 convolution per channel: x·weight + bias (+ sum) in one pass. */
export const perChannelAttributes = (channels: number): Attributes => ({ group: int(channels), kernel_shape: ints([1, 1]), strides: ints([1, 1]), pads: ints([0, 0, 0, 0]) });
export const hardSigmoid = (alpha: number, beta: number): Attributes => ({ alpha: float(alpha), beta: float(beta) });
