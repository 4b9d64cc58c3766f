import { describe, expect, it } from 'vitest';
import { pruneSettings } from '../../../src/compress/prune.ts';
import { pruneCurve } from '../../../src/compress/prune-curve.ts';
import type { RunEvent } from '../../../src/core/events.ts';
import { parseProject } from '../../../src/pipeline/project.ts';
import type { DatasetView } from '../../../src/pipeline/views/dataset.ts';
import type { PruningView } from '../../../src/pipeline/views/pruning.ts';
import type { StageView } from '../../../src/pipeline/views/training.ts';
import { pictureLines } from '../../../src/ui/pictures/half-blocks.ts';
import { buildNetwork } from '../../../src/zoo/network.ts';
import { fixture } from '../../formats/report-fixture.ts';
import { tinyYaml } from '../../pipeline/_tiny-project.ts';
import { at, Session, start } from './_session.tsx';

const project = { folder: '/work/cars', file: '/work/cars/edgeforge.yaml', settings: parseProject(tinyYaml) };
const objects = [
  { label: 'car', x1: 20, y1: 60, x2: 90, y2: 110 },
  { label: 'person', x1: 120, y1: 40, x2: 140, y2: 100 },
];
const dataset: DatasetView = {
  at: '2026-11-24T09:00:00.000Z',
  format: 'kitti',
  input: { width: 96, height: 64 },
  images: { train: 3, validation: 1 },
  classes: [
    { name: 'car', train: 34, validation: 11, images: 16, small: 5, medianHeight: 14 },
    { name: 'person', train: 17, validation: 11, images: 9, small: 13, medianHeight: 22 },
  ],
  heights: { edges: [0, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256], counts: [4, 9, 20, 12, 5, 1, 0, 0, 0, 0, 0, 0] },
  sizes: [{ width: 192, height: 128, images: 4 }],
  counts: { 'corrupt-image': 0, 'turned-image': 0, 'degenerate-box': 0, 'outside-box': 1, 'small-object': 18, 'no-objects': 1 },
  problems: [
    { kind: 'no-objects', id: '000002', file: '/d/000002.jpg', detail: 'has no objects: it trains as background' },
    { kind: 'outside-box', id: '000001', file: '/d/000001.jpg', detail: 'object 1 (car) [180, 40, 210, 90] leaves the 192×128 image' },
  ],
  samples: ['000000', '000001', '000002', '000003'].map((id, index) => ({
    id,
    part: index === 3 ? 'validation' : 'train',
    file: `/d/${id}.jpg`,
    width: 192,
    height: 128,
    objects: index === 2 ? [] : objects,
  })),
};
/** A sky over a road, drawn as the loader would for a space. */
const picture = (columns: number, rows: number) => {
  const data = Uint8Array.from({ length: columns * rows * 6 }, (_, at) => Math.max(0, 230 - Math.floor(at / (3 * columns)) * Math.floor(180 / (2 * rows))));
  const look = { colour: 'none', unicode: true, graphics: 'none' } as const;
  return {
    id: '000000',
    lines: pictureLines({ data, width: columns, height: 2 * rows }, { boxes: objects.map((box, tone) => ({ ...box, tone })), original: { width: 192, height: 128 }, look }),
  };
};

const training: readonly RunEvent[] = [
  at(0, { type: 'run-started', run: '20261124-100000-000-abcdef', command: 'edgeforge run evaluate', steps: ['dataset', 'train', 'evaluate'] }),
  at(1, { type: 'step-started', step: 'train', because: 'never ran' }),
  ...Array.from({ length: 60 }, (_, i) =>
    at(2 + i, {
      type: 'step-progress',
      step: 'train',
      done: i + 1,
      total: 200,
      unit: 'steps',
      metrics: { loss: 0.05 + 2 / (i + 2), lr: 0.0005, 'img/s': 41.5, epoch: 1 + Math.floor(i / 20) },
    }),
  ),
  ...[20, 40, 60].map(done =>
    at(62, {
      type: 'step-progress',
      step: 'train',
      done,
      total: 200,
      unit: 'steps',
      metrics: { 'mAP@0.5': done / 100, 'class/car': done / 90, 'class/person': done / 120, 'class/sign': 0 },
    }),
  ),
];
const stages: readonly StageView[] = [
  {
    stage: 'train',
    spec: 'specs/train.txt',
    log: {
      history: Array.from({ length: 11 }, (_, epoch) => ({
        epoch,
        steps: 20,
        parts: {},
        learningRate: 0.0005,
        milliseconds: 9000,
        ...(epoch === 0 ? {} : { loss: 2 / (epoch + 1) }),
        ...(epoch % 2 === 0 ? { validation: { metric: 'mAP@0.5', value: 0.08 * epoch, n: 101, decisions: 312 } } : {}),
      })),
      best: { epoch: 10, value: 0.8 },
      last: { epoch: 10, value: 0.8 },
      kept: 'best',
      resumedFrom: undefined,
      computed: { compute: 'onnxruntime-cpu', lowering: 'std' },
      at: '2026-11-24T09:30:00.000Z',
      milliseconds: 92_000,
    },
    score: {
      metric: 'mAP@0.5',
      value: 0.8,
      n: 101,
      decisions: 312,
      perClass: [
        { label: 'car', value: 0.91, n: 200 },
        { label: 'person', value: 0.69, n: 112 },
      ],
    },
  },
  { stage: 'retrain', spec: 'specs/retrain.txt' },
];

