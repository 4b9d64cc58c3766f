import { render } from 'ink';
import type { EdgeError } from '../core/errors.ts';
import { initialRunState, reduceRun } from '../core/run-state.ts';
import { feedRun } from './app/run-feed.ts';
import { RunScreen } from './components/run-screen.tsx';

interface ShowOptions {
  readonly folder: string;
  readonly title: string;
  readonly signal: AbortSignal;
  /** What to say at the foot while it runs, if not the usual. */
  readonly message: () => string | undefined;
}

/** Shows a run live until it ends or the signal says to leave; returns its exit code, or undefined when left. At most eight pictures a second, and one each second where nothing happens. */
export async function showRun({ folder, title, signal, message }: ShowOptions): Promise<number | undefined> {
  let state = initialRunState;
  let lost: EdgeError | undefined;
  const picture = () => {
    const text = message();
    const size = { columns: Math.min(process.stdout.columns ?? 80, 120), rows: process.stdout.rows ?? 24 };
    return <RunScreen state={state} title={title} nowMs={Date.now()} {...size} {...(text ? { message: text } : {})} />;
  };
  // No keys are read, so the terminal is not in raw mode and Ctrl-C stays a signal.
  const view = render(picture(), { exitOnCtrlC: false, maxFps: 8 });
  const draw = () => view.rerender(picture());
  const clock = setInterval(draw, 1000);
  await feedRun(folder, {
    signal,
    everyMs: 125,
    onEvents: events => {
      state = events.reduce(reduceRun, state);
      draw();
    },
    onLost: error => {
      lost = error;
    },
  });
  clearInterval(clock);
  draw();
  view.unmount();
  await view.waitUntilExit();
  if (lost) throw lost;
  return state.result?.exitCode;
}
