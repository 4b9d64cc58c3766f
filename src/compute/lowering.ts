import type { Graph, Tensor } from '../graph/ir.ts';

/** How a parameter (and its optimizer slots) lies in memory inside a lowered graph. Pure in both directions; pack(unpack(x)) = x and unpack(pack(x)) = x. */
export interface StoredLayout {
  readonly dims: readonly number[];
  /** From ONNX layout (O, I/groups, kH, kW) to the stored one. */
  pack(tensor: Tensor): Tensor;
  unpack(tensor: Tensor): Tensor;
}

/** A value that goes in and comes out at every step. `output` replaces `input` for the next step; slots name the weight they lie `like`. */
export interface StateSlot {
  readonly input: string;
  readonly output: string;
  readonly like?: string;
}

export interface Lowered {
  readonly graph: Graph;
  /** Layout of each state input (and its output) that is not plain; others are stored as they are. */
  readonly layouts: ReadonlyMap<string, StoredLayout>;
}

export type LoweringName = 'std' | 'nchwc' | 'webgpu' | 'tfjs';
