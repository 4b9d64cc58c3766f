import { lowerStd } from '../compute/lowerings/std.ts';
import { openSession } from '../compute/session.ts';
import { EdgeError } from '../core/errors.ts';
import { writeOnnx } from '../formats/onnx.ts';
import { atOpset17, bindBatch } from '../graph/clean.ts';
import type { Tensor } from '../graph/ir.ts';
import { inferShapes } from '../graph/shapes.ts';
import { toTrainingForm } from '../graph/training-form.ts';
import type { Network } from '../tasks/task.ts';
import { withState } from './step.ts';

const hint = 'Lower the learning rate (or lengthen the soft start), and look at the labels of the images named by: edgeforge data check';

/** Throws `not-finite`, naming the tensors, where an epoch (0: the network as it came) has left a state that is not finite. */
export function checkFinite(state: ReadonlyMap<string, Tensor>, { epoch, learningRate }: { readonly epoch: number; readonly learningRate: number }): void {
  const spoilt = spoiltIn(state);
  if (spoilt.length === 0) return;
  const where = { path: spoilt[0] as string };
  if (epoch === 0)
    throw new EdgeError('not-finite', `Ahead of the first step there are values that are not finite in ${listed(spoilt, state)}.`, {
      hint: 'The network came with them: begin from other weights.',
      where,
    });
  const mend = 'Lower the learning rate (or lengthen the soft start), or clip the gradients (training: {clip: {norm: 1}}).';
  throw new EdgeError('not-finite', `Epoch ${epoch}, at the learning rate ${learningRate.toPrecision(3)}, left values that are not finite in ${listed(spoilt, state)}.`, {
    hint: `${mend} The checkpoint of epoch ${epoch - 1} is kept and a resume goes on from it, but with the same settings to the same end.`,
    where,
  });
}

const spoiltIn = (state: ReadonlyMap<string, Tensor>): string[] => [...state].flatMap(([name, tensor]) => (allFinite(tensor) ? [] : [name]));
/** Up to three names; of more, how many there are and the first three. */
const listed = (names: readonly string[], { size }: ReadonlyMap<string, Tensor>): string =>
  names.length <= 3 ? names.join(', ') : `${names.length} of ${size} tensors (${names.slice(0, 3).join(', ')}, …)`;

/** Why a loss is not finite: the weights, else the first layer in forward order whose values are not, as a `not-finite` error to throw. `state` is the one ahead of the bad step. */
export async function explainNotFinite(network: Network, state: ReadonlyMap<string, Tensor>, images: Tensor, when: string): Promise<EdgeError> {
  const bad = (what: string, path?: string) =>
    new EdgeError('not-finite', `The loss is not a finite number ${when}: ${what}.`, { hint, ...(path === undefined ? {} : { where: { path } }) });
  const spoilt = spoiltIn(state);
  if (spoilt.length > 0) return bad(`${listed(spoilt, state)} had stopped being finite in the step before`, spoilt[0]);
  if (!allFinite(images)) return bad('the images hold values that are not finite');
  const { graph } = toTrainingForm(bindBatch(atOpset17(withState(network, state)), images.dims[0] ?? 1), { frozenNorms: network.frozenNorms });
  const types = inferShapes(graph);
  const watched = graph.nodes.flatMap(node => node.outputs.slice(0, 1).flatMap(name => (types.get(name)?.dataType === 'float32' ? [{ name, node }] : [])));
  const outputs = watched.map(({ name }) => ({ name, type: types.get(name) as NonNullable<ReturnType<typeof types.get>> }));
  const session = await openSession(writeOnnx(lowerStd({ ...graph, outputs }).graph));
  try {
    const values = await session.run(new Map([[network.info.input, images]]));
    for (const { name, node } of watched) {
      const value = values.get(name);
      if (value && !allFinite(value)) return bad(`the first layer that made it so is ${node.name} (${node.type})`, node.name);
    }
  } finally {
    await session.close();
  }
  return bad('every layer is finite, so it is the loss itself that overflows');
}

function allFinite(tensor: Tensor): boolean {
  const { data } = tensor;
  for (let at = 0; at < data.length; at++) if (!Number.isFinite(Number(data[at]))) return false;
  return true;
}
