import { Builder, defaultOpset } from '../../src/graph/builder.ts';
import type { DataType, F64Tensor, Graph, Tensor } from '../../src/graph/ir.ts';
import { fromF64 } from '../../src/graph/numbers.ts';
import { inferShapes } from '../../src/graph/shapes.ts';
import type { Case, Operand } from './_cases.ts';

const tensorOf = (o: Operand): Tensor => fromF64({ dims: o.dims, data: Float64Array.from(o.data) }, o.dataType);
export interface Single {
  readonly graph: Graph;
  readonly feeds: ReadonlyMap<string, F64Tensor>;
  /** Names of the operands whose gradient is checked. */
  readonly smooth: readonly string[];
}

/** A graph of one node around a case; what is no constant becomes an input. */
export function single(c: Case): Single {
  const builder = new Builder('single', { '': c.opset ?? defaultOpset });
  const feeds = new Map<string, F64Tensor>();
  const smooth: string[] = [];
  const names = c.inputs.map((operand, k) => {
    if (operand === undefined) return '';
    if (operand.constant) return builder.weight(`in${k}`, tensorOf(operand));
    feeds.set(`in${k}`, { dims: operand.dims, data: Float64Array.from(operand.data) });
    if (operand.smooth) smooth.push(`in${k}`);
    return builder.input(`in${k}`, operand.dataType, operand.dims);
  });
  const outputs = Array.from({ length: c.outputs ?? 1 }, (_, k) => `out${k}`);
  builder.ops(c.type, names, c.attributes ?? {}, { outputs, domain: c.domain ?? '', name: 'the-node' });
  const graph = builder.graph();
  const types = inferShapes(graph);
  return { graph: { ...graph, outputs: outputs.map(name => ({ name, type: types.get(name) as { dataType: DataType; dims: number[] } })) }, feeds, smooth };
}
