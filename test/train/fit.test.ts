import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { computeFacts } from '../../src/compute/choose.ts';
import { f32 } from '../../src/graph/ir.ts';
import type { Score } from '../../src/tasks/task.ts';
import { readCheckpoint } from '../../src/train/checkpoint.ts';
import { type EpochRecord, type FitOptions, type FitProgress, fit as train } from '../../src/train/fit.ts';
import { checkFinite, explainNotFinite } from '../../src/train/not-finite.ts';
import { predict } from '../../src/train/predict.ts';
import { droppingNetwork, toyBatch, toyEpoch, toyNetwork, toyTask } from './_toys.ts';

let root: string;
let folders = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'edgeforge-fit-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const [steps, batch] = [8, 6];
const settings = (changes: Partial<FitOptions> = {}): FitOptions => ({
  network: toyNetwork(),
  task: toyTask(),
  batches: epoch => toyEpoch(epoch, steps, batch),
  stepsPerEpoch: steps,
  batch,
  epochs: 3,
  optimizer: { kind: 'adam' },
  schedule: { kind: 'soft-start-annealing', minimum: 1e-4, maximum: 5e-3, softStart: 0.2, annealing: 0.6 },
  folder: join(root, `run-${++folders}`),
  threads: 1,
  ...changes,
});
async function validate(graph: Parameters<NonNullable<FitOptions['validate']>>[0]): Promise<Score> {
  const task = toyTask();
  const { images, annotations } = toyBatch(30, 999);
  async function* one() {
    yield { images, n: 30 };
  }
  return task.score(await predict(graph, task, one(), { threads: 1 }), annotations);
}

