import type { ReactElement } from 'react';
import type { UserAction } from './action.ts';
import type { SourceName } from './sources.ts';
import type { ScreenName, UiState } from './state.ts';

/** A key of a screen as data. The palette, the help and the footer are made of these. */
export interface KeyBinding {
  /** As `keyName` spells it: `t`, `enter`, `ctrl-r`. Taken everywhere: digits h j k l g G q R : / ? tab esc and arrows (left and right may be bound). */
  readonly key: string;
  /** What it does, in a few words, e.g. `train what is stale`. */
  readonly help: string;
  /** The action in this state, or why there is none: said instead of doing nothing. */
  readonly action: (state: UiState) => UserAction | { readonly not: string };
  /** The command that does the same; absent where it only moves the view. */
  readonly cli?: (state: UiState) => string;
}

/** A part of a screen with a cursor of its own: how many rows the cursor may stand on. */
export interface Pane {
  readonly name: string;
  readonly length: (state: UiState) => number;
}

/** The space that a screen has: the terminal less tabs and footer. */
export interface ScreenProps {
  readonly state: UiState;
  readonly columns: number;
  readonly rows: number;
}

/** A screen: a picture of the state, and its keys as data. */
export interface Screen {
  readonly name: ScreenName;
  /** The digit that goes there. */
  readonly key: string;
  readonly title: string;
  /** One sentence for the help. */
  readonly about: string;
  /** Draws `columns` × `rows` at most; reads nothing but its arguments, holds no state, starts nothing. */
  readonly view: (props: ScreenProps) => ReactElement;
  readonly keys: readonly KeyBinding[];
  readonly panes?: readonly Pane[];
  /** What it shows besides the watched run; loaded when the screen is entered and after each run. */
  readonly needs: readonly SourceName[];
  /** Whether it makes sense without a project. */
  readonly projectless?: boolean;
}
