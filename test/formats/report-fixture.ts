import type { Report, UnjudgedRow } from '../../src/formats/report.ts';
import { judgeRows } from '../../src/formats/report-gate.ts';

const row = (precision: 'fp32' | 'fp16' | 'int8', throughput: number, accuracy: number, extra: Partial<UnjudgedRow> = {}, n = 312): UnjudgedRow => ({
  precision,
  scenario: 'single_stream',
  batch: 1,
  throughput: { value: throughput, unit: 'images/s' },
  latencyMs: { p50: 990 / throughput, p90: 1040 / throughput, p99: 1200 / throughput, mean: 1000 / throughput, sd: 60 / throughput, n: 1000 },
  accuracy: { metric: 'mAP (IoU 0.5, INTEGRATE)', value: accuracy, n: 101, decisions: n },
  evidence: {
    grade: 'measured',
    protocol: 'standard',
    device: 'bench',
    runtime: 'onnxruntime 1.30.0',
    at: '2026-11-24T04:00:00Z',
    notes: ['Measured on the machine that also serves as the device.'],
  },
  ...extra,
});

/** What a board's own sensors and a TensorRT engine's own times add. */
const onBoard: Partial<UnjudgedRow> = {
  energy: { perImageMj: 133.7, fpsPerW: 7.48, meanW: 5.2, idleW: 2.9, rail: 'VDD_IN', samples: 240, sensor: 'board sensor, not wall' },
  heat: { sensor: 'tj', minC: 51, maxC: 62.5 },
  track: Array.from({ length: 24 }, (_, i) => ({
    round: 1 + Math.floor(i / 8),
    atS: 10 + 12 * Math.floor(i / 8) + 0.4 * (i % 8),
    w: 5 + (i % 3) / 10,
    gpuMHz: 624,
    heatC: 51 + i / 2,
  })),
  stages: [
    { stage: 'engine', imagesPerSecond: 41.2, p50Ms: 24.1 },
    { stage: 'engine with copies', imagesPerSecond: 38.9 },
  ],
};

/** A report with every member used; `decisions` shrinks the accuracy’s base. */
export const fixture = (decisions = 312): Report => ({
  schemaVersion: 1,
  createdAt: '2026-11-24',
  project: { name: 'road-scenes' },
  device: { name: 'bench <1>', model: 'Linux x64', os: 'Debian 12', architecture: 'x64', cpu: { model: 'Xeon', cores: 2, features: ['avx512_vnni'] }, memoryMB: 7900 },
  protocol: { name: 'standard', warmUpMs: 2000, durationMs: 10_000, minIterations: 50, rounds: 3, batch: 1, threads: 2 },
  model: { architecture: 'detectnet_v2_resnet18', parameters: 11_200_000, macs: 4_600_000_000, bytes: 44_800_000 },
  training: [
    {
      stage: 'train',
      epochs: 40,
      metric: 'mAP',
      value: 0.79,
      n: 101,
      curve: Array.from({ length: 40 }, (_, epoch) => ({
        epoch: epoch + 1,
        loss: 2.4 * Math.exp(-epoch / 9) + 0.1,
        ...(epoch % 5 === 4 ? { validation: 0.8 * (1 - Math.exp(-epoch / 10)) } : {}),
      })),
    },
    {
      stage: 'retrain',
      epochs: 20,
      metric: 'mAP',
      value: 0.785,
      n: 101,
      curve: Array.from({ length: 20 }, (_, epoch) => ({
        epoch: epoch + 1,
        loss: 0.9 * Math.exp(-epoch / 6) + 0.11,
        ...(epoch % 5 === 4 ? { validation: 0.6 + 0.19 * (1 - Math.exp(-epoch / 5)) } : {}),
      })),
    },
  ],
  pruning: {
    macsBefore: 4_600_000_000,
    macsAfter: 2_200_000_000,
    parametersBefore: 11_200_000,
    parametersAfter: 3_900_000,
    accuracyBefore: 0.79,
    accuracyAfter: 0.785,
    layers: Array.from({ length: 12 }, (_, at) => ({
      name: `block_${1 + Math.floor(at / 3)}${'abc'[at % 3]}_conv_1`,
      before: 64 * 2 ** Math.floor(at / 3),
      after: Math.round(64 * 2 ** Math.floor(at / 3) * (0.85 - at * 0.04)),
    })),
  },
  baseline: judgeRows([row('fp32', 21.4, 0.79, {}, decisions), row('int8', 62.3, 0.786, {}, decisions)]),
  results: judgeRows([
    row('fp32', 40.2, 0.785, {}, decisions),
    row('fp16', 38.9, 0.785, { ...onBoard, computes: 'fp32, upcast' }, decisions),
    row('int8', 108.7, 0.742, { sqnrDb: 24.3, agreement: { share: 0.961, n: decisions } }, decisions),
  ]),
  artifacts: [
    { name: 'model.onnx', digest: 'a'.repeat(64), bytes: 15_600_000 },
    { name: 'calibration.cache', digest: 'b'.repeat(64), bytes: 3120 },
  ],
  failures: [{ precision: 'fp16', network: 'baseline', code: 'device-refused', message: 'FP16 was not asked for.', hint: 'Add it to export.precisions.' }],
  images: [
    {
      caption: 'scene 0007',
      jpegBase64:
        '/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAP//////////////////////////////////////////////////////////////////////////////////////wAALCAABAAEBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAACf/EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8AKp//2Q==',
      width: 624,
      height: 192,
      boxes: [
        { label: 'car', x1: 40, y1: 70, x2: 210, y2: 150, score: 0.93 },
        { label: 'car', x1: 44, y1: 72, x2: 214, y2: 152, truth: true },
        { label: 'person', x1: 400, y1: 60, x2: 430, y2: 160, score: 0.71 },
      ],
    },
  ],
  notes: ['The spec leaves TLT’s defaults: 40 epochs.'],
});
