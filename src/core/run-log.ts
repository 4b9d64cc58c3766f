import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { EdgeError } from './errors.ts';
import type { RunEvent, UntimedEvent } from './events.ts';
import { runEventSchema } from './run-events-schema.ts';

const maxLineBytes = 4 << 20;
const maxTextLength = 64 << 10;

/** The run's own pen: stamps each event and appends it as one line at once, so that a killed run has said all that happened. */
export class RunLog implements Disposable {
  readonly #file: number;
  #open = true;
  /** Whether run-finished was written: nothing comes after it. */
  finished = false;

  constructor(path: string) {
    this.#file = openSync(path, 'a');
  }

  append(event: UntimedEvent): void {
    if (this.finished || !this.#open) return;
    const line = JSON.stringify({ time: new Date().toISOString(), ...event }, (_key, value: unknown) => {
      if (typeof value === 'string' && value.length > maxTextLength) return `${value.slice(0, maxTextLength)}… (${value.length - maxTextLength} characters more)`;
      return typeof value === 'number' && !Number.isFinite(value) ? undefined : value;
    });
    writeAll(this.#file, Buffer.from(`${line}\n`));
    if (event.type !== 'run-finished') return;
    this.finished = true;
    fsyncSync(this.#file);
  }

  [Symbol.dispose](): void {
    if (this.#open) closeSync(this.#file);
    this.#open = false;
  }
}

function writeAll(file: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
}

/** Splits bytes that arrive in pieces into events. What follows the last line end is kept: it may be half a line, torn by a crash or still being written. */
export class EventReader {
  readonly #file: string;
  #rest: Buffer = Buffer.alloc(0);
  #line = 0;

  constructor(file: string) {
    this.#file = file;
  }
  /** Whether half a line is left over. */
  get torn(): boolean {
    return this.#rest.length > 0;
  }

  /** Throws `file-corrupt` with the line for a whole line that is no event. */
  read(piece: Uint8Array): RunEvent[] {
    const bytes = this.#rest.length === 0 ? Buffer.from(piece) : Buffer.concat([this.#rest, piece]);
    const events: RunEvent[] = [];
    let from = 0;
    for (let end = bytes.indexOf(10, from); end >= 0; end = bytes.indexOf(10, from)) {
      this.#line++;
      events.push(this.#event(bytes.toString('utf8', from, end)));
      from = end + 1;
    }
    this.#rest = bytes.subarray(from);
    if (this.#rest.length > maxLineBytes) throw this.#corrupt(this.#line + 1, `is longer than ${maxLineBytes} bytes`);
    return events;
  }

  #event(text: string): RunEvent {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      throw this.#corrupt(this.#line, 'is not JSON', cause);
    }
    const parsed = runEventSchema.safeParse(value);
    if (!parsed.success) throw this.#corrupt(this.#line, `is no event (${parsed.error.issues[0]?.path.join('.') || 'type'}: ${parsed.error.issues[0]?.message})`, parsed.error);
    return parsed.data;
  }

  #corrupt(line: number, what: string, cause?: unknown): EdgeError {
    return new EdgeError('file-corrupt', `${this.#file}:${line} ${what}.`, {
      hint: 'The log was changed by something else. Run the same command again: finished steps are kept.',
      where: { file: this.#file, line },
      cause,
    });
  }
}

/** The events of a log piece by piece, from the start to what is there now. `torn`: it ends in half a line, as after a power cut. */
export async function* readRunLog(path: string): AsyncGenerator<RunEvent, { readonly torn: boolean }> {
  const handle = await open(path).catch((cause: unknown) => {
    throw new EdgeError('run-unknown', `There is no run log ${path}.`, { hint: 'List the runs with: edgeforge watch', where: { file: path }, cause });
  });
  try {
    const reader = new EventReader(path);
    const buffer = Buffer.alloc(256 << 10);
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, null);
      if (bytesRead === 0) return { torn: reader.torn };
      yield* reader.read(buffer.subarray(0, bytesRead));
    }
  } finally {
    await handle.close();
  }
}
