import { EdgeError } from '../core/errors.ts';
import { randomAt } from '../data/random.ts';
import { f32, type Graph, type Node, sizeOf, type TensorType } from '../graph/ir.ts';
import type { NamedTensors } from '../tasks/task.ts';
import { trainingPurpose } from './mixup.ts';

/** A mask that a training step is fed: its graph input and size. */
export interface DropoutMask {
  readonly input: string;
  readonly dims: readonly number[];
}

const weighted = new Set(['Conv', 'ConvTranspose', 'Gemm', 'MatMul']);
/** The last layer with a kernel ahead of an output. */
function headOf(graph: Graph, output: string): Node {
  const producers = new Map(graph.nodes.flatMap(node => node.outputs.map(name => [name, node] as const)));
  for (let node = producers.get(output); node !== undefined; node = producers.get(node.inputs[0] ?? '')) if (weighted.has(node.type)) return node;
  throw new EdgeError('graph-invalid', `No layer with a kernel leads to the output ${output}, so there is no place for dropout.`, {
    hint: 'Remove dropout from the spec.',
    where: { path: output },
  });
}

/** A graph of fixed sizes with a mask on what the last layer ahead of each output reads, where TLT drops. The masks become inputs of the step, so a resumed training sees the same ones. */
export function withDropout(graph: Graph, types: ReadonlyMap<string, TensorType>): { readonly graph: Graph; readonly masks: readonly DropoutMask[] } {
  const heads = new Set(graph.outputs.map(({ name }) => headOf(graph, name)));
  const masks = new Map<string, DropoutMask>();
  const nodes = graph.nodes.flatMap((node): Node[] => {
    if (!heads.has(node)) return [node];
    const [value = '', ...rest] = node.inputs;
    const [input, dropped] = [`${value}/mask`, `${value}/dropped`];
    const read = { ...node, inputs: [dropped, ...rest] };
    if (masks.has(value)) return [read];
    masks.set(value, { input, dims: (types.get(value)?.dims ?? []) as readonly number[] });
    return [{ name: dropped, type: 'Mul', domain: '', inputs: [value, input], outputs: [dropped], attributes: {} }, read];
  });
  return { graph: { ...graph, nodes }, masks: [...masks.values()] };
}

/** Masks of one step: 0 with probability `rate`, else 1/(1 − rate), so that the mean stays. Decided by (seed, step) alone. */
export function drawMasks(masks: readonly DropoutMask[], rate: number, { seed, step }: { readonly seed: number; readonly step: number }): NamedTensors {
  return new Map(
    masks.map(({ input, dims }, index) => {
      const random = randomAt(seed, trainingPurpose.dropout, step, index);
      return [
        input,
        f32(
          dims,
          Float32Array.from({ length: sizeOf(dims) }, () => (random.chance(rate) ? 0 : 1 / (1 - rate))),
        ),
      ] as const;
    }),
  );
}
