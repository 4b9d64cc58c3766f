import { resolve } from 'node:path';
import { type PruneReport, type PruneSettings, prune } from '../../compress/prune.ts';
import { networkOf } from '../../zoo/network-file.ts';
import { readModel, writeModel } from './model-file.ts';
import { withStatus } from './status-file.ts';
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
    if (report.parametersAfter === report.parametersBefore)
      tell.note(`Nothing was pruned: no filter’s norm lies under -pth ${request.settings.threshold}. Raise it, or prune by a budget in a project: prune: {keepMacs: 0.5}.`);
    status.write({ status: 'RUNNING', message: 'Pruning ratio', kpi: { pruning_ratio: ratio, param_count: report.parametersAfter / 1e6 } });
    tell.say(`Files: ${files.join(', ')}`);
    return { files, report };
  });
