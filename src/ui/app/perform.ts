import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { asEdgeError, unreachable } from '../../core/errors.ts';
import { askRun } from '../../core/run-folder.ts';
import type { TelemetrySample } from '../../deploy/telemetry-sample.ts';
import type { Action, Effect } from './action.ts';
import { ownCommand, ownJson, ownProgram } from './own-command.ts';
import { feedRun } from './run-feed.ts';
import { loaders, type SourceName } from './sources.ts';
import type { UiState } from './state.ts';
import { rememberTour } from './tour-memory.ts';

/** Where effects read the state and report back. */
export interface Stage {
  readonly state: () => UiState;
  readonly dispatch: (action: Action) => void;
}
export type Performer = (effect: Effect, stage: Stage) => void;

/** What effects need of the terminal; Ink lends it. */
export interface Screenful {
  readonly exit: () => void;
  /** Gives the terminal to another program until the promise settles. */
  readonly suspend: (work: () => Promise<void>) => Promise<void>;
  readonly write: (text: string) => void;
}

/** Performs effects: the one place where the UI touches the world. Failures come back as what is said at the foot. */
export function performer(screenful: () => Screenful): { readonly perform: Performer } & Disposable {
  const ending = new AbortController();
  let feed: AbortController | undefined;
  let ear: AbortController | undefined;
  const follow = (folder: string, { dispatch }: Stage) => {
    feed?.abort();
    feed = new AbortController();
    const { signal } = feed;
    void feedRun(folder, {
      signal,
      onEvents: events => dispatch({ type: 'events', folder, events }),
      onLost: ({ code, message, hint }) => dispatch({ type: 'run-lost', folder, failure: { code, message, hint } }),
    });
  };
  const perform: Performer = (effect, stage) => {
    const tell = (error: unknown) => {
      const { message, hint } = asEdgeError(error);
      if (!ending.signal.aborted) stage.dispatch({ type: 'say', text: `${message} Mend: ${hint}`, tone: 'bad' });
    };
    switch (effect.do) {
      case 'load':
        return void load(effect.source, stage, ending.signal);
      case 'follow':
        return follow(effect.folder, stage);
      case 'start-run':
        return void startRun(effect, stage).catch(tell);
      case 'ask-run':
        return void askRun(effect.folder, effect.ask).catch(tell);
      case 'command':
        return void command(effect, stage).catch(tell);
      case 'edit':
        return void edit(effect, stage, screenful()).catch(tell);
      case 'terminal':
        return void inTerminal(effect.words, stage, screenful()).catch(tell);
      case 'listen':
        ear?.abort();
        ear = new AbortController();
        return effect.device === undefined ? undefined : void listen(effect.device, stage, ear.signal);
      case 'copy':
        return screenful().write(`\u001b]52;c;${Buffer.from(effect.text).toString('base64')}\u0007`);
      case 'remember-tour':
        return void rememberTour().catch(tell);
      case 'exit':
        return screenful().exit();
      default:
        return unreachable(effect);
    }
  };
  const end = () => {
    ending.abort();
    feed?.abort();
    ear?.abort();
  };
  return { perform, [Symbol.dispose]: end };
}

async function load(source: SourceName, { state, dispatch }: Stage, signal: AbortSignal): Promise<void> {
  const folder = state().project;
  if (folder === undefined) return;
  try {
    const json = (words: readonly string[]) => ownJson([...words, '--project', folder], { cwd: folder, signal });
    const value = await loaders[source].load({ folder, state: state(), signal, json });
    if (!signal.aborted && state().project === folder) dispatch({ type: 'loaded', source, value, atMs: Date.now() } as Action);
  } catch (error) {
    const { code, message, hint } = asEdgeError(error);
    if (!signal.aborted && state().project === folder) dispatch({ type: 'load-failed', source, failure: { code, message, hint } });
  }
}

