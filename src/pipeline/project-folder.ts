import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

export const projectFileName = 'edgeforge.yaml';

/** The folder of the nearest project file, here or upwards; undefined where there is none. */
export function projectFolderFrom(folder: string): string | undefined {
  for (let at = resolve(folder); ; at = dirname(at)) {
    if (existsSync(join(at, projectFileName))) return at;
    if (dirname(at) === at) return undefined;
  }
}
