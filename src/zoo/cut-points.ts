import type { Graph, Node, TensorType } from '../graph/ir.ts';

/** A value that everything after it depends on through it alone, with its place in the network. */
export interface CutPoint {
  readonly name: string;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/**
 * Feature maps [N, C, h, w] at which a network can be cut in two: after the node that makes one, no other earlier value is still needed (so never inside a residual branch).
 * In graph order; `types` must hold concrete channels and sizes. Nodes that feed no output do not count.
 */
export function cutPoints(graph: Graph, types: ReadonlyMap<string, TensorType>): readonly CutPoint[] {
  const live = liveNodes(graph);
  const lastUse = new Map<string, number>();
  live.forEach((node, i) => {
    for (const input of node.inputs) if (!graph.initializers.has(input) && input !== '') lastUse.set(input, i);
  });
  for (const { name } of graph.outputs) lastUse.set(name, live.length);
  const open = new Set(graph.inputs.map(input => input.name).filter(name => lastUse.has(name)));
  const points: CutPoint[] = [];
  live.forEach((node, i) => {
    for (const input of node.inputs) if ((lastUse.get(input) ?? -1) <= i) open.delete(input);
    for (const output of node.outputs) if ((lastUse.get(output) ?? -1) > i) open.add(output);
    const [only] = open;
    if (open.size !== 1 || only === undefined || !node.outputs.includes(only)) return;
    const point = pointAt(types, only);
    if (point !== undefined) points.push(point);
  });
  return points;
}

/** A tensor as a cut, or undefined where it is no float feature map [N, C, h, w] of known sizes. */
export function pointAt(types: ReadonlyMap<string, TensorType>, name: string): CutPoint | undefined {
  const type = types.get(name);
  const [, channels, height, width] = type?.dims ?? [];
  const fits = type?.dataType === 'float32' && type.dims.length === 4 && typeof channels === 'number' && typeof height === 'number' && typeof width === 'number';
  return fits ? { name, channels, height, width } : undefined;
}

/** Nodes that an output depends on, in graph order. */
function liveNodes(graph: Graph): readonly Node[] {
  const needed = new Set(graph.outputs.map(output => output.name));
  const live: Node[] = [];
  for (const node of [...graph.nodes].reverse()) {
    if (!node.outputs.some(output => needed.has(output))) continue;
    live.push(node);
    for (const input of node.inputs) needed.add(input);
  }
  return live.reverse();
}
