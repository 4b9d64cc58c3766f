import { asEdgeError, type EdgeError } from '../core/errors.ts';

/** Where a verb writes, and what that place can show. */
export interface Output {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** A person's terminal: live views are welcome. */
  readonly interactive: boolean;
  readonly colour: boolean;
  readonly columns: number;
}

// A reader that has seen enough (`| head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

/** The process's own streams; NO_COLOR (no-color.org) and TERM=dumb are respected. */
export const processOutput = (): Output => ({
  out: text => void process.stdout.write(`${text}\n`),
  err: text => void process.stderr.write(`${text}\n`),
  interactive: Boolean(process.stdout.isTTY) && process.env.TERM !== 'dumb' && process.env.CI === undefined,
  colour: Boolean(process.stdout.isTTY) && !process.env.NO_COLOR && process.env.TERM !== 'dumb',
  columns: process.stdout.columns ?? 80,
});

/** A failure in plain words: what, where, and the mend. */
export function describeError(error: unknown): { readonly text: string; readonly error: EdgeError } {
  const known = asEdgeError(error);
  const { file, line, path } = known.where ?? {};
  const place = file && !known.message.includes(file) ? `\n  where: ${file}${line ? `:${line}` : ''}${path ? ` (${path})` : ''}` : '';
  return { error: known, text: `edgeforge: ${known.message}${place}\n  mend: ${known.hint}` };
}

/** Rows as an aligned table; numbers are the caller's to format. The last column may run on. */
export function table(rows: readonly (readonly string[])[], indent = ''): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map(row => (row[column] ?? '').length)));
  return rows
    .map(
      row =>
        indent +
        row
          .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
          .join('  ')
          .trimEnd(),
    )
    .join('\n');
}

export const bytesText = (bytes: number): string =>
  bytes < 1e3 ? `${bytes} B` : bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
/** How far work is: `86/160 steps`, `12.1 MB/43.0 MB`. */
export const progressText = ({ done, total, unit }: { readonly done: number; readonly total: number; readonly unit: string }): string =>
  unit === 'bytes' ? `${bytesText(done)}/${bytesText(total)}` : `${done}/${total} ${unit}`;
/** A duration as a person says it: 840 ms, 12.3 s, 4 min 05 s. */
export function durationText(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(1)} s`;
  const seconds = Math.round(milliseconds / 1000);
  return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`;
}
