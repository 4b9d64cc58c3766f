import type { Dim, Graph, Node, Tensor } from './ir.ts';
import { f32, floatOf, intOf, sizeOf } from './ir.ts';
import { toF64 } from './numbers.ts';
import { type Bound, type Operator, weightAxisOf } from './operator.ts';

/** y = scale[c]·x + shift[c] over the channel axis 1. */
export interface Affine {
  readonly scale: Float64Array;
  readonly shift: Float64Array;
}

const floats = (graph: Graph, name: string | undefined): Float64Array | undefined => {
  const tensor = name === undefined ? undefined : graph.initializers.get(name);
  return tensor?.dataType === 'float32' ? toF64(tensor).data : undefined;
};

/** A constant operand that is one number, or one per channel of axis 1 when broadcast against `dims`. */
function perChannel(tensor: Tensor | undefined, dims: readonly Dim[]): Float64Array | undefined {
  const channels = dims[1];
  if (tensor?.dataType !== 'float32' || typeof channels !== 'number' || tensor.dims.length > dims.length) return undefined;
  const { data } = toF64(tensor);
  if (data.length === 1) return new Float64Array(channels).fill(data[0] as number);
  const wide = [...dims.slice(tensor.dims.length).map(() => 1), ...tensor.dims];
  return wide.every((dim, axis) => dim === (axis === 1 ? channels : 1)) ? data : undefined;
}

/** A node as an affine function of its input `from`, where it is one with constant coefficients. */
export function channelAffine({ node, attributes }: Bound<unknown>, from: string, dims: readonly Dim[], graph: Graph): Affine | undefined {
  const channels = dims[1];
  if (node.domain !== '' || typeof channels !== 'number') return undefined;
  if (node.type === 'BatchNormalization') {
    if (node.inputs[0] !== from) return undefined;
    const [gamma, beta, mean, variance] = node.inputs.slice(1).map(name => floats(graph, name));
    const { epsilon } = attributes as { epsilon: number };
    if (!gamma || !beta || !mean || !variance) return undefined;
    const scale = gamma.map((g, c) => g / Math.sqrt((variance[c] as number) + epsilon));
    return { scale, shift: beta.map((b, c) => b - (mean[c] as number) * (scale[c] as number)) };
  }
  if (node.type !== 'Mul' && node.type !== 'Add') return undefined;
  const other = node.inputs[0] === from ? node.inputs[1] : node.inputs[0];
  const values = other === from || other === undefined ? undefined : perChannel(graph.initializers.get(other), dims);
  if (values === undefined) return undefined;
  return node.type === 'Mul' ? { scale: values, shift: new Float64Array(channels) } : { scale: new Float64Array(channels).fill(1), shift: values };
}

/** The weighted node with the affine function multiplied in (new weights go into `initializers`), or undefined where that would not be exact. */
export function foldAffine(
  { node }: Bound<unknown>,
  operator: Operator,
  { scale, shift }: Affine,
  initializers: Map<string, Tensor>,
  readers: ReadonlyMap<string, number>,
): Node | undefined {
  const rule = operator.quantize;
  if (rule.kind !== 'weighted' || node.type === 'MatMul') return undefined;
  if (node.type === 'Gemm' && (floatOf(node, 'alpha', 1) !== 1 || floatOf(node, 'beta', 1) !== 1)) return undefined;
  const axis = weightAxisOf(node, rule);
  // A grouped transposed convolution keeps its outputs on two axes.
  if (axis === 1 && node.type === 'ConvTranspose' && intOf(node, 'group', 1) !== 1) return undefined;
  const [weightName, biasName] = [node.inputs[rule.weightInput] as string, node.inputs[2] || undefined];
  const weight = initializers.get(weightName);
  const bias = biasName === undefined ? undefined : initializers.get(biasName);
  if (weight?.dataType !== 'float32' || weight.dims[axis] !== scale.length) return undefined;
  if (biasName !== undefined && (bias?.dataType !== 'float32' || bias.data.length !== scale.length)) return undefined;
  const inner = sizeOf(weight.dims.slice(axis + 1));
  const source = weight.data as Float32Array;
  const scaled = new Float32Array(source.length);
  for (let i = 0; i < scaled.length; i++) scaled[i] = (source[i] as number) * (scale[Math.floor(i / inner) % scale.length] as number);
  const moved = Float32Array.from(shift, (s, c) => (bias ? (bias.data[c] as number) * (scale[c] as number) : 0) + s);
  const place = (name: string | undefined, stem: string): string => {
    if (name !== undefined && readers.get(name) === 1) return name;
    let fresh = stem;
    for (let k = 1; initializers.has(fresh) || readers.has(fresh); k++) fresh = `${stem}_${k}`;
    return fresh;
  };
  const newWeight = place(weightName, `${weightName}_folded`);
  const newBias = place(biasName, `${node.name}_bias`);
  initializers.set(newWeight, f32(weight.dims, scaled));
  initializers.set(newBias, f32([scale.length], moved));
  return {
    ...node,
    inputs: node.inputs
      .slice(0, 2)
      .map((name, k) => (k === rule.weightInput ? newWeight : name))
      .concat(newBias),
  };
}
