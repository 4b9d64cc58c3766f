import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { doctorCompute } from '../../src/pipeline/compute-doctor.ts';

test('doctor says of every engine what it is here, with a command for what is missing, and what auto takes', { timeout: 60_000 }, async () => {
  const rows = await doctorCompute();
  expect(rows.map(({ name }) => name)).toEqual(['compute onnxruntime-cpu', 'compute onnxruntime-webgpu', 'compute onnxruntime-cuda', 'compute tfjs', 'compute auto']);
  for (const row of rows) if (row.state === 'missing') expect(row.mend, row.name).toMatch(/^(sudo apt install|npm install|ONNXRUNTIME_NODE_INSTALL=cuda12 node ")/);
  expect(rows[0]).toMatchObject({ value: expect.stringMatching(/^onnxruntime \d+\.\d+/) });
  expect(rows.at(-1)).toMatchObject({ state: 'ok', value: expect.stringMatching(/^takes (onnxruntime-cpu|onnxruntime-cuda|tfjs): ./) });
  const script = rows.flatMap(({ mend }) => /node "(.*install\.js)"/.exec(mend ?? '')?.[1] ?? []);
  // The command works from any folder: it names a file that is there.
  for (const file of script) expect(existsSync(file), file).toBe(true);
});
