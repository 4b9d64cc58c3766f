import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { z } from 'zod';
import type { UntimedEvent } from '../../src/core/events.ts';
import { defineStep, type Kind, Recipe } from '../../src/core/recipe.ts';
import { runRecipe } from '../../src/core/run.ts';
import { writeOnnx } from '../../src/formats/onnx.ts';
import { parseReport, type Report, reportJsonSchema } from '../../src/formats/report.ts';
import { latestOutput } from '../../src/pipeline/outputs.ts';
import { gateStep, reportStep } from '../../src/pipeline/steps/report.ts';
import { buildNetwork } from '../../src/zoo/network.ts';
import { newStore } from '../core/toy-build.ts';
import { outcomes } from './_tiny-project.ts';

type Precision = 'fp32' | 'fp16' | 'int8';
/** A step that gives one file of a kind: what the steps before the report would have left. */
const given = <K extends Kind>(kind: K) =>
  defineStep({
    name: `given ${kind}`,
    config: z.strictObject({ json: z.json().optional() }),
    inputs: {},
    outputs: { it: kind },
    async run({ config, outputs }) {
      await writeFile((outputs as { it: string }).it, kind === 'onnx' ? model : JSON.stringify(config.json));
    },
  });
const network = buildNetwork({ architecture: 'detectnet_v2_resnet10', labels: ['car', 'person'], height: 32, width: 64, widthMultiplier: 0.25 });
const model = writeOnnx(network.graph);

const measurement = (precision: Precision, perSecond: number) => ({
  precision,
  scenario: 'single_stream',
  batch: 1,
  throughput: { value: perSecond, unit: 'images/s' },
  latencyMs: { p50: 990 / perSecond, p90: 1010 / perSecond, p99: 1100 / perSecond, mean: 1000 / perSecond, sd: 0.1, n: 500 },
  evidence: { grade: 'measured', protocol: 'single stream', device: 'bench', runtime: 'onnxruntime 1.30.0', at: '2026-11-24T04:00:00Z', notes: [] },
});
const passport = (precision: Precision, path: string) => ({
  engine: { path, digest: 'e'.repeat(64), bytes: 1000 },
  precision,
  batch: 1,
  inputs: { input_1: [1, 3, 32, 64] },
  modelDigest: 'd'.repeat(64),
  runtime: 'onnxruntime 1.30.0',
  deviceId: 'x',
  words: ['node'],
  buildSeconds: 1.5,
  notes: precision === 'fp16' ? ['upcast to fp32 by this CPU runtime'] : [],
});
const score = (value: number, decisions: number) => ({ metric: 'mAP', value, n: 50, decisions, perClass: [{ label: 'car', value, n: decisions }], detail: {} });
const log = {
  history: [
    { epoch: 0, steps: 0, parts: {}, learningRate: 0, milliseconds: 0 },
    { epoch: 2, steps: 6, loss: 0.5, parts: {}, learningRate: 1e-3, milliseconds: 10 },
  ],
  compared: { at: '2026-11-24T04:00:00.000Z', loss: [0.6, 0.5], seconds: [8, 10], changed: ['plan.epochs 1 → 2'] },
  computed: { compute: 'onnxruntime-cpu', lowering: 'std' },
};

interface Wish {
  readonly int8: number;
  readonly decisions?: number;
  readonly pruned?: boolean;
  readonly dropPoints?: number;
}
/** Runs report and gate over made-up figures; FP32 scores 0.8. */
async function reported({ int8, decisions = 312, pruned = true, dropPoints = 1 }: Wish) {
  const store = await newStore();
  const recipe = new Recipe();
  let count = 0;
  const give = <K extends Kind>(kind: K, json: unknown) => recipe.add(given(kind), { id: `${kind} ${count++}`, config: { json: json as z.core.util.JSONType }, inputs: {} }).it;
  const networks = pruned ? (['baseline', 'results'] as const) : (['results'] as const);
  const precisions = ['fp32', 'fp16', 'int8'] as const;
  const lines = networks.flatMap(name => precisions.map(precision => ({ network: name, batch: 1, precision })));
  const speeds = { fp32: 10, fp16: 9, int8: 30 };
  const { report } = recipe.add(reportStep, {
    config: {
      project: 'toy',
      device: { name: 'bench', target: 'linux-x64' },
      gate: { dropPoints },
      protocol: { warmUpMs: 1, durationMs: 2, minIterations: 3, rounds: 1, threads: 2, batch: 1 },
      lines,
    },
    inputs: {
      measurements: give(
        'measurement',
        lines.map(line => measurement(line.precision, speeds[line.precision] * (line.network === 'results' && pruned ? 2 : 1))),
      ),
      passports: lines.map(line => give('passport', passport(line.precision, `engines/${line.network}-${line.precision}`))),
      scores: networks.map(name =>
        give('score', [
          { precision: 'fp32', score: score(0.8, decisions) },
          { precision: 'fp16', score: score(0.8, decisions), agreement: { equal: decisions, n: decisions } },
          { precision: 'int8', score: score(name === 'baseline' ? 0.8 : int8, decisions), agreement: { equal: 0, n: 0 }, sqnrDb: 21.5 },
        ]),
      ),
      model: give('onnx', null),
      trainLog: give('training-log', log),
      trainScore: give('score', score(0.79, decisions)),
      ...(pruned
        ? {
            pruneReport: give('prune-report', {
              ...{ settings: {}, macsBefore: 100, macsAfter: 50, parametersBefore: 10, parametersAfter: 4 },
              layers: [{ layer: 'conv1', type: 'Conv', filtersBefore: 64, filtersAfter: 32, macsBefore: 1, macsAfter: 1, parametersBefore: 1, parametersAfter: 1 }],
            }),
            pruneScore: give('score', score(0.7, decisions)),
          }
        : {}),
    },
  });
  recipe.add(gateStep, { config: {}, inputs: { report } });
  const events: UntimedEvent[] = [];
  const { exitCode } = await runRecipe(recipe, { store, emit: event => void events.push(event), signal: new AbortController().signal });
  const digest = await latestOutput(store, report);
  const folder = digest && store.path(digest);
  const text = (name: string) => readFileSync(join(folder!, name), 'utf8');
  return { exitCode, events, ...outcomes(events), report: parseReport(text('report.json')), text };
}
const rowOf = (rows: Report['results'], precision: Precision) => rows.find(row => row.precision === precision)!;

