import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readTensorboard } from '../../src/formats/tensorboard.ts';
import { TensorboardLog } from '../../src/train/tensorboard-log.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tensorboard-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A Python that has TensorBoard: EDGE_TENSORBOARD_PYTHON, or the machine's own. */
const python = process.env.EDGE_TENSORBOARD_PYTHON ?? '/usr/bin/python3';
const found = spawnSync(python, ['-c', 'import tensorboard']).status === 0;
if (!found) console.warn(`SKIPPED: ${python} has no tensorboard. Install it in a virtual environment (pip install tensorboard) and name its Python in EDGE_TENSORBOARD_PYTHON.`);

async function write(at: number, steps: readonly number[]): Promise<void> {
  const log = new TensorboardLog(folder, new Date(at));
  for (const step of steps) log.add(step, { 'train/loss': 1 / step, 'train/odd': Number.NaN, 'epoch/loss': undefined }, new Date(at + step));
  await log.settled();
}

test('a training that goes on adds a file; what is not finite is left out', async () => {
  await write(1_700_000_000_000, [1, 2]);
  await write(1_700_000_100_000, [3]);
  const files = (await readdir(folder)).sort();
  expect(files).toHaveLength(2);
  const events = await Promise.all(files.map(async file => readTensorboard(await readFile(join(folder, file)), file)));
  expect(events.map(list => list[0]?.version)).toEqual(['brain.Event:2', 'brain.Event:2']);
  expect(events.flat().flatMap(event => Object.keys(event.scalars))).toEqual(['train/loss', 'train/loss', 'train/loss']);
});

test.skipIf(!found)('TensorBoard reads the curve', () => {
  const script = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
each = EventAccumulator(sys.argv[1]); each.Reload()
print(json.dumps([[event.step, event.value] for event in each.Scalars("train/loss")]))
`;
  const curve = JSON.parse(execFileSync(python, ['-c', script, folder], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })) as [number, number][];
  expect(curve.map(([step, value]) => [step, Number(value.toFixed(4))])).toEqual([
    [1, 1],
    [2, 0.5],
    [3, 0.3333],
  ]);
});
