import type { StatusLine } from '../../train/status-log.ts';

/** How a verb of the TLT form speaks while it works; the view decides what becomes of it. */
export interface Tell {
  readonly signal: AbortSignal;
  /** A line for people. */
  readonly say: (line: string) => void;
  /** An accepted deviation from what was asked: always shown. */
  readonly note: (text: string) => void;
  /** How far it is; the view thins these out. */
  readonly progress: (done: number, total: number, unit: string, more?: string) => void;
  /** The same line that goes into status.json. */
  readonly status: (line: StatusLine) => void;
}

/** Seconds as a person says them: 40 s, 12 min, 3 h 05 min. */
export function timeText(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return '?';
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}
