import { EdgeError } from '../core/errors.ts';
import type { Attribute, Dim, Graph, Node, Tensor, TensorType } from './ir.ts';
import { integersOf } from './numbers.ts';
import type { Bound, Operator } from './operator.ts';
import { operatorOf } from './ops/table.ts';

/** The opset a node of the graph follows (internal operators follow the main one). */
export const opsetOf = (graph: Pick<Graph, 'opsets'>): number => graph.opsets[''] ?? 1;

/** The row of a node; throws `operator-unsupported` naming the node. */
export function rowOf(node: Node, opset: number): Operator {
  const operator = operatorOf(node, opset);
  if (operator !== undefined) return operator;
  throw new EdgeError(
    'operator-unsupported',
    `The operator ${node.domain === '' ? '' : `${node.domain}::`}${node.type} of the node "${node.name}" is not known (opset ${opset}).`,
    {
      hint: 'Simplify the model (onnxsim), or cut it before that node with "model: {cut: <tensor>}" in edgeforge.yaml.',
      where: { path: node.name },
    },
  );
}

/** What is known of values while walking a graph. */
export interface Known {
  readonly types: ReadonlyMap<string, TensorType>;
  constant(name: string): Tensor | undefined;
  /** Elements of a small integer value, perhaps symbolic. */
  values(name: string): readonly Dim[] | undefined;
}

const plain = (attribute: Attribute): unknown => attribute.value;

/** A node with its attributes parsed and its operands' types looked up. Throws `graph-invalid` for attributes that do not fit the row. */
export function bind(node: Node, operator: Operator, opset: number, known: Known): Bound<unknown> {
  const parsed = operator.attributes.safeParse(Object.fromEntries(Object.entries(node.attributes).map(([name, attribute]) => [name, plain(attribute)])));
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new EdgeError('graph-invalid', `${node.type} "${node.name}": attribute ${issue?.path.join('.') ?? '?'}: ${issue?.message ?? 'invalid'}.`, {
      hint: 'Export the model again.',
      where: { path: node.name },
    });
  }
  const look = <T>(find: (name: string) => T | undefined): (T | undefined)[] => node.inputs.map(name => (name === '' ? undefined : find(name)));
  return {
    node,
    attributes: parsed.data,
    inputs: look(name => known.types.get(name)),
    constants: look(name => known.constant(name)),
    values: look(name => known.values(name)),
    opset,
  };
}

/** Integers of a tensor small enough to be a shape, axes or sizes. */
export const smallIntegers = (tensor: Tensor | undefined): readonly number[] | undefined =>
  tensor !== undefined && (tensor.dataType === 'int64' || tensor.dataType === 'int32') && tensor.dims.length <= 1 && tensor.data.length <= 4096 ? integersOf(tensor) : undefined;
