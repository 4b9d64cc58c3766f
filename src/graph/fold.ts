import { channelAffine, foldAffine } from './_affine.ts';
import { readsOf, removeUnused } from './clean.ts';
import type { Graph, Node, Tensor } from './ir.ts';
import { sizeOf } from './ir.ts';
import { fromF64, toF64 } from './numbers.ts';
import { infer } from './shapes.ts';

/** A folded constant may not grow beyond this many elements unless its operands were as big: an Expand of a scalar stays a node. */
const foldedElements = 1 << 20;

/** The graph that is exported, calibrated, quantized and timed: one and the same, so that names in caches are right. */
export const atLowestCost = (graph: Graph): Graph => removeUnused(foldBatchNorm(foldConstants(graph)));

/** What a graph is simplified for: a Dropout stays where it may yet be trained. */
export interface Purpose {
  readonly purpose?: 'inference' | 'training';
}
/** The graph with all that follows from constants and known shapes computed once, and Identity (for inference also Dropout) gone. Values are computed in float64; outputs keep their names. */
export function foldConstants(given: Graph, purpose: Purpose = {}): Graph {
  const graph = removeIdentities(given, purpose);
  const inferred = infer(graph);
  const outputs = new Set(graph.outputs.map(o => o.name));
  const initializers = new Map<string, Tensor>(graph.initializers);
  const nodes: Node[] = [];
  for (const { operator, bound, outputs: types } of inferred.bound) {
    const { node } = bound;
    const made = node.outputs.filter(name => name !== '');
    if (operator.folds === false || made.some(name => outputs.has(name)) || readsOf(node).length > node.inputs.length) {
      nodes.push(node);
      continue;
    }
    const ready = made.map(name => inferred.constant(name));
    if (ready.every(tensor => tensor !== undefined)) {
      made.forEach((name, k) => {
        initializers.set(name, ready[k] as Tensor);
      });
      continue;
    }
    const operands = node.inputs.map(name => (name === '' ? undefined : initializers.get(name)));
    const constant = node.inputs.every((name, k) => name === '' || operands[k] !== undefined);
    const dims = types.map(type => type.dims);
    const size = dims.every(d => d.every(dim => typeof dim === 'number')) ? dims.reduce((sum, d) => sum + sizeOf(d as number[]), 0) : Number.POSITIVE_INFINITY;
    const limit = operands.reduce((most, tensor) => Math.max(most, tensor?.data.length ?? 0), foldedElements);
    if (!constant || size > limit) {
      nodes.push(node);
      continue;
    }
    const values = operator.reference(
      { ...bound, constants: operands },
      operands.map(tensor => tensor && toF64(tensor)),
    );
    values.forEach((value, k) => {
      const name = node.outputs[k];
      if (name) initializers.set(name, fromF64(value, types[k]?.dataType ?? 'float32'));
    });
  }
  return removeUnused({ ...graph, nodes, initializers });
}

/** The graph without nodes that only pass their input on (Identity; Dropout for inference, the default). One that joins an input or initializer to an output stays: the output needs its name. */
export function removeIdentities(graph: Graph, { purpose = 'inference' }: Purpose = {}): Graph {
  const outputs = new Set(graph.outputs.map(o => o.name));
  const instead = new Map<string, string>();
  const resolve = (name: string): string => {
    let at = name;
    for (let next = instead.get(at); next !== undefined; next = instead.get(at)) at = next;
    return at;
  };
  const kept: Node[] = [];
  const makers = new Map(graph.nodes.flatMap(node => node.outputs.map(name => [name, node] as const)));
  for (const { operator, bound } of infer(graph).bound) {
    const { node } = bound;
    const [from, to] = [resolve(node.inputs[0] ?? ''), node.outputs[0] ?? ''];
    const others = node.outputs.slice(1).some(name => name !== '' && (outputs.has(name) || graph.nodes.some(reader => readsOf(reader).includes(name))));
    if ((operator.identity !== true && operator.identity !== purpose) || others) kept.push(node);
    else if (!outputs.has(to)) instead.set(to, from);
    // The producer takes over the output's name.
    else if (makers.has(from) && !outputs.has(from)) {
      instead.set(from, to);
      outputs.add(to);
    } else kept.push(node);
  }
  if (instead.size === 0) return graph;
  return { ...graph, nodes: kept.map(node => ({ ...node, inputs: node.inputs.map(resolve), outputs: node.outputs.map(name => (name === '' ? name : resolve(name))) })) };
}

/** The graph with BatchNormalization, and per-channel constant Mul and Add, multiplied into the Conv, ConvTranspose or Gemm before them, where only they read it. */
export function foldBatchNorm(graph: Graph): Graph {
  let now = graph;
  for (;;) {
    const next = foldOnce(now);
    if (next === now) return now === graph ? graph : removeUnused(now);
    now = next;
  }
}

/** Folds every pair (weighted node, affine node) that shares no node with another pair. */
function foldOnce(graph: Graph): Graph {
  const inferred = infer(graph);
  const outputs = new Set(graph.outputs.map(o => o.name));
  const readers = new Map<string, number>();
  for (const node of graph.nodes) for (const name of readsOf(node)) readers.set(name, (readers.get(name) ?? 0) + 1);
  const makers = new Map(inferred.bound.map(entry => [entry.bound.node.outputs[0], entry] as const));
  const replaced = new Map<Node, Node | undefined>();
  const initializers = new Map(graph.initializers);
  for (const entry of inferred.bound) {
    const { node } = entry.bound;
    for (const input of node.inputs.slice(0, 2)) {
      const before = makers.get(input);
      if (before === undefined || before.operator.quantize.kind !== 'weighted' || replaced.has(before.bound.node) || outputs.has(input) || readers.get(input) !== 1) continue;
      const affine = channelAffine(entry.bound, input, before.outputs[0]?.dims ?? [], graph);
      const folded = affine && foldAffine(before.bound, before.operator, affine, initializers, readers);
      if (folded === undefined) continue;
      replaced.set(before.bound.node, undefined);
      replaced.set(node, { ...folded, outputs: [node.outputs[0] as string] });
      break;
    }
  }
  if (replaced.size === 0) return graph;
  const nodes = graph.nodes.flatMap(node => {
    if (!replaced.has(node)) return [node];
    const next = replaced.get(node);
    return next === undefined ? [] : [next];
  });
  return { ...graph, nodes, initializers };
}
