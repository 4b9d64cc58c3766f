import { EdgeError } from '../core/errors.ts';
import { opsetOf } from './bind.ts';
import { Builder, defaultOpset } from './builder.ts';
import { type Graph, type Node, sizeOf } from './ir.ts';
import { isFloat } from './numbers.ts';
import { type Inferred, infer } from './shapes.ts';
import { atOpset17 } from './upgrade.ts';

export interface Differentiated {
  /** The graph with the gradients' nodes added; its outputs are as before. */
  readonly graph: Graph;
  /** Name in `wrt` → name of its gradient value, of the same shape. */
  readonly gradients: ReadonlyMap<string, string>;
}

const missing = (node: Node, cause?: unknown): EdgeError =>
  new EdgeError('gradient-missing', `${node.type} "${node.name}" has no gradient${cause instanceof EdgeError ? `: ${cause.message}` : '.'}`, {
    hint: `Freeze the layers up to "${node.name}" (freeze_blocks in the spec; model.freezeLayers or training.freeze in edgeforge.yaml), or cut the network before it (model.cut).`,
    where: { path: node.name },
    cause,
  });

/** Reverse-mode differentiation of the one-element value `loss` by the values `wrt` (initializers, inputs or inner values). Throws `gradient-missing` naming the node, or the value that the loss does not depend on. */
export function differentiate(given: Graph, { loss, wrt }: { readonly loss: string; readonly wrt: readonly string[] }): Differentiated {
  // Gradients are written in operators that opset 17 has; later opsets only have more.
  const graph = opsetOf(given) < defaultOpset ? atOpset17(given) : given;
  const inferred = infer(graph);
  const type = inferred.types.get(loss);
  if (type === undefined || sizeOf(type.dims.map(dim => (typeof dim === 'number' ? dim : Number.NaN))) !== 1)
    throw new EdgeError('graph-invalid', `The loss "${loss}" must be one number; it is ${type === undefined ? 'no value of the graph' : `[${type.dims}]`}.`, {
      hint: 'Reduce the loss with ReduceMean or ReduceSum.',
      where: { path: loss },
    });
  const reached = dependents(graph, new Set(wrt), inferred);
  const builder = Builder.from(graph);
  const parts = new Map<string, string[]>([[loss, [builder.constant([1], type.dims as number[])]]]);
  const settled = new Map<string, string>();
  /** A value's whole gradient: all its readers lie behind it in the graph, so by now every part is there. */
  const gradientOf = (name: string): string | undefined => {
    const known = settled.get(name);
    const found = parts.get(name);
    if (known !== undefined || found === undefined) return known;
    const whole = found.length === 1 ? (found[0] as string) : builder.op(found.length === 2 ? 'Add' : 'Sum', found);
    settled.set(name, whole);
    return whole;
  };
  for (const { operator, bound, outputs } of inferred.bound.toReversed()) {
    const { node } = bound;
    const wanted = node.inputs.map((name, k) => reached.has(name) && isFloat(bound.inputs[k]?.dataType ?? 'int64'));
    if (!wanted.includes(true) || !node.outputs.some(name => parts.has(name)) || operator.gradient === 'stop') continue;
    if (operator.gradient === 'missing') throw missing(node);
    const outputGradients = node.outputs.map(name => (name === '' ? undefined : gradientOf(name)));
    let inputs: readonly (string | undefined)[];
    try {
      inputs = operator.gradient({ bound, builder, outputs, outputGradients, wanted });
    } catch (cause) {
      throw cause instanceof EdgeError && (cause.code === 'operator-unsupported' || cause.code === 'limit-exceeded') ? missing(node, cause) : cause;
    }
    inputs.forEach((gradient, k) => {
      const name = node.inputs[k] as string;
      if (gradient !== undefined && wanted[k]) parts.set(name, [...(parts.get(name) ?? []), gradient]);
    });
  }
  const gradients = new Map<string, string>();
  for (const name of wrt) {
    const gradient = gradientOf(name);
    if (gradient === undefined)
      throw new EdgeError('gradient-missing', `The loss "${loss}" does not depend on "${name}".`, { hint: `Leave "${name}" out of what is trained.`, where: { path: name } });
    gradients.set(name, gradient);
  }
  return { graph: builder.graph(), gradients };
}

/** All float values that change when one of `from` changes. */
function dependents(graph: Graph, from: Set<string>, inferred: Inferred): ReadonlySet<string> {
  for (const node of graph.nodes) {
    if (!node.inputs.some(name => from.has(name))) continue;
    for (const name of node.outputs) if (isFloat(inferred.types.get(name)?.dataType ?? 'int64')) from.add(name);
  }
  return from;
}
