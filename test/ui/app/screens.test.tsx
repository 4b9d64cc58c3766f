import { describe, expect, it } from 'vitest';
import type { RunEvent } from '../../../src/core/events.ts';
import { parseProject } from '../../../src/pipeline/project.ts';
import { keyNames } from '../../../src/ui/app/keys.ts';
import { screens } from '../../../src/ui/app/screens.ts';
import { tinyYaml } from '../../pipeline/_tiny-project.ts';
import { at, Session, start } from './_session.tsx';

const training: readonly RunEvent[] = [
  at(0, { type: 'run-started', run: '20261124-100000-000-abcdef', command: 'edgeforge run', steps: ['dataset', 'train', 'prune', 'build bench-a pruned int8', 'report bench-a'] }),
  at(0, { type: 'step-finished', step: 'dataset', outcome: 'cached', milliseconds: 2, notes: [] }),
  at(1, { type: 'step-started', step: 'train', because: 'never ran' }),
  ...Array.from({ length: 10 }, (_, i) => at(2 + i, { type: 'step-progress', step: 'train', done: i + 1, total: 100, unit: 'steps', metrics: { loss: 1 / (i + 1), 'img/s': 20 } })),
  at(12, { type: 'step-log', step: 'train', level: 'info', message: 'epoch 1/10: loss 0.1' }),
];
const ending: readonly RunEvent[] = [
  at(20, { type: 'step-finished', step: 'train', outcome: 'ran', milliseconds: 19_000, notes: ['dropout is not used'] }),
  at(21, { type: 'step-started', step: 'prune', because: 'keepMacs 0.5 → 0.6' }),
  at(22, { type: 'step-finished', step: 'prune', outcome: 'ran', milliseconds: 900, notes: [] }),
  at(23, { type: 'step-started', step: 'build bench-a pruned int8', because: 'never ran' }),
  at(23, { type: 'step-log', step: 'build bench-a pruned int8', level: 'command', message: '[bench-a] $ sh -c build > jobs/build.log' }),
  at(24, { type: 'step-failed', step: 'build bench-a pruned int8', code: 'engine-build-failed', message: 'The device has no memory left.', hint: 'Free some.' }),
  at(24, { type: 'step-skipped', step: 'report bench-a', because: 'build bench-a pruned int8 failed' }),
  at(25, { type: 'run-finished', ok: false, exitCode: 1 }),
];
const plan = {
  steps: [
    { step: 'dataset', status: 'cached', because: '' },
    { step: 'train', status: 'run', because: 'learning_rate 0.001 → 0.002' },
    { step: 'prune', status: 'run', because: 'input network may change; cut off if train gives equal bytes' },
    { step: 'build nano pruned int8', status: 'unknown', because: 'nano does not answer' },
  ],
  away: [{ name: 'bench-b', message: 'no route to host', since: '2026-11-23T09:00:00.000Z' }],
} as const;
const project = { folder: '/work/cars', file: '/work/cars/edgeforge.yaml', settings: parseProject(tinyYaml) };

const opened = (options: ConstructorParameters<typeof Session>[0] = {}) =>
  new Session(options).do(
    { type: 'loaded', source: 'project', value: project, atMs: start },
    { type: 'loaded', source: 'plan', value: plan, atMs: start },
    { type: 'loaded', source: 'figures', value: [], atMs: start },
  );
/** Without the tabs: they change with every screen that is added. */
const golden = (session: Session, name: string) => expect(session.picture().replace(/^.*\n/, '')).toMatchFileSnapshot(`golden/${name}.txt`);

describe('screens are pictures of the state', () => {
  it('Home says what is stale and why', () => golden(opened(), 'home'));
  it('Home without a project names the command', () => golden(new Session({ project: undefined }), 'home-empty'));
  it('Home in ASCII on 60 columns still says all', () => golden(opened({ columns: 60, rows: 16, unicode: false }).watch(training, start + 12_000), 'home-narrow'));
  it('Runs shows the steps of the watched run', () =>
    golden(
      opened()
        .watch([...training, ...ending])
        .keys('9'),
      'runs',
    ));
  it('Log shows commands alone when asked', () =>
    golden(
      opened()
        .watch([...training, ...ending])
        .keys('0', 'c'),
      'log-commands',
    ));
  it('Log shows every line', () =>
    golden(
      opened()
        .watch([...training, ...ending])
        .keys('0'),
      'log',
    ));
  it('the palette finds an action by its letters and names its command', () =>
    expect(
      opened()
        .keys(':', ...'compwi')
        .picture(),
    ).toMatch(/❯ Runs: compare with the marked run +\$ edgeforge runs --diff OLD NEW/));
  it('the help lists keys with their commands', () => expect(opened().keys('?').picture()).toMatch(/r +run all that is stale +\$ edgeforge run$/m));

  it('fit any terminal: no picture is higher or wider than it', () => {
    for (const [columns, rows] of [
      [80, 24],
      [40, 12],
      [160, 45],
    ] as const) {
      const session = opened({ columns, rows }).watch([...training, ...ending]);
      for (const { key } of screens) {
        const lines = session.keys(key).picture().trimEnd().split('\n');
        expect(lines.length, `screen ${key} at ${columns}×${rows}`).toBeLessThanOrEqual(rows);
        expect(Math.max(...lines.map(line => line.length)), `screen ${key} at ${columns}×${rows}`).toBeLessThanOrEqual(columns);
      }
    }
  });

  it('a replay in one piece and events one by one give the same picture', () => {
    const events = [...training, ...ending];
    const piecewise = opened().watch([]);
    for (const event of events) piecewise.do({ type: 'events', folder: '/r', events: [event] });
    for (const { key } of screens) expect(piecewise.keys(key).picture()).toBe(opened().watch(events).keys(key).picture());
  });
});

