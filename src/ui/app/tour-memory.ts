import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { configFolder } from '../../deploy/config-folder.ts';

const file = (): string => join(configFolder(), 'tour-seen');

/** Whether this user has seen the tour. */
export const tourSeen = (): boolean => existsSync(file());
/** Remembers in the user's configuration that the tour was seen. */
export async function rememberTour(): Promise<void> {
  await mkdir(dirname(file()), { recursive: true });
  await writeFile(file(), `${new Date().toISOString()}\n`);
}
