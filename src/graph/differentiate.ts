import type { Graph } from './ir.ts';
export interface Differentiated {
  readonly graph: Graph;
  /** Name in `wrt` → name of its gradient value. */
  readonly gradients: ReadonlyMap<string, string>;
}
export function differentiate(_graph: Graph, _options: { readonly loss: string; readonly wrt: readonly string[] }): Differentiated {
  throw new Error('not yet');
}
