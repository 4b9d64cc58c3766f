import { EdgeError } from '../core/errors.ts';
import { Builder } from './builder.ts';
import { type Dim, f32, type Graph, i64, type Node, type Tensor, type TensorType } from './ir.ts';
import { integersOf } from './numbers.ts';
import { inferShapes } from './shapes.ts';

/** Inputs whose first axis is the batch. */
const withBatch = (type: TensorType, batch: Dim): TensorType => (type.dims.length === 0 ? type : { ...type, dims: [batch, ...type.dims.slice(1)] });

/**
 * The graph for another batch. Exporters freeze the batch into the constants of Reshape (PyTorch's view): where a reshape keeps the batch in front,
 * its first size becomes 0 ("as the input has it"); where it
 * folds the batch into another axis (channel shuffles), that axis becomes −1.
 */
export function rewriteBatch(graph: Graph, batch: Dim): Graph {
  const inputs = graph.inputs.map(input => ({ ...input, type: withBatch(input.type, batch) }));
  if (graph.inputs.every((input, k) => input.type.dims[0] === inputs[k]?.type.dims[0])) return graph;
  const before = inferShapes(graph);
  const old = graph.inputs[0]?.type.dims[0];
  const builder = Builder.from({ ...graph, nodes: [] });
  const initializers = builder.initializers;
  const nodes = graph.nodes.map((node): Node => {
    const from = before.get(node.inputs[0] ?? '')?.dims ?? [];
    const shape = (index: number): readonly number[] | undefined => {
      const tensor = graph.initializers.get(node.inputs[index] ?? '');
      return tensor === undefined || typeof old !== 'number' || graph.initializers.has(node.inputs[0] ?? '') ? undefined : integersOf(tensor);
    };
    const replaced = (index: number, tensor: Tensor): Node => {
      const name = builder.fresh(`${node.name}_batch`);
      initializers.set(name, tensor);
      return { ...node, inputs: node.inputs.map((input, k) => (k === index ? name : input)) };
    };
    if (node.type === 'Reshape') {
      const wanted = shape(1);
      const free = wanted && freedReshape(wanted, from, old as number);
      return free ? replaced(1, i64(free)) : node;
    }
    const sizes = node.type === 'Resize' ? shape(3) : undefined;
    if (sizes === undefined || sizes[0] !== old) return node;
    // Sizes would fix the batch; the same stretch can be told as scales.
    const scales = Float32Array.from(sizes, (size, axis) => size / (from[axis] as number));
    if (sizes.some((size, axis) => Math.floor((from[axis] as number) * (scales[axis] as number)) !== size)) return node;
    const next = replaced(2, f32([sizes.length], scales));
    return { ...next, inputs: next.inputs.slice(0, 3) };
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
/** A constant shape told for any batch, or undefined where it already is: the batch's own axis in front becomes 0, else the axis that held it (of that size, or the first) becomes −1. */
function freedReshape(wanted: readonly number[], from: readonly Dim[], old: number): number[] | undefined {
  if (wanted[0] === old && from[0] === old) return [0, ...wanted.slice(1)];
  if (wanted.includes(-1) || wanted.includes(0) || wanted.length === 0) return undefined;
  const at = Math.max(0, wanted.indexOf(old));
  return wanted.map((size, axis) => (axis === at ? -1 : size));
}