describe('keys', () => {
  it('start a run as a process and say the command', () => {
    const session = opened().keys('r');
    expect(session.effects).toContainEqual({ do: 'start-run', wish: { steps: [] }, cli: 'edgeforge run' });
    expect(session.picture()).toContain('$ edgeforge run');
  });

  it('Ctrl-C asks while a run is under way: detach, stop, stay', () => {
    const session = opened().watch(training).keys('ctrl-c');
    expect(session.picture()).toMatch(/detach: leave[\s\S]*stop the run[\s\S]*stay/);
    expect(session.effects.map(effect => effect.do)).not.toContain('exit');
    session.keys('esc');
    expect(session.state.dialog).toBeUndefined();
    session.keys('ctrl-c', 's');
    expect(session.effects).toContainEqual({ do: 'ask-run', folder: '/r', ask: 'cancel' });
    session.keys('ctrl-c', 'd');
    expect(session.effects.at(-1)).toEqual({ do: 'exit' });
  });

  it('esc always backs out, and leaves at the end', () => {
    const session = opened().keys('9', '0', '/', 'x', 'enter');
    expect(session.state.places.log?.filter).toBe('x');
    session.keys('esc');
    expect(session.state.places.log?.filter).toBe('');
    expect(session.keys('esc').state.screen).toBe('runs');
    expect(session.keys('esc').state.screen).toBe('home');
    expect(session.keys('esc').effects.map(effect => effect.do)).not.toContain('exit');
    expect(session.keys('q').effects.at(-1)).toEqual({ do: 'exit' });
  });

  it('make a project: template, folder, open', () => {
    const session = new Session({ project: undefined }).keys('n', '1', 'ctrl-u', 'm', 'y', 'enter');
    expect(session.effects.at(-1)).toEqual({
      do: 'command',
      words: ['init', 'my', '--template', 'scenes'],
      quiet: true,
      done: { type: 'open-project', folder: 'my' },
    });
    session.do({ type: 'open-project', folder: 'my' });
    expect(session.state.project).toBe('/work/my');
    expect(session.effects.slice(1)).toContainEqual({ do: 'load', source: 'plan' });
  });

  it('ask before something is destroyed, and name it', () => {
    const session = opened().keys('X');
    expect(session.picture()).toContain('will be lost: objects and runs older than 30 days');
    expect(session.effects.some(effect => effect.do === 'command')).toBe(false);
    expect(session.keys('enter').effects.some(effect => effect.do === 'command')).toBe(false);
    expect(session.keys('X', 'y').effects.at(-1)).toMatchObject({ do: 'command', words: ['gc'] });
  });

  it('that came together, typed while nobody read, are told apart', () => {
    const none = Object.fromEntries(
      ['upArrow', 'downArrow', 'leftArrow', 'rightArrow', 'pageUp', 'pageDown', 'home', 'end', 'return', 'escape', 'tab', 'shift', 'ctrl', 'meta', 'backspace', 'delete'].map(
        name => [name, false],
      ),
    );
    expect(keyNames('\u0015my\u007f\r', none as never)).toEqual(['ctrl-u', 'm', 'y', 'backspace', 'enter']);
    expect(keyNames('/', { ...none, meta: true } as never)).toEqual(['esc', '/']);
  });

  it('every key of a screen stands once and collides with none that works everywhere', () => {
    for (const { name, keys } of screens) {
      const own = keys.map(({ key }) => key);
      expect(new Set(own).size, name).toBe(own.length);
      expect(
        own.filter(key => /^[0-9hjklgGqR:/?]$|^(tab|esc|up|down|ctrl-c)$/.test(key)),
        name,
      ).toEqual([]);
    }
  });

  it('what changed by a run is looked at again', () => {
    const session = opened().watch(training);
    session.effects.length = 0;
    session.do({ type: 'events', folder: '/r', events: ending });
    expect(session.effects).toContainEqual({ do: 'load', source: 'plan' });
  });

  it('10,000 lines and 1,000 steps cost a picture no more than a few of them: only what fits is drawn', () => {
    const session = (steps: number) => {
      const names = Array.from({ length: steps }, (_, index) => `step ${index}`);
      const lines = names.flatMap(step => Array.from({ length: 10 }, (_, line) => at(1, { type: 'step-log', step, level: 'info', message: `line ${line}` })));
      return opened().watch([at(0, { type: 'run-started', run: 'r', command: 'edgeforge run', steps: names }), ...lines]);
    };
    const cost = (shown: Session, key: string) => {
      shown.keys(key).picture();
      const before = process.cpuUsage();
      for (let press = 0; press < 5; press++) shown.keys('k').picture();
      const { user, system } = process.cpuUsage(before);
      return user + system;
    };
    const [few, many] = [session(10), session(1000)];
    expect(many.state.watched?.lines.length).toBe(10_002);
    for (const key of ['0', '9']) expect(cost(many, key), `screen ${key}`).toBeLessThan(4 * cost(few, key));
  });
});
