import { EdgeError } from '../core/errors.ts';
import type { Tensor } from '../graph/ir.ts';
import type { StateSlot } from './lowering.ts';

export type Tensors = ReadonlyMap<string, Tensor>;

/** Throws `weights-mismatch` where a state lacks a tensor. */
export function wantAll(slots: readonly StateSlot[], state: Tensors): void {
  for (const { input } of slots) {
    if (!state.has(input)) throw new EdgeError('weights-mismatch', `The state has no tensor ${input}.`, { hint: 'Start the training afresh: rm -r its scratch folder.' });
  }
}
export const copyOf = (tensor: Tensor): Tensor => ({ ...tensor, data: tensor.data.slice() });

/** Many runs, one after the other. */
export const inTurn =
  (run: (feeds: Tensors) => Promise<Tensors>) =>
  async (steps: readonly Tensors[]): Promise<readonly Tensors[]> => {
    const results: Tensors[] = [];
    for (const feeds of steps) results.push(await run(feeds));
    return results;
  };