describe('fit', () => {
  it('learns a toy set, reporting epochs and progress, and keeps the best network', async () => {
    const records: EpochRecord[] = [];
    const progress: FitProgress[] = [];
    const result = await train(settings({ validate, onEpoch: record => void records.push(record), onProgress: each => void progress.push(each) }));
    expect(records.map(record => record.epoch)).toEqual([0, 1, 2, 3]);
    expect(records[3]?.loss).toBeLessThan((records[1]?.loss ?? 0) / 2);
    expect(records[3]?.validation?.value).toBeGreaterThan(0.9);
    expect(result.best?.value).toBe(Math.max(...records.map(record => record.validation?.value ?? 0)));
    expect(progress).toHaveLength(3 * steps);
    expect(progress.at(-1)).toMatchObject({ epoch: 3, step: steps, etaSeconds: 0 });
    expect(progress.at(-1)?.imagesPerSecond).toBeGreaterThan(0);
  });

  it('ends with the very same bits when cancelled and resumed', async () => {
    const straight = await train(settings());
    const folder = join(root, 'resumed');
    const controller = new AbortController();
    const cancelled = train(settings({ folder, signal: controller.signal, onProgress: ({ epoch, step }) => epoch === 2 && step === 3 && controller.abort() }));
    await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
    const resumed = await train(settings({ folder, resume: true }));
    expect(resumed.resumedFrom).toBe(1);
    for (const [name, tensor] of straight.network.graph.initializers) expect(resumed.network.graph.initializers.get(name), name).toEqual(tensor);
    const losses = (history: readonly EpochRecord[]) => history.map(record => record.loss);
    expect(losses(resumed.history)).toEqual(losses(straight.history));
  });

  it('ends with the very same bits with everything on: accumulation, averages, clipping, mixup, dropout ahead of the head and inside', async () => {
    // Eight batches in threes: the last update of an epoch rests on two.
    const everything: Partial<FitOptions> = {
      network: droppingNetwork({}),
      accumulate: 3,
      average: 0.9,
      clip: { kind: 'norm', limit: 1 },
      mixup: { alpha: 0.2 },
      dropout: 0.3,
      seed: 7,
      validate,
    };
    const straight = await train(settings(everything));
    const folder = join(root, 'resumed-everything');
    const controller = new AbortController();
    const cancelled = train(settings({ ...everything, folder, signal: controller.signal, onProgress: ({ epoch, step }) => epoch === 2 && step === 4 && controller.abort() }));
    await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
    const resumed = await train(settings({ ...everything, folder, resume: true }));
    expect(resumed.resumedFrom).toBe(1);
    const [left, right] = [await readCheckpoint(join(folder, 'last.ckpt')), straight.network.graph.initializers];
    for (const [name, tensor] of right) expect(resumed.network.graph.initializers.get(name), name).toEqual(tensor);
    expect(resumed.best?.network.graph.initializers).toEqual(straight.best?.network.graph.initializers);
    expect(left?.updates).toBe(9);
    for (const name of toyNetwork().trainable) expect(right.get(name), name).toEqual(left?.tensors.get(`${name}/average`));
    const losses = (history: readonly EpochRecord[]) => history.map(record => record.loss);
    expect(losses(resumed.history)).toEqual(losses(straight.history));
  });

  it('stops early once the metric stays', async () => {
    let calls = 0;
    const notes: string[] = [];
    const flat = async () => ({ metric: 'top-1', value: calls++ === 0 ? 0 : 0.5, n: 1, decisions: 1, perClass: [], detail: {} });
    const schedule = { kind: 'early-stopping-annealing', minimum: 1e-4, maximum: 1e-3, softStartEpochs: 1, annealingEpochs: 1, patienceEpochs: 1 } as const;
    const { history } = await train(settings({ epochs: 20, schedule, validate: flat, onNote: note => void notes.push(note) }));
    // 1: the first value; 2: no better, so it falls during 3; 4: the fall is over and nothing is better.
    expect(history.map(record => record.epoch)).toEqual([0, 1, 2, 3, 4]);
    expect(notes).toEqual([expect.stringContaining('falls from epoch 3'), expect.stringContaining('ends after epoch 4 of 20')]);
    await expect(train(settings({ schedule }))).rejects.toMatchObject({ code: 'spec-invalid' });
  });

  it('refuses to resume under other settings', async () => {
    const folder = join(root, 'other');
    await train(settings({ folder, epochs: 1, identity: 'a' }));
    await expect(train(settings({ folder, epochs: 2, resume: true, identity: 'b' }))).rejects.toMatchObject({ code: 'weights-mismatch' });
  });

  it('stops at the first layer that is not finite, and says which', async () => {
    const network = toyNetwork();
    const spoiled = new Map(network.graph.initializers);
    const beta = spoiled.get('b_bn/beta')!;
    spoiled.set('b_bn/beta', { ...beta, data: new Float32Array(beta.data.length).fill(3.4e38) });
    const gamma = spoiled.get('c_bn/beta')!;
    spoiled.set('c_bn/beta', { ...gamma, data: new Float32Array(gamma.data.length).fill(3.4e38) });
    const run = train(settings({ network: { ...network, graph: { ...network.graph, initializers: spoiled } }, lowering: 'std' }));
    await expect(run).rejects.toMatchObject({ code: 'not-finite', where: { path: 'add' } });
  });

  it('stops ahead of the checkpoint where the last update of an epoch spoils the weights, and goes on from the one before', async () => {
    const sgd = { optimizer: { kind: 'sgd' }, stepsPerEpoch: 1, batches: (epoch: number) => toyEpoch(epoch, 1, batch), identity: 'same' } as const;
    const folder = join(root, 'spoilt');
    const at = (rate: number) => ({ ...sgd, folder, schedule: { kind: 'soft-start-annealing', minimum: rate, maximum: rate, softStart: 0, annealing: 1 } as const });
    await train(settings({ ...at(1e-3), epochs: 1, validate }));
    const epochs: number[] = [];
    await expect(train(settings({ ...at(1e39), resume: true, onEpoch: ({ epoch }) => void epochs.push(epoch) }))).rejects.toMatchObject({
      code: 'not-finite',
      message: expect.stringMatching(/^Epoch 2, at the learning rate 1\.00e\+39, .* in \d+ of \d+ tensors \(.+, .+, .+, …\)\.$/),
      hint: expect.stringMatching(/clip.*epoch 1 is kept/),
    });
    expect(epochs).toEqual([]);
    for (const file of ['last.ckpt', 'best.ckpt']) {
      const kept = await readCheckpoint(join(folder, file));
      expect(kept?.epoch, file).toBeLessThanOrEqual(1);
      for (const [name, { data }] of kept!.tensors) expect((data as Float32Array).every(Number.isFinite), `${file} ${name}`).toBe(true);
    }
    const resumed = await train(settings({ ...at(1e-3), resume: true }));
    expect(resumed.resumedFrom).toBe(1);
    expect(resumed.history.map(({ epoch }) => epoch)).toEqual([0, 1, 2, 3]);
  });

  it('names up to three tensors that are not finite, and says where the network came with them', async () => {
    const good = f32([2], [1, -3.4e38]);
    const state = (bad: readonly string[]) => new Map(['a', 'b', 'c', 'd', 'e'].map(name => [name, bad.includes(name) ? f32([2], [0, Number.NEGATIVE_INFINITY]) : good]));
    const after = { epoch: 4, learningRate: 0.5 };
    expect(() => checkFinite(state([]), after)).not.toThrow();
    expect(() => checkFinite(state(['b', 'c', 'e']), after)).toThrow(/^Epoch 4, at the learning rate 0\.500, .* in b, c, e\.$/);
    expect(() => checkFinite(state(['a', 'b', 'c', 'e']), after)).toThrow(/in 4 of 5 tensors \(a, b, c, …\)\.$/);
    expect(() => checkFinite(state(['d']), { ...after, epoch: 0 })).toThrow(/^Ahead of the first step .* in d\.$/);
    const { message, where } = await explainNotFinite(toyNetwork(), state(['a', 'b', 'c', 'd']), good, 'in step 2');
    expect(message).toContain('in step 2: 4 of 5 tensors (a, b, c, …) had stopped being finite');
    expect(where).toEqual({ path: 'a' });
  });

  it('names the images where they are what is not finite', async () => {
    async function* bad() {
      const each = toyBatch(batch, 1);
      each.images.data[5] = Number.NaN;
      yield each;
    }
    await expect(train(settings({ batches: bad }))).rejects.toMatchObject({ code: 'not-finite', message: expect.stringContaining('images') });
  });

  it('says when an epoch has no batch', async () => {
    async function* none() {}
    await expect(train(settings({ batches: none }))).rejects.toMatchObject({ code: 'dataset-invalid' });
  });

  it('takes several steps per call to the same weights', async () => {
    const single = await train(settings({ lowering: 'std', epochs: 2 }));
    const progress: FitProgress[] = [];
    const looped = await train(settings({ lowering: 'std', epochs: 2, stepsPerCall: 3, onProgress: each => void progress.push(each) }));
    for (const [name, tensor] of single.network.graph.initializers) expect(looped.network.graph.initializers.get(name)?.data, name).toEqual(tensor.data);
    expect(progress.map(({ step }) => step)).toEqual([...Array(2)].flatMap(() => Array.from({ length: steps }, (_, at) => at + 1)));
  });

  it('finds the bad step of a call that took several', async () => {
    async function* bad() {
      yield* [toyBatch(batch, 1), toyBatch(batch, 2)];
      const each = toyBatch(batch, 3);
      each.images.data[5] = Number.NaN;
      yield each;
      yield toyBatch(batch, 4);
    }
    await expect(train(settings({ batches: bad, stepsPerEpoch: 4, stepsPerCall: 4 }))).rejects.toMatchObject({
      code: 'not-finite',
      message: expect.stringMatching(/step 3 of epoch 1.*images/),
    });
  });

  it.skipIf(computeFacts().tfjs === undefined)('goes on under another compute, with a note', { timeout: 240_000 }, async () => {
    const small = { folder: join(root, 'moved'), network: toyNetwork({ width: 8 }), batch: 2, stepsPerEpoch: 2, batches: (epoch: number) => toyEpoch(epoch, 2, 2) };
    const first = await train(settings({ ...small, epochs: 1 }));
    expect(first.computed.compute).toBe('onnxruntime-cpu');
    const notes: string[] = [];
    const there = await train(settings({ ...small, epochs: 2, resume: true, compute: 'tfjs', onNote: note => notes.push(note) }));
    expect(there).toMatchObject({ resumedFrom: 1, computed: { compute: 'tfjs', lowering: 'tfjs' } });
    expect(there.history.at(-1)?.loss).toBeGreaterThan(0);
    expect(notes.join()).toContain('not bit for bit');
  });
});
