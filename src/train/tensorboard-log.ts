import { appendFile, mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { encodeTensorboard, type TensorboardEvent, tensorboardStart } from '../formats/tensorboard.ts';

/** A TensorBoard event file being written. Scalars that are not finite are left out. */
export class TensorboardLog {
  readonly #file: string;
  #last: Promise<void>;

  /** A new file in `folder`: a training that goes on adds one, and TensorBoard reads them as one curve. */
  constructor(folder: string, at: Date) {
    this.#file = join(folder, `events.out.tfevents.${Math.floor(at.getTime() / 1000)}.${hostname()}.${process.pid}`);
    this.#last = mkdir(folder, { recursive: true }).then(() => undefined);
    this.#append(tensorboardStart(at.getTime() / 1000));
  }

  add(step: number, scalars: Readonly<Record<string, number | undefined>>, at: Date): void {
    const finite = Object.entries(scalars).filter((entry): entry is [string, number] => Number.isFinite(entry[1]));
    if (finite.length > 0) this.#append({ wallSeconds: at.getTime() / 1000, step, scalars: Object.fromEntries(finite) });
  }

  #append(event: TensorboardEvent): void {
    this.#last = this.#last.then(() => appendFile(this.#file, encodeTensorboard([event])));
    this.#last.catch(() => undefined);
  }

  /** Waits until everything is in the file; throws what kept it from being written. */
  settled(): Promise<void> {
    return this.#last;
  }
}
