import type { Graph, Node, Tensor } from '../graph/ir.ts';

/** How a layer's filter norms become comparable across layers (TLT `-n`): max → norm/max, L2 → norm/‖norms‖₂·count, off → as they are. */
export type Normalizer = 'max' | 'L2' | 'off';

/** L2 norm of each filter's kernel, the filter axis given; biases are ignored (TLT pruning §6.1). Length = size of that axis. */
export function filterNorms(weight: Tensor, axis: number): Float64Array {
  const count = weight.dims[axis] ?? 0;
  const inner = weight.dims.slice(axis + 1).reduce((a, b) => a * b, 1);
  const norms = new Float64Array(count);
  const data = weight.data as Float32Array;
  for (let i = 0; i < data.length; i++) {
    const filter = Math.floor(i / inner) % count;
    const value = data[i] as number;
    norms[filter] = (norms[filter] as number) + value * value;
  }
  return norms.map(Math.sqrt);
}

/** Norms of one layer made comparable; a layer of zeros stays zero. */
export function normalize(norms: Float64Array, how: Normalizer): Float64Array {
  if (how === 'off') return norms;
  const scale = how === 'max' ? norms.reduce((a, b) => Math.max(a, b), 0) : Math.sqrt(norms.reduce((a, b) => a + b * b, 0)) / norms.length;
  return scale > 0 ? norms.map(norm => norm / scale) : norms;
}

/** A layer whose output filters can be counted: its weight, the weight's filter axis, and its output value. */
export interface Layer {
  readonly node: Node;
  readonly weight: string;
  readonly axis: number;
  readonly output: string;
  readonly depthwise: boolean;
}

/** The Conv, ConvTranspose and Gemm/MatMul layers with constant weights, in graph order. Gemm's filter axis follows transB. */
export function layersOf(graph: Graph): Layer[] {
  return graph.nodes.flatMap(node => {
    const weight = node.inputs[1];
    const tensor = weight === undefined ? undefined : graph.initializers.get(weight);
    if (weight === undefined || !tensor || tensor.dataType !== 'float32') return [];
    const axis = filterAxis(node);
    if (axis === undefined) return [];
    const group = node.attributes.group?.value;
    return [{ node, weight, axis, output: node.outputs[0] as string, depthwise: node.type === 'Conv' && typeof group === 'number' && group > 1 && tensor.dims[1] === 1 }];
  });
}

function filterAxis(node: Node): number | undefined {
  switch (node.type) {
    case 'Conv':
      return 0;
    case 'ConvTranspose':
    case 'MatMul':
      return 1;
    case 'Gemm':
      return node.attributes.transB?.value === 1 ? 0 : 1;
    default:
      return undefined;
  }
}
