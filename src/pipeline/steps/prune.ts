import { writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { type PruneReport, pruneSettings } from '../../compress/prune.ts';
import { siblingModule } from '../../core/package-root.ts';
import { defineStep } from '../../core/recipe.ts';
import { isolated } from '../isolation.ts';
import type { PruneProgress, PruneRequest } from '../jobs/prune.ts';
import { thisCpu } from '../this-machine.ts';
import { trainingPlanSchema } from '../training-plan.ts';

/** Training images that pruning by energy looks at. */
export const imagesForEnergy = 400;

/** Structured pruning by threshold or by budget; by energy it looks at training images, by magnitude at weights alone. */
export const pruneStep = defineStep({
  name: 'prune',
  version: 4,
  exclusive: () => [thisCpu],
  config: pruneSettings.extend({
    keepMacs: z.number().gt(0).max(1).optional(),
    keepParameters: z.number().gt(0).max(1).optional(),
    /** Only for energy: how images meet the input, and where they lie. */
    plan: trainingPlanSchema.optional(),
    root: z.string().optional(),
  }),
  inputs: { network: 'network', train: 'dataset?', images: 'images?' },
  identity: ({ plan, root: _, ...rest }) => ({ ...rest, ...(plan ? { input: plan.input, fit: plan.fit, filter: plan.filter, mapping: plan.mapping } : {}) }),
  outputs: { network: 'network', report: 'prune-report' },
  async run({ inputs, outputs, config: { keepMacs, keepParameters, plan, root, ...settings }, signal, progress, log, note }) {
    const energy = plan && inputs.train !== undefined ? { plan, train: inputs.train, images: inputs.images ?? root, count: imagesForEnergy } : undefined;
    const budget = keepMacs !== undefined ? { keepMacs } : keepParameters !== undefined ? { keepParameters } : undefined;
    const request: PruneRequest = { settings, budget, network: inputs.network, output: outputs.network, energy };
    const onMessage = (message: unknown) => {
      const { done, total, unit } = message as PruneProgress;
      progress(done, total, {}, unit);
    };
    const report = await isolated<PruneReport>(siblingModule(import.meta.url, '../jobs/prune'), 'pruneJob', request, { signal, onMessage });
    const { macsBefore, macsAfter, parametersBefore, parametersAfter } = report;
    log(
      'info',
      `MACs ${millions(macsBefore)} → ${millions(macsAfter)} M (${percent(macsAfter / macsBefore)}), parameters ${millions(parametersBefore)} → ${millions(parametersAfter)} M (${percent(parametersAfter / parametersBefore)})`,
    );
    if (macsAfter === macsBefore) note(`Nothing was pruned: no filter lies under the threshold ${settings.threshold}.`);
    await writeFile(outputs.report, JSON.stringify(report));
  },
});

const millions = (count: number) => (count / 1e6).toFixed(2);
const percent = (fraction: number) => `${(100 * fraction).toFixed(1)} %`;
