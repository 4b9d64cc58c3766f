import { basename } from 'node:path';
import { askRun, tailRun } from '../core/run-folder.ts';
import type { Project } from '../pipeline/project.ts';
import type { RunRequest } from '../pipeline/requested.ts';
import type { Output } from './output.ts';
import { linePrinter } from './run-lines.ts';
import { startProjectRun } from './start-project-run.ts';

const stopping = 'Stopping: finished work is kept. Ctrl-C again leaves it to itself.';

interface WatchOptions {
  readonly folder: string;
  readonly output: Output;
  readonly json: boolean;
  readonly title: string;
  /** False for a replay: Ctrl-C then just leaves. */
  readonly owns?: boolean;
}

/** Starts a run as a process of its own and watches it. The first Ctrl-C asks it to stop, the second leaves it alone. */
export async function runAndWatch({
  project,
  request,
  output,
  json,
  detach,
  after,
}: {
  readonly project: Pick<Project, 'folder'>;
  readonly request: RunRequest;
  readonly output: Output;
  readonly json: boolean;
  readonly detach: boolean;
  /** Called with the run's folder when it has ended and was watched to its end. */
  readonly after?: (folder: string) => Promise<void>;
}): Promise<number> {
  const command = ['edgeforge', ...process.argv.slice(2)].join(' ');
  const started = await startProjectRun({ folder: project.folder, request, command });
  if (detach) {
    output.out(json ? JSON.stringify(started) : `run ${started.id} goes on by itself. Follow it with: edgeforge watch ${started.id}`);
    return 0;
  }
  const exitCode = await watch({ folder: started.folder, output, json, title: basename(project.folder), owns: true });
  if (exitCode !== 130) await after?.(started.folder);
  return exitCode;
}

/** Shows a run from its first event to its last and returns its exit code. */
export async function watch({ folder, output, json, title, owns = false }: WatchOptions): Promise<number> {
  const leave = new AbortController();
  let asked = false;
  const interrupt = () => {
    if (!owns || asked) return leave.abort();
    asked = true;
    if (!json && !output.interactive) output.err(stopping);
    askRun(folder, 'cancel').catch(() => leave.abort());
  };
  process.on('SIGINT', interrupt);
  let exitCode = 130;
  try {
    if (output.interactive && !json) {
      const { showRun } = await import('./run-view.tsx');
      const message = () => (asked ? stopping : owns ? 'Ctrl-C stops the run; finished work is kept' : undefined);
      return (await showRun({ folder, title, signal: leave.signal, message })) ?? exitCode;
    }
    const print = json ? (event: unknown) => output.out(JSON.stringify(event)) : linePrinter(output.out);
    for await (const event of tailRun(folder, { signal: leave.signal })) {
      print(event as never);
      if (event.type === 'run-finished') exitCode = event.exitCode;
    }
    return exitCode;
  } catch (error) {
    if (leave.signal.aborted) return exitCode;
    throw error;
  } finally {
    process.off('SIGINT', interrupt);
  }
}
