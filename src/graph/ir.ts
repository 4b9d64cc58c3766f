/** Element types of ONNX that the product handles; the names are ONNX's. */
export type DataType = 'float32' | 'uint8' | 'int8' | 'uint16' | 'int16' | 'int32' | 'int64' | 'bool' | 'float16' | 'float64' | 'uint32' | 'uint64' | 'string';
export type TensorData = Float32Array | Float64Array | Uint8Array | Int8Array | Uint16Array | Int16Array | Int32Array | Uint32Array | BigInt64Array | BigUint64Array;
/** A size: known, or a name that a binding resolves ('N' for the batch). */
export type Dim = number | string;
export interface TensorType {
  readonly dataType: DataType;
  readonly dims: readonly Dim[];
}
/** A value: row-major. bool is Uint8Array, float16 its bits in Uint16Array, int64 BigInt64Array. */
export interface Tensor {
  readonly dataType: DataType;
  readonly dims: readonly number[];
  readonly data: TensorData;
}
/** A tensor in float64, the reference arithmetic's only type. */
export interface F64Tensor {
  readonly dims: readonly number[];
  readonly data: Float64Array;
}

export type Attribute =
  | { readonly type: 'int'; readonly value: number }
  | { readonly type: 'float'; readonly value: number }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'ints'; readonly value: readonly number[] }
  | { readonly type: 'floats'; readonly value: readonly number[] }
  | { readonly type: 'strings'; readonly value: readonly string[] }
  | { readonly type: 'tensor'; readonly value: Tensor }
  | { readonly type: 'graph'; readonly value: Graph };
export type Attributes = Readonly<Record<string, Attribute>>;

/** One operation. '' as an input or output name means absent. `domain` '' is ONNX's own; 'edge' is internal and never leaves a lowering. */
export interface Node {
  readonly name: string;
  readonly type: string;
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Attributes;
}
export interface ValueInfo {
  readonly name: string;
  readonly type: TensorType;
}

/** A network: the only definition of one anywhere. Nodes are in topological order; values are referred to by name; never mutated. */
export interface Graph {
  readonly name: string;
  readonly opsets: Readonly<Record<string, number>>;
  readonly nodes: readonly Node[];
  readonly initializers: ReadonlyMap<string, Tensor>;
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly metadata: Readonly<Record<string, string>>;
}

/** Count of elements of a concrete shape. */
export const sizeOf = (dims: readonly number[]): number => dims.reduce((product, dim) => product * dim, 1);
export const f32 = (dims: readonly number[], data: Float32Array | readonly number[]): Tensor => ({
  dataType: 'float32',
  dims,
  data: data instanceof Float32Array ? data : Float32Array.from(data),
});
export const i64 = (values: readonly number[], dims: readonly number[] = [values.length]): Tensor => ({ dataType: 'int64', dims, data: BigInt64Array.from(values, BigInt) });

export const int = (value: number): Attribute => ({ type: 'int', value });
export const float = (value: number): Attribute => ({ type: 'float', value });
export const text = (value: string): Attribute => ({ type: 'string', value });
export const ints = (value: readonly number[]): Attribute => ({ type: 'ints', value });

export const intOf = (node: Node, name: string, fallback: number): number => {
  const a = node.attributes[name];
  return a?.type === 'int' ? a.value : fallback;
};
export const floatOf = (node: Node, name: string, fallback: number): number => {
  const a = node.attributes[name];
  return a?.type === 'float' ? a.value : a?.type === 'int' ? a.value : fallback;
};
export const textOf = (node: Node, name: string, fallback: string): string => {
  const a = node.attributes[name];
  return a?.type === 'string' ? a.value : fallback;
};
export const intsOf = (node: Node, name: string): readonly number[] | undefined => {
  const a = node.attributes[name];
  return a?.type === 'ints' ? a.value : undefined;
};
