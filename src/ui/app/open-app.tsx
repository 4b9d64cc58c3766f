import { render, type useApp } from 'ink';
import { projectFolderFrom } from '../../pipeline/project-folder.ts';
import type { Action } from './action.ts';
import { glyphsOf, lookOf } from './glyphs.ts';
import { performer, type Screenful } from './perform.ts';
import type { UiState } from './state.ts';
import { AppStore } from './store.ts';
import { tourSeen } from './tour-memory.ts';
import { Root } from './views/root.tsx';

/** What Ink lends while it draws. */
export interface Lent {
  app?: ReturnType<typeof useApp>;
}

const sizeOf = (stream: NodeJS.WriteStream) => ({ columns: stream.columns || 80, rows: stream.rows || 24 });

/** The state before anything was looked at. */
export const firstState = (given: Pick<UiState, 'terminal' | 'cwd' | 'nowMs'> & { readonly project?: string | undefined }): UiState => {
  const { project, ...rest } = given;
  return { ...rest, ...(project === undefined ? {} : { project }), screen: 'home', trail: [], places: {}, choices: {}, sources: {}, commands: [] };
};

/** Opens the interactive UI on this process's terminal; resolves to the exit code when a person leaves it. Runs go on. */
export async function openApp({ cwd }: { readonly cwd: string }): Promise<number> {
  const { stdout } = process;
  const lent: Lent = {};
  const screenful = (): Screenful => ({
    exit: () => lent.app?.exit(),
    suspend: work => lent.app?.suspendTerminal(work) ?? work(),
    write: text => void stdout.write(text),
  });
  using performing = performer(screenful);
  const terminal = lookOf(process.env, sizeOf(stdout));
  using store = new AppStore(firstState({ terminal, cwd, project: projectFolderFrom(cwd), nowMs: Date.now() }), performing.perform);
  const resized = () => store.dispatch({ type: 'resize', terminal: sizeOf(stdout) });
  stdout.on('resize', resized);
  const view = render(<Root store={store} lent={lent} />, { exitOnCtrlC: false, alternateScreen: true, incrementalRendering: true, maxFps: 10 });
  // The first picture is drawn from nothing; only then are project, runs and plan looked at.
  setImmediate(() => begin(store));
  await view.waitUntilExit();
  stdout.off('resize', resized);
  const { watched } = store.state();
  if (watched?.live) stdout.write(`run ${watched.id} goes on. Come back with: edgeforge ${glyphsOf(terminal).dash} or: edgeforge watch ${watched.id}\n`);
  return 0;
}

function begin({ dispatch }: { readonly dispatch: (action: Action) => void }): void {
  if (!tourSeen()) dispatch({ type: 'open', dialog: { kind: 'tour', page: 0 } });
  dispatch({ type: 'tick', nowMs: Date.now() });
}
