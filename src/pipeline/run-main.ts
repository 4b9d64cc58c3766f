import { join } from 'node:path';
import { runRecipe } from '../core/run.ts';
import { hostRun, ownRunFolder } from '../core/run-folder.ts';
import { Store } from '../core/store.ts';
import { storeRoot } from '../core/store-root.ts';
import { DevicePool } from './device-pool.ts';
import { collectOutputs } from './outputs.ts';
import { projectOf, requestedRecipe, runRequestSchema } from './requested.ts';

/** The process that a run is: brings the project's recipe up to date and tells its folder what happens. */
if (process.argv[2] !== undefined) {
  const request = runRequestSchema.parse(JSON.parse(process.argv[2]));
  const exitCode = await hostRun(ownRunFolder(), async ({ run, folder, command, emit, signal }) => {
    const project = projectOf(request);
    const store = new Store(storeRoot(project.folder));
    await using pool = new DevicePool(project, { measureAgain: request.measureAgain });
    const { recipe, published, only } = await requestedRecipe(request, { project, pool, store });
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