const curve = pruneCurve(
  buildNetwork({ architecture: 'detectnet_v2_resnet10', labels: ['car', 'person', 'sign'], height: 64, width: 96, widthMultiplier: 0.25, seed: 42 }),
  pruneSettings.parse({}),
);
const sized = (keep: number) => curve.budgets.find(budget => budget.keep === keep)?.macs as NonNullable<(typeof curve.budgets)[number]['macs']>;
const measured = (stage: 'pruned' | 'retrained', keep: number, value: number) => ({ stage, value, n: 101, decisions: 312, at: '2026-11-24T09:40:00.000Z', ...sized(keep) });
const pruning: PruningView = {
  curve,
  settings: pruneSettings.parse({}),
  goal: { keepMacs: 0.5 },
  unpruned: { metric: 'mAP@0.5', value: 0.8, n: 101, decisions: 312 },
  measured: [measured('retrained', 0.85, 0.81), measured('pruned', 0.7, 0.3), measured('retrained', 0.7, 0.795), measured('retrained', 0.5, 0.61)],
  dropPoints: 1,
};
const exported = {
  calibratedAt: '2026-11-24T09:50:00.000Z',
  ranges: {
    schemaVersion: 1,
    recipe: { algorithm: 'entropy', percentile: 0.9999, images: 64, selection: 'stratified', seed: 42, biasCorrection: false },
    images: 64,
    ranges: [
      { name: 'input_1', amax: 1, min: 0, max: 1 },
      { name: 'block_1a_relu_1', amax: 2.4, min: 0, max: 6.1 },
    ],
  },
  artifacts: [
    { name: 'model.onnx', digest: 'a'.repeat(64), bytes: 182_800, at: '2026-11-24T09:45:00.000Z', step: 'export' },
    { name: 'calibration.cache', digest: 'b'.repeat(64), bytes: 739, at: '2026-11-24T09:51:00.000Z', step: 'quantize' },
  ],
} as const;
const histogram = { fromMs: 9, toMs: 12, counts: Array.from({ length: 48 }, (_, bin) => Math.round(40 * Math.exp(-(((bin - 10) / 6) ** 2)))), beyond: 7 };
const measuredReport = () => {
  const { images: _, ...report } = fixture();
  return { ...report, results: report.results.map(row => ({ ...row, latencyMs: { ...row.latencyMs, histogram } })) };
};
const reports = [
  { device: 'bench', run: '20261124-095500-000-aaaaaa', at: '2026-11-24T09:56:00.000Z', report: measuredReport() },
  { device: 'bench', run: '20261123-095500-000-bbbbbb', at: '2026-11-23T09:56:00.000Z', report: fixture() },
];

const sizes = [
  [80, 24],
  [160, 45],
] as const;
const opened = (columns: number, rows: number, unicode = true) =>
  new Session({ columns, rows, unicode }).do(
    { type: 'loaded', source: 'project', value: project, atMs: start },
    { type: 'loaded', source: 'dataset', value: dataset, atMs: start },
    { type: 'loaded', source: 'picture', value: picture(columns > 100 ? 103 : 45, columns > 100 ? 34 : 15), atMs: start },
    { type: 'loaded', source: 'training', value: stages, atMs: start },
    { type: 'loaded', source: 'pruning', value: pruning, atMs: start },
    { type: 'loaded', source: 'exported', value: exported, atMs: start },
    { type: 'loaded', source: 'reports', value: reports, atMs: start },
  );
const golden = (session: Session, name: string) => expect(session.picture()).toMatchFileSnapshot(`golden/${name}.txt`);

