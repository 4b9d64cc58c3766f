import { EdgeError } from '../core/errors.ts';
import type { Graph, Node, Tensor } from '../graph/ir.ts';

/** Names for nameless nodes, scalars for the one-element bounds of Clip. Throws `operator-unsupported` on quantization nodes. */
export function normalizedBackbone(graph: Graph): Graph {
  const initializers = new Map(graph.initializers);
  const counts = new Map<string, number>();
  const used = new Set(graph.nodes.map(node => node.name));
  const seen = new Set<string>();
  const nodes = graph.nodes.map(node => {
    if (/^(?:Quantize|Dequantize|QLinear|Dynamic)|Integer$/.test(node.type))
      throw new EdgeError('operator-unsupported', `The backbone holds the quantization node ${node.type} "${node.name || node.outputs[0]}"; quantized weights do not learn.`, {
        hint: 'Use the float model, or dequantize it first; edgeforge quantizes after training.',
      });
    const nameless = node.name === '' || seen.has(node.name);
    seen.add(node.name);
    const named = nameless ? { ...node, name: freshName(node.type, counts, used) } : node;
    return named.type === 'Clip' ? withScalarBounds(named, initializers) : named;
  });
  return { ...graph, nodes, initializers };
}

function freshName(type: string, counts: Map<string, number>, used: Set<string>): string {
  for (;;) {
    const count = (counts.get(type) ?? 0) + 1;
    counts.set(type, count);
    const name = `${type.toLowerCase()}_${count}`;
    if (used.has(name)) continue;
    used.add(name);
    return name;
  }
}

/** ONNX wants scalars as bounds; onnxruntime forgives [1], TensorRT does not. */
function withScalarBounds(node: Node, initializers: Map<string, Tensor>): Node {
  const inputs = node.inputs.map((name, i) => {
    const tensor = i === 0 ? undefined : initializers.get(name);
    if (tensor === undefined || tensor.dims.length === 0 || tensor.data.length !== 1) return name;
    const scalar = `${name}/scalar`;
    initializers.set(scalar, { ...tensor, dims: [] });
    return scalar;
  });
  return { ...node, inputs };
}
