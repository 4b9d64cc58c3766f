import { resolve } from 'node:path';
import { unreachable } from '../../core/errors.ts';
import type { Action, Effect } from './action.ts';
import { pressed, typed } from './press.ts';
import { leaving } from './questions.ts';
import { screenNamed, screens } from './screens.ts';
import { loaders, type SourceName } from './sources.ts';
import { atEnd, cursorOf, isLive, type Loaded, placeOf, type UiState } from './state.ts';
import { emptyWatched, extendWatched } from './watched.ts';

/** The state after an action, and what is to be done outside for it. */
export interface Updated {
  readonly state: UiState;
  readonly effects: readonly Effect[];
}
const only = (state: UiState): Updated => ({ state, effects: [] });
const saying = (state: UiState, text: string, tone: 'info' | 'good' | 'bad' = 'info'): UiState => ({ ...state, message: { text, tone } });

/** What every action means: the one place. Pure. */
export function update(state: UiState, action: Action): Updated {
  const first = changed(state, action);
  // Nobody looks at telemetry from another screen: the device is left in peace.
  const after = first.state.telemetry && first.state.screen !== 'devices' ? outside(first.state, { type: 'listen' }) : only(first.state);
  const { state: asked, effects: loads } = withNeeds(after.state);
  return { state: asked, effects: [...first.effects, ...after.effects, ...loads] };
}

function changed(state: UiState, action: Action): Updated {
  switch (action.type) {
    case 'key': {
      const next = pressed(state, action.key);
      return next === undefined ? only(state) : changed(next.state ?? state, next.action);
    }
    case 'typed':
      return only(typed(state, action.text));
    case 'go':
      return only(gone(state, action.screen));
    case 'back':
      return back(state, action.leave === true);
    case 'move':
      return only(moved(state, action.by));
    case 'pane': {
      const count = screenNamed(state.screen).panes?.length ?? 1;
      const place = placeOf(state);
      return only({ ...state, places: { ...state.places, [state.screen]: { ...place, pane: (place.pane + action.by + count) % count } } });
    }
    case 'neighbour': {
      const at = screens.findIndex(({ name }) => name === state.screen);
      return only(gone(state, (screens[(at + action.by + screens.length) % screens.length] ?? screenNamed('home')).name));
    }
    case 'open':
      return only({ ...state, dialog: action.dialog });
    case 'close':
      return only(closed(state));
    case 'filter':
      return only({ ...closed(state), places: { ...state.places, [state.screen]: { ...placeOf(state), cursors: [], filter: action.text } } });
    case 'choose':
      return only({ ...closed(state), choices: { ...state.choices, [action.name]: action.value } });
    case 'say':
      return only(saying(state, action.text, action.tone));
    case 'resize':
      return only({ ...state, terminal: { ...state.terminal, ...action.terminal } });
    case 'tick':
      return only({ ...state, nowMs: action.nowMs });
    case 'open-project':
      return only({ ...closed(state), project: resolve(state.cwd, action.folder), sources: {}, screen: 'home', trail: [] });
    case 'refresh':
      return only(saying({ ...state, sources: allStale(state.sources, true) }, 'Looking again.'));
    default:
      return outside(state, action);
  }
}

