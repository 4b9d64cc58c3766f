import type { Action } from './action.ts';
import type { Dialog } from './dialog.ts';
import { isTyped } from './keys.ts';
import { everywhere, paletteEntries } from './palette.ts';
import type { KeyBinding } from './screen.ts';
import { screenNamed } from './screens.ts';
import type { ScreenName, UiState } from './state.ts';

/** What a key press comes to: an action, on the state as it is or on another one first. */
export interface Press {
  readonly state?: UiState;
  readonly action: Action;
}

const moves: Readonly<Record<string, Action>> = {
  up: { type: 'move', by: -1 },
  k: { type: 'move', by: -1 },
  down: { type: 'move', by: 1 },
  j: { type: 'move', by: 1 },
  left: { type: 'neighbour', by: -1 },
  h: { type: 'neighbour', by: -1 },
  right: { type: 'neighbour', by: 1 },
  l: { type: 'neighbour', by: 1 },
  pageup: { type: 'move', by: 'page-up' },
  'ctrl-u': { type: 'move', by: 'page-up' },
  pagedown: { type: 'move', by: 'page-down' },
  'ctrl-d': { type: 'move', by: 'page-down' },
  home: { type: 'move', by: 'first' },
  g: { type: 'move', by: 'first' },
  end: { type: 'move', by: 'last' },
  G: { type: 'move', by: 'last' },
  tab: { type: 'pane', by: 1 },
  'shift-tab': { type: 'pane', by: -1 },
  ':': { type: 'open', dialog: { kind: 'palette', text: '', cursor: 0 } },
  esc: { type: 'back' },
  q: { type: 'back', leave: true },
};
const arrows: Readonly<Record<string, string>> = { h: 'left', j: 'down', k: 'up', l: 'right' };

/** What a key means now: the dialog's meaning first, then the screen's, then what it means everywhere. */
export function pressed(state: UiState, key: string): Press | undefined {
  if (state.dialog) return inDialog(state, state.dialog, key);
  const name = arrows[key] ?? key;
  const own = screenNamed(state.screen).keys.find(binding => binding.key === name);
  if (own) return { action: performed(state, own) };
  const common = moves[key];
  if (common) return { action: common };
  const binding = everywhere.find(({ key: its }) => its === key);
  return binding && { action: performed(state, binding) };
}

function performed(state: UiState, binding: KeyBinding): Action {
  const action = binding.action(state);
  return 'not' in action ? { type: 'say', text: action.not, tone: 'info' } : action;
}

/** The state with other text in its dialog's line. */
export function typed(state: UiState, text: string): UiState {
  const { dialog } = state;
  if (dialog?.kind === 'palette') return { ...state, dialog: { ...dialog, text, cursor: 0 } };
  if (dialog?.kind === 'filter' || dialog?.kind === 'prompt') return { ...state, dialog: { ...dialog, text } };
  return state;
}

function inDialog(state: UiState, dialog: Dialog, key: string): Press | undefined {
  if (key === 'ctrl-c') return { action: dialog.kind === 'ask' && dialog.choices.some(({ does }) => does?.type === 'detach') ? { type: 'detach' } : { type: 'quit' } };
  if (key === 'esc') return { action: { type: 'back' } };
  switch (dialog.kind) {
    case 'palette': {
      const entries = paletteEntries(state, dialog.text);
      const by = key === 'down' || key === 'tab' ? 1 : key === 'up' ? -1 : 0;
      if (by !== 0) return opened({ ...dialog, cursor: Math.max(0, Math.min(entries.length - 1, dialog.cursor + by)) });
      const chosen = entries[dialog.cursor];
      if (key === 'enter') return chosen ? chosenFrom(state, chosen) : { action: { type: 'close' } };
      return line(dialog.text, key);
    }
    case 'filter':
      return key === 'enter' ? { action: { type: 'filter', text: dialog.text } } : line(dialog.text, key);
    case 'prompt':
      return key === 'enter' ? (dialog.text.trim() === '' ? undefined : { action: filled(dialog.does, dialog.text.trim()) }) : line(dialog.text, key);
    case 'help':
    case 'output':
      if (key === 'q' || key === 'enter' || key === '?') return { action: { type: 'close' } };
      return scrolled(key) === 0 ? undefined : opened({ ...dialog, scroll: Math.max(0, dialog.scroll + scrolled(key)) });
    case 'tour':
      return { action: dialog.page >= 2 || key === 'q' ? { type: 'tour-seen' } : { type: 'open', dialog: { kind: 'tour', page: dialog.page + 1 } } };
    case 'ask':
    case 'pick': {
      const by = key === 'down' || key === 'j' || key === 'tab' ? 1 : key === 'up' || key === 'k' ? -1 : 0;
      if (by !== 0) return opened({ ...dialog, cursor: Math.max(0, Math.min(dialog.choices.length - 1, dialog.cursor + by)) });
      const choice = key === 'enter' ? dialog.choices[dialog.cursor] : dialog.choices.find(({ key: its }) => its === key);
      return choice ? { action: choice.does ?? { type: 'close' } } : key === 'q' ? { action: { type: 'close' } } : undefined;
    }
  }
}

const opened = (dialog: Dialog): Press => ({ action: { type: 'open', dialog } });
const scrolled = (key: string): number => ({ down: 1, j: 1, up: -1, k: -1, pagedown: 10, pageup: -10, ' ': 10 })[key] ?? 0;

/** A line of text being typed. */
function line(text: string, key: string): Press | undefined {
  if (key === 'backspace') return { action: { type: 'typed', text: [...text].slice(0, -1).join('') } };
  if (key === 'ctrl-u') return { action: { type: 'typed', text: '' } };
  return isTyped(key) ? { action: { type: 'typed', text: text + key } } : undefined;
}

/** An action of the palette: the screen it belongs to is shown first. */
function chosenFrom(state: UiState, { screen, binding }: { readonly screen: ScreenName; readonly binding: KeyBinding }): Press {
  const { dialog: _, ...without } = state;
  const there: UiState = screen === state.screen ? without : { ...without, screen, trail: [state.screen, ...state.trail] };
  return { state: there, action: performed(there, binding) };
}

/** The action with `{text}` in its words replaced, and `{words}` by the text's words. */
function filled(action: Action, text: string): Action {
  const words = text.split(/\s+/);
  return JSON.parse(JSON.stringify(action), (_key, value: unknown) => {
    if (typeof value === 'string') return value.replaceAll('{text}', text);
    return Array.isArray(value) ? value.flatMap(item => (item === '{words}' ? words : [item as unknown])) : value;
  }) as Action;
}
