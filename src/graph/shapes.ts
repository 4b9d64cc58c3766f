import type { Graph, TensorType } from './ir.ts';
/** The type of every value of the graph, by name; `bindings` gives sizes to symbolic dims. */
export function inferShapes(_graph: Graph, _bindings: Readonly<Record<string, number>> = {}): ReadonlyMap<string, TensorType> {
  throw new Error('not yet');
}
