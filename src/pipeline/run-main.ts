import { join } from 'node:path';
import { z } from 'zod';
import { runRecipe } from '../core/run.ts';
import { hostRun, ownRunFolder } from '../core/run-folder.ts';
import { Store } from '../core/store.ts';
import { DevicePool } from './device-pool.ts';
import { collectOutputs } from './outputs.ts';
import { openProject } from './project.ts';
import { projectRecipe } from './recipe.ts';

/** What a run is asked for, as JSON in its process's first argument. */
export const runRequestSchema = z.strictObject({
  project: z.string(),
  /** Step ids or their names (`train`, `build`); none means everything. */
  steps: z.array(z.string()).default([]),
  /** Only these devices; none means all. */
  devices: z.array(z.string()).optional(),
});
export type RunRequest = z.input<typeof runRequestSchema>;

/** The process that a run is: brings the project's recipe up to date and tells its folder what happens. */
if (process.argv[2] !== undefined) {
  const request = runRequestSchema.parse(JSON.parse(process.argv[2]));
  const exitCode = await hostRun(ownRunFolder(), async ({ run, folder, command, emit, signal }) => {
    const project = openProject({ folder: request.project });
    const store = new Store(join(project.folder, '.edgeforge'));
    await using pool = new DevicePool(project);
    const { recipe, published, select } = await projectRecipe({ project, pool, store, ...(request.devices ? { devices: request.devices } : {}) });
    const only = request.steps.length > 0 ? select(request.steps) : undefined;
    return await runRecipe(recipe, {
      store,
      emit,
      signal,
      run,
      command,
      ...(only ? { only } : {}),
      after: () => collectOutputs({ recipe, published, store, folder: join(folder, 'out') }),
    });
  });
  // A worker thread that some library forgot must not keep a finished run alive.
  process.exit(exitCode);
}
