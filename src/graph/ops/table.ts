import type { Node } from '../ir.ts';
import type { Operator } from '../operator.ts';
import { activation } from './activation.ts';
import { arrange } from './arrange.ts';
import { convolution } from './convolution.ts';
import { dropping } from './dropout.ts';
import { elementwise } from './elementwise.ts';
import { gathering } from './gather.ts';
import { gridSampling } from './grid-sample.ts';
import { matrix } from './matrix.ts';
import { normalization } from './normalization.ts';
import { padding } from './pad.ts';
import { pooling } from './pooling.ts';
import { quantize } from './quantize.ts';
import { reduce } from './reduce.ts';
import { reshape } from './reshape.ts';
import { resize } from './resize.ts';
import { shape } from './shape.ts';

/** Every operator the product understands. */
export const operators: readonly Operator[] = [
  ...convolution,
  ...pooling,
  ...normalization,
  ...activation,
  ...elementwise,
  ...matrix,
  ...dropping,
  ...reshape,
  ...shape,
  ...arrange,
  ...padding,
  ...gathering,
  ...gridSampling,
  ...resize,
  ...reduce,
  ...quantize,
];
const table = new Map<string, Operator[]>();
for (const operator of operators) {
  const key = `${operator.domain}:${operator.type}`;
  table.set(key, [...(table.get(key) ?? []), operator]);
}

/** The row of a node in a graph of `opset` (the version of the node's own domain), or undefined where the product does not know it. */
export const operatorOf = (node: Pick<Node, 'type' | 'domain'>, opset: number): Operator | undefined =>
  table.get(`${node.domain}:${node.type}`)?.find(({ opsets: [since, until] }) => opset >= since && opset <= until);
