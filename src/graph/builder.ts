import { type Attributes, type DataType, type Dim, f32, type Graph, i64, type Node, sizeOf, type Tensor, type ValueInfo } from './ir.ts';

/** Opset of every graph we make ourselves: 17 loads in TensorRT 8.5+, onnxruntime and DeepStream 6.2+. */
export const defaultOpset = 17;

/** Makes a Graph node by node. Value names are unique; a name given twice is an error of the caller and throws. */
export class Builder {
  readonly nodes: Node[] = [];
  readonly initializers = new Map<string, Tensor>();
  readonly inputs: ValueInfo[] = [];
  readonly outputs: ValueInfo[] = [];
  readonly opsets: Record<string, number>;
  metadata: Record<string, string> = {};
  readonly #names = new Set<string>();
  readonly #constants = new Map<string, string>();
  readonly #counts = new Map<string, number>();
  name: string;

  constructor(name = 'graph', opsets: Readonly<Record<string, number>> = { '': defaultOpset }) {
    this.name = name;
    this.opsets = { ...opsets };
  }

  /** A builder that goes on from a graph (copying no tensor data). */
  static from(graph: Graph): Builder {
    const builder = new Builder(graph.name, graph.opsets);
    builder.nodes.push(...graph.nodes);
    for (const [name, tensor] of graph.initializers) builder.initializers.set(name, tensor);
    builder.inputs.push(...graph.inputs);
    builder.outputs.push(...graph.outputs);
    builder.metadata = { ...graph.metadata };
    for (const name of [...graph.initializers.keys(), ...graph.inputs.map(i => i.name), ...graph.nodes.flatMap(n => n.outputs)]) builder.#names.add(name);
    for (const node of graph.nodes) builder.#names.add(`node:${node.name}`);
    return builder;
  }

  /** A value name nobody has yet, starting with `stem`. */
  fresh(stem: string): string {
    let name = stem;
    while (this.#names.has(name)) {
      const count = (this.#counts.get(stem) ?? 0) + 1;
      this.#counts.set(stem, count);
      name = `${stem}_${count}`;
    }
    this.#names.add(name);
    return name;
  }

  #claim(name: string): string {
    if (this.#names.has(name)) throw new Error(`The value ${name} exists already.`);
    this.#names.add(name);
    return name;
  }

  input(name: string, dataType: DataType, dims: readonly Dim[]): string {
    this.inputs.push({ name: this.#claim(name), type: { dataType, dims } });
    return name;
  }

  output(name: string, dataType: DataType, dims: readonly Dim[]): string {
    this.outputs.push({ name, type: { dataType, dims } });
    return name;
  }

  /** A named weight. */
  weight(name: string, tensor: Tensor): string {
    this.initializers.set(this.#claim(name), tensor);
    return name;
  }

  /** A float32 constant; equal small ones share one initializer. */
  constant(value: number | readonly number[] | Float32Array, dims?: readonly number[]): string {
    const data = typeof value === 'number' ? [value] : value;
    const shape = dims ?? (typeof value === 'number' ? [] : [data.length]);
    return this.#shared('float32', shape, data, () => f32(shape, data instanceof Float32Array ? data : Float32Array.from(data)));
  }

  /** An int64 vector, as shapes and axes want it. */
  indices(values: readonly number[], dims: readonly number[] = [values.length]): string {
    return this.#shared('int64', dims, values, () => i64(values, dims));
  }

  #shared(type: string, dims: readonly number[], data: ArrayLike<number>, make: () => Tensor): string {
    const key = sizeOf(dims) <= 64 ? `${type}|${dims.join()}|${Array.from(data).join()}` : undefined;
    const known = key === undefined ? undefined : this.#constants.get(key);
    if (known !== undefined) return known;
    const name = this.fresh(type === 'int64' ? 'idx' : 'const');
    this.initializers.set(name, make());
    if (key !== undefined) this.#constants.set(key, name);
    return name;
  }

  /** Adds a node with one output and returns that output's name. */
  op(type: string, inputs: readonly string[], attributes: Attributes = {}, options: { readonly name?: string; readonly output?: string; readonly domain?: string } = {}): string {
    return this.ops(type, inputs, attributes, { ...options, outputs: options.output === undefined ? 1 : [options.output] })[0] as string;
  }

  /** Adds a node with several outputs (a count, or their names). */
  ops(
    type: string,
    inputs: readonly string[],
    attributes: Attributes = {},
    options: { readonly name?: string; readonly outputs?: number | readonly string[]; readonly domain?: string } = {},
  ): string[] {
    const { outputs = 1, domain = '' } = options;
    const name = options.name ?? this.fresh(`node:${type}`).slice(5);
    const names =
      typeof outputs === 'number' ? Array.from({ length: outputs }, () => this.fresh(`${name}_out`)) : outputs.map(output => (output === '' ? '' : this.#claim(output)));
    if (domain !== '' && this.opsets[domain] === undefined) this.opsets[domain] = 1;
    this.nodes.push({ name, type, domain, inputs, outputs: names, attributes });
    return names;
  }

  graph(): Graph {
    return {
      name: this.name,
      opsets: { ...this.opsets },
      nodes: [...this.nodes],
      initializers: new Map(this.initializers),
      inputs: [...this.inputs],
      outputs: [...this.outputs],
      metadata: { ...this.metadata },
    };
  }
}
