import { render, type useApp } from 'ink';
import { projectFolderFrom } from '../../pipeline/project-folder.ts';
import { lookOf } from '../look.ts';
import type { Action } from './action.ts';
import { firstState } from './first-state.ts';
import { toAscii } from './glyphs.ts';
import { performer, type Screenful } from './perform.ts';
import { AppStore } from './store.ts';
import { tourSeen } from './tour-memory.ts';
import { Root } from './views/root.tsx';

/** What Ink lends while it draws. */
export interface Lent {
  app?: ReturnType<typeof useApp>;
}

const sizeOf = (stream: NodeJS.WriteStream) => ({ columns: stream.columns || 80, rows: stream.rows || 24 });

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
  const terminal = { ...sizeOf(stdout), ...lookOf(process.env) };
  using store = new AppStore(firstState({ terminal, cwd, project: projectFolderFrom(cwd), nowMs: Date.now() }), performing.perform);
  const resized = () => store.dispatch({ type: 'resize', terminal: sizeOf(stdout) });
  stdout.on('resize', resized);
  const view = render(<Root store={store} lent={lent} />, {
    stdout: terminal.unicode ? stdout : spelling(stdout),
    exitOnCtrlC: false,
    alternateScreen: true,
    incrementalRendering: true,
    maxFps: 10,
  });
  // The first picture is drawn from nothing; only then are project, runs and plan looked at.
  setImmediate(() => begin(store));
  await view.waitUntilExit();
  stdout.off('resize', resized);
  const { watched } = store.state();
  if (watched?.live) stdout.write(`run ${watched.id} goes on. Come back to it with: edgeforge (or edgeforge watch ${watched.id})\n`);
  return 0;
}

/** The terminal, all that is written to it spelled in ASCII. */
const spelling = (stream: NodeJS.WriteStream): NodeJS.WriteStream =>
  new Proxy(stream, {
    get: (target, name) => {
      if (name === 'write') return (text: string | Uint8Array, ...rest: []) => target.write(typeof text === 'string' ? toAscii(text) : text, ...rest);
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });

function begin({ dispatch }: { readonly dispatch: (action: Action) => void }): void {
  if (!tourSeen()) dispatch({ type: 'open', dialog: { kind: 'tour', page: 0 } });
  dispatch({ type: 'tick', nowMs: Date.now() });
}
