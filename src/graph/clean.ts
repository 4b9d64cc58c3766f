import { EdgeError } from '../core/errors.ts';
import { rewriteBatch } from './_batch.ts';
import type { Attribute, Graph, Node, Tensor } from './ir.ts';
import { inferShapes } from './shapes.ts';

export { atOpset17 } from './upgrade.ts';

/** Values a node reads: its inputs, and what its subgraphs take from outside. */
export function readsOf(node: Node): string[] {
  const found = node.inputs.filter(name => name !== '');
  for (const attribute of Object.values(node.attributes)) {
    if (attribute.type !== 'graph') continue;
    const inner = attribute.value;
    const own = new Set([...inner.initializers.keys(), ...inner.inputs.map(i => i.name), ...inner.nodes.flatMap(n => n.outputs)]);
    found.push(...[...inner.nodes.flatMap(readsOf), ...inner.outputs.map(o => o.name)].filter(name => !own.has(name)));
  }
  return found;
}

/** The graph without nodes and initializers that no output needs. Inputs stay: they are the network's face. */
export function removeUnused(graph: Graph): Graph {
  const needed = new Set(graph.outputs.map(o => o.name));
  const nodes = graph.nodes
    .toReversed()
    .filter(node => {
      const used = node.outputs.some(name => needed.has(name));
      if (used) for (const name of readsOf(node)) needed.add(name);
      return used;
    })
    .reverse();
  const initializers = new Map<string, Tensor>([...graph.initializers].filter(([name]) => needed.has(name)));
  return { ...graph, nodes, initializers };
}

/** The graph up to `tensorName`, which becomes its only output. Throws `graph-invalid` naming the nearest values where there is none such. */
export function cutAt(graph: Graph, tensorName: string): Graph {
  const type = inferShapes(uncheckedBefore(graph, tensorName)).get(tensorName);
  if (type === undefined) throw unknownValue(graph, tensorName);
  return removeUnused({ ...graph, outputs: [{ name: tensorName, type }] });
}
/** Only what comes before a value, so that an unknown operator behind the cut does no harm. */
const uncheckedBefore = (graph: Graph, name: string): Graph => {
  if (!graph.nodes.some(n => n.outputs.includes(name))) throw unknownValue(graph, name);
  return removeUnused({ ...graph, outputs: [{ name, type: { dataType: 'float32', dims: [] } }] });
};
function unknownValue(graph: Graph, name: string): EdgeError {
  const all = graph.nodes.flatMap(n => n.outputs).filter(n => n !== '');
  const near = all.filter(n => n.toLowerCase().includes(name.toLowerCase()) || name.toLowerCase().includes(n.toLowerCase())).slice(0, 5);
  const shown = near.length > 0 ? near : all.slice(-5);
  return new EdgeError('graph-invalid', `The graph "${graph.name}" has no value "${name}"; it has, for example, ${shown.map(n => `"${n}"`).join(', ')}.`, {
    hint: 'List the values with: edgeforge inspect FILE',
    where: { path: name },
  });
}

/** The graph with the first dim of every input fixed to n, constants of reshapes included. Throws `shape-mismatch` where the graph cannot follow. */
export const bindBatch = (graph: Graph, n: number): Graph => rewriteBatch(graph, n);
/** The graph with the first dim of every input free, named 'N'. Throws `shape-mismatch` where a node insists on its batch. */
export const freeBatch = (graph: Graph): Graph => rewriteBatch(graph, 'N');

const renamedAttribute = (attribute: Attribute, rename: (name: string) => string): Attribute =>
  attribute.type === 'graph' ? { ...attribute, value: renamedInside(attribute.value, rename) } : attribute;
const renamedNode = (node: Node, rename: (name: string) => string): Node => ({
  ...node,
  inputs: node.inputs.map(rename),
  outputs: node.outputs.map(rename),
  attributes: Object.fromEntries(Object.entries(node.attributes).map(([key, a]) => [key, renamedAttribute(a, rename)])),
});
/** A subgraph's own names hide outer ones; only outer reads are renamed. */
function renamedInside(graph: Graph, rename: (name: string) => string): Graph {
  const own = new Set([...graph.initializers.keys(), ...graph.inputs.map(i => i.name), ...graph.nodes.flatMap(n => n.outputs)]);
  const outer = (name: string) => (own.has(name) ? name : rename(name));
  return { ...graph, nodes: graph.nodes.map(node => renamedNode(node, outer)), outputs: graph.outputs.map(o => ({ ...o, name: outer(o.name) })) };
}

/** The graph with values (inputs, outputs and initializers included) renamed old → new; every name not in the map stays. Throws `graph-invalid` where two values would share a name. */
export function renameValues(graph: Graph, names: ReadonlyMap<string, string>): Graph {
  const rename = (name: string): string => names.get(name) ?? name;
  const all = [...graph.initializers.keys(), ...graph.inputs.map(i => i.name), ...graph.nodes.flatMap(n => n.outputs)].filter(name => name !== '');
  const seen = new Set<string>();
  for (const name of all.map(rename)) {
    if (seen.has(name)) throw new EdgeError('graph-invalid', `Renaming gives two values the name "${name}".`, { hint: 'Choose another name.', where: { path: name } });
    seen.add(name);
  }
  return {
    ...graph,
    nodes: graph.nodes.map(node => renamedNode(node, rename)),
    initializers: new Map([...graph.initializers].map(([name, tensor]) => [rename(name), tensor])),
    inputs: graph.inputs.map(i => ({ ...i, name: rename(i.name) })),
    outputs: graph.outputs.map(o => ({ ...o, name: rename(o.name) })),
  };
}
