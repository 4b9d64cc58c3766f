import type { Graph } from './ir.ts';
export interface NodeCost {
  readonly node: string;
  readonly type: string;
  readonly macs: number;
  readonly parameters: number;
  readonly bytes: number;
}
export interface GraphCost {
  readonly macs: number;
  readonly parameters: number;
  readonly bytes: number;
  readonly nodes: readonly NodeCost[];
}
/** Cost of one run; symbolic batch counts as 1. */
export function costOf(_graph: Graph): GraphCost {
  throw new Error('not yet');
}
