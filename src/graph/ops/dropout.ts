import { z } from 'zod';
import type { Bound, Operator } from '../operator.ts';
import { dimsAt, row, sameAxes, scaled, typeAt, valueAt } from './_row.ts';

const attributes = z.object({ ratio: z.number().default(0.5), seed: z.number().optional() });
const dropout = row<z.infer<typeof attributes>>({
  type: 'Dropout',
  identity: 'inference',
  attributes,
  shape: bound => [typeAt(bound, 0), ...bound.node.outputs.slice(1).map(() => ({ dataType: 'bool' as const, dims: dimsAt(bound, 0) }))],
  reference: (bound, inputs) => {
    const x = valueAt(bound, inputs, 0);
    return [x, ...bound.node.outputs.slice(1).map(() => ({ dims: x.dims, data: new Float64Array(x.data.length).fill(1) }))];
  },
  // As in inference: a dropout that drops is in training form (edge::DropoutTrain).
  gradient: ({ outputGradients }) => [outputGradients[0]],
  ties: bound => sameAxes(dimsAt(bound, 0).length),
  quantize: { kind: 'passes' },
});

/** The largest prime below 2^26: products of two residues are exact in float64, and cubing permutes the residues (3 does not divide p − 1). */
export const dropoutPrime = 67108859;

/** What is added in each round: factor·step + offset, modulo the prime. */
export interface DropoutKey {
  readonly factor: number;
  readonly offset: number;
}
/** The keys of a seed, one per round of `edge::DropoutTrain`; the first is added to the element's place. */
export function dropoutKeys(seed: number): readonly DropoutKey[] {
  let state = seed | 0;
  const next = (): number => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) % dropoutPrime;
  };
  return Array.from({ length: 5 }, () => ({ factor: next(), offset: next() }));
}

const trainAttributes = z.object({ ratio: z.number().min(0).max(1).default(0.5), seed: z.number().default(0) });
type TrainAttributes = z.infer<typeof trainAttributes>;
/** 0 or 1/(1 − ratio) per element, by (seed, step, place) alone: rounds of x ← x³ + key modulo the prime, then a threshold. */
function mask(bound: Bound<TrainAttributes>, count: number, step: number): Float64Array {
  const { ratio, seed } = bound.attributes;
  const [first = 0, ...rounds] = dropoutKeys(seed).map(({ factor, offset }) => ((step % dropoutPrime) * factor + offset) % dropoutPrime);
  const kept = 1 / (1 - ratio);
  return Float64Array.from({ length: count }, (_, place) => {
    let x = (place + first) % dropoutPrime;
    for (const key of rounds) x = (((x * x) % dropoutPrime) * x + key) % dropoutPrime;
    return x < ratio * dropoutPrime ? 0 : kept;
  });
}
/** Inputs: x and the number of the step (one element, ≥ 0); outputs: x·mask and the mask. Every step has another mask, and the same one whenever it is run again. */
const dropoutTrain = row<TrainAttributes>({
  type: 'DropoutTrain',
  domain: 'edge',
  attributes: trainAttributes,
  shape: bound => [typeAt(bound, 0), typeAt(bound, 0)],
  reference: (bound, inputs) => {
    const x = valueAt(bound, inputs, 0);
    const data = mask(bound, x.data.length, Math.trunc(valueAt(bound, inputs, 1).data[0] ?? 0));
    return [
      { dims: x.dims, data: x.data.map((v, at) => v * (data[at] as number)) },
      { dims: x.dims, data },
    ];
  },
  gradient: ({ bound, builder, outputGradients }) => {
    const dy = outputGradients[0];
    return dy === undefined ? [] : [scaled(builder, dy, bound.node.outputs[1] as string)];
  },
  ties: bound => sameAxes(dimsAt(bound, 0).length),
});

export const dropping: readonly Operator[] = [dropout, dropoutTrain];
