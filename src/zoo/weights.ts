import type { Graph, Tensor } from '../graph/ir.ts';
import type { Network } from '../tasks/task.ts';
import { weightsOf } from './freeze.ts';
import { headWeights } from './network-file.ts';

export interface LoadReport {
  /** Weights of the network that now hold the source's values, of all it has (BatchNormalization statistics included). */
  readonly loaded: number;
  readonly total: number;
  /** Why each of the others kept its own. */
  readonly reasons: readonly { readonly name: string; readonly reason: string }[];
  /** Float weights of the source that nobody asked for. */
  readonly unused: readonly string[];
}

/** The network with weights taken by name from a source, or through `names` (network's name → source's name) where they differ; nothing is guessed from order or shape. */
export function loadWeights(network: Network, source: Graph, names: Readonly<Record<string, string>> = {}): { readonly network: Network; readonly report: LoadReport } {
  const initializers = new Map(network.graph.initializers);
  const wanted = weightNames(network.graph);
  const reasons: { name: string; reason: string }[] = [];
  const taken = new Set<string>();
  for (const name of wanted) {
    const from = Object.hasOwn(names, name) ? names[name]! : name;
    const own = initializers.get(name)!;
    const theirs = source.initializers.get(from);
    const reason = refusal(own, theirs, from);
    if (reason !== undefined) reasons.push({ name, reason });
    else {
      initializers.set(name, theirs!);
      taken.add(from);
    }
  }
  const unused = weightNames(source).filter(name => !taken.has(name));
  return { network: { ...network, graph: { ...network.graph, initializers } }, report: { loaded: wanted.length - reasons.length, total: wanted.length, reasons, unused } };
}

/** One line for people: "57 of 61 tensors from start.onnx; output_cov/kernel: shape differs (…)". */
export function loadSummary({ loaded, total, reasons }: LoadReport, source: string): string {
  const shown = reasons.slice(0, 5).map(({ name, reason }) => `${name}: ${reason}`);
  const rest = reasons.length - shown.length;
  return [`${loaded} of ${total} tensors from ${source}`, ...shown, ...(rest > 0 ? [`and ${rest} more`] : [])].join('; ');
}

/** The same line of a network whose backbone is that of the file `source`: all but the head is from there. */
export function backboneSummary({ graph, info }: Network, source: string): string {
  const all = weightNames(graph);
  const reasons = headWeights({ trainable: all }).map(name => ({ name, reason: `new, of the head for ${info.labels.length} classes` }));
  return loadSummary({ loaded: all.length - reasons.length, total: all.length, reasons, unused: [] }, `${source} as the backbone`);
}

/** Learnt values of a graph: kernels, biases, gamma, beta and running statistics. */
function weightNames(graph: Graph): readonly string[] {
  const found = new Set<string>();
  for (const node of graph.nodes) {
    const { kernels, others } = weightsOf(node, graph);
    const statistics = node.type === 'BatchNormalization' ? node.inputs.slice(3, 5).filter(name => graph.initializers.get(name)?.dataType === 'float32') : [];
    for (const name of [...kernels, ...others, ...statistics]) found.add(name);
  }
  return [...found];
}

function refusal(own: Tensor, theirs: Tensor | undefined, name: string): string | undefined {
  if (theirs === undefined) return `the source has no ${name}`;
  if (theirs.dataType !== own.dataType) return `type differs (${own.dataType} here, ${theirs.dataType} in the source)`;
  if (theirs.dims.length !== own.dims.length || theirs.dims.some((dim, i) => dim !== own.dims[i]))
    return `shape differs ([${own.dims.join(', ')}] here, [${theirs.dims.join(', ')}] in the source)`;
  return undefined;
}