/** What a person wants done in the world: runs, commands, files. */
function outside(state: UiState, action: Exclude<Action, { type: PlainType }>): Updated {
  switch (action.type) {
    case 'run':
      if (state.project === undefined) return only(saying(state, 'There is no project here.', 'bad'));
      if (isLive(state)) return only(saying(closed(state), 'A run is under way: wait for it, or stop it with Ctrl-C.', 'bad'));
      return { state: saying(closed(state), `$ ${action.cli}`), effects: [{ do: 'start-run', wish: action.wish, cli: action.cli }] };
    case 'watch':
      return {
        state: { ...(action.show ? gone(state, action.show) : state), watched: emptyWatched(action.id, action.folder) },
        effects: [{ do: 'follow', folder: action.folder }],
      };
    case 'stop-run':
      if (!state.watched || !isLive(state)) return only(saying(closed(state), 'No run is under way.'));
      return { state: saying(closed(state), 'Stopping: finished work is kept.'), effects: [{ do: 'ask-run', folder: state.watched.folder, ask: 'cancel' }] };
    case 'detach':
      return {
        state: closed(state),
        effects: [...(state.watched && isLive(state) ? [{ do: 'ask-run', folder: state.watched.folder, ask: 'detach' } as const] : []), { do: 'exit' }],
      };
    case 'quit':
      return isLive(state) ? only({ ...state, dialog: leaving(state.watched?.id ?? '') }) : { state, effects: [{ do: 'exit' }] };
    case 'command':
      return {
        state: saying(closed(state), `$ edgeforge ${action.words.join(' ')}`),
        effects: [{ do: 'command', words: action.words, quiet: action.quiet === true, done: action.done }],
      };
    case 'edit':
      return { state: closed(state), effects: [{ do: 'edit', file: action.file, check: action.check }] };
    case 'terminal':
      return { state: closed(state), effects: [{ do: 'terminal', words: action.words }] };
    case 'listen': {
      const { telemetry: _, ...rest } = state;
      const { device } = action;
      return { state: device === undefined ? rest : { ...rest, telemetry: { device, samples: [] } }, effects: [{ do: 'listen', device }] };
    }
    case 'copy':
      return { state: saying(state, `Copied: ${action.text}`, 'good'), effects: [{ do: 'copy', text: action.text }] };
    case 'tour-seen':
      return { state: closed(state), effects: [{ do: 'remember-tour' }] };
    default:
      return news(state, action);
  }
}
/** What the world says: a run's events, answers of what was asked. */
function news(state: UiState, action: Extract<Action, { type: NewsType }>): Updated {
  switch (action.type) {
    case 'run-begun': {
      // A setting may have been changed just before.
      const { runs, project } = state.sources;
      const sources = { ...state.sources, ...(runs ? { runs: { ...runs, stale: true } } : {}), ...(project ? { project: { ...project, stale: true } } : {}) };
      return { state: { ...state, sources, watched: emptyWatched(action.id, action.folder) }, effects: [{ do: 'follow', folder: action.folder }] };
    }
    case 'events':
      return only(grown(state, action));
    case 'run-lost':
      if (state.watched?.folder !== action.folder) return only(state);
      return only(saying({ ...state, watched: { ...state.watched, live: false, lost: action.failure }, sources: allStale(state.sources) }, action.failure.message, 'bad'));
    case 'telemetry':
      if (state.telemetry?.device !== action.device) return only(state);
      return only({ ...state, telemetry: { device: action.device, samples: [...state.telemetry.samples, action.sample].slice(-240) } });
    case 'telemetry-lost':
      return only(state.telemetry?.device === action.device ? { ...state, telemetry: { ...state.telemetry, failure: action.failure } } : state);
    case 'command-noted':
      return only({ ...state, commands: [...state.commands, action.command].slice(-500) });
    case 'loading':
      return only(withSource(state, action.source, { ...state.sources[action.source], loading: true, stale: false }));
    case 'loaded': {
      const loaded = withSource(state, action.source, { value: action.value, loading: false, stale: state.sources[action.source]?.stale === true, atMs: action.atMs });
      const [newest] = action.source === 'runs' ? action.value : [];
      // The newest run is looked at from its first event on: a UI that was killed shows all that happened meanwhile.
      return newest && !state.watched ? outside(loaded, { type: 'watch', id: newest.id, folder: newest.folder }) : only(loaded);
    }
    case 'load-failed': {
      const before = state.sources[action.source];
      return only(withSource(state, action.source, { ...before, failure: action.failure, loading: false, stale: false }));
    }
    default:
      return unreachable(action);
  }
}
type NewsType = 'run-begun' | 'events' | 'run-lost' | 'telemetry' | 'telemetry-lost' | 'command-noted' | 'loading' | 'loaded' | 'load-failed';

type PlainType = 'key' | 'typed' | 'go' | 'back' | 'move' | 'pane' | 'neighbour' | 'open' | 'close' | 'filter' | 'choose' | 'say' | 'resize' | 'tick' | 'open-project' | 'refresh';

