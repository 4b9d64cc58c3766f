import type { LoweringName, StoredLayout } from '../compute/lowering.ts';
import { selfTestNchwc } from '../compute/self-test.ts';
import { openStateful, openStatefulThread, type StatefulSession } from '../compute/stateful-session.ts';
import { EdgeError } from '../core/errors.ts';
import { writeOnnx } from '../formats/onnx.ts';
import { f32, type Graph, type Tensor } from '../graph/ir.ts';
import type { NamedTensors, Network, Task } from '../tasks/task.ts';
import type { DropoutMask } from './dropout.ts';
import { lower } from './open-graph.ts';
import { type OptimizerSettings, optimizerOf } from './optimizers.ts';
import { buildTrainGraph, type TrainGraph } from './train-graph.ts';
import { alone, averageOf, type Share, type UpdateOptions, updateScalars } from './update-graph.ts';

export interface TrainStepOptions extends Omit<UpdateOptions, 'optimizer'> {
  readonly batch: number;
  readonly optimizer: OptimizerSettings;
  /** The step takes dropout masks. */
  readonly dropout?: boolean | undefined;
  /** auto: nchwc where its self-test passes, else std with a note. */
  readonly lowering?: LoweringName | 'auto';
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

/** A compiled training step. State is by name (weights, `<weight>/<slot>`, running statistics), always in ONNX layout. */
export interface TrainStep {
  readonly batch: number;
  readonly lowering: LoweringName;
  readonly notes: readonly string[];
  /** Dropout masks that every run must be given. */
  readonly masks: readonly DropoutMask[];
  /** Forward, backward and update over one batch; t counts updates from 1. `share` is needed where several batches make an update. */
  run(feeds: {
    readonly images: Tensor;
    readonly targets: NamedTensors;
    readonly lossWeights: NamedTensors;
    readonly t: number;
    readonly learningRate: number;
    readonly share?: Share;
    readonly masks?: NamedTensors;
  }): Promise<StepResult>;
  /** The state now, or ahead of the latest step. */
  state(when?: 'now' | 'before'): Promise<ReadonlyMap<string, Tensor>>;
  /** Replaces the state; throws `weights-mismatch` where a tensor is missing or has another shape. */
  restore(state: ReadonlyMap<string, Tensor>): Promise<void>;
  close(): Promise<void>;
}

/** Compiles network, task and optimizer into one graph, lowers it and opens it, holding the network's weights. */
export async function compileTrainStep(network: Network, task: Task, options: TrainStepOptions): Promise<TrainStep> {
  const { batch, dropout, regularizer, multiplier, clip, average, accumulate } = options;
  const update: UpdateOptions = { optimizer: optimizerOf(options.optimizer), regularizer, multiplier, clip, average, accumulate };
  const { lowering, notes } = await chooseLowering(options.lowering ?? 'auto');
  const built = buildTrainGraph(network, task, { batch, dropout, ...update });
  const lowered = await lower(built.graph, lowering, built.state);
  const open = options.thread ? openStatefulThread : openStateful;
  const session = await open(writeOnnx(lowered.graph), {
    state: built.state,
    ...(options.threads === undefined ? {} : { threads: options.threads }),
    ...(options.spinning === undefined ? {} : { spinning: options.spinning }),
    ...(options.profile === undefined ? {} : { profile: options.profile }),
  });
  const { initial, ...graph } = built;
  const shapes = new Map([...initial].map(([name, { dims }]) => [name, dims]));
  const step = new CompiledStep({ network, options, built: graph, shapes, session, update, lowering, notes, layouts: lowered.layouts });
  await step.restore(initial);
  return step;
}

async function chooseLowering(wanted: LoweringName | 'auto'): Promise<{ lowering: LoweringName; notes: string[] }> {
  if (wanted === 'std') return { lowering: 'std', notes: [] };
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
  readonly lowering: LoweringName;
  readonly notes: readonly string[];
  readonly layouts: ReadonlyMap<string, StoredLayout>;
}
class CompiledStep implements TrainStep {
  readonly #parts: Parts;
  readonly batch: number;
  readonly lowering: LoweringName;
  readonly notes: readonly string[];
  readonly masks: readonly DropoutMask[];
  constructor(parts: Parts) {
    this.#parts = parts;
    this.batch = parts.options.batch;
    this.lowering = parts.lowering;
    this.notes = parts.notes;
    this.masks = parts.built.masks;
  }

  async run({ images, targets, lossWeights, t, learningRate, share = alone, masks = new Map() }: Parameters<TrainStep['run']>[0]): Promise<StepResult> {
    const { built, session, update, network } = this.#parts;
    const feeds = new Map<string, Tensor>([[network.info.input, images], ...targets, ...lossWeights, ...masks]);
    for (const [name, value] of Object.entries(updateScalars(update, t, learningRate, share))) feeds.set(built.scalars.get(name) as string, f32([], [value]));
    const results = await session.run(feeds);
    const scalar = (name: string): number => Number(results.get(name)?.data[0]);
    return { loss: scalar(built.loss.total), parts: Object.fromEntries(Object.entries(built.loss.parts).map(([part, name]) => [part, scalar(name)])) };
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
