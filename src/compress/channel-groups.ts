import { EdgeError } from '../core/errors.ts';
import type { Graph, Node, TensorType } from '../graph/ir.ts';
import type { Tie } from '../graph/operator.ts';
import { infer } from '../graph/shapes.ts';

/** A channel: every slot (value, axis, index) that must live or die together. Slots are numbered; a class is named by its smallest slot. */
export interface ChannelClasses {
  /** The class of index i on an axis of a value. */
  classOf(value: string, axis: number, index: number): number;
  /** Why a class must live, or undefined where it may be removed. */
  lockOf(channel: number): string | undefined;
  dimsOf(value: string): readonly number[];
}

/** Slots of every axis of every value with concrete sizes; a symbolic axis (the batch) counts as one locked slot. */
class Slots {
  readonly #starts = new Map<string, readonly number[]>();
  readonly dims = new Map<string, readonly number[]>();
  readonly parents: number[] = [];

  add(value: string, type: TensorType): void {
    const dims = type.dims.map(dim => (typeof dim === 'number' ? dim : 1));
    const starts = dims.map(dim => {
      const start = this.parents.length;
      for (let i = 0; i < dim; i++) this.parents.push(start + i);
      return start;
    });
    this.#starts.set(value, starts);
    this.dims.set(value, dims);
  }

  slot(value: string, axis: number, index: number): number {
    const start = this.#starts.get(value)?.[axis];
    if (start === undefined) throw new EdgeError('graph-invalid', `The value ${value} has no axis ${axis}.`, { hint: 'Check the graph with: edgeforge inspect FILE' });
    return start + index;
  }

  find(slot: number): number {
    let root = slot;
    while (this.parents[root] !== root) root = this.parents[root] as number;
    for (let at = slot; at !== root; ) {
      const next = this.parents[at] as number;
      this.parents[at] = root;
      at = next;
    }
    return root;
  }

  union(a: number, b: number): void {
    const [x, y] = [this.find(a), this.find(b)];
    if (x < y) this.parents[y] = x;
    else this.parents[x] = y;
  }
}

const operandOf = (node: Node, [side, index]: Tie['from']): string | undefined => (side === 'in' ? node.inputs[index] : node.outputs[index]) || undefined;

/** Channel classes of a graph: union-find over slots by the operator rows' ties; graph inputs and outputs are locked. */
export function channelClasses(graph: Graph): ChannelClasses {
  const inferred = infer(graph);
  const slots = new Slots();
  for (const [value, type] of inferred.types) slots.add(value, type);
  for (const [value, tensor] of graph.initializers) if (!slots.dims.has(value)) slots.add(value, tensor);
  const locks: { readonly slot: number; readonly reason: string }[] = [];
  const lockAxis = (value: string, axis: number, reason: string) => {
    for (let i = 0; i < (slots.dims.get(value)?.[axis] ?? 0); i++) locks.push({ slot: slots.slot(value, axis, i), reason });
  };
  const lockValue = (value: string, reason: string) => {
    for (const axis of (slots.dims.get(value) ?? []).keys()) lockAxis(value, axis, reason);
  };
  for (const { name } of graph.inputs) if (!graph.initializers.has(name)) lockValue(name, 'network input');
  for (const { name } of graph.outputs) lockValue(name, 'network output');
  for (const { operator, bound } of inferred.bound) {
    const { node } = bound;
    const ties = operator.ties(bound);
    if ('locked' in ties) {
      for (const value of [...node.inputs, ...node.outputs]) if (value !== '') lockValue(value, `${node.name}: ${ties.locked}`);
      continue;
    }
    for (const tie of ties) applyTie(slots, node, tie);
    // An axis that no tie mentions must keep its size: a softmax's, a slice's, a reduced one.
    const mentioned = new Set(ties.flatMap(tie => [`${operandOf(node, tie.from)}|${tie.fromAxis}`, `${operandOf(node, tie.to)}|${tie.toAxis}`]));
    for (const value of [...node.inputs, ...node.outputs]) {
      slots.dims.get(value)?.forEach((size, axis) => {
        if (size > 1 && !mentioned.has(`${value}|${axis}`)) lockAxis(value, axis, `${node.name}: ${node.type} fixes axis ${axis}`);
      });
    }
  }
  const reasons = new Map<number, string>();
  for (const { slot, reason } of locks) {
    const root = slots.find(slot);
    if (!reasons.has(root)) reasons.set(root, reason);
  }
  return {
    classOf: (value, axis, index) => slots.find(slots.slot(value, axis, index)),
    lockOf: channel => reasons.get(channel),
    dimsOf: value => slots.dims.get(value) ?? [],
  };
}

function applyTie(slots: Slots, node: Node, tie: Tie): void {
  const [from, to] = [operandOf(node, tie.from), operandOf(node, tie.to)];
  if (from === undefined || to === undefined) return;
  const size = slots.dims.get(from)?.[tie.fromAxis] ?? 0;
  const limit = slots.dims.get(to)?.[tie.toAxis] ?? 0;
  for (let i = 0; i < size; i++) {
    for (let r = 0; r < tie.repeat; r++) {
      const index = tie.offset + i * tie.repeat + r;
      if (index < limit) slots.union(slots.slot(from, tie.fromAxis, i), slots.slot(to, tie.toAxis, index));
    }
  }
}
