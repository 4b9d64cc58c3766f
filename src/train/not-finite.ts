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

/** Why a loss is not finite: the first weight, else the first layer in forward order whose values are not, as a `not-finite` error to throw. `state` is the one ahead of the bad step. */
export async function explainNotFinite(network: Network, state: ReadonlyMap<string, Tensor>, images: Tensor, when: string): Promise<EdgeError> {
  const bad = (what: string, path?: string) =>
    new EdgeError('not-finite', `The loss is not a finite number ${when}: ${what}.`, { hint, ...(path === undefined ? {} : { where: { path } }) });
  for (const [name, tensor] of state) if (!allFinite(tensor)) return bad(`${name} had stopped being finite in the step before`, name);
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
  for (const value of tensor.data) if (!Number.isFinite(Number(value))) return false;
  return true;
}
