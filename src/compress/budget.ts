import { EdgeError } from '../core/errors.ts';
import { costOf } from '../graph/cost.ts';
import type { Network } from '../tasks/task.ts';
import type { ActivationStatistics } from './activation-statistics.ts';
import { type PrunePlan, type PruneReport, type PruneSettings, type PruneSize, planPrune, pruneAt, pruneSizes, reportOf } from './prune.ts';

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
  const sizes = pruneSizes(plan);
  const threshold = budgetSearch(plan, sizes)(budget);
  if (threshold === undefined) {
    const { wish, word, share } = asked(budget);
    const least = share(sizes(largestOf(plan)), costOf(network.graph));
    throw new EdgeError('prune-refused', `Pruning can leave at least ${percent(least)} of the ${word}; ${percent(wish)} was asked for.`, {
      hint: `Ask for ${percent(least)} or more, or lower minFilters (${settings.minFilters}) or granularity (${settings.granularity}).`,
    });
  }
  const pruned = pruneAt(plan, threshold);
  return { network: pruned, report: reportOf(plan, pruned, { ...settings, threshold }) };
}

/** Finds, for budgets of one plan, the smallest threshold that fits; undefined where no threshold does. */
export function budgetSearch(plan: PrunePlan, sizes: (threshold: number) => PruneSize): (budget: Budget) => number | undefined {
  const whole = costOf(plan.network.graph);
  const largest = largestOf(plan);
  return budget => {
    const { wish, share } = asked(budget);
    const fits = (threshold: number) => share(sizes(threshold), whole) <= wish;
    if (!fits(largest)) return undefined;
    if (fits(0)) return 0;
    let [low, high] = [0, largest];
    for (let i = 0; i < 40 && high - low > 1e-6 * largest; i++) {
      const middle = (low + high) / 2;
      if (fits(middle)) high = middle;
      else low = middle;
    }
    return high;
  };
}

const largestOf = (plan: PrunePlan): number => plan.groups.reduce((max, group) => Math.max(max, ...group.importance), 0);
type Size = Pick<PruneSize, 'macs' | 'parameters'>;
const asked = (budget: Budget): { readonly wish: number; readonly word: string; readonly share: (left: Size, whole: Size) => number } =>
  'keepMacs' in budget
    ? { wish: budget.keepMacs, word: 'multiply-accumulates', share: (left, whole) => left.macs / whole.macs }
    : { wish: budget.keepParameters, word: 'parameters', share: (left, whole) => left.parameters / whole.parameters };

const percent = (fraction: number) => `${(100 * fraction).toFixed(1)} %`;
