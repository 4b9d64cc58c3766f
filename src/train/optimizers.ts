import { z } from 'zod';
import type { Builder } from '../graph/builder.ts';

const share = z.number().min(0).lt(1).optional();
const positive = z.number().positive().optional();
const rateDecay = z.number().min(0).optional();
/** How a gradient moves a weight. Slots (momenta) are zero at the start and belong into every checkpoint. rateDecay is Keras' and TLT's `decay`: update t learns at rate/(1 + rateDecay·(t − 1)). */
export const optimizerSchema = z.discriminatedUnion('kind', [
  /** Keras': velocity = momentum·velocity − lr·g; w += velocity (Nesterov: momentum·velocity − lr·g). */
  z.strictObject({ kind: z.literal('sgd'), momentum: share, nesterov: z.boolean().optional(), rateDecay }),
  /** TLT's, that is TensorFlow's form: ε stands beside the uncorrected sqrt(v). */
  z.strictObject({ kind: z.literal('adam'), beta1: share, beta2: share, epsilon: positive, rateDecay }),
  /** Loshchilov and Hutter, PyTorch's form: ε beside the corrected sqrt(v̂); regularized weights shrink by lr·decay. */
  z.strictObject({ kind: z.literal('adamw'), beta1: share, beta2: share, epsilon: positive, decay: z.number().min(0).optional() }),
  /** Keras' and PyTorch's: w −= lr·g / (sqrt(mean of g²) + ε). */
  z.strictObject({ kind: z.literal('rmsprop'), rho: share, epsilon: positive, rateDecay }),
]);
export type OptimizerSettings = z.infer<typeof optimizerSchema>;

export interface UpdateRequest {
  readonly builder: Builder;
  readonly weight: string;
  readonly gradient: string;
  /** Values of the slots, in the order of `slots`. */
  readonly slots: readonly string[];
  /** Scalar values by the names of `scalars`. */
  readonly scalar: (name: string) => string;
  readonly multiplier: number;
  readonly decays: boolean;
}
/** An optimizer: its slots per weight, the scalars it is fed at every step, and the nodes that update one weight. */
export interface Optimizer {
  readonly slots: readonly string[];
  /** Scalars of step t (from 1) at this learning rate. */
  scalars(t: number, learningRate: number): Readonly<Record<string, number>>;
  /** Adds the update; returns the new weight and slots. */
  update(request: UpdateRequest): { readonly weight: string; readonly slots: readonly string[] };
}

/** The optimizer that the settings describe; defaults are TLT's (Adam 0.9/0.999/1e-8, SGD momentum 0.9). */
export function optimizerOf(settings: OptimizerSettings): Optimizer {
  const optimizer = plainOptimizer(settings);
  const decay = settings.kind === 'adamw' ? 0 : (settings.rateDecay ?? 0);
  return decay === 0 ? optimizer : { ...optimizer, scalars: (t, learningRate) => optimizer.scalars(t, learningRate / (1 + decay * (t - 1))) };
}

function plainOptimizer(settings: OptimizerSettings): Optimizer {
  switch (settings.kind) {
    case 'sgd':
      return sgd(settings.momentum ?? 0.9, settings.nesterov ?? false);
    case 'adam':
      return adam(settings.beta1 ?? 0.9, settings.beta2 ?? 0.999, settings.epsilon ?? 1e-8, 'tensorflow', 0);
    case 'adamw':
      return adam(settings.beta1 ?? 0.9, settings.beta2 ?? 0.999, settings.epsilon ?? 1e-8, 'pytorch', settings.decay ?? 0.01);
    case 'rmsprop':
      return rmsprop(settings.rho ?? 0.9, settings.epsilon ?? 1e-7);
  }
}

const times = ({ builder }: UpdateRequest, value: string, factor: number): string => (factor === 1 ? value : builder.op('Mul', [value, builder.constant(factor)]));
const rateOf = (request: UpdateRequest, name = 'rate'): string => times(request, request.scalar(name), request.multiplier);

function sgd(momentum: number, nesterov: boolean): Optimizer {
  return {
    slots: momentum === 0 ? [] : ['velocity'],
    scalars: (_, learningRate) => ({ rate: learningRate }),
    update(request) {
      const { builder, weight, gradient } = request;
      const step = builder.op('Mul', [gradient, rateOf(request)]);
      const [velocity] = request.slots;
      if (velocity === undefined) return { weight: builder.op('Sub', [weight, step]), slots: [] };
      const next = builder.op('Sub', [times(request, velocity, momentum), step]);
      if (!nesterov) return { weight: builder.op('Add', [weight, next]), slots: [next] };
      return { weight: builder.op('Sub', [builder.op('Add', [weight, times(request, next, momentum)]), step]), slots: [next] };
    },
  };
}

/** The slots hold m/(1 − β1) and v/(1 − β2), which saves two passes over the weights; the scalars make up for it. */
function adam(beta1: number, beta2: number, epsilon: number, form: 'tensorflow' | 'pytorch', decay: number): Optimizer {
  return {
    slots: ['mean', 'square'],
    scalars(t, learningRate) {
      const correction = Math.sqrt(1 - beta2 ** t);
      const root = Math.sqrt(1 - beta2);
      return {
        rate: (learningRate * correction * (1 - beta1)) / ((1 - beta1 ** t) * root),
        epsilon: (form === 'tensorflow' ? epsilon : epsilon * correction) / root,
        ...(decay === 0 ? {} : { shrink: learningRate * decay }),
      };
    },
    update(request) {
      const { builder, weight, gradient, slots, scalar } = request;
      const mean = builder.op('Add', [times(request, slots[0] ?? '', beta1), gradient]);
      const square = builder.op('Add', [times(request, slots[1] ?? '', beta2), builder.op('Mul', [gradient, gradient])]);
      const step = builder.op('Div', [builder.op('Mul', [mean, rateOf(request)]), builder.op('Add', [builder.op('Sqrt', [square]), scalar('epsilon')])]);
      const base = decay === 0 || !request.decays ? weight : builder.op('Sub', [weight, builder.op('Mul', [weight, rateOf(request, 'shrink')])]);
      return { weight: builder.op('Sub', [base, step]), slots: [mean, square] };
    },
  };
}

function rmsprop(rho: number, epsilon: number): Optimizer {
  return {
    slots: ['square'],
    scalars: (_, learningRate) => ({ rate: learningRate }),
    update(request) {
      const { builder, weight, gradient, slots } = request;
      const squared = times(request, builder.op('Mul', [gradient, gradient]), 1 - rho);
      const square = builder.op('Add', [times(request, slots[0] ?? '', rho), squared]);
      const step = builder.op('Div', [builder.op('Mul', [gradient, rateOf(request)]), builder.op('Add', [builder.op('Sqrt', [square]), builder.constant(epsilon)])]);
      return { weight: builder.op('Sub', [weight, step]), slots: [square] };
    },
  };
}
