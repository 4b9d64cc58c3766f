import type { Graph } from './ir.ts';
/** One BatchNormalization that learns: after a step, running = momentum·running + (1 − momentum)·batch, batch variance times count/(count−1). */
export interface TrainingNorm {
  readonly node: string;
  /** Values of the graph: batch mean and biased batch variance, float32 [C]. */
  readonly mean: string;
  readonly variance: string;
  /** Initializers that hold the running statistics (no longer read by the graph's forward). */
  readonly runningMean: string;
  readonly runningVariance: string;
  readonly momentum: number;
  /** Elements per channel (N·H·W) that a batch statistic rests on. */
  readonly count: number;
}
export function toTrainingForm(_graph: Graph, _options: { readonly frozenNorms: readonly string[] }): { readonly graph: Graph; readonly norms: readonly TrainingNorm[] } {
  throw new Error('not yet');
}
