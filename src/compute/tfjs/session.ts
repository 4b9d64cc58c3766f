import { EdgeError } from '../../core/errors.ts';
import { type DataType, type Graph, sizeOf, type Tensor } from '../../graph/ir.ts';
import { fromF64 } from '../../graph/numbers.ts';
import { infer } from '../../graph/shapes.ts';
import { inTurn, type Tensors, wantAll } from '../_state.ts';
import type { TfjsPackage } from '../choose.ts';
import type { StateSlot } from '../lowering.ts';
import type { StatefulSession } from '../stateful-session.ts';
import { type Call, type Kernel, loadTfjs, type Tf, type TfTensor, upload } from './_api.ts';
import { plainKernels } from './_elementwise.ts';
import { windowKernels } from './_windows.ts';

const kernels: Readonly<Record<string, Kernel>> = { ...plainKernels, ...windowKernels };

/** A graph that tfjs computes node by node, internal operators included; its state stays on the backend. */
export interface TfjsSession extends StatefulSession {
  /** The package that computes, and the name of its backend. */
  readonly from: TfjsPackage;
  readonly backend: string;
  /** Types of operators (so far) that tfjs has no kernel for: the float64 reference computed them on the processor. */
  readonly byReference: ReadonlySet<string>;
}

/** Opens a graph in the best tfjs that is installed. Shapes must be concrete. Throws `engine-missing` where no tfjs loads. */
export async function openTfjs(graph: Graph, { state }: { readonly state: readonly StateSlot[] }): Promise<TfjsSession> {
  const { tf, from } = await loadTfjs();
  const walk = new Walk(tf, graph);
  const moved = new Set(state.map(slot => slot.output));
  let now = new Map<string, TfTensor>();
  let before = now;
  const release = (values: ReadonlyMap<string, TfTensor>, kept: ReadonlyMap<string, TfTensor>) => {
    for (const [name, tensor] of values) if (kept.get(name) !== tensor) tensor.dispose();
  };
  const run: StatefulSession['run'] = async feeds => {
    const given = new Map(graph.inputs.filter(({ name }) => !now.has(name)).map(({ name }): [string, TfTensor] => [name, upload(tf, needed(feeds, name))]));
    const results = walk.run(new Map([...given, ...now]));
    release(given, new Map());
    release(before, now);
    before = now;
    now = new Map(state.map(slot => [slot.input, results.get(slot.output) as TfTensor]));
    const answers = graph.outputs.filter(({ name }) => !moved.has(name)).map(({ name, type }): [string, Tensor] => [name, download(results.get(name) as TfTensor, type.dataType)]);
    for (const { name } of graph.outputs) if (!moved.has(name)) results.get(name)?.dispose();
    return new Map(answers);
  };
  return {
    from,
    backend: tf.getBackend(),
    byReference: walk.byReference,
    run,
    runMany: inTurn(run),
    async load(values) {
      wantAll(state, values);
      release(before, now);
      release(now, new Map());
      now = new Map(state.map(({ input }) => [input, upload(tf, values.get(input) as Tensor)]));
      before = now;
    },
    save: async (when = 'now') => new Map([...(when === 'now' ? now : before)].map(([name, tensor]) => [name, download(tensor, 'float32')])),
    async close() {
      release(before, now);
      release(now, new Map());
      walk.close();
    },
  };
}

function needed(feeds: Tensors, name: string): Tensor {
  const tensor = feeds.get(name);
  if (tensor !== undefined && sizeOf(tensor.dims) === tensor.data.length) return tensor;
  throw new EdgeError('shape-mismatch', `The input ${name} was not given, or holds another number of values than its shape says.`, {
    hint: 'Feed every input that the session lists.',
  });
}
const download = (tensor: TfTensor, dataType: DataType): Tensor => fromF64({ dims: [...tensor.shape], data: Float64Array.from(tensor.dataSync()) }, dataType);

/** Nodes in order, each value freed after its last reader. */
class Walk {
  readonly byReference = new Set<string>();
  readonly #tf: Tf;
  readonly #graph: Graph;
  readonly #inferred: ReturnType<typeof infer>;
  readonly #constants = new Map<string, TfTensor>();
  /** What nobody reads after node i. */
  readonly #dead: readonly (readonly string[])[];

  constructor(tf: Tf, graph: Graph) {
    this.#tf = tf;
    this.#graph = graph;
    this.#inferred = infer(graph);
    const lastly = new Map<string, number>();
    for (const [at, { bound }] of this.#inferred.bound.entries()) for (const name of [...bound.node.inputs, ...bound.node.outputs]) lastly.set(name, at);
    for (const name of ['', ...graph.inputs.map(input => input.name), ...graph.outputs.map(output => output.name)]) lastly.delete(name);
    const dead = this.#inferred.bound.map((): string[] => []);
    for (const [name, at] of lastly) if (this.#inferred.constant(name) === undefined) dead[at]?.push(name);
    this.#dead = dead;
  }

  /** Every output of the graph, for the caller to dispose. */
  run(feeds: ReadonlyMap<string, TfTensor>): ReadonlyMap<string, TfTensor> {
    const values = new Map(feeds);
    const read = (name: string): TfTensor | undefined => (name === '' ? undefined : (values.get(name) ?? this.#constant(name)));
    for (const [at, { bound, operator, outputs }] of this.#inferred.bound.entries()) {
      const { node } = bound;
      if (node.outputs.every(name => name === '' || this.#inferred.constant(name) !== undefined)) continue;
      const x = node.inputs.map(name => read(name) as TfTensor);
      const call: Call = { tf: this.#tf, x, bound, dims: outputs.map(type => type.dims as number[]) };
      const results = this.#tf.tidy(() => {
        const made = kernels[node.type]?.(call);
        if (made !== undefined) return Array.isArray(made) ? (made as TfTensor[]) : [made as TfTensor];
        this.byReference.add(node.type);
        const inputs = x.map(value => value && { dims: [...value.shape], data: Float64Array.from(value.dataSync()) });
        return operator.reference(bound, inputs).map((value, k) => upload(this.#tf, fromF64(value, outputs[k]?.dataType ?? 'float32')));
      });
      for (const [k, name] of node.outputs.entries())
        if (name !== '') values.set(name, results[k] as TfTensor);
        else results[k]?.dispose();
      for (const name of this.#dead[at] ?? []) {
        values.get(name)?.dispose();
        values.delete(name);
      }
    }
    return new Map(this.#graph.outputs.map(({ name }) => [name, feeds.has(name) ? (values.get(name) as TfTensor).clone() : (read(name) as TfTensor)]));
  }

  #constant(name: string): TfTensor | undefined {
    const known = this.#constants.get(name);
    const tensor = known === undefined ? this.#inferred.constant(name) : undefined;
    if (tensor === undefined) return known;
    const made = upload(this.#tf, tensor);
    this.#constants.set(name, made);
    return made;
  }

  close(): void {
    for (const tensor of this.#constants.values()) tensor.dispose();
    this.#constants.clear();
  }
}