test('every figure arrives where its readers look, under the published schema', async () => {
  const { exitCode, failed, report, text } = await reported({ int8: 0.795 });
  expect([...failed]).toEqual([]);
  expect(exitCode).toBe(0);
  expect(JSON.parse(text('report.schema.json'))).toEqual(JSON.parse(JSON.stringify(reportJsonSchema)));
  expect(report).toMatchObject({
    schemaVersion: 1,
    device: { name: 'bench', target: 'linux-x64' },
    model: { architecture: 'detectnet_v2_resnet10', bytes: model.length },
    training: [{ stage: 'train', epochs: 2, metric: 'mAP', value: 0.79, n: 50, curve: [{ epoch: 0 }, { epoch: 2, loss: 0.5 }], compared: { loss: [0.6, 0.5] } }],
    notes: expect.arrayContaining([expect.stringMatching(/^train: Against the training of .*last loss 0\.600 → 0\.500.*changed: plan\.epochs 1 → 2\.$/)]),
    pruning: {
      macsBefore: 100,
      macsAfter: 50,
      parametersBefore: 10,
      parametersAfter: 4,
      accuracyBefore: 0.79,
      accuracyAfter: 0.7,
      layers: [{ name: 'conv1', before: 64, after: 32 }],
    },
  });
  expect(report.model.parameters).toBeGreaterThan(1000);
  expect(report.baseline.map(row => row.throughput.value)).toEqual([10, 9, 30]);
  expect(report.results.map(row => row.throughput.value)).toEqual([20, 18, 60]);
  expect(rowOf(report.results, 'int8')).toMatchObject({
    accuracy: { metric: 'mAP', value: 0.795, n: 50, dropPoints: 0.5 },
    gate: 'pass',
    sqnrDb: 21.5,
    // Of no decision at all, all agree.
    agreement: { share: 1, n: 0 },
    sizeBytes: 1000,
    evidence: { grade: 'measured' },
  });
  expect(rowOf(report.results, 'fp32').sqnrDb).toBeUndefined();
  expect(rowOf(report.results, 'fp16').computes).toContain('upcast');
  expect(report.artifacts.map(({ name }) => name)).toEqual([
    'model.onnx',
    ...['baseline', 'results'].flatMap(name => ['fp32', 'fp16', 'int8'].map(precision => `${name}-${precision}`)),
  ]);
  expect(text('report.html')).not.toMatch(/(src|href)="https?:/);
});

test('a missed gate: exit code 4, the report stands with FAILED and its speed struck out', async () => {
  const { exitCode, failed, ran, report, text } = await reported({ int8: 0.75 });
  expect(exitCode).toBe(4);
  expect(failed.get('gate')).toMatchObject({ code: 'gate-missed', message: expect.stringContaining('int8 lost 5.0 points, 1 allowed') });
  expect(ran.has('report')).toBe(true);
  expect(report.results.map(row => row.gate)).toEqual(['pass', 'pass', 'fail']);
  expect(report.baseline.map(row => row.gate)).toEqual(['pass', 'pass', 'pass']);
  expect(text('report.md')).toMatch(/FAILED/);
  expect(text('report.md')).toMatch(/~~60/);
  expect(text('report.html')).toMatch(/FAILED/);
});

test('the gate moves with its setting, and judges nothing below 100 decisions', async () => {
  expect((await reported({ int8: 0.75, dropPoints: 5 })).exitCode).toBe(0);
  const few = await reported({ int8: 0.1, decisions: 99 });
  expect(few.exitCode).toBe(0);
  expect(few.report.results.map(row => row.gate)).toEqual(['unjudged', 'unjudged', 'unjudged']);
  expect(few.events.flatMap(event => (event.type === 'step-finished' ? event.notes : []))).toContain('int8: n too small to judge (99 < 100)');
});

test('without pruning there is one network and no baseline', async () => {
  const { exitCode, report } = await reported({ int8: 0.8, pruned: false });
  expect(exitCode).toBe(0);
  expect(report.baseline).toEqual([]);
  expect(report.pruning).toBeUndefined();
  expect(report.results.length).toBe(3);
});
