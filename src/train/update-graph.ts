import type { StateSlot } from '../compute/lowering.ts';
import { EdgeError } from '../core/errors.ts';
import type { Builder } from '../graph/builder.ts';
import { int, type Tensor } from '../graph/ir.ts';
import type { TrainingNorm } from '../graph/training-form.ts';
import type { Network } from '../tasks/task.ts';
import type { Optimizer } from './optimizers.ts';

/** L1 adds weight·Σ|w| to the loss, L2 weight·Σw² (Keras', so its gradient is 2·weight·w), over the network's regularized weights. */
export type Regularizer = { readonly kind: 'none' } | { readonly kind: 'l1' | 'l2'; readonly weight: number };
/** norm: all gradients together are scaled down to this L2 norm (PyTorch's clip_grad_norm_, ε 1e-6); value: each number is held in ±limit. The regularizer's share counts. */
export type GradientClip = { readonly kind: 'norm' | 'value'; readonly limit: number };

export interface UpdateOptions {
  readonly optimizer: Optimizer;
  readonly regularizer?: Regularizer | undefined;
  /** Factor on the learning rate per weight (backbone against head); default 1. */
  readonly multiplier?: ((weight: string) => number) | undefined;
  readonly clip?: GradientClip | undefined;
  /** Decay of a running average of weights and statistics, kept beside them; absent: none is kept. */
  readonly average?: number | undefined;
  /** Batches whose mean gradient makes one update; default 1. Batch norm sees each of them alone. */
  readonly accumulate?: number | undefined;
}
/** Where a batch stands among those that make one update: `count` of them, fewer at an epoch's end. */
export interface Share {
  readonly first: boolean;
  readonly last: boolean;
  readonly count: number;
}
/** What an update does to the state: which inputs move to which outputs, from which start, under which scalars. */
export interface Updates {
  readonly state: readonly StateSlot[];
  /** The state ahead of the first step, by state input: the network's weights and statistics, zeros in the slots. */
  readonly initial: ReadonlyMap<string, Tensor>;
  /** Graph inputs of the scalars, by scalar name. */
  readonly scalars: ReadonlyMap<string, string>;
}

/** Name of something kept per weight (an optimizer's slot, a gradient sum, an average), as a graph input and in checkpoints. */
export const slotName = (weight: string, slot: string): string => `${weight}/${slot}`;
const averageSlot = 'average';
/** Name of the running average of a weight or statistic. */
export const averageOf = (weight: string): string => slotName(weight, averageSlot);

/** Values of all scalars at update t (from 1). The average's decay grows as (1 + t)/(10 + t) up to its setting, as TensorFlow's, so that early averages are not the first weights. */
export function updateScalars(options: UpdateOptions, t: number, learningRate: number, { first, last, count }: Share): Readonly<Record<string, number>> {
  const { optimizer, average, accumulate = 1 } = options;
  return {
    ...optimizer.scalars(t, learningRate),
    ...(accumulate > 1 ? { keep: first ? 0 : 1, apply: last ? 1 : 0, share: 1 / count } : {}),
    ...(average === undefined ? {} : { decay: last ? Math.min(average, (1 + t) / (10 + t)) : 1 }),
  };
}

/** A batch that makes an update by itself. */
export const alone: Share = { first: true, last: true, count: 1 };
const zerosLike = (tensor: Tensor): Tensor => ({ dataType: 'float32', dims: tensor.dims, data: new Float32Array(tensor.data.length) });

/** Adds what makes the next state from the gradients: sum over batches, regularizer, clipping, optimizer, running average. Throws `gradient-missing`. */
export function addUpdates(builder: Builder, network: Network, gradients: ReadonlyMap<string, string>, norms: readonly TrainingNorm[], options: UpdateOptions): Updates {
  const work = new UpdateWriter(builder, network, options);
  const wholes = work.clipped(new Map(network.trainable.map(weight => [weight, work.whole(weight, gradients.get(weight))])));
  for (const weight of network.trainable) work.update(weight, wholes.get(weight) as string);
  for (const norm of norms) work.statistics(norm);
  for (const { initializer, next } of network.running ?? []) work.runs(initializer, next);
  return work;
}

class UpdateWriter implements Updates {
  readonly state: StateSlot[] = [];
  readonly initial = new Map<string, Tensor>();
  readonly scalars: ReadonlyMap<string, string>;
  readonly #builder: Builder;
  readonly #network: Network;
  readonly #options: UpdateOptions;
  readonly #regularized: ReadonlySet<string>;
  constructor(builder: Builder, network: Network, options: UpdateOptions) {
    this.#builder = builder;
    this.#network = network;
    this.#options = options;
    this.#regularized = new Set(network.regularized);
    this.scalars = new Map(Object.keys(updateScalars(options, 1, 1e-3, alone)).map(name => [name, builder.input(`train/${name}`, 'float32', [])]));
  }
  #scalar = (name: string): string => this.scalars.get(name) as string;
  #tensor = (name: string): Tensor => this.#network.graph.initializers.get(name) as Tensor;
  get #accumulates(): boolean {
    return (this.#options.accumulate ?? 1) > 1;
  }

