import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Store } from '../core/store.ts';
import { mostBuilds } from './benchmark-section.ts';
import type { DevicePool, DevicesOf } from './device-pool.ts';
import { givenModelSchema } from './given-model.ts';
import { modelRecipe } from './model-recipe.ts';
import { openProject, type Project, projectFileName } from './project.ts';
import { type ProjectRecipe, projectRecipe } from './recipe.ts';

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
  /** Let a service run the application of the current release, on the devices of this run. */
  service: z.boolean().default(false),
  /** A finished network to deploy instead of the project's own. */
  model: givenModelSchema.optional(),
});
export type RunRequest = z.input<typeof runRequestSchema>;

/** The project of a request where there is one; a model needs none. */
export const projectOf = ({ project: folder, model }: RunRequest): DevicesOf =>
  model === undefined || existsSync(join(folder, projectFileName)) ? openProject({ folder }) : { folder, file: '', settings: { devices: {} } };

/** The project as asked for: the builds that a command names count for this run. */
const withBuilds = (project: Project, builds: number | undefined): Project =>
  builds === undefined ? project : { ...project, settings: { ...project.settings, benchmark: { ...project.settings.benchmark, builds } } };

type Requested = Pick<ProjectRecipe, 'recipe' | 'published' | 'away'> & { readonly only?: readonly string[] | undefined };
/** The recipe that a request asks for, and which of its steps. */
export async function requestedRecipe(
  request: RunRequest,
  { project, pool, store }: { readonly project: DevicesOf; readonly pool: DevicePool; readonly store: Store },
): Promise<Requested> {
  const { model, devices, steps, builds, despiteGate, service } = runRequestSchema.parse(request);
  if (model) return modelRecipe({ ...model, devices: devices ?? [], pool, store, service });
  const { recipe, published, away, select } = await projectRecipe({
    project: withBuilds(project as Project, builds),
    pool,
    store,
    despiteGate,
    service,
    ...(devices ? { devices } : {}),
  });
  return { recipe, published, away, only: steps.length > 0 ? select(steps) : undefined };
}
