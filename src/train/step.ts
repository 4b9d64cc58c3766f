import { type ComputeName, computeCaution, computeTable } from '../compute/choose.ts';
import type { LoweringName, StoredLayout } from '../compute/lowering.ts';
import { selfTestNchwc } from '../compute/self-test.ts';
import type { StatefulSession } from '../compute/stateful-session.ts';
import { EdgeError } from '../core/errors.ts';
import { writeOnnx } from '../formats/onnx.ts';
import { f32, type Graph, type Tensor } from '../graph/ir.ts';
import type { NamedTensors, Network, Task } from '../tasks/task.ts';
import type { DropoutSettings } from './dropout.ts';
import { lower, openStep, trustCompute } from './open-graph.ts';
import { type OptimizerSettings, optimizerOf } from './optimizers.ts';
import type { Distillation } from './teacher.ts';
import { buildTrainGraph, type TrainGraph } from './train-graph.ts';
import { alone, averageOf, type Share, type UpdateOptions, updateScalars } from './update-graph.ts';

export interface TrainStepOptions extends Omit<UpdateOptions, 'optimizer'> {
  readonly batch: number;
  readonly optimizer: OptimizerSettings;
  /** Absent: nothing is dropped, whatever the graph holds. */
  readonly dropout?: DropoutSettings | undefined;
  readonly distill?: Distillation | undefined;
  /** Where the numbers are made; default: onnxruntime-cpu. */
  readonly compute?: ComputeName;
  /** auto: that of the compute; on the CPU nchwc where its self-test passes, else std with a note. */
  readonly lowering?: LoweringName | 'auto';
  /** More than one: a Loop takes as many steps per call (`runMany`). Default: that of the compute. */
  readonly stepsPerCall?: number;
  readonly threads?: number;
  readonly spinning?: boolean;
  /** Runs in a worker thread, so that this one prepares the next batch. */
  readonly thread?: boolean;
  readonly profile?: string;
}
export interface StepResult {
  readonly loss: number;
  readonly parts: Readonly<Record<string, number>>;
}

export interface StepFeeds {
  readonly images: Tensor;
  readonly targets: NamedTensors;
  readonly lossWeights: NamedTensors;
  /** Counts updates from 1. */
  readonly t: number;
  readonly learningRate: number;
  /** Needed where several batches make an update. */
  readonly share?: Share;
  /** Counts batches from 0; decides what is dropped. */
  readonly count?: number;
}

/** A compiled training step. State is by name (weights, `<weight>/<slot>`, running statistics), always in ONNX layout. */
export interface TrainStep {
  readonly batch: number;
  readonly compute: ComputeName;
  readonly lowering: LoweringName;
  /** How many steps `runMany` is best given at once. */
  readonly stepsPerCall: number;
  readonly notes: readonly string[];
  /** Forward, backward and update over one batch. */
  run(feeds: StepFeeds): Promise<StepResult>;
  /** Several steps, in order. */
  runMany(steps: readonly StepFeeds[]): Promise<readonly StepResult[]>;
  /** The state now, or ahead of the latest step (where a call takes several: ahead of the latest call). */
  state(when?: 'now' | 'before'): Promise<ReadonlyMap<string, Tensor>>;
  /** Replaces the state; throws `weights-mismatch` where a tensor is missing or has another shape. */
  restore(state: ReadonlyMap<string, Tensor>): Promise<void>;
  close(): Promise<void>;
}

/** Compiles network, task and optimizer into one graph, lowers it and opens it, holding the network's weights. */
export async function compileTrainStep(network: Network, task: Task, options: TrainStepOptions): Promise<TrainStep> {
  const { batch, dropout, distill, regularizer, multiplier, clip, average, accumulate, compute = 'onnxruntime-cpu' } = options;
  const stepsPerCall = options.stepsPerCall ?? computeTable[compute].stepsPerCall;
  const update: UpdateOptions = { optimizer: optimizerOf(options.optimizer), regularizer, multiplier, clip, average, accumulate };
  const { lowering, notes } = await chooseLowering(compute, options.lowering ?? 'auto');
  if (accumulate !== undefined && accumulate > 1) notes.push(...aboutNorms(network, batch, accumulate));
  const built = buildTrainGraph(network, task, { batch, dropout, distill, ...update });
  const lowered = await lower(built.graph, lowering, built.state);
  const session = await openStep(lowered, built.state, { compute, stepsPerCall, ...options });
  const { initial, ...graph } = built;
  const shapes = new Map([...initial].map(([name, { dims }]) => [name, dims]));
  const step = new CompiledStep({ network, options, built: graph, shapes, session, update, compute, lowering, stepsPerCall, notes, layouts: lowered.layouts });
  await step.restore(initial);
  return step;
}

/** Accumulation is not the same as a larger batch where batch norm learns. */
function aboutNorms({ graph, frozenNorms }: Network, batch: number, accumulate: number): string[] {
  const count = graph.nodes.filter(node => node.type === 'BatchNormalization' && !frozenNorms.includes(node.name)).length;
  return count === 0 ? [] : [`${accumulate} batches of ${batch} make an update together; ${count} batch norms still see ${batch} images at a time.`];
}