describe.each(sizes)('at %d × %d', (columns, rows) => {
  const name = (screen: string) => `${screen}-${columns}x${rows}`;
  it('Data shows samples, classes, heights and problems beside the picture', () => golden(opened(columns, rows).keys('2'), name('data')));
  it('Train shows a run as it grows', () =>
    golden(
      opened(columns, rows)
        .watch(training, start + 63_000)
        .keys('3'),
      name('train-live'),
    ));
  it('Train shows what the last one left', () => golden(opened(columns, rows).keys('3'), name('train')));
  it('Prune shows the curve, the cliff and the choice', () => golden(opened(columns, rows).keys('4', 'left', 'left'), name('prune')));
  it('Export shows artifacts and ranges', () => golden(opened(columns, rows).keys('5'), name('export')));
  it('Benchmark strikes a failing row out in words', () => golden(opened(columns, rows).keys('8', 'down', 'down', 'down', 'down', 'c', '1'), name('benchmark')));
  it('no line is wider than the terminal', () => {
    for (const key of ['2', '3', '4', '5', '8']) for (const line of opened(columns, rows).keys(key).picture().split('\n')) expect([...line].length).toBeLessThanOrEqual(columns);
  });
});

describe('screens degrade', () => {
  it('Prune in ASCII', () => golden(opened(80, 24, false).keys('4'), 'prune-ascii'));
  it.each([
    [60, 16],
    [40, 12],
  ])('within %d × %d', (columns, rows) => {
    for (const key of ['2', '3', '4', '5', '8']) {
      const lines = opened(columns, rows).watch(training, start).keys(key).picture().trimEnd().split('\n');
      expect(lines.length).toBeLessThanOrEqual(rows);
      for (const line of lines) expect([...line].length).toBeLessThanOrEqual(columns);
    }
  });
  it('before anything is there they name the next command', () => {
    const empty = new Session().do(
      { type: 'loaded', source: 'dataset', value: undefined, atMs: start },
      { type: 'loaded', source: 'training', value: [{ stage: 'train', spec: 'specs/train.txt' }], atMs: start },
      {
        type: 'load-failed',
        source: 'pruning',
        failure: { code: 'file-missing', message: 'There is no trained network to prune yet.', hint: 'Train one with: edgeforge run train' },
      },
      { type: 'loaded', source: 'exported', value: { artifacts: [] }, atMs: start },
      { type: 'loaded', source: 'reports', value: [], atMs: start },
    );
    const said = ['2', '3', '4', '5', '8'].map(key => empty.keys(key).picture());
    for (const [index, command] of ['run dataset', 'run train', 'run train', 'run package', 'benchmark'].entries()) expect(said[index]).toContain(`edgeforge ${command}`);
  });
});

describe('what keys do', () => {
  it('a budget is asked for, then set and run', () => {
    const session = opened(80, 24).keys('4', 'right', 'enter');
    expect(session.picture()).toContain('prune.keepMacs: 0.45');
    const words = ['set', 'prune.keepMacs=0.45', 'prune.keepParameters=', 'prune.threshold='];
    const done = { type: 'run', wish: { steps: ['evaluate retrained'] }, cli: 'edgeforge run "evaluate retrained"' };
    expect(session.keys('y').effects.at(-1)).toEqual({ do: 'command', words, quiet: true, done });
  });
  it('the picture is drawn again for another sample, and once per sample', () => {
    const session = opened(80, 24).keys('2');
    const loads = () => session.effects.filter(effect => effect.do === 'load' && effect.source === 'picture').length;
    const before = loads();
    session.do({ type: 'loaded', source: 'picture', value: picture(45, 15), atMs: start });
    session.keys('j');
    expect(loads()).toBe(before + 1);
    // Still loading: the next one waits for it, then is asked for.
    session.keys('j');
    expect(loads()).toBe(before + 1);
    session.do({ type: 'loaded', source: 'picture', value: picture(45, 15), atMs: start });
    expect(loads()).toBe(before + 2);
  });
  it('a problem leads to its sample', () => {
    const session = opened(80, 24).keys('2', 'tab', 'tab', 'enter');
    expect(session.picture()).toContain('Samples (1)');
    expect(session.picture()).toContain('000001');
  });
  it('a stopped training says how to go on', () => {
    const stopped = at(64, { type: 'step-failed', step: 'train', code: 'cancelled', message: 'trainJob was cancelled.', hint: 'Run the same command again to go on from here.' });
    const session = opened(80, 24).watch([...training, stopped, at(64, { type: 'run-finished', ok: false, exitCode: 130 })]);
    expect(session.keys('3').picture()).toContain('train was stopped\nt goes on from its last checkpoint');
  });
  it('a spec is edited and checked, with lines', () => {
    expect(opened(80, 24).keys('3', 'e').effects.at(-1)).toEqual({ do: 'edit', file: 'specs/train.txt', check: ['spec', 'check', 'specs/train.txt'] });
  });
});
