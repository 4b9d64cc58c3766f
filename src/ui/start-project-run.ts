import { siblingModule } from '../core/package-root.ts';
import { type StartedRun, startRun } from '../core/run-folder.ts';
import { storeRoot } from '../core/store-root.ts';
import type { RunRequest } from '../pipeline/requested.ts';

/** Starts a project's run as a process of its own. `command`: the words a person would type for it. */
export const startProjectRun = ({ folder, request, command }: { readonly folder: string; readonly request: RunRequest; readonly command: string }): Promise<StartedRun> =>
  startRun({
    root: storeRoot(folder),
    moduleFile: siblingModule(import.meta.url, '../pipeline/run-main'),
    args: [JSON.stringify(request)],
    cwd: folder,
    command,
  });