async function chooseLowering(compute: ComputeName, wanted: LoweringName | 'auto'): Promise<{ lowering: LoweringName; notes: string[] }> {
  const own = computeTable[compute].lowering;
  if (own !== 'auto') {
    if (wanted !== 'auto' && wanted !== own)
      throw new EdgeError('engine-missing', `${compute} computes through the lowering ${own}, not ${wanted}.`, { hint: 'Leave the lowering out.' });
    await trustCompute(compute);
    const caution = computeCaution(compute);
    return { lowering: own, notes: caution === undefined ? [] : [caution] };
  }
  if (wanted !== 'auto' && wanted !== 'nchwc') return { lowering: wanted, notes: [] };
  const verdict = await selfTestNchwc(writeOnnx);
  if (verdict.usable) return { lowering: 'nchwc', notes: [] };
  if (wanted === 'nchwc') throw new EdgeError('engine-missing', verdict.note, { hint: 'Train with the portable lowering: std.' });
  return { lowering: 'std', notes: [verdict.note] };
}

interface Parts {
  readonly network: Network;
  readonly options: TrainStepOptions;
  readonly built: Omit<TrainGraph, 'initial'>;
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  readonly session: StatefulSession;
  readonly update: UpdateOptions;
  readonly compute: ComputeName;
  readonly lowering: LoweringName;
  readonly stepsPerCall: number;
  readonly notes: readonly string[];
  readonly layouts: ReadonlyMap<string, StoredLayout>;
}
class CompiledStep implements TrainStep {
  readonly #parts: Parts;
  readonly batch: number;
  readonly compute: ComputeName;
  readonly lowering: LoweringName;
  readonly stepsPerCall: number;
  readonly notes: readonly string[];
  constructor(parts: Parts) {
    this.#parts = parts;
    this.batch = parts.options.batch;
    this.compute = parts.compute;
    this.lowering = parts.lowering;
    this.stepsPerCall = parts.stepsPerCall;
    this.notes = parts.notes;
  }

  async run(feeds: StepFeeds): Promise<StepResult> {
    return this.#read(await this.#parts.session.run(this.#feeds(feeds)));
  }

  async runMany(steps: readonly StepFeeds[]): Promise<readonly StepResult[]> {
    return (await this.#parts.session.runMany(steps.map(step => this.#feeds(step)))).map(results => this.#read(results));
  }

  #feeds({ images, targets, lossWeights, t, learningRate, share = alone, count = 0 }: StepFeeds): Map<string, Tensor> {
    const { built, update, network } = this.#parts;
    const feeds = new Map<string, Tensor>([[network.info.input, images], ...targets, ...lossWeights]);
    if (built.count !== undefined) feeds.set(built.count, f32([], [count]));
    for (const [name, value] of Object.entries(updateScalars(update, t, learningRate, share))) feeds.set(built.scalars.get(name) as string, f32([], [value]));
    return feeds;
  }

  #read(results: NamedTensors): StepResult {
    const { loss } = this.#parts.built;
    const scalar = (name: string): number => Number(results.get(name)?.data[0]);
    return { loss: scalar(loss.total), parts: Object.fromEntries(Object.entries(loss.parts).map(([part, name]) => [part, scalar(name)])) };
  }

  async state(when: 'now' | 'before' = 'now'): Promise<ReadonlyMap<string, Tensor>> {
    const { session, layouts } = this.#parts;
    const stored = await session.save(when);
    return new Map([...stored].map(([name, tensor]) => [name, layouts.get(name)?.unpack(tensor) ?? tensor]));
  }

  async restore(state: ReadonlyMap<string, Tensor>): Promise<void> {
    const { built, session, layouts, shapes } = this.#parts;
    const packed = new Map<string, Tensor>();
    for (const { input } of built.state) {
      const tensor = fitting(input, state.get(input), shapes.get(input) ?? []);
      // Packed or copied here, so that the session need not copy again what may be hundreds of MiB.
      packed.set(input, layouts.get(input)?.pack(tensor) ?? { ...tensor, data: tensor.data.slice() });
    }
    await session.load(packed, true);
  }

  close(): Promise<void> {
    return this.#parts.session.close();
  }
}
function fitting(name: string, tensor: Tensor | undefined, dims: readonly number[]): Tensor {
  if (tensor && tensor.dims.join() === dims.join()) return tensor;
  const found = tensor ? `is [${tensor.dims.join('×')}]` : 'is missing';
  throw new EdgeError('weights-mismatch', `${name} ${found}, the network wants [${dims.join('×')}].`, {
    hint: 'The network has changed since: train it afresh from epoch 1.',
    where: { path: name },
  });
}

/** The network's graph with weights and running statistics from a state (slots are left out), as the last update left them. */
export const withState = (network: Network, state: ReadonlyMap<string, Tensor>): Graph => ({
  ...network.graph,
  initializers: new Map([...network.graph.initializers].map(([name, tensor]) => [name, state.get(name) ?? tensor])),
});

/** The network to judge and to hand on: the running averages where the state keeps them, else as the last update left it. */
export const resultOf = (network: Network, state: ReadonlyMap<string, Tensor>): Graph =>
  withState(network, new Map([...state].map(([name, tensor]) => [name, state.get(averageOf(name)) ?? tensor])));
