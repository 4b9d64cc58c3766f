import { expect, test } from 'vitest';
import { overfitBatch, overfitText } from '../../src/train/overfit.ts';
import { toyBatch, toyNetwork, toyTask } from './_toys.ts';

const quick = { threads: 1, lowering: 'std' } as const;

test('a network that can learn learns a batch by heart and stays as it was', async () => {
  const network = toyNetwork();
  const before = structuredClone([...network.graph.initializers]);
  const result = await overfitBatch(network, toyTask(), toyBatch(6, 1), quick);
  expect(result).toMatchObject({ verdict: 'learns', steps: expect.any(Number) });
  expect(result.after).toBeLessThan(result.before / 2 + 1e-9);
  expect(overfitText(result)).toMatch(/fit together/);
  expect([...network.graph.initializers]).toEqual(before);
});

test('one that cannot is told with the likely causes', async () => {
  const result = await overfitBatch(toyNetwork(), toyTask(), toyBatch(6, 1), { ...quick, multiplier: () => 0, mostSteps: 12 });
  expect(result.verdict).toBe('stuck');
  expect(() => overfitText(result)).toThrow(
    expect.objectContaining({
      code: 'dataset-invalid',
      message: expect.stringContaining('12 steps'),
      hint: expect.stringMatching(/data preview.*frozen.*preprocess.*overfitCheck/s),
    }),
  );
});
