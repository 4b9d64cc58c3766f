import { listRuns, type RunSummary } from '../../../core/run-folder.ts';
import { storeRoot } from '../../../core/store-root.ts';
import type { LoadContext } from '../sources.ts';

/** The project's runs, newest first. */
export const loadRuns = ({ folder }: LoadContext): Promise<readonly RunSummary[]> => listRuns(storeRoot(folder));
