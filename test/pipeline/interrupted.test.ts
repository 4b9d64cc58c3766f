import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { RunEvent } from '../../src/core/events.ts';
import type { TrainingLog } from '../../src/pipeline/jobs/train.ts';
import type { StatusLine } from '../../src/train/status-log.ts';
import { askRun, follow, outcomes, TinyProject } from './_tiny-project.ts';

// Trainings of a few epochs as real processes, stopped in three ways; each time the weights must come out bit-equal.
let project: TinyProject;
let undisturbed: Buffer;
beforeAll(() => {
  project = new TinyProject({ devices: false, epochs: 6 });
  // Validated after the last epoch only, so that the result is the last weights and not an early best.
  project.edit('specs/train.txt', text => text.replace('first_validation_epoch: 1', 'first_validation_epoch: 99'));
  // Four batches in threes, with an average beside the weights: all of it must survive.
  project.edit('edgeforge.yaml', text => `${text}training: { accumulate: 3, average: 0.9, clip: { norm: 1 }, dropout: 0.1 }\n`);
});
afterAll(() => project[Symbol.asyncDispose]());

const logsOf = (events: readonly RunEvent[]) => events.flatMap(event => (event.type === 'step-log' && event.step === 'train' ? [event.message] : []));
/** As if the training had never been done; the data stays. */
async function forgetTraining(): Promise<void> {
  const { store } = project;
  const cause = (await store.latest('train'))!;
  await store.forget(cause.fingerprint);
}
/** Processes whose parent is `pid`. */
const childrenOf = (pid: number): number[] =>
  readdirSync('/proc').flatMap(name => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === pid ? [Number(name)] : [];
    } catch {
      return [];
    }
  });
const gone = (pid: number): boolean => {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return true;
  }
};
/** True in the middle: a checkpoint lies there, and most of the work is still to do. */
const inTheMiddle = (event: RunEvent) => event.type === 'step-progress' && event.step === 'train' && (event.metrics.epoch ?? 0) >= 2;

test('undisturbed', { timeout: 120_000 }, async () => {
  const events = await follow((await project.start(['train'])).folder);
  expect(events.at(-1)).toMatchObject({ ok: true, exitCode: 0 });
  expect(sorted(outcomes(events).ran.keys())).toEqual(['dataset', 'initialize', 'scenes', 'train']);
  undisturbed = await project.output('train', 'network');
  const log = JSON.parse((await project.output('train', 'log')).toString()) as TrainingLog;
  expect(log.best?.epoch).toBe(6);
  expect(log.history.filter(({ epoch }) => epoch > 0).map(({ epoch }) => epoch)).toEqual([1, 2, 3, 4, 5, 6]);
  const status = readFileSync(`${await project.outputPath('train', 'curves')}/status.json`, 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as StatusLine);
  expect(status[0]).toMatchObject({ status: 'STARTED' });
  expect(status.flatMap(({ graphical, epoch }) => (graphical?.loss === undefined ? [] : [epoch]))).toEqual([1, 2, 3, 4, 5, 6]);
  expect(status.at(-2)).toMatchObject({ status: 'RUNNING', epoch: 6, kpi: { 'mean average precision': 100 * log.best!.value } });
  expect(status.at(-1)).toMatchObject({ status: 'SUCCESS', verbosity: 'INFO' });
});

test.skipIf(process.platform !== 'linux')('kill -9 of the run and its training, then the same command: bit-equal weights', { timeout: 120_000 }, async () => {
  await forgetTraining();
  const { folder, pid } = await project.start(['train']);
  let killed: number[] = [];
  const following = follow(folder, event => {
    if (killed.length > 0 || !inTheMiddle(event)) return;
    killed = [pid, ...childrenOf(pid)];
    for (const each of killed) process.kill(each, 'SIGKILL');
  });
  await expect(following).rejects.toMatchObject({ code: 'internal', hint: expect.stringContaining('same command again') });
  expect(killed.length).toBe(2);
  const events = await follow((await project.start(['train'])).folder);
  expect(events.at(-1)).toMatchObject({ ok: true, exitCode: 0 });
  expect([...outcomes(events).ran.keys()]).toEqual(['train']);
  expect(logsOf(events)).toContainEqual(expect.stringMatching(/^resumed after epoch [1-5]$/));
  expect(undisturbed.equals(await project.output('train', 'network'))).toBe(true);
});

test.skipIf(process.platform !== 'linux')('kill -9 of the run alone: the training does not outlive it', { timeout: 120_000 }, async () => {
  await forgetTraining();
  const { folder, pid } = await project.start(['train']);
  let children: number[] = [];
  const following = follow(folder, event => {
    if (children.length > 0 || !inTheMiddle(event)) return;
    children = childrenOf(pid);
    process.kill(pid, 'SIGKILL');
  });
  await expect(following).rejects.toMatchObject({ code: 'internal' });
  expect(children.length).toBe(1);
  for (let waited = 0; waited < 10_000 && !children.every(gone); waited += 50) await new Promise(done => setTimeout(done, 50));
  expect(children.filter(child => !gone(child))).toEqual([]);
});

test('cancel: exit code 130, what was finished stays, and the next run goes on', { timeout: 120_000 }, async () => {
  // Of the run before only the checkpoint is left, or not even that: begin anew.
  rmSync(project.path('.edgeforge', 'scratch'), { recursive: true, force: true });
  const { folder } = await project.start(['train']);
  let asked: Promise<void> | undefined;
  const events = await follow(folder, event => {
    if (inTheMiddle(event)) asked ??= askRun(folder, 'cancel');
  });
  await asked;
  expect(events.at(-1)).toMatchObject({ type: 'run-finished', ok: false, exitCode: 130 });
  expect(outcomes(events)).toMatchObject({ cached: expect.arrayContaining(['scenes', 'dataset', 'initialize']) });
  expect(outcomes(events).failed.get('train')?.code).toBe('cancelled');
  const again = await follow((await project.start(['train'])).folder);
  expect(again.at(-1)).toMatchObject({ ok: true, exitCode: 0 });
  expect(logsOf(again)).toContainEqual(expect.stringMatching(/^resumed after epoch [1-5]$/));
  expect(undisturbed.equals(await project.output('train', 'network'))).toBe(true);
});

const sorted = (names: Iterable<string>) => [...names].sort();

test('another way of learning is another training, and the plan says why', async () => {
  project.edit('edgeforge.yaml', text => text.replace('accumulate: 3', 'accumulate: 2'));
  const { steps } = await project.plan(['train']);
  expect(steps.filter(({ status }) => status !== 'cached')).toEqual([{ step: 'train', status: 'run', because: 'plan.accumulate 3 → 2' }]);
});
