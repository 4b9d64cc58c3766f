import type { z } from 'zod';
import type { Builder } from './builder.ts';
import type { F64Tensor, Node, Tensor, TensorType } from './ir.ts';

/** A node with its attributes parsed and its operand types known. Absent operands are undefined. `constants[i]` holds input i's value where it is a known constant. */
export interface Bound<A> {
  readonly node: Node;
  readonly attributes: A;
  readonly inputs: readonly (TensorType | undefined)[];
  readonly constants: readonly (Tensor | undefined)[];
  readonly opset: number;
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

/** Index i of `from` on `axis` lives iff indices offset + i·repeat … +repeat−1 of `to` on its axis live. `from`/`to` name an input ('in', k) or output ('out', k). */
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
 * weighted: Q/DQ on input 0 and per-channel on the weight (axis given); join: Q/DQ on inputs (Add, Concat: same scale where the engine wants it);
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
}
