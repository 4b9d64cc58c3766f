import { EdgeError } from '../core/errors.ts';
import { Builder } from './builder.ts';
import { type Dim, type Graph, i64, type Node, type Tensor, type TensorType } from './ir.ts';
import { integersOf } from './numbers.ts';
import { inferShapes } from './shapes.ts';

/** Inputs whose first axis is the batch. */
const withBatch = (type: TensorType, batch: Dim): TensorType => (type.dims.length === 0 ? type : { ...type, dims: [batch, ...type.dims.slice(1)] });

/**
 * The graph for another batch. Exporters freeze the batch into the constants of Reshape (PyTorch's view): where a reshape keeps the batch in front,
 * its first size becomes 0 ("as the input has it").
 */
export function rewriteBatch(graph: Graph, batch: Dim): Graph {
  const inputs = graph.inputs.map(input => ({ ...input, type: withBatch(input.type, batch) }));
  if (graph.inputs.every((input, k) => input.type.dims[0] === inputs[k]?.type.dims[0])) return graph;
  const before = inferShapes(graph);
  const builder = Builder.from({ ...graph, nodes: [] });
  const initializers = builder.initializers;
  const nodes = graph.nodes.map((node): Node => {
    const shape = node.inputs[1] === undefined ? undefined : graph.initializers.get(node.inputs[1]);
    const from = before.get(node.inputs[0] ?? '')?.dims[0];
    if (node.type !== 'Reshape' || shape === undefined || !keepsBatch(shape, from)) return node;
    const name = builder.fresh(`${node.inputs[1]}_batch`);
    initializers.set(name, i64([0, ...integersOf(shape).slice(1)]));
    return { ...node, inputs: [node.inputs[0] as string, name] };
  });
  const open: Graph = { ...graph, nodes, initializers, inputs };
  const after = inferShapes(open);
  const outputs = graph.outputs.map(output => {
    const was = before.get(output.name)?.dims[0];
    const type = after.get(output.name) ?? output.type;
    // An output that began with the old batch must begin with the new one.
    if (was === graph.inputs[0]?.type.dims[0] && type.dims[0] !== batch)
      throw new EdgeError('shape-mismatch', `The output "${output.name}" stays [${type.dims}] when the batch becomes ${batch}: the graph holds its batch in a constant.`, {
        hint: 'Export the model with a dynamic batch.',
        where: { path: output.name },
      });
    return { ...output, type };
  });
  return { ...open, outputs };
}
const keepsBatch = (shape: Tensor, from: Dim | undefined): boolean => typeof from === 'number' && integersOf(shape)[0] === from;
