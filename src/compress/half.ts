import { float, type Graph, int, type Node, type Tensor } from '../graph/ir.ts';

/** Operators whose float operands must stay float32 whatever the network's type (scales and regions, not activations). */
const floatOperands: Readonly<Record<string, readonly number[]>> = { Resize: [1, 2], Upsample: [1] };

/**
 * The network with float16 weights and activations; inputs and outputs stay float32 behind a Cast each, so that host and device exchange the same tensors in
 * every precision. Values beyond ±65504 saturate.
 */
export function toFloat16(graph: Graph): Graph {
  const keep = new Set(graph.nodes.flatMap(node => (floatOperands[node.type] ?? []).map(index => node.inputs[index]).filter(name => name !== undefined)));
  const initializers = new Map<string, Tensor>();
  for (const [name, tensor] of graph.initializers) initializers.set(name, tensor.dataType === 'float32' && !keep.has(name) ? halfOf(tensor) : tensor);
  const inputs = graph.inputs.filter(input => !graph.initializers.has(input.name) && input.type.dataType === 'float32').map(input => input.name);
  const outputs = graph.outputs.filter(output => output.type.dataType === 'float32').map(output => output.name);
  const renamed = new Map([...inputs, ...outputs].map(name => [name, `${name}/half`]));
  const rename = (name: string) => renamed.get(name) ?? name;
  const cast = (from: string, to: string, type: 1 | 10): Node => ({ name: `${to}/cast`, type: 'Cast', domain: '', inputs: [from], outputs: [to], attributes: { to: int(type) } });
  const nodes = [
    ...inputs.map(name => cast(name, rename(name), 10)),
    ...graph.nodes.map(node => halfNode({ ...node, inputs: node.inputs.map(rename), outputs: node.outputs.map(rename) })),
    ...outputs.map(name => cast(rename(name), name, 1)),
  ];
  return { ...graph, nodes, initializers, metadata: { ...graph.metadata, 'edgeforge.precision': 'fp16' } };
}

/** Casts inside the network that made float32 make float16 now; constants inside nodes follow. */
function halfNode(node: Node): Node {
  if (node.type === 'Cast' && node.attributes.to?.value === 1) return { ...node, attributes: { ...node.attributes, to: int(10) } };
  const value = node.attributes.value;
  if ((node.type === 'Constant' || node.type === 'ConstantOfShape') && value?.type === 'tensor' && value.value.dataType === 'float32') {
    return { ...node, attributes: { ...node.attributes, value: { type: 'tensor', value: halfOf(value.value) } } };
  }
  return node.type === 'BatchNormalization' && node.attributes.epsilon === undefined ? { ...node, attributes: { ...node.attributes, epsilon: float(1e-5) } } : node;
}

function halfOf(tensor: Tensor): Tensor {
  const halves = Float16Array.from(tensor.data as Float32Array, value => Math.max(-65504, Math.min(65504, value)));
  return { dataType: 'float16', dims: tensor.dims, data: new Uint16Array(halves.buffer) };
}
