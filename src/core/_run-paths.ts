import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { z } from 'zod';

/** How a run's process learns its folder. */
export const folderVariable = 'EDGEFORGE_RUN_FOLDER';
const aboutSchema = z.object({ id: z.string(), command: z.string(), module: z.string(), args: z.array(z.string()), cwd: z.string(), startedAt: z.string() });
export type AboutRun = z.infer<typeof aboutSchema>;

export const aboutPath = (folder: string): string => join(folder, 'recipe.json');
export const eventsPath = (folder: string): string => join(folder, 'events.ndjson');
export const processPath = (folder: string): string => join(folder, 'process.json');
export const processLogPath = (folder: string): string => join(folder, 'process.log');
export const runsFolder = (root: string): string => join(resolve(root), 'runs');

/** A small JSON file through its schema; undefined where it is absent or unreadable. */
export async function readParsed<T>(schema: z.ZodType<T>, path: string): Promise<T | undefined> {
  try {
    return schema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    return undefined;
  }
}
/** What a run was started with. */
export const aboutRun = (folder: string): Promise<AboutRun | undefined> => readParsed(aboutSchema, aboutPath(folder));
