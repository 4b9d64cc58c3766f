import { parentPort, workerData } from 'node:worker_threads';
import { asEdgeError, EdgeError } from '../core/errors.ts';
import { openSampleWork, type SampleWork, type WorkResult, type WorkSettings } from './_sample-work.ts';

/** One row to make: where in the shared buffer it goes. */
export interface RowOrder {
  readonly ticket: number;
  readonly slot: number;
  readonly row: number;
  readonly work: SampleWork;
}
export type RowReply =
  | { readonly ticket: number; readonly row: number; readonly result: WorkResult }
  | {
      readonly ticket: number;
      readonly row: number;
      readonly failure: { readonly code: EdgeError['code']; readonly message: string; readonly hint: string; readonly file?: string | undefined };
    };
export interface WorkerStart {
  readonly settings: WorkSettings;
  readonly slots: SharedArrayBuffer;
  readonly rowsPerSlot: number;
  readonly floatsPerRow: number;
}

/** A failure as plain data, since class and code do not survive the crossing. */
type RowFailure = Extract<RowReply, { failure: unknown }>['failure'];
export const failureOf = (error: unknown): RowFailure => {
  const { code, message, hint, where } = asEdgeError(error);
  return { code, message, hint, file: where?.file };
};
export const errorOf = ({ code, message, hint, file }: RowFailure): EdgeError => new EdgeError(code, message, { hint, ...(file ? { where: { file } } : {}) });

// Also imported by the loader for its types and conversions; only a worker has a port and a start.
const start = workerData as WorkerStart | null;
if (parentPort && start?.settings && start.slots) {
  const port = parentPort;
  const make = openSampleWork(start.settings);
  // Two images at a time: while libvips decodes one in its own thread, this one paints the other; memory stays two decoded images per worker.
  const lanes = [Promise.resolve(), Promise.resolve()];
  let turn = 0;
  port.on('message', ({ ticket, slot, row, work }: RowOrder) => {
    turn = (turn + 1) % lanes.length;
    lanes[turn] = (lanes[turn] as Promise<void>).then(async () => {
      const at = (slot * start.rowsPerSlot + row) * start.floatsPerRow;
      const out = new Float32Array(start.slots, at * 4, start.floatsPerRow);
      try {
        port.postMessage({ ticket, row, result: await make(work, out) } satisfies RowReply);
      } catch (error) {
        port.postMessage({ ticket, row, failure: failureOf(error) } satisfies RowReply);
      }
    });
  });
}
