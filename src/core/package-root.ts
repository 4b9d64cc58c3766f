import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder that holds our package.json: files that are not code (protos, targets, recipes) are read from there, built or not. */
export const packageRoot: string = (() => {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
})();
export const inPackage = (...parts: string[]): string => join(packageRoot, ...parts);

/** A sibling module as a file that a fresh node can start: `.ts` from source (type stripping), `.js` once built. */
export const siblingModule = (metaUrl: string, stem: string): string => join(dirname(fileURLToPath(metaUrl)), `${stem}${metaUrl.endsWith('.ts') ? '.ts' : '.js'}`);
