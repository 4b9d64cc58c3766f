import { copyFileSync, readFileSync } from 'node:fs';
import { afterAll, expect, test } from 'vitest';
import type { RangeTable } from '../../src/compress/calibrate.ts';
import { learntRanges } from '../../src/compress/qat.ts';
import { parseCalibrationCache } from '../../src/formats/calibration-cache.ts';
import { readOnnx } from '../../src/formats/onnx.ts';
import { tltExport } from '../../src/pipeline/tlt/export.ts';
import { planTraining } from '../../src/pipeline/training-plan.ts';
import { TinyProject } from './_tiny-project.ts';

const project = new TinyProject({ devices: false });
afterAll(() => project[Symbol.asyncDispose]());

test('enable_qat of a spec, and qat of a project, reach the plan of the training', () => {
  const text = readFileSync(project.path('specs', 'train.txt'), 'utf8');
  expect(planTraining(text).training.qat).toBeUndefined();
  expect(planTraining(text, { section: { qat: true } }).training.qat).toBe(true);
  expect(planTraining(text.replace('training_config {', 'training_config {\n  enable_qat: true')).training.qat).toBe(true);
});

test('a retraining under quantization gives its ranges to cache and Q/DQ, and no image calibrates', { timeout: 900_000 }, async () => {
  project.edit('edgeforge.yaml', text => text.replace('specs/retrain.txt }', 'specs/retrain.txt, training: {qat: true} }'));
  const { failed, events } = await project.run({ steps: ['quantize'] });
  expect([...failed]).toEqual([]);
  const logged = events.flatMap(event => (event.type === 'step-log' && event.step === 'calibrate' ? [event.message] : []));
  expect(logged.join()).toContain('qat');
  const table = JSON.parse((await project.output('calibrate', 'ranges')).toString()) as RangeTable;
  expect(table).toMatchObject({ recipe: { algorithm: 'qat' }, images: 0 });
  const exported = readOnnx(await project.output('export', 'fp32'));
  expect(exported.nodes.some(node => node.type === 'Relu' || node.domain === 'edge')).toBe(false);
  expect(learntRanges(exported)).toEqual(table);
  const cache = parseCalibrationCache((await project.output('quantize', 'cache')).toString());
  expect(cache.entries.map(({ name, scale }) => [name, scale])).toEqual(table.ranges.map(({ name, amax }) => [name, Math.fround(amax / 127)]));
  expect(readOnnx(await project.output('quantize', 'onnxruntime')).metadata['edgeforge.ranges']).toBe('qat');

  // TLT's export of the same network: the same ranges, as a cache and as TAO's JSON.
  const [model, cal, json] = ['network.onnx', 'cal.bin', 'cal.json'].map(name => project.path(name)) as [string, string, string];
  copyFileSync(await project.outputPath('retrain', 'network'), model);
  const calibration = { cache: cal, json, batches: 1, batchSize: 1, tensorrt: '8.6.1' };
  const tell = { say: () => {}, note: () => {}, progress: () => {}, status: () => {}, signal: new AbortController().signal };
  await tltExport({ network: 'detectnet_v2', model, key: undefined, precision: 'int8', calibration, maxBatch: 1, deepstream: false }, tell);
  expect(parseCalibrationCache(readFileSync(cal, 'utf8')).entries).toEqual(cache.entries);
  expect(JSON.parse(readFileSync(json, 'utf8'))).toEqual({ tensor_scales: Object.fromEntries(table.ranges.map(({ name, amax }) => [name, amax])) });
});
