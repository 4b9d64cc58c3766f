import { render } from 'ink';
import { useEffect, useState } from 'react';
import { tailRun } from '../core/run-folder.ts';
import { initialRunState, type RunState, reduceRun } from '../core/run-state.ts';
import { RunScreen } from './components/run-screen.tsx';

interface ShowOptions {
  readonly folder: string;
  readonly title: string;
  readonly signal: AbortSignal;
  /** What to say at the foot while it runs, if not the usual. */
  readonly message: () => string | undefined;
}
/** What the view looks at; the run's events change it, the view's own clock notices. */
interface Shown {
  state: RunState;
}

/** Shows a run live until it ends or the signal says to leave; returns its exit code, or undefined when left. Eight pictures a second. */
export async function showRun({ folder, title, signal, message }: ShowOptions): Promise<number | undefined> {
  const shown: Shown = { state: initialRunState };
  const picture = () => <View shown={shown} title={title} message={message} />;
  // No keys are read, so the terminal is not in raw mode and Ctrl-C stays a signal.
  const view = render(picture(), { exitOnCtrlC: false });
  try {
    for await (const event of tailRun(folder, { signal })) shown.state = reduceRun(shown.state, event);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    view.rerender(picture());
    view.unmount();
    await view.waitUntilExit();
  }
  return shown.state.result?.exitCode;
}

function View({ shown, title, message }: { readonly shown: Shown; readonly title: string; readonly message: ShowOptions['message'] }) {
  const [nowMs, setNow] = useState(Date.now());
  useEffect(() => {
    const clock = setInterval(() => setNow(Date.now()), 125);
    return () => clearInterval(clock);
  }, []);
  const text = message();
  return (
    <RunScreen
      state={shown.state}
      title={title}
      nowMs={nowMs}
      columns={Math.min(process.stdout.columns ?? 80, 120)}
      rows={process.stdout.rows ?? 24}
      {...(text ? { message: text } : {})}
    />
  );
}
