import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { TrainMessage } from '../../src/pipeline/jobs/train.ts';
import { statusFile } from '../../src/pipeline/status-file.ts';
import { trainingReader } from '../../src/pipeline/training-reader.ts';

test('a training process tells its time left, its memory and its wait for data as metrics of its steps', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'training-reader-'));
  try {
    const [told, logged]: [unknown[], string[]] = [[], []];
    const reader = trainingReader({
      progress: (...said) => void told.push(said),
      log: (_, text) => void logged.push(text),
      note: text => void logged.push(`note: ${text}`),
      epochs: 4,
      folder,
      status: statusFile(undefined),
    });
    const say = (message: TrainMessage) => reader.read(message);
    const speed = { imagesPerSecond: 31.5, etaSeconds: 12.6, starved: 0.254 };
    say({ kind: 'progress', progress: { epoch: 3, epochs: 4, step: 2, steps: 10, loss: 0.5, parts: { cover: 0.5 }, learningRate: 1e-3, ...speed }, residentMB: 812 });
    say({ kind: 'note', note: 'softly' });
    say({
      kind: 'epoch',
      record: { epoch: 3, steps: 10, loss: 0.25, parts: {}, learningRate: 1e-3, milliseconds: 5, validation: { metric: 'mAP', value: 0.75, n: 9, decisions: 9 } },
    });
    await reader.settled();
    expect(told).toEqual([[22, 40, { loss: 0.5, lr: 1e-3, 'img/s': 31.5, epoch: 3, 'eta s': 13, 'wait %': 25, MB: 812 }, 'steps']]);
    expect(logged).toEqual(['note: softly', 'epoch 3/4: loss 0.2500, mAP 0.7500 (n 9)']);
    expect(await readdir(folder)).toHaveLength(1);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
