import type { Node } from '../ir.ts';
import type { Operator } from '../operator.ts';
export const operators: readonly Operator[] = [];
export function operatorOf(_node: Pick<Node, 'type' | 'domain'>, _opset: number): Operator | undefined {
  throw new Error('not yet');
}
