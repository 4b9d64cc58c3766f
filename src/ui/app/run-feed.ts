import { asEdgeError, type EdgeError } from '../../core/errors.ts';
import type { RunEvent } from '../../core/events.ts';
import { tailRun } from '../../core/run-folder.ts';

interface FeedOptions {
  readonly signal: AbortSignal;
  readonly onEvents: (events: readonly RunEvent[]) => void;
  /** Its process ended without a last word, or there is no such run. */
  readonly onLost: (error: EdgeError) => void;
  /** Each time is a picture (default: three a second). */
  readonly everyMs?: number;
}

/** Follows a run's log from its first event and hands over what came in pieces, the first at once, then at most once in `everyMs`. The one subscription to a run: every live view is fed by it. */
export async function feedRun(folder: string, { signal, onEvents, onLost, everyMs = 350 }: FeedOptions): Promise<void> {
  let waiting: RunEvent[] = [];
  let timer: NodeJS.Timeout | undefined;
  let last = 0;
  const flush = () => {
    clearTimeout(timer);
    timer = undefined;
    last = performance.now();
    const events = waiting;
    waiting = [];
    if (events.length > 0 && !signal.aborted) onEvents(events);
  };
  try {
    for await (const event of tailRun(folder, { signal, pollMs: 200 })) {
      waiting.push(event);
      timer ??= setTimeout(flush, Math.max(0, last + everyMs - performance.now()));
    }
    flush();
  } catch (error) {
    flush();
    if (!signal.aborted) onLost(asEdgeError(error));
  }
}
