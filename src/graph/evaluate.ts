import { EdgeError } from '../core/errors.ts';
import { bind, type Known, opsetOf, rowOf, smallIntegers } from './bind.ts';
import { type F64Tensor, type Graph, type Node, sizeOf, type Tensor, type TensorType } from './ir.ts';
import { fromF64, isFloat, toF64 } from './numbers.ts';

/** No single value of an evaluation may have more elements (1 GiB as float64): a broken or hostile Expand ends here. */
export const evaluatedElements = 1 << 27;

/** Runs the graph in float64: every value by name, or, with `wanted`, what those need. Feeds must match the graph's inputs; integers are exact below 2^53. */
export function evaluate(graph: Graph, feeds: ReadonlyMap<string, F64Tensor>, wanted?: readonly string[]): Map<string, F64Tensor> {
  const values = new Map<string, F64Tensor>();
  const types = new Map<string, TensorType>();
  for (const { name, type } of graph.inputs) {
    const fed = feeds.get(name);
    if (fed === undefined)
      throw new EdgeError('shape-mismatch', `The input "${name}" of "${graph.name}" was not fed.`, { hint: `Feed "${name}" with [${type.dims}].`, where: { path: name } });
    checkFeed(name, fed, type);
    values.set(name, fed);
    types.set(name, { dataType: type.dataType, dims: fed.dims });
  }
  const lazily = new Map<string, Tensor>(graph.initializers);
  for (const [name, { dataType, dims }] of graph.initializers) types.set(name, { dataType, dims });
  const read = (name: string): F64Tensor | undefined => {
    const known = values.get(name);
    const tensor = known === undefined ? lazily.get(name) : undefined;
    if (tensor === undefined) return known;
    const value = toF64(tensor);
    values.set(name, value);
    return value;
  };
  // Small integers (shapes, axes) are offered to `shape` as constants, whatever made them.
  const constant = (name: string): Tensor | undefined => {
    const own = graph.initializers.get(name);
    if (own !== undefined) return own;
    const type = types.get(name);
    const value = type === undefined || sizeOf(type.dims as number[]) > 4096 ? undefined : values.get(name);
    return value === undefined || type === undefined
      ? undefined
      : isFloat(type.dataType)
        ? { dims: value.dims, dataType: 'float64', data: value.data }
        : fromF64(value, type.dataType);
  };
  const known: Known = { types, constant, values: name => smallIntegers(constant(name)) };
  const opset = opsetOf(graph);
  for (const node of needed(graph.nodes, wanted)) {
    const operator = rowOf(node, opset);
    const bound = bind(node, operator, opset, known);
    const shapes = operator.shape(bound);
    checkSizes(node, shapes);
    const results = operator.reference(
      bound,
      node.inputs.map(name => (name === '' ? undefined : read(name))),
    );
    results.forEach((value, k) => {
      const name = node.outputs[k];
      if (!name) return;
      values.set(name, value);
      types.set(name, { dataType: shapes[k]?.dataType ?? 'float32', dims: value.dims });
    });
  }
  for (const name of [...graph.outputs.map(o => o.name), ...graph.initializers.keys()]) read(name);
  return values;
}

function checkFeed(name: string, fed: F64Tensor, type: TensorType): void {
  const fits = fed.dims.length === type.dims.length && type.dims.every((dim, axis) => typeof dim === 'string' || dim === fed.dims[axis]);
  if (!fits || fed.data.length !== sizeOf(fed.dims))
    throw new EdgeError('shape-mismatch', `The input "${name}" wants [${type.dims}], it was fed [${fed.dims}] with ${fed.data.length} elements.`, {
      hint: `Feed "${name}" with [${type.dims}].`,
      where: { path: name },
    });
}

function checkSizes(node: Node, shapes: readonly TensorType[]): void {
  for (const { dims } of shapes) {
    const size = sizeOf(dims.map(dim => (typeof dim === 'number' ? dim : 1)));
    if (!(size <= evaluatedElements))
      throw new EdgeError('limit-exceeded', `${node.type} "${node.name}" would make [${dims}], more than ${evaluatedElements} elements.`, {
        hint: 'Look at the model with: edgeforge inspect FILE',
        where: { path: node.name },
      });
  }
}

/** The nodes that `wanted` values need, in order; all nodes where nothing is named. */
function needed(nodes: readonly Node[], wanted: readonly string[] | undefined): readonly Node[] {
  if (wanted === undefined) return nodes;
  const names = new Set(wanted);
  return nodes
    .toReversed()
    .filter(node => {
      const needs = node.outputs.some(name => names.has(name));
      if (needs) for (const name of node.inputs) names.add(name);
      return needs;
    })
    .reverse();
}
