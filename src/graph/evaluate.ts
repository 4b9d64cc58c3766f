import type { F64Tensor, Graph } from './ir.ts';
/** Every value of the graph in float64, by name. */
export function evaluate(_graph: Graph, _feeds: ReadonlyMap<string, F64Tensor>): Map<string, F64Tensor> {
  throw new Error('not yet');
}
