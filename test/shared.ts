import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../shared/data', import.meta.url));
/** True where the real sample files lie beside the checkout. */
export const hasShared = existsSync(root);
if (!hasShared) console.warn(`SKIPPED: tests on real files, because ${root} is absent.`);
/** A path below ../shared/data. */
export const shared = (...parts: string[]): string => [root, ...parts].join('/');
