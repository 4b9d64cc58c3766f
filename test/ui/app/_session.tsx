import { render } from 'ink-testing-library';
import type { RunEvent, UntimedEvent } from '../../../src/core/events.ts';
import type { Action, Effect } from '../../../src/ui/app/action.ts';
import { firstState } from '../../../src/ui/app/first-state.ts';
import { toAscii } from '../../../src/ui/app/glyphs.ts';
import type { UiState } from '../../../src/ui/app/state.ts';
import { update } from '../../../src/ui/app/update.ts';
import { Frame } from '../../../src/ui/app/views/frame.tsx';

export const start = Date.parse('2026-11-24T10:00:00Z');
export const at = (seconds: number, event: UntimedEvent): RunEvent => ({ ...event, time: new Date(start + seconds * 1000).toISOString() }) as RunEvent;

/** A session without a terminal: actions go in, effects are collected, pictures come out as text. */
export class Session {
  state: UiState;
  readonly effects: Effect[] = [];

  constructor({ columns = 80, rows = 24, unicode = true, project = '/work/cars' as string | undefined } = {}) {
    this.state = firstState({ terminal: { columns, rows, unicode, colour: 'none', graphics: 'none' }, cwd: '/work', nowMs: start, project });
  }
  do(...actions: readonly Action[]): this {
    for (const action of actions) {
      const { state, effects } = update(this.state, action);
      this.state = state;
      this.effects.push(...effects);
    }
    return this;
  }
  keys(...keys: readonly string[]): this {
    return this.do(...keys.map((key): Action => ({ type: 'key', key })));
  }
  /** Looks at a run that has these events so far. */
  watch(events: readonly RunEvent[], nowMs = start): this {
    return this.do({ type: 'watch', id: '20261124-100000-000-abcdef', folder: '/r' }, { type: 'events', folder: '/r', events }, { type: 'tick', nowMs });
  }
  picture(): string {
    const { lastFrame, unmount } = render(<Frame state={this.state} />);
    const text = (lastFrame() ?? '')
      .split('\n')
      .map(line => line.trimEnd())
      .join('\n');
    unmount();
    return `${this.state.terminal.unicode ? text : toAscii(text)}\n`;
  }
}
