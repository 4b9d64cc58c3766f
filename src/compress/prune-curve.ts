import { costOf } from '../graph/cost.ts';
import type { Network } from '../tasks/task.ts';
import type { ActivationStatistics } from './activation-statistics.ts';
import { budgetSearch } from './budget.ts';
import { type LayerReport, type PruneSettings, planPrune, pruneSizes } from './prune.ts';

/** What pruning at one threshold leaves. */
export interface CurvePoint {
  readonly threshold: number;
  readonly macs: number;
  readonly parameters: number;
  /** Filters that stay, in the order of `layers`. */
  readonly filters: readonly number[];
}
/** What pruning would leave of a network: exact sizes, no accuracy. */
export interface PruneCurve {
  readonly macs: number;
  readonly parameters: number;
  readonly layers: readonly (Pick<LayerReport, 'layer' | 'type' | 'kept'> & { readonly filters: number })[];
  /** By rising threshold, from 0. */
  readonly points: readonly CurvePoint[];
  /** For budgets of 95 %, 90 % … what a prune to that budget gives, the very threshold it finds; those below what can be left are missing. */
  readonly budgets: readonly { readonly keep: number; readonly macs?: CurvePoint; readonly parameters?: CurvePoint }[];
}

const steps = 32;
const shares = Array.from({ length: 19 }, (_, index) => (95 - 5 * index) / 100);

/** The sizes that pruning by these settings leaves at thresholds (quantiles of the importances that can go) and budgets (every 5 %). */
export function pruneCurve(network: Network, settings: PruneSettings, statistics?: ActivationStatistics): PruneCurve {
  const plan = planPrune(network, settings, statistics);
  const sizes = pruneSizes(plan);
  const point = (threshold: number): CurvePoint => ({ threshold, ...sizes(threshold) });
  const importances = plan.groups
    .filter(({ locked }) => locked === undefined)
    .flatMap(({ importance }) => [...importance])
    .sort((a, b) => a - b);
  const thresholds = new Set([0, ...Array.from({ length: steps }, (_, index) => importances[Math.round(((index + 1) / steps) * (importances.length - 1))] ?? 0)]);
  const { macs, parameters } = costOf(network.graph);
  const search = budgetSearch(plan, sizes);
  const layers = plan.groups.flatMap(({ layers, locked }) => layers.map(layer => ({ layer, locked })));
  return {
    macs,
    parameters,
    layers: layers.map(({ layer, locked }) => ({
      layer: layer.node.name,
      type: layer.node.type,
      filters: network.graph.initializers.get(layer.weight)?.dims[layer.axis] ?? 0,
      ...(locked === undefined ? {} : { kept: locked }),
    })),
    points: [...thresholds].sort((a, b) => a - b).map(point),
    budgets: shares.map(keep => {
      const [byMacs, byParameters] = [search({ keepMacs: keep }), search({ keepParameters: keep })];
      return { keep, ...(byMacs === undefined ? {} : { macs: point(byMacs) }), ...(byParameters === undefined ? {} : { parameters: point(byParameters) }) };
    }),
  };
}
