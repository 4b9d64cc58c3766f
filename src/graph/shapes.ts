import { EdgeError } from '../core/errors.ts';
import { bind, type Known, opsetOf, rowOf, smallIntegers } from './bind.ts';
import { type Dim, type Graph, i64, type Node, sizeOf, type Tensor, type TensorType } from './ir.ts';
import { fromF64, toF64 } from './numbers.ts';
import type { Bound, Operator } from './operator.ts';

/** What shape inference finds out. */
export interface Inferred extends Known {
  readonly types: ReadonlyMap<string, TensorType>;
  /** Every node with its row, in the graph's order. */
  readonly bound: readonly { readonly operator: Operator; readonly bound: Bound<unknown>; readonly outputs: readonly TensorType[] }[];
}

/** Integer results up to this size are computed while inferring, so that shape arithmetic becomes sizes. */
const computedElements = 4096;

const boundDim = (dim: Dim, bindings: Readonly<Record<string, number>>): Dim => (typeof dim === 'string' ? (bindings[dim] ?? dim) : dim);

/** Types of all values, bound nodes, and integer values that follow from shapes. Throws what a row's `shape` throws, or `operator-unsupported`. */
export function infer(graph: Graph, bindings: Readonly<Record<string, number>> = {}): Inferred {
  const types = new Map<string, TensorType>();
  const computed = new Map<string, Tensor>();
  const symbolic = new Map<string, readonly Dim[]>();
  for (const { name, type } of graph.inputs) types.set(name, { dataType: type.dataType, dims: type.dims.map(dim => boundDim(dim, bindings)) });
  for (const [name, { dataType, dims }] of graph.initializers) types.set(name, { dataType, dims });
  const constant = (name: string): Tensor | undefined => graph.initializers.get(name) ?? computed.get(name);
  const known: Known = { types, constant, values: name => symbolic.get(name) ?? smallIntegers(constant(name)) };
  const opset = opsetOf(graph);
  const bound: Inferred['bound'][number][] = [];
  for (const node of graph.nodes) {
    const missing = node.inputs.find(name => name !== '' && !types.has(name));
    if (missing !== undefined)
      throw new EdgeError('graph-invalid', `The node "${node.name}" reads "${missing}", which nothing makes.`, { hint: 'Export the model again.', where: { path: node.name } });
    const operator = rowOf(node, opset);
    const b = bind(node, operator, opset, known);
    const outputs = operator.shape(b);
    for (let k = 0; k < outputs.length; k++) {
      const name = node.outputs[k];
      if (name) types.set(name, outputs[k] as TensorType);
    }
    settle(node, operator, b, outputs, computed, symbolic);
    bound.push({ operator, bound: b, outputs });
  }
  return { types, bound, constant, values: known.values };
}

/** Notes the elements of a node's integer outputs where they are known. */
function settle(node: Node, operator: Operator, bound: Bound<unknown>, outputs: readonly TensorType[], computed: Map<string, Tensor>, symbolic: Map<string, readonly Dim[]>): void {
  const [name] = node.outputs;
  const type = outputs[0];
  if (!name || type === undefined) return;
  const partial = operator.partial?.(bound);
  if (partial !== undefined && partial.length <= computedElements) {
    if (!partial.every(dim => typeof dim === 'number')) symbolic.set(name, partial);
    else if (type.dims.every(d => typeof d === 'number'))
      computed.set(name, type.dataType === 'int64' ? i64(partial, type.dims) : fromF64({ dims: type.dims, data: Float64Array.from(partial) }, type.dataType));
    return;
  }
  const small = outputs.every(t => t.dims.every(d => typeof d === 'number') && sizeOf(t.dims as number[]) <= computedElements);
  const allKnown = node.inputs.every((input, k) => input === '' || (bound.constants[k] !== undefined && (bound.constants[k] as Tensor).data.length <= computedElements));
  if (!small || !allKnown || operator.folds === false) return;
  operator
    .reference(
      bound,
      bound.constants.map(tensor => tensor && toF64(tensor)),
    )
    .forEach((value, k) => {
      const output = node.outputs[k];
      if (output) computed.set(output, fromF64(value, (outputs[k] as TensorType).dataType));
    });
}

/** The type of every value of the graph, by name; `bindings` gives sizes to symbolic dims. Unbound sizes come out as names, or as expressions of names. */
export const inferShapes = (graph: Graph, bindings: Readonly<Record<string, number>> = {}): ReadonlyMap<string, TensorType> => infer(graph, bindings).types;
