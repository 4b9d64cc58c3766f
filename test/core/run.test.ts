import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { EdgeError } from '../../src/core/errors.ts';
import type { UntimedEvent } from '../../src/core/events.ts';
import { planRecipe } from '../../src/core/plan.ts';
import { exitCodeOf, runRecipe } from '../../src/core/run.ts';
import { newStore, Toy } from './toy-build.ts';

const becauseFor = (events: readonly UntimedEvent[], step: string) => events.find(event => event.type === 'step-started' && event.step === step);
const all = ['import-dataset', 'train', 'prune', 'export-onnx'];

describe('what runs is counted', () => {
  test('cold everything, again nothing', async () => {
    const [toy, store] = [new Toy(), await newStore()];
    const cold = await toy.run(store);
    expect(cold).toMatchObject({ ok: true, exitCode: 0, counted: all });
    expect(becauseFor(cold.events, 'train')).toMatchObject({ because: 'never ran' });
    const again = await toy.run(store);
    expect(again).toMatchObject({ ok: true, counted: [] });
    expect(again.events.filter(event => event.type === 'step-finished').map(event => event.outcome)).toEqual(['cached', 'cached', 'cached', 'cached']);
    // A deviation once accepted is told again.
    expect(again.events.find(event => event.type === 'step-finished' && event.step === 'train')).toMatchObject({ notes: ['the spec asks for 120 epochs'] });
  });

  test('one setting changed: that step and what follows, until bytes come out equal; and back without work', async () => {
    const [toy, store] = [new Toy(), await newStore()];
    await toy.run(store);
    const equal = await toy.run(store, { threshold: 0.2 });
    expect(equal.counted).toEqual(['prune']);
    expect(becauseFor(equal.events, 'prune')).toMatchObject({ because: 'threshold 0.1 → 0.2' });
    const changed = await toy.run(store, { threshold: 0.6 });
    expect(changed.counted).toEqual(['prune', 'export-onnx']);
    expect(becauseFor(changed.events, 'export-onnx')).toMatchObject({ because: 'input network changed' });
    expect((await toy.run(store, { threshold: 0.1 })).counted).toEqual([]);
    expect(becauseFor((await toy.run(store, { seed: 2 })).events, 'import-dataset')).toMatchObject({ because: 'seed 1 → 2' });
  });

  test('a deleted or a damaged output is made again', async () => {
    const [toy, store] = [new Toy(), await newStore()];
    const { records } = await toy.run(store);
    const network = store.path(records.get('train')!.outputs.network!);
    await rm(network);
    const deleted = await toy.run(store);
    expect(deleted.counted).toEqual(['train']);
    expect(becauseFor(deleted.events, 'train')).toMatchObject({ because: 'output "network" was deleted' });
    await rm(network);
    await writeFile(network, 'bit rot');
    const damaged = await toy.run(store);
    expect(damaged.counted).toEqual(['train']);
    expect(becauseFor(damaged.events, 'train')).toMatchObject({ because: 'output "network" was damaged in the store' });
  });

  test('only: named steps and what they need', async () => {
    const [toy, store] = [new Toy(), await newStore()];
    expect((await toy.run(store, {}, { only: ['train'] })).counted).toEqual(['import-dataset', 'train']);
    await expect(toy.run(store, {}, { only: ['trian'] })).rejects.toMatchObject({ code: 'usage', hint: expect.stringContaining('Did you mean "train"?') });
  });
});

describe('devices', () => {
  test('two equal boards are two devices; how one is reached decides nothing', async () => {
    const [toy, store] = [new Toy(), await newStore()];
    const devices = ['left', 'right'];
    const cold = await toy.run(store, { devices });
    expect(cold.counted.filter(step => step.startsWith('engine')).sort()).toEqual(['engine left', 'engine right']);
    expect(toy.during.most).toBe(2);
    expect((await toy.run(store, { devices, address: 'b' })).counted).toEqual([]);
  });

  test('away: its steps fail, the others go on, exit code 3; back: only what was missed', async () => {
    const [toy, store] = [new Toy(), await newStore()];
    const devices = ['left', 'right'];
    toy.board('left').reachable = false;
    const away = await toy.run(store, { devices });
    expect(away).toMatchObject({ ok: false, exitCode: 3 });
    expect(away.counted).toContain('measure right');
    expect(away.events).toContainEqual({ type: 'step-skipped', step: 'measure left', because: 'engine left failed' });
    expect(away.events).toContainEqual({ type: 'step-skipped', step: 'report', because: 'engine left failed' });
    toy.board('left').reachable = true;
    expect((await toy.run(store, { devices })).counted).toEqual(['engine left', 'measure left', 'report']);
    toy.board('left').reachable = false;
    const plan = await planRecipe(toy.recipe({ devices }), { store });
    expect(plan.map(({ step, status }) => `${step} ${status}`).slice(4)).toEqual([
      'engine left unknown',
      'measure left unknown',
      'engine right cached',
      'measure right cached',
      'report unknown',
    ]);
    expect(await toy.run(store, { devices })).toMatchObject({ exitCode: 3, counted: [] });
  });

  test('an engine deleted on its device is built again, and nothing else', async () => {
    const [toy, store] = [new Toy(), await newStore()];
    await toy.run(store, { devices: ['left'] });
    toy.board('left').engines.clear();
    expect((await planRecipe(toy.recipe({ devices: ['left'] }), { store })).slice(4)).toMatchObject([
      { step: 'engine left', status: 'run', because: 'device says the engine is gone' },
      { step: 'measure left', status: 'run', because: 'input engine may change; cut off if engine left gives equal bytes' },
      { step: 'report', status: 'run' },
    ]);
    const again = await toy.run(store, { devices: ['left'] });
    expect(again.counted).toEqual(['engine left']);
    expect(becauseFor(again.events, 'engine left')).toMatchObject({ because: 'device says the engine is gone' });
  });
});

