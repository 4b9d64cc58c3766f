import { EdgeError } from '../core/errors.ts';
import { float, type Graph, type Node } from '../graph/ir.ts';

/** What a training step drops: its Dropout nodes act, each with its own ratio, and `rate` of the activations ahead of the heads goes too. Masks follow from the seed and the step's number alone. */
export interface DropoutSettings {
  readonly seed: number;
  readonly rate?: number | undefined;
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

/** A graph with a Dropout on what the last layer ahead of each output reads, where TLT drops. */
export function withDropout(graph: Graph, rate: number): Graph {
  const heads = new Set(graph.outputs.map(({ name }) => headOf(graph, name)));
  const dropped = new Map<string, string>();
  const nodes = graph.nodes.flatMap((node): Node[] => {
    if (!heads.has(node)) return [node];
    const [value = '', ...rest] = node.inputs;
    const given = dropped.get(value);
    const name = given ?? `${value}/dropped`;
    dropped.set(value, name);
    const read = { ...node, inputs: [name, ...rest] };
    return given === undefined ? [{ name, type: 'Dropout', domain: '', inputs: [value], outputs: [name], attributes: { ratio: float(rate) } }, read] : [read];
  });
  return { ...graph, nodes };
}
