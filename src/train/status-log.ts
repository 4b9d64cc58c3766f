import { appendFile, mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';

export type Status = 'STARTED' | 'RUNNING' | 'SUCCESS' | 'FAILURE' | 'SKIPPED';
/** One line of TLT's status.json, before its clock: plots under `graphical`, key figures under `kpi`, tables under `categorical`. */
export interface StatusLine {
  readonly status: Status;
  readonly message: string;
  readonly verbosity?: 'INFO' | 'WARNING' | 'ERROR';
  readonly epoch?: number;
  readonly max_epoch?: number;
  readonly time_per_epoch?: string;
  readonly eta?: string;
  readonly graphical?: Readonly<Record<string, number>>;
  readonly kpi?: Readonly<Record<string, number>>;
  readonly categorical?: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

/** The line as TAO's tools write and read it: date M/D/YYYY and time H:M:S without zero padding, UTC, one JSON object. */
export function formatStatusLine(line: StatusLine, at: Date): string {
  const { status, message, verbosity = 'INFO', ...rest } = line;
  const date = `${at.getUTCMonth() + 1}/${at.getUTCDate()}/${at.getUTCFullYear()}`;
  const time = `${at.getUTCHours()}:${at.getUTCMinutes()}:${at.getUTCSeconds()}`;
  return `${JSON.stringify({ date, time, status, verbosity, message, ...rest })}\n`;
}
/** Appends to a status.json file; the clock is the caller's. */
export async function appendStatus(file: string, line: StatusLine, at: Date): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await appendFile(file, formatStatusLine(line, at));
}

/** A duration as Python prints a timedelta, which is how TAO writes time_per_epoch and eta: H:MM:SS.ffffff, with days before it. */
export function formatDuration(milliseconds: number): string {
  const whole = Math.max(0, Math.floor(milliseconds / 1000));
  const [days, hours, minutes, seconds] = [Math.floor(whole / 86_400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60, whole % 60];
  const micros = Math.round((Math.max(0, milliseconds) % 1000) * 1000);
  const clock = `${hours}:${String(minutes).padStart(2, '0')}:${String(seconds).padStart(2, '0')}${micros === 0 ? '' : `.${String(micros).padStart(6, '0')}`}`;
  return days === 0 ? clock : `${days} day${days === 1 ? '' : 's'}, ${clock}`;
}