async function startRun({ wish, cli }: Extract<Effect, { do: 'start-run' }>, { state, dispatch }: Stage): Promise<void> {
  const { project } = state();
  if (project === undefined) return;
  const { startProjectRun } = await import('../start-project-run.ts');
  const { steps, devices, model } = wish;
  const started = await startProjectRun({
    folder: project,
    request: { project, steps: [...steps], ...(devices ? { devices: [...devices] } : {}), ...(model ? { model } : {}) },
    command: cli,
  });
  dispatch({ type: 'run-begun', ...started });
}

async function command({ words, quiet, done }: Extract<Effect, { do: 'command' }>, { state, dispatch }: Stage): Promise<void> {
  const cwd = state().project ?? state().cwd;
  const [at, startedAt] = [new Date().toISOString(), performance.now()];
  const { exitCode, out, err } = await ownCommand(words, { cwd });
  dispatch({ type: 'command-noted', command: { words, at, exitCode, milliseconds: performance.now() - startedAt } });
  const lines = `${out}${err}`.trimEnd().split('\n');
  if (exitCode !== 0) return dispatch({ type: 'open', dialog: { kind: 'output', title: `edgeforge ${words.join(' ')}: exit code ${exitCode}`, lines, scroll: 0 } });
  if (!quiet) dispatch({ type: 'open', dialog: { kind: 'output', title: `edgeforge ${words.join(' ')}`, lines, scroll: 0 } });
  else dispatch({ type: 'say', text: lines[0] ?? 'Done.', tone: 'good' });
  if (done) dispatch(done);
}

async function edit({ file, check }: Extract<Effect, { do: 'edit' }>, { state, dispatch }: Stage, { suspend }: Screenful): Promise<void> {
  const cwd = state().project ?? state().cwd;
  const editor = process.env.VISUAL || process.env.EDITOR || 'vi';
  // The variable may hold options, as git and others allow.
  const [program = 'vi', ...options] = editor.split(/\s+/);
  await suspend(() => onTerminal(program, [...options, join(cwd, file)], cwd));
  dispatch({ type: 'refresh' });
  if (check) dispatch({ type: 'command', words: check });
}

async function inTerminal(words: readonly string[], { state, dispatch }: Stage, { suspend }: Screenful): Promise<void> {
  const cwd = state().project ?? state().cwd;
  const { main, env } = ownProgram();
  const at = new Date().toISOString();
  // What it says stays until a key is pressed, as after a command in a shell.
  const text = '"$@"; code=$?; printf "\\n[exit code %s; enter goes back] " $code; read -r _; exit $code';
  await suspend(() => onTerminal('sh', ['-c', text, 'sh', process.execPath, main, ...words], cwd, env));
  dispatch({ type: 'command-noted', command: { words, at } });
  dispatch({ type: 'refresh' });
}

/** Another program on our terminal, to its end. */
const onTerminal = (program: string, words: readonly string[], cwd: string, env = process.env): Promise<void> =>
  new Promise((done, failed) => {
    const child = spawn(program, words, { cwd, env, stdio: 'inherit' });
    child.once('error', failed);
    child.once('close', () => done());
  });

async function listen(device: string, { state, dispatch }: Stage, signal: AbortSignal): Promise<void> {
  const { telemetrySchema } = await import('../../deploy/telemetry-sample.ts');
  const lost = (message: string) =>
    signal.aborted ? undefined : dispatch({ type: 'telemetry-lost', device, failure: { code: 'connection-lost', message, hint: `edgeforge device watch ${device}` } });
  const onLine = (line: string) => {
    const parsed = telemetrySchema.safeParse(jsonOf(line));
    if (!signal.aborted && parsed.success) dispatch({ type: 'telemetry', device, sample: parsed.data as TelemetrySample });
  };
  try {
    const { err } = await ownCommand(['device', 'watch', device, '--json'], { cwd: state().project ?? state().cwd, signal, onLine });
    lost(err.trim() || `${device} says no more.`);
  } catch (error) {
    lost(asEdgeError(error).message);
  }
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
