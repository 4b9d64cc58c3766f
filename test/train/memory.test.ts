import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { fit } from '../../src/train/fit.ts';
import { predict } from '../../src/train/predict.ts';
import { toyBatch, toyNetwork, toyTask } from './_toys.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

it('keeps the memory of its fifth epoch over many more that validate', { timeout: 240_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'edgeforge-memory-'));
  const [network, task] = [toyNetwork({ width: 64 }), toyTask()];
  const stateBytes = 3 * network.trainable.reduce((sum, name) => sum + 4 * (network.graph.initializers.get(name)?.data.length ?? 0), 0);
  const epochs = 45;
  const held: { buffers: number; resident: number }[] = [];
  await fit({
    network,
    task,
    epochs,
    stepsPerEpoch: 1,
    batch: 6,
    batches: async function* (epoch) {
      yield toyBatch(6, epoch);
    },
    optimizer: { kind: 'adam' },
    schedule: { kind: 'soft-start-annealing', minimum: 1e-4, maximum: 1e-3, softStart: 0.1, annealing: 0.6 },
    folder,
    threads: 1,
    validate: async graph => {
      const { images, annotations } = toyBatch(8, 999);
      async function* one() {
        yield { images, n: 8 };
      }
      return task.score(await predict(graph, task, one(), { threads: 1 }), annotations);
    },
    onEpoch: () => {
      collect();
      const { arrayBuffers, rss } = process.memoryUsage();
      held.push({ buffers: arrayBuffers, resident: rss });
    },
  });
  await rm(folder, { recursive: true });
  const least = (from: number) => ({
    buffers: Math.min(...held.slice(from, from + 5).map(each => each.buffers)),
    resident: Math.min(...held.slice(from, from + 5).map(each => each.resident)),
  });
  const [early, late] = [least(5), least(epochs - 4)];
  // The state crosses threads twice an epoch; a few of its copies may wait for the collector, not one per epoch.
  expect((late.buffers - early.buffers) / stateBytes).toBeLessThan(5);
  expect((late.resident - early.resident) / stateBytes).toBeLessThan(20);
});
