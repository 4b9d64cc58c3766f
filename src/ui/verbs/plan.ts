import { digestOf } from '../../core/fingerprint.ts';
import { planRecipe } from '../../core/plan.ts';
import { Store } from '../../core/store.ts';
import { storeRoot } from '../../core/store-root.ts';
import type { RemotePath } from '../../deploy/device.ts';
import { rehearse } from '../../deploy/work.ts';
import { batchesOf, protocolOf } from '../../pipeline/benchmark-section.ts';
import { DevicePool } from '../../pipeline/device-pool.ts';
import type { Project } from '../../pipeline/project.ts';
import { projectRecipe } from '../../pipeline/recipe.ts';
import type { Cli } from '../cli.ts';
import { type Output, table } from '../output.ts';

/** Prints, quoted as the transport would send it, every command of a deploy; nothing is reached and nothing runs. */
export async function rehearseDeploy(project: Project, names: readonly string[], output: Output): Promise<number> {
  await using pool = new DevicePool(project, { print: output.out });
  const protocol = protocolOf(project.settings.benchmark);
  const [batch = 1] = batchesOf(project.settings.benchmark);
  for (const name of names) {
    const device = await pool.open(name);
    const specs = project.settings.export.precisions.map(precision => ({
      model: 'store/MODEL' as RemotePath,
      modelDigest: digestOf('model'),
      precision,
      batch,
      inputs: { input_1: [batch, 3, 0, 0] },
      engine: `${name}-${precision}` as RemotePath,
      threads: protocol.threads,
      ...(precision === 'int8' ? { calibration: { path: 'store/CACHE' as RemotePath, digest: digestOf('cache') } } : {}),
    }));
    await rehearse(device, specs, { ...protocol, batch });
  }
  return 0;
}

/** Says what a run would do and why, and which devices do not answer. */
export async function plan(project: Project, steps: readonly string[], json: boolean, { output }: Cli): Promise<number> {
  const store = new Store(storeRoot(project.folder));
  await using pool = new DevicePool(project);
  const { recipe, select, away } = await projectRecipe({ project, pool, store });
  const planned = await planRecipe(recipe, { store, ...(steps.length > 0 ? { only: select(steps) } : {}) });
  if (json) {
    output.out(JSON.stringify({ steps: planned, away }));
    return 0;
  }
  const marks = { cached: '=', run: '▸', unknown: '?' } as const;
  output.out(table(planned.map(({ step, status, because }) => [marks[status], step, status, because])));
  for (const { name, message, since } of away) output.out(`device ${name} does not answer (${message}); planned with its facts of ${since}`);
  const count = (status: string) => planned.filter(step => step.status === status).length;
  output.out(`${count('run')} to run, ${count('cached')} up to date${count('unknown') > 0 ? `, ${count('unknown')} unknown until the device answers` : ''}`);
  return 0;
}
