import type { z } from 'zod';
import type { Builder } from './builder.ts';
import { type Dim, type F64Tensor, intOf, type Node, type Tensor, type TensorType } from './ir.ts';

/** A node with its attributes parsed and its operand types known. Absent operands are undefined. `constants[i]` holds input i's value where it is a known constant. */
export interface Bound<A> {
  readonly node: Node;
  readonly attributes: A;
  readonly inputs: readonly (TensorType | undefined)[];
  readonly constants: readonly (Tensor | undefined)[];
  readonly opset: number;
  /** `values[i]`: the elements of a small integer input i (a shape, sizes, axes), where known at least as symbols. */
  readonly values?: readonly (readonly Dim[] | undefined)[];
}

/** Adds the nodes of the gradient: from the values and the gradients of the outputs (undefined: nothing flows there) to a gradient per input (undefined: none). */
export type GradientRule<A> = (context: {
  readonly bound: Bound<A>;
  readonly builder: Builder;
  readonly outputs: readonly (TensorType | undefined)[];
  readonly outputGradients: readonly (string | undefined)[];
  /** True where the caller wants input i's gradient. */
  readonly wanted: readonly boolean[];
}) => readonly (string | undefined)[];

/**
 * Index i of `from` on `axis` lives iff indices offset + i·repeat … +repeat−1 of `to` on its axis live. `from`/`to` name an input ('in', k) or output ('out', k).
 * An axis longer than 1 that no tie of its node mentions must keep its size: a group that reaches it is locked (Softmax's axis, a reduced axis, a sliced axis).
 */
export interface Tie {
  readonly from: readonly ['in' | 'out', number];
  readonly fromAxis: number;
  readonly to: readonly ['in' | 'out', number];
  readonly toAxis: number;
  readonly offset: number;
  readonly repeat: number;
}

/**
 * How a node takes part in explicit quantization (TensorRT's Q/DQ rules).
 * weighted: Q/DQ on input 0 and per-channel on the weight (axis given; Gemm without transB keeps its outputs on axis 1: ask `weightAxisOf`); join: Q/DQ on inputs (Add, Concat: same scale where the engine wants it);
 * passes: commutes with Q/DQ, none placed (MaxPool, Reshape); same-scale: output has the input's scale; input-only; float: stays float.
 */
export type QuantizeRule =
  | { readonly kind: 'weighted'; readonly weightInput: number; readonly weightAxis: number }
  | { readonly kind: 'join' }
  | { readonly kind: 'passes' }
  | { readonly kind: 'same-scale' }
  | { readonly kind: 'input-only' }
  | { readonly kind: 'float' };

/** What an operator means: the single entry that every pass reads. `opsets`: the range whose semantics this row has. */
export interface Operator<A = unknown> {
  readonly type: string;
  readonly domain: '' | 'edge';
  readonly opsets: readonly [since: number, until: number];
  readonly attributes: z.ZodType<A>;
  /** Output types. Dims may be symbolic. Throws `shape-mismatch` naming the node. */
  shape(bound: Bound<A>): readonly TensorType[];
  /** Float64 semantics: the judge of gradients and the constant folder. */
  reference(bound: Bound<A>, inputs: readonly (F64Tensor | undefined)[]): readonly F64Tensor[];
  readonly gradient: GradientRule<A> | 'stop' | 'missing';
  ties(bound: Bound<A>): readonly Tie[] | { readonly locked: string };
  readonly quantize: QuantizeRule;
  /** Multiply-accumulates and bytes touched (operands + results) for one run. */
  cost(bound: Bound<A>, outputs: readonly TensorType[]): { readonly macs: number; readonly bytes: number };
  /** Elements of output 0 where they follow from types or symbolic values alone (Shape, Gather of a shape, …). */
  partial?(bound: Bound<A>): readonly Dim[] | undefined;
  /** False where a node of constants must stay a node (Q/DQ of weights: the engine builder wants to see it). */
  readonly folds?: boolean;
  /** True where output 0 is input 0; inference: except in training. */
  readonly identity?: boolean | 'inference';
}

/** The axis of a weighted node's weight that holds its output channels. */
export const weightAxisOf = (node: Node, rule: Extract<QuantizeRule, { kind: 'weighted' }>): number =>
  node.type === 'Gemm' && intOf(node, 'transB', 0) === 0 ? 1 - rule.weightAxis : rule.weightAxis;
