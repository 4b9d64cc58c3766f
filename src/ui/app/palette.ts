import { fuzzyFind } from './fuzzy.ts';
import type { KeyBinding } from './screen.ts';
import { screens } from './screens.ts';
import type { ScreenName, UiState } from './state.ts';

/** One action as the palette lists it. */
export interface PaletteEntry {
  readonly screen: ScreenName;
  readonly title: string;
  readonly binding: KeyBinding;
}

/** Keys that mean the same everywhere, for the help and the palette. */
export const everywhere: readonly KeyBinding[] = [
  ...screens.map((screen): KeyBinding => ({ key: screen.key, help: `go to ${screen.title}`, action: () => ({ type: 'go', screen: screen.name }) })),
  { key: 'R', help: 'look again at everything shown', action: () => ({ type: 'refresh' }) },
  { key: '?', help: 'keys of this screen', action: () => ({ type: 'open', dialog: { kind: 'help', scroll: 0 } }) },
  { key: '/', help: 'filter the list', action: () => ({ type: 'open', dialog: { kind: 'filter', text: '' } }) },
  { key: 'ctrl-c', help: 'leave; asks about a run under way', action: () => ({ type: 'quit' }) },
];

/** Every action there is: this screen's first, then what works everywhere, then the other screens'. */
export function paletteEntries(state: UiState, query: string): readonly PaletteEntry[] {
  const of = (name: ScreenName): PaletteEntry[] =>
    screens.filter(screen => screen.name === name).flatMap(screen => screen.keys.map(binding => ({ screen: name, title: screen.title, binding })));
  const others = screens.filter(({ name }) => name !== state.screen).flatMap(({ name }) => of(name));
  const entries = [...of(state.screen), ...everywhere.map(binding => ({ screen: state.screen, title: 'everywhere', binding })), ...others];
  return fuzzyFind(query, entries, ({ title, binding }) => `${binding.help} ${title} ${binding.cli?.(state) ?? ''}`);
}
