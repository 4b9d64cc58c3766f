import { createRequire } from 'node:module';
import util from 'node:util';
import { EdgeError } from '../../core/errors.ts';
import { intsOf, type Tensor } from '../../graph/ir.ts';
import { integersOf } from '../../graph/numbers.ts';
import type { Bound } from '../../graph/operator.ts';
import { computeMends, type TfjsPackage, tfjsPackages } from '../choose.ts';

/** tfjs' own types, as far as we use them: its packages are optional, so theirs are not there to import. */
export interface TfTensor {
  readonly shape: number[];
  readonly dtype: string;
  dataSync(): Float32Array | Int32Array | Uint8Array;
  clone(): TfTensor;
  dispose(): void;
}
type Unary = (x: TfTensor) => TfTensor;
type Binary = (a: TfTensor, b: TfTensor) => TfTensor;
type Over = (x: TfTensor, axes?: readonly number[], keepDims?: boolean) => TfTensor;
type UnaryName =
  | 'relu'
  | 'sigmoid'
  | 'softplus'
  | 'tanh'
  | 'exp'
  | 'log'
  | 'sqrt'
  | 'reciprocal'
  | 'neg'
  | 'abs'
  | 'erf'
  | 'sin'
  | 'cos'
  | 'sign'
  | 'floor'
  | 'ceil'
  | 'round'
  | 'logicalNot'
  | 'elu';
type BinaryName =
  | 'add'
  | 'sub'
  | 'mul'
  | 'div'
  | 'pow'
  | 'maximum'
  | 'minimum'
  | 'equal'
  | 'greater'
  | 'greaterEqual'
  | 'less'
  | 'lessEqual'
  | 'logicalAnd'
  | 'logicalOr'
  | 'logicalXor'
  | 'prelu';
export interface Tf extends Readonly<Record<UnaryName, Unary>>, Readonly<Record<BinaryName, Binary>>, Readonly<Record<'sum' | 'mean' | 'max' | 'min' | 'prod', Over>> {
  tensor(data: Float32Array | Int32Array | Uint8Array, shape: readonly number[], dtype: 'float32' | 'int32' | 'bool'): TfTensor;
  scalar(value: number): TfTensor;
  tidy<T extends readonly TfTensor[]>(run: () => T): T;
  cast(x: TfTensor, dtype: 'float32' | 'int32' | 'bool'): TfTensor;
  clipByValue(x: TfTensor, low: number, high: number): TfTensor;
  leakyRelu(x: TfTensor, alpha: number): TfTensor;
  where(condition: TfTensor, a: TfTensor, b: TfTensor): TfTensor;
  reshape(x: TfTensor, shape: readonly number[]): TfTensor;
  transpose(x: TfTensor, perm: readonly number[]): TfTensor;
  broadcastTo(x: TfTensor, shape: readonly number[]): TfTensor;
  concat(x: readonly TfTensor[], axis: number): TfTensor;
  split(x: TfTensor, sizes: readonly number[] | number, axis: number): TfTensor[];
  slice(x: TfTensor, begin: readonly number[], size: readonly number[]): TfTensor;
  stridedSlice(x: TfTensor, begin: readonly number[], end: readonly number[], strides: readonly number[]): TfTensor;
  pad(x: TfTensor, paddings: readonly (readonly [number, number])[], value?: number): TfTensor;
  gather(x: TfTensor, indices: TfTensor, axis: number): TfTensor;
  matMul(a: TfTensor, b: TfTensor, transposeA?: boolean, transposeB?: boolean): TfTensor;
  conv2d(x: TfTensor, filter: TfTensor, strides: readonly [number, number], pad: 'valid'): TfTensor;
  depthwiseConv2d(x: TfTensor, filter: TfTensor, strides: readonly [number, number], pad: 'valid'): TfTensor;
  conv2dTranspose(dy: TfTensor, filter: TfTensor, outputShape: readonly number[], strides: readonly [number, number], pad: 'valid'): TfTensor;
  maxPool(x: TfTensor, filter: readonly [number, number], strides: readonly [number, number], pad: 'valid'): TfTensor;
  avgPool(x: TfTensor, filter: readonly [number, number], strides: readonly [number, number], pad: 'valid'): TfTensor;
  engine(): { runKernel(name: string, inputs: Readonly<Record<string, TfTensor>>, attributes: object): TfTensor; startScope?(): void };
  memory(): { readonly numTensors: number };
  getBackend(): string;
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
}

/** One node to compute: its operands on the backend (absent ones undefined), its shapes and attributes. */
export interface Call {
  readonly tf: Tf;
  readonly x: readonly TfTensor[];
  readonly bound: Bound<unknown>;
  /** Shapes of the outputs. */
  readonly dims: readonly (readonly number[])[];
}
/** Computes a node, or returns undefined where tfjs has no kernel for this form of it. */
export type Kernel = (call: Call) => TfTensor | readonly TfTensor[] | undefined;

/** The integers of operand k, or of the attribute that older opsets have in its place. */
export function listOf({ bound }: Call, k: number, attribute?: string): readonly number[] | undefined {
  const constant = bound.constants[k];
  return constant === undefined ? (attribute === undefined ? undefined : intsOf(bound.node, attribute)) : integersOf(constant);
}
/** The shape of operand k. */
export const shapeOf = ({ bound }: Call, k: number): readonly number[] => (bound.inputs[k]?.dims ?? []) as readonly number[];

const require = createRequire(import.meta.url);
/** The best tfjs that is installed, its backend up. Throws `engine-missing` where none loads. */
export async function loadTfjs(): Promise<{ readonly tf: Tf; readonly from: TfjsPackage }> {
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '1';
  restoreNullCheck();
  let failed: unknown;
  for (const from of tfjsPackages) {
    if (!installed(from)) continue;
    try {
      const own = require(from) as Tf;
      const tf = from === '@tensorflow/tfjs-backend-cpu' ? (require('@tensorflow/tfjs-core') as Tf) : own;
      if (from === '@tensorflow/tfjs-backend-cpu') await tf.setBackend('cpu');
      await tf.ready();
      return { tf, from };
    } catch (cause) {
      failed = cause;
    }
  }
  const said = failed instanceof Error ? `tfjs does not load on this machine: ${failed.message.split('\n')[0]}` : 'No package of tfjs is installed';
  throw new EdgeError('engine-missing', `${said}.`, { hint: `Add it with: ${computeMends.tfjsGpu} (or, without a GPU: ${computeMends.tfjs})`, cause: failed });
}
const installed = (name: string): boolean => {
  try {
    return require.resolve(`${name}/package.json`) !== '';
  } catch {
    return false;
  }
};

/** tfjs-node 4.22 calls util.isNullOrUndefined, which Node 23 took away. */
function restoreNullCheck(): void {
  const own = util as { isNullOrUndefined?: (value: unknown) => boolean };
  own.isNullOrUndefined ??= value => value === null || value === undefined;
}

/** A tensor of the host on the backend; int64 as int32. */
export function upload(tf: Tf, tensor: Tensor): TfTensor {
  const { dataType, dims, data } = tensor;
  if (dataType === 'float32') return tf.tensor(data as Float32Array, dims, 'float32');
  if (dataType === 'bool') return tf.tensor(data as Uint8Array, dims, 'bool');
  return tf.tensor(Int32Array.from(integersOf(tensor)), dims, 'int32');
}
