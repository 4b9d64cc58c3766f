import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { f32, type Tensor } from '../../src/graph/ir.ts';
import { readTensorFolder, readTensorIndex, writeTensorFolder } from '../../src/pipeline/tensor-folder.ts';

const root = mkdtempSync(join(tmpdir(), 'edge-tensors-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

test('tensors come back bit for bit, under their names, with truth and ids', async () => {
  let count = 0;
  const tensor = fc
    .array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 })
    .chain(dims => fc.array(fc.float(), { minLength: dims.reduce((a, b) => a * b, 1), maxLength: dims.reduce((a, b) => a * b, 1) }).map(data => f32(dims, new Float32Array(data))));
  // Names of real networks have slashes and colons.
  const name = fc.string({ minLength: 1, maxLength: 12 }).map(text => `output_cov/${text}:0`);
  await fc.assert(
    fc.asyncProperty(fc.dictionary(name, tensor, { minKeys: 1, maxKeys: 3, noNullPrototype: true }), async tensors => {
      const folder = join(root, String(count++));
      const more = { ids: ['a', 'b'], labels: ['car'], annotations: [{ kind: 'class' as const, classIndex: 0 }] };
      await writeTensorFolder(folder, 2, new Map(Object.entries(tensors)), more);
      const { values, n, ...rest } = await readTensorFolder(folder);
      expect(n).toBe(2);
      expect(rest).toMatchObject(more);
      expect([...values.keys()].sort()).toEqual(Object.keys(tensors).sort());
      for (const [key, { dims, data }] of Object.entries(tensors)) {
        expect(values.get(key)?.dims).toEqual(dims);
        expect(bytesOf(values.get(key)?.data as Float32Array)).toEqual(bytesOf(data as Float32Array));
      }
      expect((await readTensorIndex(folder)).n).toBe(2);
    }),
    { numRuns: 40 },
  );
});

test('a view into a larger buffer is written as what it shows', async () => {
  const whole = Float32Array.from({ length: 12 }, (_, i) => i);
  await writeTensorFolder(join(root, 'view'), 1, new Map([['x', f32([1, 4], whole.subarray(4, 8))]]));
  const { values } = await readTensorFolder(join(root, 'view'));
  expect([...(values.get('x') as Tensor).data]).toEqual([4, 5, 6, 7]);
});

const bytesOf = (data: Float32Array) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);
