import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openProject } from '../../src/pipeline/project.ts';
import { cliffOf } from '../../src/pipeline/views/cliff.ts';
import { datasetView } from '../../src/pipeline/views/dataset.ts';
import { exportedView } from '../../src/pipeline/views/exported.ts';
import { type MeasuredPruning, pruningView } from '../../src/pipeline/views/pruning.ts';
import { reportsView } from '../../src/pipeline/views/reports.ts';
import { trainingView } from '../../src/pipeline/views/training.ts';
import { TinyProject } from './_tiny-project.ts';

describe('what a project shows', () => {
  let project: TinyProject;
  beforeAll(async () => {
    project = new TinyProject({ devices: false });
    const before = await empty(project);
    expect(before).toEqual({
      dataset: undefined,
      training: [
        { stage: 'train', spec: 'specs/train.txt' },
        { stage: 'retrain', spec: 'specs/retrain.txt' },
      ],
      artifacts: [],
      reports: [],
    });
    const { exitCode, events } = await project.run({ steps: ['evaluate', 'evaluate pruned', 'evaluate retrained', 'package'] });
    expect(exitCode).toBe(0);
    const scored = events.filter(event => event.type === 'step-progress' && event.step === 'train' && event.metrics['class/car'] !== undefined);
    // Before the first step and after the only epoch.
    expect(scored.map(event => (event.type === 'step-progress' ? [event.done > 0, event.done === event.total] : []))).toEqual([
      [false, false],
      [true, true],
    ]);
  }, 120_000);
  afterAll(() => project[Symbol.asyncDispose]());
  const settings = () => openProject({ folder: project.folder }).settings;

  it('is its dataset: classes in both parts, heights, and samples whose files are there', async () => {
    const view = await datasetView(project.store);
    expect(view?.images).toEqual({ train: 16, validation: 8 });
    expect(view?.samples).toHaveLength(24);
    for (const part of ['train', 'validation'] as const) {
      const objects = view?.samples.filter(sample => sample.part === part).flatMap(sample => sample.objects) ?? [];
      for (const row of view?.classes ?? []) expect(row[part]).toBe(objects.filter(({ label }) => label === row.name).length);
    }
    expect(view?.heights.counts.reduce((a, b) => a + b, 0)).toBe(view?.classes.reduce((sum, { train }) => sum + train, 0));
  });

  it('is its trainings with scores, and what left the house by digest', async () => {
    const [train, retrain] = await trainingView(project.store, settings());
    expect(train?.log?.history.map(({ epoch }) => epoch)).toEqual([0, 1]);
    expect(train?.score?.perClass.map(({ label }) => label).sort()).toEqual(['car', 'person', 'sign']);
    expect(retrain?.score?.metric).toBe(train?.score?.metric);
    const { artifacts, ranges } = await exportedView(project.store, []);
    expect(ranges?.images).toBe(6);
    expect(artifacts.find(({ name }) => name === 'calibration.cache')?.digest).toBe(artifacts.find(({ name }) => name === 'model/detectnet_v2.cal')?.digest);
  });

  it('is the pruning curve, with what was measured on it and nothing else', async () => {
    const view = await pruningView(project.store, settings(), new AbortController().signal);
    expect(view.goal).toEqual({ keepMacs: 0.5 });
    const foreseen = view.curve.budgets.find(({ keep }) => keep === 0.5)?.macs;
    expect(view.measured.map(({ stage, threshold, macs }) => ({ stage, threshold, macs }))).toEqual(
      ['pruned', 'retrained'].map(stage => ({ stage, threshold: foreseen?.threshold, macs: foreseen?.macs })),
    );
    expect(view.unpruned?.n).toBe(8);
  });

  const empty = async ({ store, folder }: TinyProject) => ({
    dataset: await datasetView(store),
    training: await trainingView(store, settings()),
    artifacts: (await exportedView(store, [])).artifacts,
    reports: await reportsView(folder),
  });
});

describe('the cliff', () => {
  const at = (stage: MeasuredPruning['stage'], macs: number, value: number): MeasuredPruning => ({
    stage,
    macs,
    value,
    threshold: 0,
    parameters: 0,
    n: 100,
    decisions: 300,
    at: '',
  });
  const unpruned = { metric: 'mAP', value: 0.8, n: 100, decisions: 300 };
  it('lies between the last network that holds and the first that loses more than the gate allows', () => {
    const measured = [at('retrained', 70, 0.8), at('retrained', 50, 0.795), at('pruned', 50, 0.2), at('retrained', 30, 0.6), at('retrained', 20, 0.799)];
    expect(cliffOf({ unpruned, measured, dropPoints: 1 })).toMatchObject({ stage: 'retrained', holds: { macs: 50 }, breaks: { macs: 30 } });
  });
  it('is not claimed where nothing broke, or nothing was measured', () => {
    expect(cliffOf({ unpruned, measured: [at('pruned', 70, 0.8)], dropPoints: 1 })).toMatchObject({ stage: 'pruned', holds: { macs: 70 }, breaks: undefined });
    expect(cliffOf({ unpruned, measured: [], dropPoints: 1 })).toBeUndefined();
    expect(cliffOf({ measured: [at('pruned', 70, 0.8)], dropPoints: 1 } as never)).toBeUndefined();
  });
});
