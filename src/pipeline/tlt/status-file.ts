import { join } from 'node:path';
import { asEdgeError } from '../../core/errors.ts';
import { appendStatus, type StatusLine } from '../../train/status-log.ts';
import type { Tell } from './tell.ts';

/** A status.json being written: lines in order, each also told. */
export interface StatusFile {
  readonly write: (line: StatusLine) => void;
  /** Waits until every line is in the file. */
  readonly settled: () => Promise<void>;
}

/** Opens `<folder>/status.json` for appending; without a folder the lines are only told. */
export function statusFile(folder: string | undefined, tell: Tell): StatusFile {
  let last: Promise<void> = Promise.resolve();
  return {
    write(line) {
      tell.status(line);
      if (folder === undefined) return;
      const at = new Date();
      last = last.then(() => appendStatus(join(folder, 'status.json'), line, at));
      last.catch(() => undefined);
    },
    settled: () => last,
  };
}

/** Runs a verb between its STARTED and its SUCCESS or FAILURE line. */
export async function withStatus<T>(verb: string, folder: string | undefined, tell: Tell, run: (status: StatusFile) => Promise<T>): Promise<T> {
  const status = statusFile(folder, tell);
  status.write({ status: 'STARTED', message: `Starting ${verb}.` });
  try {
    const result = await run(status);
    status.write({ status: 'SUCCESS', message: `${verb} finished successfully.` });
    return result;
  } catch (error) {
    const known = asEdgeError(error);
    status.write({ status: 'FAILURE', verbosity: 'ERROR', message: known.message });
    throw known;
  } finally {
    await status.settled();
  }
}

/** A score's name in status.json: TAO's for mean average precision, ours for the rest. */
export const kpiName = (metric: string): string => (metric.startsWith('mAP') ? 'mean average precision' : metric === 'top-1' ? 'top-1 accuracy' : metric);
