import { Worker } from 'node:worker_threads';
import { EdgeError } from '../core/errors.ts';
import { siblingModule } from '../core/package-root.ts';
import { errorOf, failureOf, type RowOrder, type RowReply, type WorkerStart } from './_loader-worker.ts';
import { openSampleWork, type SampleWork, type WorkResult, type WorkSettings } from './_sample-work.ts';

/** The threads behind a loader and the slots of shared memory they write to. */
export interface Crew {
  /** Waits for a free slot. */
  takeSlot(): Promise<number>;
  giveSlot(slot: number): void;
  /** One row made by some worker; an expected failure comes back as a value. */
  make(slot: number, row: number, work: SampleWork): Promise<WorkResult | EdgeError>;
  rowData(slot: number, row: number): Float32Array;
  /** Between epochs idle workers do not keep the process alive. */
  wake(): void;
  rest(): void;
  close(): Promise<void>;
}
interface CrewOptions {
  readonly settings: WorkSettings;
  readonly workers: number;
  readonly slots: number;
  readonly rowsPerSlot: number;
  readonly floatsPerRow: number;
}

export function openCrew({ settings, workers, slots, rowsPerSlot, floatsPerRow }: CrewOptions): Crew {
  const memory = new SharedArrayBuffer(slots * rowsPerSlot * floatsPerRow * 4);
  const rowData = (slot: number, row: number) => new Float32Array(memory, (slot * rowsPerSlot + row) * floatsPerRow * 4, floatsPerRow);
  const free = Array.from({ length: slots }, (_, slot) => slot);
  const waiting: ((slot: number) => void)[] = [];
  const hands = workers > 0 ? openThreads(workers, { settings, slots: memory, rowsPerSlot, floatsPerRow }) : openInline(settings, rowData);
  return {
    rowData,
    make: hands.make,
    wake: hands.wake,
    rest: hands.rest,
    close: hands.close,
    takeSlot: async () => free.pop() ?? new Promise<number>(resolve => waiting.push(resolve)),
    giveSlot(slot) {
      const next = waiting.shift();
      if (next) next(slot);
      else free.push(slot);
    },
  };
}
type Hands = Pick<Crew, 'make' | 'wake' | 'rest' | 'close'>;

function openInline(settings: WorkSettings, rowData: Crew['rowData']): Hands {
  const work = openSampleWork(settings);
  return {
    make: (slot, row, sample) => work(sample, rowData(slot, row)).catch(error => errorOf(failureOf(error))),
    wake() {},
    rest() {},
    close: async () => {},
  };
}

function openThreads(count: number, start: WorkerStart): Hands {
  const answers = new Map<number, (reply: WorkResult | EdgeError) => void>();
  let tickets = 0;
  let gone: EdgeError | undefined;
  const end = (error: EdgeError) => {
    gone ??= error;
    for (const answer of answers.values()) answer(gone);
    answers.clear();
  };
  const threads = Array.from({ length: count }, () => {
    const thread = new Worker(siblingModule(import.meta.url, '_loader-worker'), { workerData: start });
    thread.unref();
    thread.on('message', (reply: RowReply) => {
      const answer = answers.get(reply.ticket);
      answers.delete(reply.ticket);
      answer?.('failure' in reply ? errorOf(reply.failure) : reply.result);
    });
    thread.on('error', error => end(errorOf(failureOf(error))));
    thread.on('exit', code =>
      end(new EdgeError('internal', `A data worker ended with code ${code}.`, { hint: 'Run the command again; with fewer workers where memory is short.' })),
    );
    return thread;
  });
  return {
    // By sample, not by turn: each worker then finds its own images in its own cache.
    make: (slot, row, work) =>
      new Promise(resolve => {
        if (gone) return resolve(gone);
        const ticket = tickets++;
        answers.set(ticket, resolve);
        threads[work.index % count]!.postMessage({ ticket, slot, row, work } satisfies RowOrder);
      }),
    wake() {
      for (const thread of threads) thread.ref();
    },
    rest() {
      for (const thread of threads) thread.unref();
    },
    async close() {
      gone ??= new EdgeError('cancelled', 'The loader is closed.', { hint: 'Open another one.' });
      await Promise.all(threads.map(thread => thread.terminate()));
      end(gone);
    },
  };
}