  /** The value becomes the next state of `input`. */
  #move(input: string, value: string, tensor: Tensor, like?: string): void {
    this.#builder.op('Identity', [value], {}, { output: `next/${input}` });
    this.state.push({ input, output: `next/${input}`, ...(like === undefined ? {} : { like }) });
    this.initial.set(input, tensor);
  }
  #slot(weight: string, slot: string): string {
    return this.#builder.input(slotName(weight, slot), 'float32', this.#tensor(weight).dims);
  }

  /** A weight's gradient over all batches of the update, the regularizer's included. */
  whole(weight: string, gradient: string | undefined): string {
    if (gradient === undefined) {
      throw new EdgeError('gradient-missing', `No gradient reaches ${weight}: the loss does not depend on it.`, {
        hint: 'Freeze it, or cut the network above it.',
        where: { path: weight },
      });
    }
    const b = this.#builder;
    let whole = gradient;
    if (this.#accumulates) {
      const sum = this.#slot(weight, 'sum');
      const next = b.op('Add', [b.op('Mul', [sum, this.#scalar('keep')]), gradient]);
      this.#move(sum, next, zerosLike(this.#tensor(weight)), weight);
      whole = b.op('Mul', [next, this.#scalar('share')]);
    }
    const { regularizer = { kind: 'none' } } = this.#options;
    if (!this.#regularized.has(weight) || regularizer.kind === 'none' || regularizer.weight === 0) return whole;
    const slope = regularizer.kind === 'l1' ? b.op('Sign', [weight]) : weight;
    const factor = regularizer.kind === 'l1' ? regularizer.weight : 2 * regularizer.weight;
    return b.op('Add', [whole, b.op('Mul', [slope, b.constant(factor)])]);
  }

  clipped(gradients: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
    const { clip } = this.#options;
    if (clip === undefined || gradients.size === 0) return gradients;
    const b = this.#builder;
    const each = (change: (gradient: string) => string) => new Map([...gradients].map(([weight, gradient]) => [weight, change(gradient)]));
    if (clip.kind === 'value') return each(gradient => b.op('Clip', [gradient, b.constant(-clip.limit), b.constant(clip.limit)]));
    const squares = [...gradients.values()].map(gradient => b.op('ReduceSum', [b.op('Mul', [gradient, gradient])], { keepdims: int(0) }));
    const norm = b.op('Sqrt', [squares.length === 1 ? (squares[0] as string) : b.op('Sum', squares)]);
    const scale = b.op('Min', [b.constant(1), b.op('Div', [b.constant(clip.limit), b.op('Add', [norm, b.constant(1e-6)])])]);
    return each(gradient => b.op('Mul', [gradient, scale]));
  }

  update(weight: string, gradient: string): void {
    const { optimizer, multiplier = () => 1 } = this.#options;
    const tensor = this.#tensor(weight);
    const slots = optimizer.slots.map(slot => this.#slot(weight, slot));
    const updated = optimizer.update({
      builder: this.#builder,
      weight,
      gradient,
      slots,
      scalar: this.#scalar,
      multiplier: multiplier(weight),
      decays: this.#regularized.has(weight),
    });
    const next = this.#applied(weight, updated.weight);
    this.#move(weight, next, tensor);
    for (const [at, slot] of slots.entries()) this.#move(slot, this.#applied(slot, updated.slots[at] as string), zerosLike(tensor), weight);
    this.#averaged(weight, next, weight);
  }

  /** After the last batch of an update the new value, before it the present one: both exact, as one factor is 0 and the other 1. */
  #applied(present: string, updated: string): string {
    if (!this.#accumulates) return updated;
    const b = this.#builder;
    const hold = b.op('Sub', [b.constant(1), this.#scalar('apply')]);
    return b.op('Add', [b.op('Mul', [updated, this.#scalar('apply')]), b.op('Mul', [present, hold])]);
  }

  #averaged(name: string, value: string, like?: string): void {
    if (this.#options.average === undefined) return;
    const b = this.#builder;
    const slot = this.#slot(name, averageSlot);
    const rest = b.op('Sub', [b.constant(1), this.#scalar('decay')]);
    this.#move(slot, b.op('Add', [b.op('Mul', [slot, this.#scalar('decay')]), b.op('Mul', [value, rest])]), this.#tensor(name), like);
  }

  /** running = momentum·running + (1 − momentum)·batch, with the unbiased variance as TensorFlow and PyTorch keep it. */
  statistics({ mean, variance, runningMean, runningVariance, momentum, count }: TrainingNorm): void {
    const b = this.#builder;
    const unbiased = count > 1 ? count / (count - 1) : 1;
    for (const [running, batch, factor] of [
      [runningMean, mean, 1],
      [runningVariance, variance, unbiased],
    ] as const) {
      const kept = b.op('Mul', [running, b.constant(momentum)]);
      const next = b.op('Add', [kept, b.op('Mul', [batch, b.constant((1 - momentum) * factor)])]);
      this.runs(running, next);
    }
  }

  /** A value that moves with each batch, without a gradient. */
  runs(input: string, next: string): void {
    this.#move(input, next, this.#tensor(input));
    this.#averaged(input, next);
  }
}
