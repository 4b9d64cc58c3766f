import { Builder } from '../../graph/builder.ts';
import { type Graph, int, type Node, type Tensor, type ValueInfo } from '../../graph/ir.ts';
import type { StateSlot } from '../lowering.ts';

/** Graph input: how many steps a call takes (int64 scalar). */
export const loopCount = 'loop/steps';
/** Graph input that holds a feed of every step of a call, one behind the other along a new first axis. */
export const loopFeed = (name: string): string => `loop/${name}`;
const inBody = (name: string): string => (name === '' ? '' : `body/${name}`);

/**
 * Many steps per call: the step becomes the body of a Loop that carries the state. State inputs and outputs keep their names; every other input is read
 * from `loopFeed(input)`, every other output gains a first axis over the steps. For engines that can keep no state on the device between calls.
 */
export function loopSteps(graph: Graph, state: readonly StateSlot[]): Graph {
  const outer = new Builder(`${graph.name} loop`, graph.opsets);
  const carried = new Map(state.map(slot => [slot.input, slot.output]));
  const moved = new Set(carried.values());
  const typeOf = new Map([...graph.inputs, ...graph.outputs].map(({ name, type }) => [name, type]));
  const feeds = graph.inputs.filter(({ name }) => !carried.has(name));
  const results = graph.outputs.filter(({ name }) => !moved.has(name));
  outer.input(loopCount, 'int64', []);
  for (const { name, type } of feeds) outer.input(loopFeed(name), type.dataType, ['steps', ...type.dims]);
  for (const input of graph.inputs) if (carried.has(input.name)) outer.input(input.name, input.type.dataType, input.type.dims);
  outer.weight('loop/go', { dataType: 'bool', dims: [], data: Uint8Array.of(1) });
  const body = bodyOf(graph, carried, feeds, results);
  const outputs = [...carried.values(), ...results.map(({ name }) => name)];
  outer.ops('Loop', [loopCount, 'loop/go', ...carried.keys()], { body: { type: 'graph', value: body } }, { outputs });
  for (const name of carried.values()) outer.output(name, 'float32', typeOf.get(name)?.dims ?? []);
  for (const { name, type } of results) outer.output(name, type.dataType, ['steps', ...type.dims]);
  return outer.graph();
}

/** The step itself: iteration and condition come in ahead of the state, and the condition goes out ahead of it. Every value is renamed, since a body must not hide outer names. */
function bodyOf(graph: Graph, carried: ReadonlyMap<string, string>, feeds: readonly ValueInfo[], results: readonly ValueInfo[]): Graph {
  const reads = feeds.map(
    ({ name }): Node => ({ name: inBody(`read ${name}`), type: 'Gather', domain: '', inputs: [loopFeed(name), 'body/at'], outputs: [inBody(name)], attributes: { axis: int(0) } }),
  );
  const goOn: Node = { name: 'body/go on', type: 'Identity', domain: '', inputs: ['body/go'], outputs: ['body/more'], attributes: {} };
  const nodes = graph.nodes.map((node): Node => ({ ...node, name: inBody(node.name), inputs: node.inputs.map(inBody), outputs: node.outputs.map(inBody) }));
  const inner = ({ name, type }: ValueInfo): ValueInfo => ({ name: inBody(name), type });
  const outputs = new Map(graph.outputs.map(output => [output.name, output]));
  return {
    name: graph.name,
    opsets: graph.opsets,
    metadata: {},
    nodes: [...reads, goOn, ...nodes],
    initializers: new Map([...graph.initializers].map(([name, tensor]): [string, Tensor] => [inBody(name), tensor])),
    inputs: [
      { name: 'body/at', type: { dataType: 'int64', dims: [] } },
      { name: 'body/go', type: { dataType: 'bool', dims: [] } },
      ...[...carried.keys()].map(name => inner(graph.inputs.find(input => input.name === name) as ValueInfo)),
    ],
    outputs: [{ name: 'body/more', type: { dataType: 'bool', dims: [] } }, ...[...carried.values()].map(name => inner(outputs.get(name) as ValueInfo)), ...results.map(inner)],
  };
}
