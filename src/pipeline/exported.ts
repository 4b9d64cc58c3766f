import { removeUnused } from '../graph/clean.ts';
import { foldBatchNorm, foldConstants } from '../graph/fold.ts';
import type { Graph } from '../graph/ir.ts';

/** The graph that is exported, calibrated, quantized and timed: one and the same, so that names in caches are right. */
export const atLowestCost = (graph: Graph): Graph => removeUnused(foldBatchNorm(foldConstants(graph)));