function gone(state: UiState, screen: UiState['screen']): UiState {
  const { message: _, ...rest } = closed(state);
  return screen === state.screen ? rest : { ...rest, screen, trail: [state.screen, ...state.trail.filter(name => name !== screen)].slice(0, 10) };
}

function closed({ dialog: _, ...state }: UiState): UiState {
  return state;
}

/** One level out: a dialog, the filter, the screen before; at the first screen it may leave. */
function back(state: UiState, leave: boolean): Updated {
  if (state.dialog) return state.dialog.kind === 'tour' ? outside(state, { type: 'tour-seen' }) : only(closed(state));
  const place = placeOf(state);
  if (place.filter !== '') return only({ ...state, places: { ...state.places, [state.screen]: { ...place, filter: '' } } });
  const [screen, ...trail] = state.trail;
  if (screen !== undefined) return only({ ...gone(state, screen), trail });
  if (state.screen !== 'home') return only({ ...gone(state, 'home'), trail: [] });
  return leave ? outside(state, { type: 'quit' }) : only(saying(state, 'q or Ctrl-C leaves; runs go on.'));
}

function moved(state: UiState, by: number | 'first' | 'last' | 'page-up' | 'page-down'): UiState {
  const { pane, cursors } = placeOf(state);
  const length = screenNamed(state.screen).panes?.[pane]?.length(state) ?? 0;
  const page = Math.max(1, state.terminal.rows - 8);
  const at = Math.min(cursorOf(state, pane), Math.max(0, length - 1));
  const wanted = by === 'first' ? 0 : by === 'last' ? length : at + (by === 'page-up' ? -page : by === 'page-down' ? page : by);
  const next = Array.from({ length: Math.max(cursors.length, pane + 1) }, (_, index) => cursors[index] ?? 0);
  // At the end of a list that grows the cursor stays at its end.
  next[pane] = wanted >= length - 1 ? atEnd : Math.max(0, wanted);
  return { ...state, places: { ...state.places, [state.screen]: { ...placeOf(state), cursors: next } } };
}

function grown(state: UiState, { folder, events }: Extract<Action, { type: 'events' }>): UiState {
  if (state.watched?.folder !== folder) return state;
  const watched = extendWatched(state.watched, events);
  const ended = watched.state.result !== undefined && state.watched.state.result === undefined;
  // A replayed run has changed nothing now, but whether it is one is only known from its events' time.
  return { ...state, watched, ...(ended ? { sources: allStale(state.sources) } : {}) };
}

// What a value was loaded for stays beside it until it is loaded for something else.
const withSource = (state: UiState, source: SourceName, loaded: Loaded<unknown>): UiState => {
  const key = state.sources[source]?.key;
  return { ...state, sources: { ...state.sources, [source]: { ...(key === undefined ? {} : { key }), ...loaded } } };
};

function allStale(sources: UiState['sources'], steadyToo = false): UiState['sources'] {
  return Object.fromEntries(
    Object.entries(sources).map(([name, loaded]) => [name, steadyToo || loaders[name as SourceName].steady !== true ? { ...loaded, stale: true } : loaded]),
  );
}

/** Asks for what the screen shows and is not here, has gone stale, or is to be looked at again by the clock. */
function withNeeds(state: UiState): Updated {
  if (state.project === undefined) return only(state);
  const wanted = screenNamed(state.screen).needs.filter(name => {
    const loaded = state.sources[name];
    const { everyMs, key } = loaders[name];
    const wish = key?.(state);
    if (key && wish === undefined) return false;
    if (loaded === undefined) return true;
    return !loaded.loading && (loaded.stale || loaded.key !== wish || (everyMs !== undefined && state.nowMs - (loaded.atMs ?? state.nowMs) >= everyMs));
  });
  if (wanted.length === 0) return only(state);
  const marked = wanted.reduce<UiState>((so, name) => {
    const key = loaders[name].key?.(state);
    return withSource(so, name, { ...so.sources[name], loading: true, stale: false, ...(key === undefined ? {} : { key }) });
  }, state);
  return { state: marked, effects: wanted.map(source => ({ do: 'load', source })) };
}
