import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { RunEvent } from '../../src/core/events.ts';
import { runEventJsonSchema, runEventSchema } from '../../src/core/run-events-schema.ts';
import { RunLog, readRunLog } from '../../src/core/run-log.ts';
import { newRoot } from './toy-build.ts';

async function readAll(path: string) {
  const reading = readRunLog(path);
  const events: RunEvent[] = [];
  for (;;) {
    const next = await reading.next();
    if (next.done) return { events, ...next.value };
    events.push(next.value);
  }
}

test('what is appended is read again, stamped; nothing follows the last word', async () => {
  const path = join(await newRoot(), 'events.ndjson');
  using log = new RunLog(path);
  log.append({ type: 'run-started', run: 'r', command: 'edgeforge run', steps: ['train'] });
  log.append({ type: 'step-progress', step: 'train', done: 1, total: 2, unit: 'epoch', metrics: { loss: 0.5, broken: Number.NaN } });
  log.append({ type: 'run-finished', ok: true, exitCode: 0 });
  log.append({ type: 'step-log', step: 'train', level: 'info', message: 'too late' });
  const { events, torn } = await readAll(path);
  expect(torn).toBe(false);
  expect(events.map(({ type }) => type)).toEqual(['run-started', 'step-progress', 'run-finished']);
  expect(events[1]).toMatchObject({ metrics: { loss: 0.5 } });
  expect(Math.abs(Date.parse(events[0]!.time) - Date.now())).toBeLessThan(10_000);
});

test('a torn last line is tolerated, at every byte; a broken line in the middle is named', async () => {
  const path = join(await newRoot(), 'events.ndjson');
  using log = new RunLog(path);
  log.append({ type: 'step-started', step: 'über', because: 'never ran' });
  log.append({ type: 'step-skipped', step: 'prune', because: 'train failed' });
  const whole = readFileSync(path);
  const first = whole.indexOf(10) + 1;
  for (let length = first + 1; length < whole.length; length++) {
    writeFileSync(path, whole.subarray(0, length));
    expect(await readAll(path)).toMatchObject({ torn: true, events: [{ step: 'über' }] });
  }
  writeFileSync(path, whole);
  appendFileSync(path, '{"type":"step-\n');
  await expect(readAll(path)).rejects.toMatchObject({ code: 'file-corrupt', where: { file: path, line: 3 } });
  writeFileSync(path, '{"time":"","type":"nonsense"}\n');
  await expect(readAll(path)).rejects.toMatchObject({ code: 'file-corrupt', where: { line: 1 } });
  writeFileSync(path, Buffer.alloc(5 << 20, 'a'));
  await expect(readAll(path)).rejects.toMatchObject({ code: 'file-corrupt' });
});

test('the schema is published, and newer members are no error', () => {
  expect(JSON.stringify(runEventJsonSchema())).toContain('"run-finished"');
  expect(runEventSchema.parse({ time: 't', type: 'step-skipped', step: 's', because: 'b', novelty: 1 })).toEqual({ time: 't', type: 'step-skipped', step: 's', because: 'b' });
});
