import { EdgeError } from '../core/errors.ts';
import type { Builder } from '../graph/builder.ts';
import { atOpset17, bindBatch } from '../graph/clean.ts';
import { foldBatchNorm, removeIdentities } from '../graph/fold.ts';
import { type Graph, int } from '../graph/ir.ts';
import { keptChannelsOf } from '../graph/kept-channels.ts';
import { inferShapes } from '../graph/shapes.ts';
import type { LossNodes, Network, Task } from '../tasks/task.ts';

/** A finished network whose answers a smaller one learns, beside the truth: loss = (1 − weight)·the task's own + weight·the distance to the teacher. */
export interface Distillation {
  readonly teacher: Network;
  readonly weight: number;
  /** Softens a classifier's probabilities; 1 for boxes. */
  readonly temperature: number;
  /** Weight of the distance within a pruned network: between the channels that it kept and the same ones of the teacher. 0: the answers alone. */
  readonly features?: number | undefined;
}

const inTeacher = (value: string): string => `teacher/${value}`;
/** A small graph stands still inside a training step: no gradient, norms folded. Adds it to a builder that holds the student's input; returns its outputs. */
function addFrozen(builder: Builder, graph: Graph, input: string): string[] {
  const own = graph.inputs[0]?.name ?? '';
  const name = (value: string): string => (value === '' ? '' : value === own ? input : inTeacher(value));
  for (const [weight, tensor] of graph.initializers) builder.weight(name(weight), tensor);
  for (const node of graph.nodes)
    builder.ops(node.type, node.inputs.map(name), node.attributes, { name: `teacher/${node.name}`, outputs: node.outputs.map(name), domain: node.domain });
  return graph.outputs.map(output => name(output.name));
}

/**
 * How far a pruned network has moved from its teacher inside: over the values whose kept channels pruning noted, the mean of ‖pupil − teacher‖² / ‖teacher‖². A hint of
 * FitNets (Romero et al. 2015) at every layer, without their regressors: which channels are the same is known. Undefined where nothing can be compared.
 */
function featureLoss(builder: Builder, pupil: Graph, teacher: Graph): string | undefined {
  const [own, theirs] = [inferShapes(pupil), inferShapes(teacher)];
  const mean = (value: string) => builder.op('ReduceMean', [builder.op('Mul', [value, value])], { keepdims: int(0) });
  const losses = Object.entries(keptChannelsOf(pupil)).flatMap(([value, { of, kept }]) => {
    if (pupil.inputs.some(input => input.name === value)) return [];
    if (own.get(value)?.dims[1] !== kept.length || theirs.get(value)?.dims[1] !== of) return [];
    const wanted = builder.op('Gather', [inTeacher(value), builder.indices(kept)], { axis: int(1) });
    return [builder.op('Div', [mean(builder.op('Sub', [value, wanted])), builder.op('Add', [mean(wanted), builder.constant(1e-6)])])];
  });
  if (losses.length === 0) return undefined;
  return builder.op('Mul', [losses.reduce((sum, each) => builder.op('Add', [sum, each])), builder.constant(1 / losses.length)]);
}

/** The loss with a teacher's part on it, watched as `distillation`, and as `features` what it says of the layers between. The teacher sees the very batch of the step. Throws `graph-invalid` where it is another kind of network. */
export function withTeacher(
  builder: Builder,
  network: Network,
  task: Task,
  loss: LossNodes,
  { batch, distill }: { readonly batch: number; readonly distill: Distillation },
): LossNodes {
  const { teacher, weight, temperature, features = 0 } = distill;
  checkSame(network, teacher);
  const frozen = foldBatchNorm(removeIdentities(bindBatch(atOpset17(teacher.graph), batch)));
  const outputs = addFrozen(builder, frozen, network.info.input);
  if (!task.distill) {
    throw new EdgeError('spec-invalid', `A ${task.name} network cannot learn from a teacher.`, { hint: 'Remove retrain.distill.', where: { path: 'retrain.distill' } });
  }
  const soft = task.distill(builder, network.info.outputs, outputs, temperature);
  const share = (value: string, factor: number) => builder.op('Mul', [value, builder.constant(factor)]);
  const answers = { total: builder.op('Add', [share(loss.total, 1 - weight), share(soft, weight)]), parts: { ...loss.parts, distillation: soft } };
  const within = features > 0 ? featureLoss(builder, network.graph, frozen) : undefined;
  return within === undefined ? answers : { total: builder.op('Add', [answers.total, share(within, features)]), parts: { ...answers.parts, features: within } };
}

function checkSame(network: Network, teacher: Network): void {
  const kind = ({ graph, info }: Network) => `${info.task} of ${graph.inputs[0]?.type.dims.slice(1).join('×')} for ${info.labels.join(', ')}`;
  if (kind(network) === kind(teacher)) return;
  throw new EdgeError('graph-invalid', `The teacher is a ${kind(teacher)}; the network that learns is a ${kind(network)}.`, {
    hint: 'Teacher and pupil need the same task, input and classes.',
  });
}
