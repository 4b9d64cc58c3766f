import type { Action } from './action.ts';
import type { Performer } from './perform.ts';
import { screenNamed } from './screens.ts';
import { loaders } from './sources.ts';
import { isLive, type UiState } from './state.ts';
import { update } from './update.ts';

/** The one place where the state lives: actions go in, pictures are drawn from what comes out. */
export class AppStore implements Disposable {
  #state: UiState;
  readonly #listeners = new Set<() => void>();
  readonly #perform: Performer;
  #clock: NodeJS.Timeout | undefined;

  constructor(state: UiState, perform: Performer) {
    this.#state = state;
    this.#perform = perform;
  }

  /** For useSyncExternalStore. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };
  readonly state = (): UiState => this.#state;

  readonly dispatch = (action: Action): void => {
    const { state, effects } = update(this.#state, action);
    const same = state === this.#state;
    this.#state = state;
    for (const effect of effects) this.#perform(effect, this);
    this.#keepTime();
    if (!same) for (const listener of this.#listeners) listener();
  };

  /** The clock runs only where a picture changes with time: a live run, or a source that is looked at again and again. */
  #keepTime(): void {
    const wanted = isLive(this.#state) || screenNamed(this.#state.screen).needs.some(name => loaders[name].everyMs !== undefined);
    if (wanted && this.#clock === undefined) this.#clock = setInterval(() => this.dispatch({ type: 'tick', nowMs: Date.now() }), 1000);
    if (wanted || this.#clock === undefined) return;
    clearInterval(this.#clock);
    this.#clock = undefined;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#clock);
    this.#clock = undefined;
  }
}
