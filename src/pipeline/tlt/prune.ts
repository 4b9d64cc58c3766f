import { resolve } from 'node:path';
import { type PruneReport, type PruneSettings, planPrune, prune } from '../../compress/prune.ts';
import type { Network } from '../../tasks/task.ts';
import { networkOf } from '../../zoo/network-file.ts';
import { withStatus } from '../status-file.ts';
import { readModel, writeModel } from './model-file.ts';
import type { Tell } from './tell.ts';

export interface TltPrune {
  readonly model: string;
  readonly output: string;
  readonly key: string | undefined;
  readonly settings: PruneSettings;
  readonly results?: string | undefined;
}

/** TLT's prune: filters under the threshold go; the ratio of parameters is told as TLT tells it, and each layer before and after. */
export const tltPrune = (request: TltPrune, tell: Tell): Promise<{ readonly files: readonly string[]; readonly report: PruneReport }> =>
  withStatus('prune', request.results, tell, async status => {
    const network = networkOf(await readModel(resolve(request.model), request.key));
    const { network: pruned, report } = prune(network, request.settings);
    const files = await writeModel(resolve(request.output), pruned.graph, request.key);
    const ratio = report.parametersAfter / report.parametersBefore;
    for (const { layer, filtersBefore, filtersAfter, kept } of report.layers) tell.say(`${layer}: ${filtersBefore} → ${filtersAfter} filters${kept ? ` (${kept})` : ''}`);
    tell.say(
      `Pruning ratio (pruned model / original model): ${ratio.toFixed(6)}; multiply-accumulates ${(report.macsBefore / 1e6).toFixed(1)} M → ${(report.macsAfter / 1e6).toFixed(1)} M`,
    );
    if (report.parametersAfter === report.parametersBefore) tell.note(whyNothing(network, request.settings));
    status.write({ status: 'RUNNING', message: 'Pruning ratio', kpi: { pruning_ratio: ratio, param_count: report.parametersAfter / 1e6 } });
    tell.say(`Files: ${files.join(', ')}`);
    return { files, report };
  });

/** Where the norms lie that a threshold is compared with, when it took nothing. */
function whyNothing(network: Network, settings: PruneSettings): string {
  const free = planPrune(network, settings).groups.filter(group => group.locked === undefined);
  const norms = free.flatMap(group => [...group.importance]).sort((a, b) => a - b);
  const at = (share: number) => (norms[Math.floor(share * (norms.length - 1))] ?? 0).toPrecision(3);
  return `Nothing was pruned at -pth ${settings.threshold}: the filters’ norms (-n ${settings.normalizer}) begin at ${at(0)}, a tenth lies under ${at(0.1)}, half under ${at(0.5)}; -pg ${settings.granularity} and -nf ${settings.minFilters} keep some. Raise -pth, or prune by a budget in a project: prune: {keepMacs: 0.5}.`;
}
