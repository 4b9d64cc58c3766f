import { EdgeError } from '../core/errors.ts';
import { costOf } from '../graph/cost.ts';
import type { Network } from '../tasks/task.ts';
import type { ActivationStatistics } from './activation-statistics.ts';
import { type PruneReport, type PruneSettings, planPrune, pruneAt, reportOf, sizedAt } from './prune.ts';

/** A wish in terms of what is left: a fraction of the multiply-accumulates or of the parameters, in (0, 1]. */
export type Budget = { readonly keepMacs: number } | { readonly keepParameters: number };

/**
 * The smallest threshold whose network fits the budget (bisection: what is left falls as the threshold rises).
 * Throws `prune-refused` with the least that can be reached where the budget is below it.
 */
export function pruneToBudget(
  network: Network,
  budget: Budget,
  settings: PruneSettings,
  statistics?: ActivationStatistics,
): { readonly network: Network; readonly report: PruneReport } {
  const plan = planPrune(network, settings, statistics);
  const whole = costOf(network.graph);
  const [wish, measure, word] =
    'keepMacs' in budget
      ? ([budget.keepMacs, (n: Network) => costOf(n.graph).macs / whole.macs, 'multiply-accumulates'] as const)
      : ([budget.keepParameters, (n: Network) => costOf(n.graph).parameters / whole.parameters, 'parameters'] as const);
  const largest = plan.groups.reduce((max, group) => Math.max(max, ...group.importance), 0);
  const least = measure(sizedAt(plan, largest));
  if (least > wish) {
    throw new EdgeError('prune-refused', `Pruning can leave at least ${percent(least)} of the ${word}; ${percent(wish)} was asked for.`, {
      hint: `Ask for ${percent(least)} or more, or lower minFilters (${settings.minFilters}) or granularity (${settings.granularity}).`,
    });
  }
  let [low, high] = [0, largest];
  if (measure(sizedAt(plan, 0)) <= wish) high = 0;
  for (let i = 0; i < 40 && high - low > 1e-6 * largest; i++) {
    const middle = (low + high) / 2;
    if (measure(sizedAt(plan, middle)) <= wish) high = middle;
    else low = middle;
  }
  const pruned = pruneAt(plan, high);
  return { network: pruned, report: reportOf(plan, pruned, { ...settings, threshold: high }) };
}

const percent = (fraction: number) => `${(100 * fraction).toFixed(1)} %`;
