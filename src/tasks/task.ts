import type { Builder } from '../graph/builder.ts';
import type { Graph, Tensor, TensorType } from '../graph/ir.ts';
import type { NetworkInfo } from '../graph/network-info.ts';

/** A box in pixels of the image it belongs to; x2,y2 exclusive edges. `classIndex` into the network's labels. */
export interface Box {
  readonly classIndex: number;
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
}
export interface ScoredBox extends Box {
  readonly score: number;
}
/** What is true of one image. Open to masks and text later. `ignored` boxes neither count nor punish. */
export type Annotation =
  | { readonly kind: 'boxes'; readonly boxes: readonly Box[]; readonly ignored: readonly Omit<Box, 'classIndex'>[] }
  | { readonly kind: 'class'; readonly classIndex: number };
/** What a network says of one image. */
export type Prediction = { readonly kind: 'boxes'; readonly boxes: readonly ScoredBox[] } | { readonly kind: 'class'; readonly classIndex: number; readonly scores: Float32Array };

/** One headline figure, its parts, and the count it rests on. value in 0..1. n: images; decisions: what was judged (ground-truth boxes or images). */
export interface Score {
  readonly metric: string;
  readonly value: number;
  readonly n: number;
  readonly decisions: number;
  readonly perClass: readonly { readonly label: string; readonly value: number; readonly n: number }[];
  /** Curves and matrices for the report: precision/recall per class, or confusion. */
  readonly detail: Readonly<Record<string, unknown>>;
}

export type NamedTensors = ReadonlyMap<string, Tensor>;

/** Loss parts as scalars in the graph: `total` is differentiated; `parts` are watched (and feed auto-weighting). */
export interface LossNodes {
  readonly total: string;
  readonly parts: Readonly<Record<string, string>>;
}

/**
 * What a network's inputs and outputs mean. Made by a task's `open(...)` from its settings, so nothing outside a task knows boxes from classes.
 * All tensors are batch-first.
 */
export interface Task {
  readonly name: NetworkInfo['task'];
  readonly labels: readonly string[];
  /** Extra graph inputs the loss needs, for a batch of n. */
  targets(n: number): Readonly<Record<string, TensorType>>;
  /** Fills those targets from annotations already in network-input pixels. */
  encode(annotations: readonly Annotation[]): NamedTensors;
  /** Scalars the loss reads besides targets (auto-weights): name → present value. Fed at every step. */
  lossWeights(): NamedTensors;
  /** Adds the loss to a builder in which the network's outputs and the targets are values. */
  loss(builder: Builder, outputs: readonly { readonly name: string; readonly type: TensorType }[]): LossNodes;
  /** Adds the distance of a network's outputs to a teacher's (names of both, in any order) as a scalar of the same scale as the loss. Absent: the task has none. */
  distill?(builder: Builder, outputs: readonly string[], teacher: readonly string[], temperature: number): string;
  /** End of an epoch: sums of the loss parts in, so that auto-weighting may move. */
  endEpoch(partSums: Readonly<Record<string, number>>, steps: number): void;
  /** State that a checkpoint must carry (auto-weight sums), as JSON. */
  state(): unknown;
  restore(state: unknown): void;
  /** Raw outputs (name → [n, …]) to predictions in network-input pixels. */
  decode(outputs: NamedTensors): readonly Prediction[];
  /** Scores predictions against truth, both in the same pixels. */
  score(predictions: readonly Prediction[], truth: readonly Annotation[]): Score;
  /** Decisions on which two sets of predictions agree (for INT8 against FP32): `equal` of `n`, both counts. */
  agreement(a: readonly Prediction[], b: readonly Prediction[], truth: readonly Annotation[]): { readonly equal: number; readonly n: number };
}

/** A network ready to train: the inference graph plus which of its initializers learn. */
export interface Network {
  readonly graph: Graph;
  readonly info: NetworkInfo;
  /** Initializer names that the optimizer moves; BN running statistics are never among them. */
  readonly trainable: readonly string[];
  /** BatchNormalization nodes that stay in inference form while training. */
  readonly frozenNorms: readonly string[];
  /** Initializer names with L1/L2 (kernels; not biases or BN). */
  readonly regularized: readonly string[];
  /** Initializers that move without a gradient: each becomes the value `next` of the same graph after a batch (ranges under QAT). */
  readonly running?: readonly { readonly initializer: string; readonly next: string }[];
}
