import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EdgeError } from '../../src/core/errors.ts';
import { f32 } from '../../src/graph/ir.ts';
import { type Checkpoint, decodeCheckpoint, encodeCheckpoint, readCheckpoint, writeCheckpoint } from '../../src/train/checkpoint.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'edgeforge-checkpoint-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const checkpoint: Checkpoint = {
  epoch: 3,
  step: 42,
  updates: 21,
  identity: 'abc',
  best: { epoch: 2, value: 0.5 },
  task: { weights: { car: 1 } },
  history: [{ epoch: 1, loss: 0.25 }],
  tensors: new Map([
    ['w', f32([2, 3], [1, -2, 3.5, 0, -0, 1e-38])],
    ['empty', f32([0], [])],
    ['scalar', f32([], [7])],
  ]),
};

describe('checkpoints', () => {
  it('come back bit by bit', () => expect(decodeCheckpoint(encodeCheckpoint(checkpoint), 'x')).toEqual(checkpoint));
  it('are absent where there is no file, and whole where there is one', async () => {
    const file = join(folder, 'deep', 'last.ckpt');
    expect(await readCheckpoint(file)).toBeUndefined();
    await writeCheckpoint(file, checkpoint);
    expect(await readCheckpoint(file)).toEqual(checkpoint);
  });
  it('say so when cut short or changed anywhere', () => {
    const bytes = encodeCheckpoint(checkpoint);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), fc.boolean(), (at, flip, cut) => {
        const broken = cut ? bytes.slice(0, at) : Uint8Array.from(bytes, (byte, index) => (index === at ? byte ^ flip : byte));
        try {
          // A flipped byte inside a JSON string or number may leave a readable header; the tensors are then still whole.
          const read = decodeCheckpoint(broken, 'last.ckpt');
          expect([...read.tensors.values()]).toEqual([...checkpoint.tensors.values()]);
        } catch (error) {
          expect(error).toBeInstanceOf(EdgeError);
          expect((error as EdgeError).code).toBe('file-corrupt');
        }
      }),
    );
  });
});
