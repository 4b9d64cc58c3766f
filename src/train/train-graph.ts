import { EdgeError } from '../core/errors.ts';
import { Builder } from '../graph/builder.ts';
import { atOpset17, bindBatch, removeUnused } from '../graph/clean.ts';
import { differentiate } from '../graph/differentiate.ts';
import type { Graph, TensorType } from '../graph/ir.ts';
import { inferShapes } from '../graph/shapes.ts';
import { type TrainingNorm, toTrainingForm } from '../graph/training-form.ts';
import type { LossNodes, Network, Task } from '../tasks/task.ts';
import { type DropoutSettings, withDropout } from './dropout.ts';
import { type Distillation, withTeacher } from './teacher.ts';
import { addUpdates, type UpdateOptions, type Updates } from './update-graph.ts';

export interface TrainGraphOptions extends UpdateOptions {
  readonly batch: number;
  /** Absent: nothing is dropped. */
  readonly dropout?: DropoutSettings | undefined;
  readonly distill?: Distillation | undefined;
}
/** One whole training step as a graph of internal operators: weights, slots and running statistics go in and come out. */
export interface TrainGraph extends Updates {
  readonly graph: Graph;
  readonly loss: LossNodes;
  /** The graph input of the step's number, where something is dropped by it. */
  readonly count: string | undefined;
}

interface Forward {
  readonly builder: Builder;
  readonly loss: LossNodes;
  readonly norms: readonly TrainingNorm[];
  readonly count: string | undefined;
}
/** The forward pass in training form with the loss on it; what learns and the running statistics have become inputs. */
function forwardWithLoss(network: Network, task: Task, { batch, dropout, distill }: TrainGraphOptions): Forward {
  const bound = bindBatch(atOpset17(network.graph), batch);
  const { graph: dropping, count } = counted(bound, dropout);
  const { graph, norms } = toTrainingForm(dropping, { frozenNorms: network.frozenNorms, ...(dropout && count ? { dropout: { seed: dropout.seed, step: count } } : {}) });
  const running = (network.running ?? []).map(each => each.initializer);
  const moving = new Set([...network.trainable, ...running, ...norms.flatMap(norm => [norm.runningMean, norm.runningVariance])]);
  const types = inferShapes(graph);
  const initializers = new Map([...graph.initializers].filter(([name]) => !moving.has(name)));
  const builder = Builder.from({ ...graph, initializers });
  for (const name of moving) builder.inputs.push({ name, type: typeOf(name, network.graph) });
  for (const [name, type] of Object.entries(task.targets(batch))) builder.input(name, type.dataType, type.dims);
  for (const [name, value] of task.lossWeights()) builder.input(name, value.dataType, value.dims);
  const outputs = graph.outputs.map(({ name }) => ({ name, type: types.get(name) as TensorType }));
  const loss = task.loss(builder, outputs);
  return { builder, loss: distill ? withTeacher(builder, network, task, loss, { batch, distill }) : loss, norms, count };
}
const countInput = 'train/step';
/** The graph with a Dropout ahead of its heads where one is wanted, and with the step's number as an input where anything drops. */
function counted(graph: Graph, settings: DropoutSettings | undefined): { readonly graph: Graph; readonly count: string | undefined } {
  const dropping = settings?.rate ? withDropout(graph, settings.rate) : graph;
  if (settings === undefined || !dropping.nodes.some(node => node.type === 'Dropout' && node.domain === '')) return { graph, count: undefined };
  return { graph: { ...dropping, inputs: [...dropping.inputs, { name: countInput, type: { dataType: 'float32', dims: [] } }] }, count: countInput };
}
function typeOf(name: string, graph: Graph): TensorType {
  const tensor = graph.initializers.get(name);
  if (!tensor) throw new EdgeError('weights-mismatch', `The network says that ${name} learns, but has no such weight.`, { hint: 'Name weights that the graph holds.' });
  return { dataType: tensor.dataType, dims: tensor.dims };
}

/** The whole training step. Throws `gradient-missing` where no gradient reaches a weight that should learn. */
export function buildTrainGraph(network: Network, task: Task, options: TrainGraphOptions): TrainGraph {
  const forward = forwardWithLoss(network, task, options);
  const { loss, norms, count } = forward;
  forward.builder.outputs.length = 0;
  forward.builder.output(loss.total, 'float32', []);
  const { graph, gradients } = differentiate(forward.builder.graph(), { loss: loss.total, wrt: network.trainable });
  const builder = Builder.from(graph);
  builder.outputs.length = 0;
  const { state, initial, scalars } = addUpdates(builder, network, gradients, norms, options);
  for (const { input, output } of state) builder.output(output, 'float32', initial.get(input)?.dims ?? []);
  for (const name of new Set([loss.total, ...Object.values(loss.parts)])) builder.output(name, 'float32', []);
  return { graph: withoutIdentities(removeUnused(builder.graph())), state, initial, scalars, loss, count };
}

/** Lets the node before each `next/…` copy write that name itself. */
function withoutIdentities(graph: Graph): Graph {
  const renamed = new Map<string, string>();
  const kept = graph.nodes.filter(node => {
    const [from = ''] = node.inputs;
    const [to = ''] = node.outputs;
    if (node.type !== 'Identity' || !to.startsWith('next/') || renamed.has(from)) return true;
    renamed.set(from, to);
    return false;
  });
  const produced = new Set(kept.flatMap(node => node.outputs));
  // A value that no node writes (an input passed through) keeps its copy.
  for (const [from] of renamed) if (!produced.has(from)) throw new Error(`${from} is passed through unchanged.`);
  const name = (value: string): string => renamed.get(value) ?? value;
  return { ...graph, nodes: kept.map(node => ({ ...node, inputs: node.inputs.map(name), outputs: node.outputs.map(name) })) };
}