describe('plan', () => {
  test('says what would run and why, and runs nothing', async () => {
    const [toy, store] = [new Toy(), await newStore()];
    expect((await planRecipe(toy.recipe(), { store })).every(({ status, because }) => status === 'run' && because === 'never ran')).toBe(true);
    await toy.run(store);
    const plan = await planRecipe(toy.recipe({ threshold: 0.2 }), { store });
    expect(plan).toEqual([
      { step: 'import-dataset', status: 'cached', because: '' },
      { step: 'train', status: 'cached', because: '' },
      { step: 'prune', status: 'run', because: 'threshold 0.1 → 0.2' },
      { step: 'export-onnx', status: 'run', because: 'input network may change; cut off if prune gives equal bytes' },
    ]);
    expect(toy.ran).toEqual(all);
  });
});

describe('failure and cancel', () => {
  test('cancel ends the running step, skips the rest, exit code 130; the scratch is found again', async () => {
    const [toy, store] = [new Toy(), await newStore()];
    const controller = new AbortController();
    let found: string | undefined;
    toy.trainHook = async ({ scratch, signal }) => {
      await writeFile(join(scratch, 'checkpoint'), '1');
      controller.abort();
      if (signal.aborted) throw new Error('stopped in the middle of it');
    };
    const outcome = await toy.run(store, {}, { signal: controller.signal });
    expect(outcome).toMatchObject({ ok: false, exitCode: 130, counted: ['import-dataset', 'train'] });
    expect(outcome.events).toContainEqual(expect.objectContaining({ type: 'step-failed', step: 'train', code: 'cancelled' }));
    expect(outcome.events).toContainEqual({ type: 'step-skipped', step: 'prune', because: 'train was cancelled' });
    toy.trainHook = async ({ scratch }) => {
      found = scratch;
      expect(await import('node:fs').then(fs => fs.readFileSync(join(scratch, 'checkpoint'), 'utf8'))).toBe('1');
    };
    expect((await toy.run(store)).ok).toBe(true);
    expect(await import('node:fs').then(fs => fs.existsSync(found!))).toBe(false);
  });

  test('a step that writes no output is named', async () => {
    const [toy, store] = [new Toy(), await newStore()];
    toy.trainHook = async () => {
      throw new Error('boom');
    };
    const outcome = await toy.run(store);
    expect(outcome).toMatchObject({ ok: false, exitCode: 1 });
    expect(outcome.events).toContainEqual(expect.objectContaining({ type: 'step-failed', step: 'train', code: 'internal', message: expect.stringContaining('boom') }));
    expect(outcome.events.at(-1)).toMatchObject({ type: 'run-finished', ok: false, exitCode: 1 });
  });

  test('the last word of a run: a folder, and a failure of the whole', async () => {
    const [toy, store] = [new Toy(), await newStore()];
    const events: UntimedEvent[] = [];
    const options = { store, emit: (event: UntimedEvent) => void events.push(event), signal: new AbortController().signal };
    const failure = new EdgeError('gate-missed', 'INT8 lost 3 points, the gate is 1.', { hint: 'Calibrate with more images.' });
    expect(await runRecipe(toy.recipe(), { ...options, after: async ({ records }) => ({ out: `/out/${records.size}`, failure }) })).toMatchObject({
      ok: false,
      exitCode: 4,
      out: '/out/4',
    });
    expect(events.at(-1)).toEqual({ type: 'run-finished', ok: false, exitCode: 4, out: '/out/4', error: failure.toJSON() });
  });

  test('exit codes', () => {
    expect(['usage', 'device-unreachable', 'gate-missed', 'cancelled', 'not-finite'].map(code => exitCodeOf(code as 'usage'))).toEqual([2, 3, 4, 130, 1]);
  });
});
