import type { RunEvent } from '../../core/events.ts';
import type { Failure } from '../../core/run-state.ts';
import type { TelemetrySample } from '../../deploy/telemetry-sample.ts';
import type { Dialog } from './dialog.ts';
import type { SourceName, Sources } from './sources.ts';
import type { LocalCommand, ScreenName, TerminalLook } from './state.ts';

/** What a run is asked for from the UI; the project is the one that is open. */
export interface RunWish {
  /** Step ids or names; none means everything. */
  readonly steps: readonly string[];
  /** Only these devices; absent means all. */
  readonly devices?: readonly string[];
  /** A finished network instead of the project's own. */
  readonly model?: { readonly file: string };
}

/** What a person can do, from a key, the palette or a dialog. */
export type UserAction =
  | { readonly type: 'go'; readonly screen: ScreenName }
  /** Backs out of one level: dialog, filter, screen; with `leave`, out of the program at last. */
  | { readonly type: 'back'; readonly leave?: boolean }
  | { readonly type: 'move'; readonly by: number | 'first' | 'last' | 'page-up' | 'page-down' }
  | { readonly type: 'pane'; readonly by: 1 | -1 }
  | { readonly type: 'neighbour'; readonly by: 1 | -1 }
  | { readonly type: 'open'; readonly dialog: Dialog }
  | { readonly type: 'close' }
  | { readonly type: 'filter'; readonly text: string }
  /** Keeps a choice of a screen (see `Choices`). */
  | { readonly type: 'choose'; readonly name: string; readonly value: string | number | boolean }
  /** Starts a run as a process of its own and watches it. */
  | { readonly type: 'run'; readonly wish: RunWish; readonly cli: string }
  /** Looks at a run of this project from its first event on: follows a live one, replays a finished one. */
  | { readonly type: 'watch'; readonly id: string; readonly folder: string; readonly show?: ScreenName }
  | { readonly type: 'stop-run' }
  | { readonly type: 'detach' }
  /** Runs a command of edgeforge's own as a child and shows what it printed (or only that it went well). `done`: what to do after exit code 0. */
  | { readonly type: 'command'; readonly words: readonly string[]; readonly quiet?: boolean; readonly done?: Action }
  /** Opens a file of the project in $EDITOR and checks it with `edgeforge` words on return. */
  | { readonly type: 'edit'; readonly file: string; readonly check?: readonly string[] }
  /** Gives the terminal to a command of edgeforge's own that asks questions, until it ends. */
  | { readonly type: 'terminal'; readonly words: readonly string[] }
  /** Hears the telemetry of a device, or of none. */
  | { readonly type: 'listen'; readonly device?: string }
  | { readonly type: 'open-project'; readonly folder: string }
  /** Puts text on the terminal's clipboard (OSC 52). */
  | { readonly type: 'copy'; readonly text: string }
  | { readonly type: 'refresh' }
  | { readonly type: 'say'; readonly text: string; readonly tone: 'info' | 'good' | 'bad' }
  | { readonly type: 'tour-seen' }
  | { readonly type: 'quit' };

/** What comes from outside: keys, the clock, the run's log, answers of what was asked. */
export type OutsideAction =
  | { readonly type: 'key'; readonly key: string }
  | { readonly type: 'typed'; readonly text: string }
  | { readonly type: 'resize'; readonly terminal: Pick<TerminalLook, 'columns' | 'rows'> }
  | { readonly type: 'tick'; readonly nowMs: number }
  | { readonly type: 'events'; readonly folder: string; readonly events: readonly RunEvent[] }
  | { readonly type: 'run-lost'; readonly folder: string; readonly failure: Failure }
  | { readonly type: 'run-begun'; readonly id: string; readonly folder: string }
  | { readonly type: 'loading'; readonly source: SourceName }
  | { readonly [N in SourceName]: { readonly type: 'loaded'; readonly source: N; readonly value: Sources[N]; readonly atMs: number } }[SourceName]
  | { readonly type: 'load-failed'; readonly source: SourceName; readonly failure: Failure }
  | { readonly type: 'telemetry'; readonly device: string; readonly sample: TelemetrySample }
  | { readonly type: 'telemetry-lost'; readonly device: string; readonly failure: Failure }
  | { readonly type: 'command-noted'; readonly command: LocalCommand };

export type Action = UserAction | OutsideAction;

/** What the store does for an action, outside of the state. Performed in one place, perform.ts. */
export type Effect =
  | { readonly do: 'load'; readonly source: SourceName }
  | { readonly do: 'start-run'; readonly wish: RunWish; readonly cli: string }
  | { readonly do: 'follow'; readonly folder: string }
  | { readonly do: 'ask-run'; readonly folder: string; readonly ask: 'cancel' | 'detach' }
  | { readonly do: 'command'; readonly words: readonly string[]; readonly quiet: boolean; readonly done: Action | undefined }
  | { readonly do: 'edit'; readonly file: string; readonly check: readonly string[] | undefined }
  | { readonly do: 'terminal'; readonly words: readonly string[] }
  | { readonly do: 'listen'; readonly device: string | undefined }
  | { readonly do: 'copy'; readonly text: string }
  | { readonly do: 'remember-tour' }
  | { readonly do: 'exit' };
