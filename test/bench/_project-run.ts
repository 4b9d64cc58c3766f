import { join } from 'node:path';
import type { RunEvent } from '../../src/core/events.ts';
import { siblingModule } from '../../src/core/package-root.ts';
import { startRun, tailRun } from '../../src/core/run-folder.ts';

/** Runs a project as it stands up to one step; all that the run said, in order, and its folder. */
export async function runProject(folder: string, step: string): Promise<{ readonly events: readonly RunEvent[]; readonly folder: string }> {
  const moduleFile = siblingModule(import.meta.url, '../../src/pipeline/run-main');
  const run = await startRun({ root: join(folder, '.edgeforge'), moduleFile, args: [JSON.stringify({ project: folder, steps: [step] })], cwd: folder });
  const events: RunEvent[] = [];
  for await (const event of tailRun(run.folder)) events.push(event);
  return { events, folder: run.folder };
}

/** Mean and standard deviation of a sample (n − 1). */
export function meanAndSd(list: readonly number[]): { readonly mean: number; readonly sd: number } {
  const mean = list.reduce((sum, value) => sum + value, 0) / list.length;
  return { mean, sd: Math.sqrt(list.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, list.length - 1)) };
}
