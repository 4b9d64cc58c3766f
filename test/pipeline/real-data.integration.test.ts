import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { removeReadOnly } from '../../src/core/objects.ts';
import { startRun } from '../../src/core/run-folder.ts';
import { stopServed } from '../../src/deploy/serve.ts';
import { parseReport } from '../../src/formats/report.ts';
import { hasShared, shared } from '../shared.ts';
import { follow } from './_tiny-project.ts';

// The whole line on photos, with an ImageNet MobileNet as the backbone, made so small that it fits a test: what it learns is not judged, what arrives is.
const flowers = ['daisy', 'dandelion', 'roses', 'sunflowers', 'tulips'];
const runMain = fileURLToPath(new URL('../../src/pipeline/run-main.ts', import.meta.url));

const spec = (epochs: number) => `model_config { arch: "mobilenet_v1" input_image_size: "3,224,224" }
train_config {
  train_dataset_path: "train"
  val_dataset_path: "val"
  optimizer { adam { epsilon: 1e-7 beta_1: 0.9 beta_2: 0.999 } }
  batch_size_per_gpu: 8
  n_epochs: ${epochs}
  preprocess_mode: "tf"
  reg_config { type: "None" scope: "Conv2D,Dense" }
  lr_config { cosine { learning_rate: 5e-3 min_lr_ratio: 0.02 soft_start: 0.05 } }
  random_seed: 42
}
eval_config { top_k: 2 batch_size: 8 }
`;
const project = `task: classification
data: { folders: data, validation: { train: train, val: val } }
model:
  spec: train.txt
  onnx: ${shared('models', 'mobilenet_v1_1.0_224_dequantized.onnx')}
  preprocess: { scale: 0.0078125, offset: [128, 128, 128], order: rgb }
  freezeLayers: 15
  backboneRate: 0.006
prune: { keepMacs: 0.5, importance: energy }
training: { average: 0.9, accumulate: 2, classWeights: balanced }
retrain: { spec: train.txt, freezeLayers: 20, distill: { weight: 0.5, temperature: 4 } }
export: { precisions: [fp32, int8], calibration: calibration.yaml }
benchmark: { warmUpMs: 50, durationMs: 200, minIterations: 5, rounds: 1, images: 20 }
devices:
  bench: { target: linux-x64, serve: true }
`;

describe.skipIf(!hasShared)('flowers with a MobileNet', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'edge-flowers-'));
    process.env.EDGEFORGE_CONFIG = join(folder, 'config');
    for (const [part, count] of [
      ['train', 6],
      ['val', 4],
    ] as const)
      for (const flower of flowers) {
        const from = shared('datasets', 'flowers5', part, flower);
        const to = join(folder, 'data', part, flower);
        mkdirSync(to, { recursive: true });
        for (const name of readdirSync(from).sort().slice(0, count)) cpSync(join(from, name), join(to, name));
      }
    writeFileSync(join(folder, 'edgeforge.yaml'), project);
    writeFileSync(join(folder, 'train.txt'), spec(1));
    writeFileSync(join(folder, 'calibration.yaml'), 'algorithm: minmax\nimages: 10\nseed: 1\n');
  });
  afterAll(async () => {
    delete process.env.EDGEFORGE_CONFIG;
    await stopServed(folder, 'bench');
    await removeReadOnly(folder);
  });

  test('photos → training → pruning → retraining → INT8 → device → report', { timeout: 240_000 }, async () => {
    const { folder: run } = await startRun({ root: join(folder, '.edgeforge'), moduleFile: runMain, args: [JSON.stringify({ project: folder })], cwd: folder });
    const events = await follow(run);
    const failed = events.filter(event => event.type === 'step-failed');
    // The gate may fail: one epoch on 30 photos promises nothing.
    expect(failed.filter(({ step }) => step !== 'gate bench')).toEqual([]);
    const out = join(folder, '.edgeforge', 'out');
    const report = parseReport(readFileSync(join(out, 'report-bench', 'report.json'), 'utf8'));
    expect(report.pruning!.macsAfter / report.pruning!.macsBefore).toBeLessThanOrEqual(0.5);
    for (const rows of [report.baseline, report.results]) {
      expect(rows.map(row => [row.precision, row.accuracy?.metric, row.accuracy?.n])).toEqual([
        ['fp32', 'top-1', 20],
        ['int8', 'top-1', 20],
      ]);
      expect(rows.every(row => row.throughput.value > 0)).toBe(true);
    }
    expect(readdirSync(join(out, 'model'))).toEqual(expect.arrayContaining(['labels.txt']));
    expect(
      readFileSync(join(out, 'model', 'labels.txt'), 'utf8')
        .trim()
        .split(/[\n;]/),
    ).toEqual(flowers);
  });
});
