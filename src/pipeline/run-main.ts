import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { runRecipe } from '../core/run.ts';
import { hostRun, ownRunFolder } from '../core/run-folder.ts';
import { Store } from '../core/store.ts';
import { storeRoot } from '../core/store-root.ts';
import { mostBuilds } from './benchmark-section.ts';
import { DevicePool, type DevicesOf } from './device-pool.ts';
import { modelRecipe } from './model-recipe.ts';
import { collectOutputs } from './outputs.ts';
import { openProject, type Project, projectFileName } from './project.ts';
import { projectRecipe } from './recipe.ts';

/** What a run is asked for, as JSON in its process's first argument. */
export const runRequestSchema = z.strictObject({
  project: z.string(),
  /** Step ids or their names (`train`, `build`); none means everything. */
  steps: z.array(z.string()).default([]),
  /** Only these devices; none means all. */
  devices: z.array(z.string()).optional(),
  /** Measure anew what was measured before: a device that was busy then is idle now. */
  measureAgain: z.boolean().default(false),
  /** Builds of each TensorRT engine, instead of the project's own number. */
  builds: z.int().min(1).max(mostBuilds).optional(),
  /** Make releases current even where the gate was missed. */
  despiteGate: z.boolean().default(false),
  /** A finished network to deploy instead of the project's own. */
  model: z.strictObject({ file: z.string(), keyFile: z.string().optional() }).optional(),
});
export type RunRequest = z.input<typeof runRequestSchema>;

/** The project where there is one; a model needs none. */
const looseProject = (folder: string): DevicesOf => (existsSync(join(folder, projectFileName)) ? openProject({ folder }) : { folder, file: '', settings: { devices: {} } });

/** The project as asked for: the builds that a command names count for this run. */
const withBuilds = (project: Project, builds: number | undefined): Project =>
  builds === undefined ? project : { ...project, settings: { ...project.settings, benchmark: { ...project.settings.benchmark, builds } } };

async function requested(request: z.output<typeof runRequestSchema>, project: DevicesOf, pool: DevicePool, store: Store) {
  const { model, devices, steps, builds, despiteGate } = request;
  if (model) return { ...(await modelRecipe({ file: model.file, ...(model.keyFile ? { keyFile: model.keyFile } : {}), devices: devices ?? [], pool, store })), only: undefined };
  const { recipe, published, select } = await projectRecipe({ project: withBuilds(project as Project, builds), pool, store, despiteGate, ...(devices ? { devices } : {}) });
  return { recipe, published, only: steps.length > 0 ? select(steps) : undefined };
}

/** The process that a run is: brings the project's recipe up to date and tells its folder what happens. */
if (process.argv[2] !== undefined) {
  const request = runRequestSchema.parse(JSON.parse(process.argv[2]));
  const exitCode = await hostRun(ownRunFolder(), async ({ run, folder, command, emit, signal }) => {
    const project = request.model ? looseProject(request.project) : openProject({ folder: request.project });
    const store = new Store(storeRoot(project.folder));
    await using pool = new DevicePool(project, { measureAgain: request.measureAgain });
    const { recipe, published, only } = await requested(request, project, pool, store);
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
