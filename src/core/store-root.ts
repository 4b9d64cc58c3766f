import { join } from 'node:path';

/** Where a project keeps what edgeforge makes (objects, actions, runs, served devices, out): one folder, git-ignored, safe to delete. */
export const storeRoot = (project: string): string => join(project, '.edgeforge');
