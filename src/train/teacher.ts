import { EdgeError } from '../core/errors.ts';
import type { Builder } from '../graph/builder.ts';
import { atOpset17, bindBatch } from '../graph/clean.ts';
import { foldBatchNorm, removeIdentities } from '../graph/fold.ts';
import type { Graph } from '../graph/ir.ts';
import type { LossNodes, Network, Task } from '../tasks/task.ts';

/** A finished network whose answers a smaller one learns, beside the truth: loss = (1 − weight)·the task's own + weight·the distance to the teacher. */
export interface Distillation {
  readonly teacher: Network;
  readonly weight: number;
  /** Softens a classifier's probabilities; 1 for boxes. */
  readonly temperature: number;
}

/** A small graph stands still inside a training step: no gradient, norms folded. Adds it to a builder that holds the student's input; returns its outputs. */
function addFrozen(builder: Builder, graph: Graph, input: string): string[] {
  const own = graph.inputs[0]?.name ?? '';
  const name = (value: string): string => (value === '' ? '' : value === own ? input : `teacher/${value}`);
  for (const [weight, tensor] of graph.initializers) builder.weight(name(weight), tensor);
  for (const node of graph.nodes)
    builder.ops(node.type, node.inputs.map(name), node.attributes, { name: `teacher/${node.name}`, outputs: node.outputs.map(name), domain: node.domain });
  return graph.outputs.map(output => name(output.name));
}

/** The loss with a teacher's part on it, watched as `distillation`. The teacher sees the very batch of the step. Throws `graph-invalid` where it is another kind of network. */
export function withTeacher(
  builder: Builder,
  network: Network,
  task: Task,
  loss: LossNodes,
  { batch, distill }: { readonly batch: number; readonly distill: Distillation },
): LossNodes {
  const { teacher, weight, temperature } = distill;
  checkSame(network, teacher);
  const outputs = addFrozen(builder, foldBatchNorm(removeIdentities(bindBatch(atOpset17(teacher.graph), batch))), network.info.input);
  if (!task.distill) {
    throw new EdgeError('spec-invalid', `A ${task.name} network cannot learn from a teacher.`, { hint: 'Remove retrain.distill.', where: { path: 'retrain.distill' } });
  }
  const soft = task.distill(builder, network.info.outputs, outputs, temperature);
  const share = (value: string, factor: number) => builder.op('Mul', [value, builder.constant(factor)]);
  return { total: builder.op('Add', [share(loss.total, 1 - weight), share(soft, weight)]), parts: { ...loss.parts, distillation: soft } };
}

function checkSame(network: Network, teacher: Network): void {
  const kind = ({ graph, info }: Network) => `${info.task} of ${graph.inputs[0]?.type.dims.slice(1).join('×')} for ${info.labels.join(', ')}`;
  if (kind(network) === kind(teacher)) return;
  throw new EdgeError('graph-invalid', `The teacher is a ${kind(teacher)}; the network that learns is a ${kind(network)}.`, {
    hint: 'Teacher and pupil need the same task, input and classes.',
  });
}
