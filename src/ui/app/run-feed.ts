import { asEdgeError } from '../../core/errors.ts';
import type { RunEvent } from '../../core/events.ts';
import { tailRun } from '../../core/run-folder.ts';
import type { Failure } from '../../core/run-state.ts';

interface FeedOptions {
  readonly signal: AbortSignal;
  readonly onEvents: (events: readonly RunEvent[]) => void;
  readonly onLost: (failure: Failure) => void;
  /** Events are handed over at most this often: each time is a picture. */
  readonly everyMs?: number;
}

/** Follows a run's log from its first event and hands over what came in pieces, the first at once, then at most four times a second. The one subscription to a run. */
export async function feedRun(folder: string, { signal, onEvents, onLost, everyMs = 250 }: FeedOptions): Promise<void> {
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
    const { code, message, hint } = asEdgeError(error);
    if (!signal.aborted) onLost({ code, message, hint });
  }
}
