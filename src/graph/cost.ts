import { type Graph, sizeOf } from './ir.ts';
import { isFloat } from './numbers.ts';
import { infer } from './shapes.ts';

export interface NodeCost {
  readonly node: string;
  readonly type: string;
  readonly macs: number;
  readonly parameters: number;
  readonly bytes: number;
}
/** What one run of a network costs. macs: multiply-accumulates; parameters: elements of float weights; bytes: operands read and results written. */
export interface GraphCost {
  readonly macs: number;
  readonly parameters: number;
  readonly bytes: number;
  readonly nodes: readonly NodeCost[];
}

/** Cost of one run; a symbolic batch counts as 1. Running statistics of norms count as parameters, shared weights once. */
export function costOf(graph: Graph): GraphCost {
  const counted = new Set<string>();
  const nodes = infer(graph).bound.map(({ operator, bound, outputs }): NodeCost => {
    let parameters = 0;
    for (const name of bound.node.inputs) {
      const tensor = graph.initializers.get(name);
      if (tensor === undefined || counted.has(name) || !isFloat(tensor.dataType) || tensor.dims.length === 0) continue;
      counted.add(name);
      parameters += sizeOf(tensor.dims);
    }
    return { node: bound.node.name, type: bound.node.type, parameters, ...operator.cost(bound, outputs) };
  });
  const total = (key: 'macs' | 'parameters' | 'bytes'): number => nodes.reduce((sum, node) => sum + node[key], 0);
  return { macs: total('macs'), parameters: total('parameters'), bytes: total('bytes'), nodes };
}
