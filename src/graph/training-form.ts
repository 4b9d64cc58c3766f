import { EdgeError } from '../core/errors.ts';
import { float, floatOf, type Graph, type Node, sizeOf } from './ir.ts';
import { inferShapes } from './shapes.ts';

/** One BatchNormalization that learns: after a step, running = momentum·running + (1 − momentum)·batch, with the batch variance times count/(count − 1). */
export interface TrainingNorm {
  readonly node: string;
  /** Values of the graph: batch mean and biased batch variance, float32 [C]. */
  readonly mean: string;
  readonly variance: string;
  /** Initializers that hold the running statistics; the training graph keeps them, though its forward no longer reads them. */
  readonly runningMean: string;
  readonly runningVariance: string;
  readonly momentum: number;
  /** Elements per channel (N·H·W) that a batch statistic rests on. */
  readonly count: number;
}

/** The graph with every BatchNormalization but `frozenNorms` (node names) using its batch's own statistics. Sizes must be fixed (bindBatch). */
export function toTrainingForm(graph: Graph, { frozenNorms }: { readonly frozenNorms: readonly string[] }): { readonly graph: Graph; readonly norms: readonly TrainingNorm[] } {
  const frozen = new Set(frozenNorms);
  const types = inferShapes(graph);
  const taken = new Set([...types.keys()]);
  const fresh = (stem: string): string => {
    let name = stem;
    for (let k = 1; taken.has(name); k++) name = `${stem}_${k}`;
    taken.add(name);
    return name;
  };
  const norms: TrainingNorm[] = [];
  const nodes = graph.nodes.map((node): Node => {
    if (node.type !== 'BatchNormalization' || node.domain !== '' || frozen.has(node.name)) return node;
    const [x, gamma, beta, runningMean, runningVariance] = node.inputs as [string, string, string, string, string];
    const dims = types.get(x)?.dims ?? [];
    if (!dims.every(dim => typeof dim === 'number'))
      throw new EdgeError('shape-mismatch', `The input of "${node.name}" is [${dims}]; training needs fixed sizes.`, {
        hint: 'Fix the batch first (bindBatch).',
        where: { path: node.name },
      });
    const mean = fresh(`${node.outputs[0]}_mean`);
    const variance = fresh(`${node.outputs[0]}_variance`);
    const count = sizeOf(dims) / (dims[1] ?? 1);
    norms.push({ node: node.name, mean, variance, runningMean, runningVariance, momentum: floatOf(node, 'momentum', 0.9), count });
    return {
      name: node.name,
      type: 'BatchNormTrain',
      domain: 'edge',
      inputs: [x, gamma, beta],
      outputs: [node.outputs[0] as string, mean, variance],
      attributes: { epsilon: float(floatOf(node, 'epsilon', 1e-5)) },
    };
  });
  return { graph: norms.length === 0 ? graph : { ...graph, opsets: { ...graph.opsets, edge: 1 }, nodes }, norms };
}
