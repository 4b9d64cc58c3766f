import { join } from 'node:path';
import { asEdgeError } from '../core/errors.ts';
import type { EpochRecord } from '../train/fit.ts';
import { appendStatus, formatDuration, type StatusLine } from '../train/status-log.ts';

/** Who else hears the lines. */
interface Listener {
  readonly status: (line: StatusLine) => void;
}

/** A status.json being written: lines in order, each also told where someone listens. */
export interface StatusFile {
  readonly write: (line: StatusLine) => void;
  /** Waits until every line is in the file. */
  readonly settled: () => Promise<void>;
}

/** Opens `<folder>/status.json` for appending; without a folder the lines are only told. */
export function statusFile(folder: string | undefined, tell?: Listener): StatusFile {
  let last: Promise<void> = Promise.resolve();
  return {
    write(line) {
      tell?.status(line);
      if (folder === undefined) return;
      const at = new Date();
      last = last.then(() => appendStatus(join(folder, 'status.json'), line, at));
      last.catch(() => undefined);
    },
    settled: () => last,
  };
}

/** Runs a verb, or a training, between its STARTED and its SUCCESS or FAILURE line. */
export async function withStatus<T>(verb: string, folder: string | undefined, tell: Listener | undefined, run: (status: StatusFile) => Promise<T>): Promise<T> {
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

/** What one finished epoch of `epochs` is in status.json: its training, where it trained, and its validation, where it had one; scores in percent. */
export function epochLines({ epoch, loss, learningRate, milliseconds, validation }: EpochRecord, epochs: number): readonly StatusLine[] {
  const at = { status: 'RUNNING', epoch, max_epoch: epochs } as const;
  const times = { time_per_epoch: formatDuration(milliseconds), eta: formatDuration(milliseconds * Math.max(0, epochs - epoch)) };
  return [
    ...(epoch > 0 && loss !== undefined ? [{ ...at, message: 'Training loop in progress', ...times, graphical: { loss, learning_rate: learningRate } }] : []),
    ...(validation ? [{ ...at, message: `Evaluated after epoch ${epoch}`, kpi: { [kpiName(validation.metric)]: 100 * validation.value } }] : []),
  ];
}
