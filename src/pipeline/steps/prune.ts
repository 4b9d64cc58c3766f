import { readFile, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { pruneToBudget } from '../../compress/budget.ts';
import { prune, pruneSettings } from '../../compress/prune.ts';
import { defineStep } from '../../core/recipe.ts';
import { readOnnx, writeOnnx } from '../../formats/onnx.ts';
import { networkOf } from '../../zoo/network-file.ts';
import { thisCpu } from '../this-machine.ts';

/** Structured pruning by threshold or by budget. */
export const pruneStep = defineStep({
  name: 'prune',
  version: 1,
  exclusive: () => [thisCpu],
  config: pruneSettings.extend({ keepMacs: z.number().gt(0).max(1).optional(), keepParameters: z.number().gt(0).max(1).optional() }),
  inputs: { network: 'network' },
  outputs: { network: 'network', report: 'prune-report' },
  async run({ inputs, outputs, config: { keepMacs, keepParameters, ...settings }, log, note }) {
    const network = networkOf(readOnnx(await readFile(inputs.network)));
    const budget = keepMacs !== undefined ? { keepMacs } : keepParameters !== undefined ? { keepParameters } : undefined;
    const pruned = budget ? pruneToBudget(network, budget, settings) : prune(network, settings);
    const { macsBefore, macsAfter, parametersBefore, parametersAfter } = pruned.report;
    log(
      'info',
      `MACs ${millions(macsBefore)} → ${millions(macsAfter)} M (${percent(macsAfter / macsBefore)}), parameters ${millions(parametersBefore)} → ${millions(parametersAfter)} M (${percent(parametersAfter / parametersBefore)})`,
    );
    if (macsAfter === macsBefore) note(`Nothing was pruned: no filter lies under the threshold ${settings.threshold}.`);
    await writeFile(outputs.network, writeOnnx(pruned.network.graph));
    await writeFile(outputs.report, JSON.stringify(pruned.report));
  },
});

const millions = (count: number) => (count / 1e6).toFixed(2);
const percent = (fraction: number) => `${(100 * fraction).toFixed(1)} %`;
