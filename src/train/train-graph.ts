import type { StateSlot } from '../compute/lowering.ts';
import { EdgeError } from '../core/errors.ts';
import { Builder } from '../graph/builder.ts';
import { atOpset17, bindBatch, removeUnused } from '../graph/clean.ts';
import { differentiate } from '../graph/differentiate.ts';
import type { Graph, Tensor, TensorType } from '../graph/ir.ts';
import { inferShapes } from '../graph/shapes.ts';
import { type TrainingNorm, toTrainingForm } from '../graph/training-form.ts';
import type { LossNodes, Network, Task } from '../tasks/task.ts';
import type { Optimizer } from './optimizers.ts';

/** L1 adds weight·Σ|w| to the loss, L2 weight·Σw² (Keras', so its gradient is 2·weight·w), over the network's regularized weights. */
export type Regularizer = { readonly kind: 'none' } | { readonly kind: 'l1' | 'l2'; readonly weight: number };

export interface TrainGraphOptions {
  readonly batch: number;
  readonly optimizer: Optimizer;
  readonly regularizer?: Regularizer;
  /** Factor on the learning rate per weight (backbone against head); default 1. */
  readonly multiplier?: (weight: string) => number;
}
/** One whole training step as a graph of internal operators: weights, slots and running statistics go in and come out. */
export interface TrainGraph {
  readonly graph: Graph;
  readonly state: readonly StateSlot[];
  /** The state ahead of the first step, by state input: the network's weights and statistics, zeros in the slots. */
  readonly initial: ReadonlyMap<string, Tensor>;
  readonly loss: LossNodes;
  /** Graph inputs for the optimizer's scalars, by scalar name. */
  readonly scalars: ReadonlyMap<string, string>;
}
const scalarInput = (name: string): string => `train/${name}`;
/** Name of an optimizer's slot for a weight, as a graph input and in checkpoints. */
export const slotName = (weight: string, slot: string): string => `${weight}/${slot}`;
const nextOf = (input: string): string => `next/${input}`;

/** The forward pass in training form with the loss on it; what learns and the running statistics have become inputs. */
function forwardWithLoss(network: Network, task: Task, batch: number): { builder: Builder; loss: LossNodes; norms: readonly TrainingNorm[] } {
  const bound = bindBatch(atOpset17(network.graph), batch);
  const { graph, norms } = toTrainingForm(bound, { frozenNorms: network.frozenNorms });
  const moving = new Set([...network.trainable, ...norms.flatMap(norm => [norm.runningMean, norm.runningVariance])]);
  const types = inferShapes(graph);
  const initializers = new Map([...graph.initializers].filter(([name]) => !moving.has(name)));
  const builder = Builder.from({ ...graph, initializers });
  for (const name of moving) builder.inputs.push({ name, type: typeOf(name, network.graph) });
  for (const [name, type] of Object.entries(task.targets(batch))) builder.input(name, type.dataType, type.dims);
  for (const [name, value] of task.lossWeights()) builder.input(name, value.dataType, value.dims);
  const outputs = graph.outputs.map(({ name }) => ({ name, type: types.get(name) as TensorType }));
  return { builder, loss: task.loss(builder, outputs), norms };
}
function typeOf(name: string, graph: Graph): TensorType {
  const tensor = graph.initializers.get(name);
  if (!tensor) throw new EdgeError('weights-mismatch', `The network says that ${name} learns, but has no such weight.`, { hint: 'Name weights that the graph holds.' });
  return { dataType: tensor.dataType, dims: tensor.dims };
}

/** The whole training step. Throws `gradient-missing` where no gradient reaches a weight that should learn. */
export function buildTrainGraph(network: Network, task: Task, { batch, optimizer, regularizer = { kind: 'none' }, multiplier = () => 1 }: TrainGraphOptions): TrainGraph {
  const forward = forwardWithLoss(network, task, batch);
  const { loss, norms } = forward;
  forward.builder.outputs.length = 0;
  forward.builder.output(loss.total, 'float32', []);
  const { graph, gradients } = differentiate(forward.builder.graph(), { loss: loss.total, wrt: network.trainable });
  const builder = Builder.from(graph);
  const state: StateSlot[] = [];
  const initial = new Map<string, Tensor>();
  const scalars = new Map(Object.keys(optimizer.scalars(1, 1e-3)).map(name => [name, builder.input(scalarInput(name), 'float32', [])]));
  builder.outputs.length = 0;
  const outputs = new Map<string, TensorType>();
  const move = (input: string, value: string, tensor: Tensor, like?: string) => {
    builder.op('Identity', [value], {}, { output: nextOf(input) });
    outputs.set(nextOf(input), { dataType: 'float32', dims: tensor.dims });
    state.push({ input, output: nextOf(input), ...(like === undefined ? {} : { like }) });
    initial.set(input, tensor);
  };
  const regularized = new Set(network.regularized);
  for (const weight of network.trainable) {
    const tensor = network.graph.initializers.get(weight) as Tensor;
    const gradient = gradients.get(weight);
    if (gradient === undefined) {
      throw new EdgeError('gradient-missing', `No gradient reaches ${weight}: the loss does not depend on it.`, {
        hint: 'Freeze it, or cut the network above it.',
        where: { path: weight },
      });
    }
    const slots = optimizer.slots.map(slot => builder.input(slotName(weight, slot), 'float32', tensor.dims));
    const decays = regularized.has(weight);
    const whole = decays ? regularize(builder, weight, gradient, regularizer) : gradient;
    const updated = optimizer.update({ builder, weight, gradient: whole, slots, scalar: name => scalars.get(name) as string, multiplier: multiplier(weight), decays });
    move(weight, updated.weight, tensor);
    for (const [at, slot] of slots.entries()) move(slot, updated.slots[at] as string, zerosLike(tensor), weight);
  }
  for (const norm of norms) moveStatistics(builder, norm, network.graph, move);
  for (const name of [loss.total, ...Object.values(loss.parts)]) outputs.set(name, { dataType: 'float32', dims: [] });
  for (const [name, type] of outputs) builder.output(name, type.dataType, type.dims);
  return { graph: withoutIdentities(removeUnused(builder.graph())), state, initial, loss, scalars };
}
const zerosLike = (tensor: Tensor): Tensor => ({ dataType: 'float32', dims: tensor.dims, data: new Float32Array(tensor.data.length) });

function regularize(builder: Builder, weight: string, gradient: string, regularizer: Regularizer): string {
  if (regularizer.kind === 'none' || regularizer.weight === 0) return gradient;
  const slope = regularizer.kind === 'l1' ? builder.op('Sign', [weight]) : weight;
  const factor = regularizer.kind === 'l1' ? regularizer.weight : 2 * regularizer.weight;
  return builder.op('Add', [gradient, builder.op('Mul', [slope, builder.constant(factor)])]);
}

/** running = momentum·running + (1 − momentum)·batch, with the unbiased variance as TensorFlow and PyTorch keep it. */
function moveStatistics(builder: Builder, norm: TrainingNorm, graph: Graph, move: (input: string, value: string, tensor: Tensor) => void): void {
  const unbiased = norm.count > 1 ? norm.count / (norm.count - 1) : 1;
  for (const [running, batch, factor] of [
    [norm.runningMean, norm.mean, 1],
    [norm.runningVariance, norm.variance, unbiased],
  ] as const) {
    const kept = builder.op('Mul', [running, builder.constant(norm.momentum)]);
    const added = builder.op('Mul', [batch, builder.constant((1 - norm.momentum) * factor)]);
    move(running, builder.op('Add', [kept, added]), graph.initializers.get(running) as Tensor);
  }
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
