import type { LogLevel } from '../../core/events.ts';
import type { Failure, RunState } from '../../core/run-state.ts';
import type { TelemetrySample } from '../../deploy/telemetry-sample.ts';
import type { Look } from '../look.ts';
import type { Dialog } from './dialog.ts';
import type { SourceName, Sources } from './sources.ts';

export const screenNames = ['home', 'data', 'train', 'prune', 'export', 'devices', 'deploy', 'benchmark', 'runs', 'log'] as const;
export type ScreenName = (typeof screenNames)[number];

/** What the terminal can show, and its size. */
export interface TerminalLook extends Look {
  readonly columns: number;
  readonly rows: number;
}

/** Something from outside as it stands: its last value stays while it loads anew, and beside a failure. */
export interface Loaded<T> {
  readonly value?: T;
  readonly failure?: Failure;
  readonly loading: boolean;
  /** Something happened since that may have changed it: it loads again when a screen needs it. */
  readonly stale: boolean;
  /** When the value came, in ms since 1970. */
  readonly atMs?: number;
  /** What it was loaded for, where that depends on where a person stands. */
  readonly key?: string;
}

/** One line of a run's log: what a person reads, in the order it happened. */
export interface RunLine {
  readonly time: string;
  readonly step: string;
  readonly level: LogLevel | 'event';
  readonly text: string;
}

/** The run that the screens look at: live or replayed, it is the fold of its event log and nothing else. */
export interface Watched {
  readonly id: string;
  readonly folder: string;
  readonly state: RunState;
  readonly lines: readonly RunLine[];
  /** Its process lives and more events come. */
  readonly live: boolean;
  /** Why no more events come although none said run-finished. */
  readonly lost?: Failure;
}

/** Where a person stands on one screen: the pane, a cursor per pane, and the filter typed with `/`. */
export interface Place {
  readonly pane: number;
  readonly cursors: readonly number[];
  readonly filter: string;
}
export const firstPlace: Place = { pane: 0, cursors: [], filter: '' };

/** A command of edgeforge's own that the UI started on this machine, as Log shows it. */
export interface LocalCommand {
  readonly words: readonly string[];
  readonly at: string;
  readonly milliseconds?: number;
  readonly exitCode?: number;
}

/** A choice that a screen keeps between pictures, e.g. a pruning budget not yet written to the project file. Named `screen.name`. */
export type Choices = Readonly<Record<string, string | number | boolean>>;

/** Everything the UI shows, as one plain value: a screen is a picture of it and of nothing else. */
export interface UiState {
  readonly terminal: TerminalLook;
  /** The store's clock: once a second while a run is live. */
  readonly nowMs: number;
  /** Where the program was started. */
  readonly cwd: string;
  /** The folder of edgeforge.yaml; absent where there is none. */
  readonly project?: string;
  readonly screen: ScreenName;
  /** The screens that esc goes back to, last first. */
  readonly trail: readonly ScreenName[];
  readonly places: Readonly<Partial<Record<ScreenName, Place>>>;
  readonly choices: Choices;
  readonly dialog?: Dialog;
  /** One line for a person: what was just done, or why not. */
  readonly message?: { readonly text: string; readonly tone: 'info' | 'good' | 'bad' };
  readonly sources: { readonly [N in SourceName]?: Loaded<Sources[N]> };
  readonly watched?: Watched;
  readonly commands: readonly LocalCommand[];
  /** What a device says of itself now, newest last. */
  readonly telemetry?: { readonly device: string; readonly samples: readonly TelemetrySample[]; readonly failure?: Failure };
}

export const placeOf = (state: UiState, screen: ScreenName = state.screen): Place => state.places[screen] ?? firstPlace;
/** A cursor that stays at the end of its list, however it grows. Lists take any cursor beyond their end as their last row. */
export const atEnd = Number.MAX_SAFE_INTEGER;
/** The cursor of a pane; it may stand beyond the end of its list (`atEnd`): see `chosen`. A log starts at its end. */
export const cursorOf = (state: UiState, pane: number, screen: ScreenName = state.screen): number => placeOf(state, screen).cursors[pane] ?? (screen === 'log' ? atEnd : 0);
/** The item under a pane's cursor. */
export const chosen = <T>(items: readonly T[], state: UiState, pane: number, screen: ScreenName = state.screen): T | undefined =>
  items[Math.min(cursorOf(state, pane, screen), items.length - 1)];
/** Whether a run is under way that this UI looks at. */
export const isLive = ({ watched }: UiState): boolean => watched?.live === true && watched.state.result === undefined;
