import type { Graph } from './ir.ts';
export function removeUnused(_graph: Graph): Graph {
  throw new Error('not yet');
}
/** The graph up to `tensorName`, which becomes its only output. */
export function cutAt(_graph: Graph, _tensorName: string): Graph {
  throw new Error('not yet');
}
/** Input batch (first dim of every input) fixed to n. */
export function bindBatch(_graph: Graph, _n: number): Graph {
  throw new Error('not yet');
}
/** First dim of every input becomes the symbol 'N'. */
export function freeBatch(_graph: Graph): Graph {
  throw new Error('not yet');
}
export function renameValues(_graph: Graph, _names: ReadonlyMap<string, string>): Graph {
  throw new Error('not yet');
}
/** The same network in opset 17. */
export function atOpset17(_graph: Graph): Graph {
  throw new Error('not yet');
}
