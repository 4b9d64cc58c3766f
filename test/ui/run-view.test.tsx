import { render } from 'ink-testing-library';
import { describe, expect, it } from 'vitest';
import type { RunEvent, UntimedEvent } from '../../src/core/events.ts';
import { initialRunState, reduceRun } from '../../src/core/run-state.ts';
import { brailleCurve } from '../../src/ui/components/braille.ts';
import { RunScreen } from '../../src/ui/components/run-screen.tsx';
import { linePrinter } from '../../src/ui/run-lines.ts';

const start = Date.parse('2026-11-24T10:00:00Z');
const at = (seconds: number, event: UntimedEvent): RunEvent => ({ ...event, time: new Date(start + seconds * 1000).toISOString() }) as RunEvent;
const training: readonly RunEvent[] = [
  at(0, { type: 'run-started', run: 'r1', command: 'edgeforge run', steps: ['dataset', 'train', 'prune', 'report nano'] }),
  at(0, { type: 'step-finished', step: 'dataset', outcome: 'cached', milliseconds: 2, notes: [] }),
  at(1, { type: 'step-started', step: 'train', because: 'never ran' }),
  ...Array.from({ length: 10 }, (_, i) => at(2 + i, { type: 'step-progress', step: 'train', done: i + 1, total: 100, unit: 'steps', metrics: { loss: 1 / (i + 1), 'img/s': 20 } })),
  at(12, { type: 'step-log', step: 'train', level: 'info', message: 'epoch 1/10: loss 0.1' }),
];
const ending: readonly RunEvent[] = [
  at(20, { type: 'step-finished', step: 'train', outcome: 'ran', milliseconds: 19_000, notes: ['dropout is not used'] }),
  at(21, { type: 'step-started', step: 'prune', because: 'keepMacs 0.5 → 0.6' }),
  at(22, { type: 'step-failed', step: 'prune', code: 'prune-refused', message: 'Pruning can leave at least 12 %.', hint: 'Ask for more.' }),
  at(22, { type: 'step-skipped', step: 'report nano', because: 'prune failed' }),
  at(23, { type: 'run-finished', ok: false, exitCode: 1 }),
];
const screen = (events: readonly RunEvent[], { columns = 80, rows = 24 } = {}): string =>
  render(<RunScreen state={events.reduce(reduceRun, initialRunState)} title="cars" nowMs={start + 12_000} columns={columns} rows={rows} />).lastFrame() ?? '';

describe('the run view', () => {
  it('shows what runs, how long it will take, and its curve', () => {
    const frame = screen(training);
    expect(frame).toContain('edgeforge cars · 1/4 steps · 12.0 s');
    expect(frame).toMatch(/▸ train +█+░+ 10\/100 steps, 1 min \d\d s left loss 0\.1 img\/s 20/);
    expect(frame).toContain('· prune');
    expect(frame).toContain('= 1 cached');
    expect(frame).toContain('train: loss, 10 points');
    expect(frame).toContain('train: epoch 1/10: loss 0.1');
  });

  it('ends with the failure, its mend, the note and the exit code', () => {
    const frame = screen([...training, ...ending]);
    expect(frame).toContain('✘ prune (prune-refused): Pruning can leave at least 12 %.');
    expect(frame).toContain('mend: Ask for more.');
    expect(frame).toContain('note: dropout is not used');
    expect(frame).toContain('- report nano');
    expect(frame).toContain('failed (exit code 1)');
  });

  it.each([
    [80, 24],
    [60, 12],
    [40, 10],
  ])('stays within %d columns', (columns, rows) => {
    for (const events of [training, [...training, ...ending]]) for (const line of screen(events, { columns, rows }).split('\n')) expect(line.length).toBeLessThanOrEqual(columns);
  });

  it('is the same for the same events: a replay shows the same screen', () => {
    expect(screen([...training, ...ending])).toBe(screen([...training, ...ending]));
  });
});

describe('plain lines', () => {
  it('say each thing once, progress not more often than asked', () => {
    const lines: string[] = [];
    const print = linePrinter(line => lines.push(line), { everyMs: 4000 });
    for (const event of [...training, ...ending]) print(event);
    expect(lines).toEqual([
      'run r1: 4 steps',
      '= dataset cached',
      '▸ train (never ran)',
      '  train: 4/100 steps, about 1 min 36 s left — loss 0.25, img/s 20',
      '  train: 8/100 steps, about 1 min 32 s left — loss 0.125, img/s 20',
      '  train: epoch 1/10: loss 0.1',
      '✔ train 19.0 s',
      '  note: dropout is not used',
      '▸ prune (keepMacs 0.5 → 0.6)',
      '✘ prune failed (prune-refused): Pruning can leave at least 12 %.\n  mend: Ask for more.',
      '- report nano skipped: prune failed',
      'the run failed (exit code 1)',
    ]);
  });

  it('reckon what is left of a phase from its own pace', () => {
    const lines: string[] = [];
    const print = linePrinter(line => lines.push(line), { everyMs: 0 });
    print(at(0, { type: 'step-started', step: 'prune', because: 'never ran' }));
    // A hundred images a second, then one pass a second: 20 s after the first phase began, 90 of 100 passes are left.
    print(at(10, { type: 'step-progress', step: 'prune', done: 1000, total: 1000, unit: 'images', metrics: {} }));
    for (const [second, done] of [
      [10, 0],
      [20, 10],
    ] as const)
      print(at(second, { type: 'step-progress', step: 'prune', done, total: 100, unit: 'passes', metrics: {} }));
    expect(lines).toEqual(['▸ prune (never ran)', '  prune: 1000/1000 images', '  prune: 0/100 passes', '  prune: 10/100 passes, about 1 min 30 s left']);
  });
});

describe('brailleCurve', () => {
  it('falls from the top left to the bottom right', () => {
    const [top, bottom] = brailleCurve([4, 3, 2, 1], 4, 2) as [string, string];
    expect(top[0]).not.toBe('\u2800');
    expect(top[3]).toBe('\u2800');
    expect(bottom[3]).not.toBe('\u2800');
  });
  it('draws one value, equal values and none', () => {
    for (const values of [[1], [2, 2, 2], []]) expect(brailleCurve(values, 5, 2).map(line => line.length)).toEqual([5, 5]);
  });
});
