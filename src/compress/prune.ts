import { z } from 'zod';
import { EdgeError } from '../core/errors.ts';
import { costOf } from '../graph/cost.ts';
import type { Graph, Node, Tensor } from '../graph/ir.ts';
import { type KeptChannels, withKeptChannels } from '../graph/kept-channels.ts';
import type { Network } from '../tasks/task.ts';
import { absorb } from './absorb.ts';
import { type ActivationStatistics, readersOf } from './activation-statistics.ts';
import { energyImportance } from './channel-energy.ts';
import { type ChannelClasses, channelClasses } from './channel-groups.ts';
import { filterNorms, type Layer, layersOf, normalize } from './importance.ts';
import { withoutRanges } from './qat.ts';
import { sliceTensor } from './slice.ts';

/** TLT's prune settings; names and defaults of `prune -n -eq -pg -pth -nf -el` (tlt-formats §6.2), and what counts as important, where TLT knows only magnitude. */
export const pruneSettings = z.strictObject({
  /** `magnitude`: TLT's. `energy`: ours, by what images do to each channel (channel-energy.ts), for networks whose layers differ much (MobileNet); normalizer and equalization then say nothing. */
  importance: z.enum(['magnitude', 'energy']).default('magnitude'),
  normalizer: z.enum(['max', 'L2', 'off']).default('max'),
  equalization: z.enum(['union', 'intersection', 'arithmetic_mean', 'geometric_mean']).default('union'),
  granularity: z.int().positive().default(8),
  threshold: z.number().min(0).default(0.1),
  minFilters: z.int().positive().default(16),
  excluded: z.array(z.string()).default([]),
});
export type PruneSettings = z.infer<typeof pruneSettings>;

export interface LayerReport {
  readonly layer: string;
  readonly type: string;
  readonly filtersBefore: number;
  readonly filtersAfter: number;
  readonly macsBefore: number;
  readonly macsAfter: number;
  readonly parametersBefore: number;
  readonly parametersAfter: number;
  /** Why it kept all its filters, where it had to. */
  readonly kept?: string;
}
export interface PruneReport {
  readonly settings: PruneSettings;
  readonly macsBefore: number;
  readonly macsAfter: number;
  readonly parametersBefore: number;
  readonly parametersAfter: number;
  readonly layers: readonly LayerReport[];
}

/** Layers that keep the same channels: their classes, whether they may shrink, and each class's importance. */
interface EqualizationGroup {
  readonly layers: readonly Layer[];
  readonly channels: readonly number[];
  readonly importance: Float64Array;
  readonly locked: string | undefined;
}

/** What is worth computing once for many thresholds. */
export interface PrunePlan {
  readonly network: Network;
  readonly classes: ChannelClasses;
  readonly groups: readonly EqualizationGroup[];
  readonly settings: PruneSettings;
  /** Present where importance is `energy`. */
  readonly statistics?: ActivationStatistics;
}

const equalize: Readonly<Record<PruneSettings['equalization'], (values: readonly number[]) => number>> = {
  union: values => Math.max(...values),
  intersection: values => Math.min(...values),
  arithmetic_mean: values => values.reduce((a, b) => a + b, 0) / values.length,
  geometric_mean: values => values.reduce((a, b) => a * b, 1) ** (1 / values.length),
};

/** Channel classes, equalization groups and importances of a network. Throws `prune-refused` where an excluded layer does not exist, or where `energy` has no statistics. */
export function planPrune(network: Network, settings: PruneSettings, statistics?: ActivationStatistics): PrunePlan {
  const { graph } = network;
  const layers = layersOf(graph);
  const unknown = settings.excluded.find(name => !layers.some(layer => layer.node.name === name));
  if (unknown !== undefined) {
    throw new EdgeError('prune-refused', `There is no prunable layer "${unknown}" to exclude.`, { hint: `Name one of: ${layers.map(layer => layer.node.name).join(', ')}` });
  }
  const classes = channelClasses(graph);
  const groups = groupLayers(graph, layers, classes, settings);
  if (settings.importance !== 'energy') return { network, classes, settings, groups };
  if (!statistics)
    throw new EdgeError('prune-refused', 'The importance "energy" needs images, and none were given.', { hint: 'Prune in a project (edgeforge run prune), or by magnitude.' });
  const energy = energyImportance(graph, statistics, classes);
  return { network, classes, settings, statistics, groups: groups.map(group => ranked(group, energy)) };
}

const ranked = (group: EqualizationGroup, importance: ReadonlyMap<number, number>): EqualizationGroup => ({
  ...group,
  importance: Float64Array.from(group.channels, channel => importance.get(channel) ?? 0),
});

const channelsOf = (layer: Layer, weight: Tensor, classes: ChannelClasses): number[] =>
  Array.from({ length: weight.dims[layer.axis] as number }, (_, index) => classes.classOf(layer.weight, layer.axis, index));

function groupLayers(graph: Graph, layers: readonly Layer[], classes: ChannelClasses, settings: PruneSettings): EqualizationGroup[] {
  const groupOf = new Map<number, Set<Layer>>();
  for (const layer of layers) {
    const channels = channelsOf(layer, graph.initializers.get(layer.weight) as Tensor, classes);
    const merged = new Set<Layer>([layer]);
    for (const channel of channels) for (const other of groupOf.get(channel) ?? []) merged.add(other);
    for (const member of merged) for (const channel of channelsOf(member, graph.initializers.get(member.weight) as Tensor, classes)) groupOf.set(channel, merged);
  }
  return [...new Set(groupOf.values())].map(members => equalizedGroup(graph, [...members], classes, settings));
}

function equalizedGroup(graph: Graph, layers: readonly Layer[], classes: ChannelClasses, settings: PruneSettings): EqualizationGroup {
  const values = new Map<number, number[]>();
  for (const layer of layers) {
    const weight = graph.initializers.get(layer.weight) as Tensor;
    const norms = normalize(filterNorms(weight, layer.axis), settings.normalizer);
    channelsOf(layer, weight, classes).forEach((channel, index) => {
      const list = values.get(channel);
      if (list) list.push(norms[index] as number);
      else values.set(channel, [norms[index] as number]);
    });
  }
  const channels = [...values.keys()];
  const excluded = layers.find(layer => settings.excluded.includes(layer.node.name));
  const locked = excluded ? `excluded: ${excluded.node.name}` : channels.map(channel => classes.lockOf(channel)).find(reason => reason !== undefined);
  return { layers, channels, locked, importance: Float64Array.from(channels, channel => equalize[settings.equalization](values.get(channel) as number[])) };
}

/** How many filters stay: those above the threshold, at least the minimum, rounded up to the granularity (tlt-formats §6.1 step 3). */
export function retainedCount(importance: Float64Array, { threshold, minFilters, granularity }: Pick<PruneSettings, 'threshold' | 'minFilters' | 'granularity'>): number {
  const depth = importance.length;
  const above = importance.reduce((count, value) => count + (value > threshold ? 1 : 0), 0);
  const atLeast = Math.max(above, Math.min(minFilters, depth));
  return Math.min(Math.ceil(atLeast / granularity) * granularity, depth);
}

/** The channel classes that go at this threshold. */
function removedChannels(plan: PrunePlan, threshold: number): Set<number> {
  const removed = new Set<number>();
  for (const group of plan.groups) {
    if (group.locked !== undefined) continue;
    const keep = retainedCount(group.importance, { ...plan.settings, threshold });
    const order = group.channels.map((_, index) => index).sort((a, b) => (group.importance[b] as number) - (group.importance[a] as number) || a - b);
    for (const index of order.slice(keep)) removed.add(group.channels[index] as number);
  }
  return removed;
}

/** The network at a threshold of its plan: same graph, smaller layers, weights copied; where images were looked at, the kept channels take over what they tell of the others. */
export function pruneAt(plan: PrunePlan, threshold: number): Network {
  const removed = removedChannels(plan, threshold);
  const { graph } = plan.network;
  const pruned = cut(plan, plan.statistics && removed.size > 0 ? absorb(graph, plan.statistics, plan.classes, removed) : graph, removed);
  return removed.size === 0 ? pruned : { ...pruned, graph: withKeptChannels(pruned.graph, keptOf(plan, removed)) };
}

/** The same in its sizes alone: quick, for finding a threshold. */
export const sizedAt = (plan: PrunePlan, threshold: number): Network => cut(plan, plan.network.graph, removedChannels(plan, threshold));

/** What is left at a threshold, without the weights' values: multiply-accumulates, parameters, and the filters of each layer in the order of the plan's groups. */
export interface PruneSize {
  readonly macs: number;
  readonly parameters: number;
  readonly filters: readonly number[];
}
/** Sizes of a plan by threshold. Channels go in a fixed order, so a set that was sized once is known again by how many stay. */
export function pruneSizes(plan: PrunePlan): (threshold: number) => PruneSize {
  const known = new Map<string, PruneSize>();
  return threshold => {
    const key = plan.groups.map(group => (group.locked === undefined ? retainedCount(group.importance, { ...plan.settings, threshold }) : '')).join();
    const found = known.get(key) ?? sizeAt(plan, threshold);
    known.set(key, found);
    return found;
  };
}
/** A weight by its dimensions alone, its values left as they were: costs read no more. Integers are shapes and indices, which do count. */
const shapeOnly: typeof sliceTensor = (tensor, living) =>
  tensor.dataType === 'float32' ? { ...tensor, dims: tensor.dims.map((dim, axis) => living[axis]?.length ?? dim) } : sliceTensor(tensor, living);
function sizeAt(plan: PrunePlan, threshold: number): PruneSize {
  const graph = withoutChannels(plan.network.graph, plan.classes, removedChannels(plan, threshold), shapeOnly);
  const { macs, parameters } = costOf(graph);
  return { macs, parameters, filters: plan.groups.flatMap(({ layers }) => layers.map(layer => graph.initializers.get(layer.weight)?.dims[layer.axis] ?? 0)) };
}

const cut = ({ network, classes }: PrunePlan, graph: Graph, removed: ReadonlySet<number>): Network =>
  removed.size === 0 ? network : { ...network, graph: withoutChannels(graph, classes, removed) };

/** Which channels of the values that layers read are left: what a retraining can compare with the whole network's. */
function keptOf({ network: { graph }, classes }: PrunePlan, removed: ReadonlySet<number>): KeptChannels {
  const kept: KeptChannels = {};
  for (const { node } of readersOf(graph)) {
    const value = node.inputs[0] as string;
    const of = classes.dimsOf(value)[1] ?? 0;
    kept[value] = { of, kept: Array.from({ length: of }, (_, channel) => channel).filter(channel => !removed.has(classes.classOf(value, 1, channel))) };
  }
  return kept;
}

/** Prunes by TLT's rules and reports each layer before and after. Shapes of the network's inputs and outputs never change. */
export function prune(network: Network, settings: PruneSettings, statistics?: ActivationStatistics): { readonly network: Network; readonly report: PruneReport } {
  const plan = planPrune(network, settings, statistics);
  const pruned = pruneAt(plan, settings.threshold);
  return { network: pruned, report: reportOf(plan, pruned, settings) };
}

function withoutChannels(graph: Graph, classes: ChannelClasses, removed: ReadonlySet<number>, slice: typeof sliceTensor = sliceTensor): Graph {
  const livingOn = (value: string): (readonly number[] | undefined)[] =>
    classes.dimsOf(value).map((dim, axis) => {
      const living = Array.from({ length: dim }, (_, index) => index).filter(index => !removed.has(classes.classOf(value, axis, index)));
      return living.length === dim ? undefined : living;
    });
  const initializers = new Map<string, Tensor>();
  for (const [name, tensor] of graph.initializers) initializers.set(name, slice(tensor, livingOn(name)));
  const nodes = graph.nodes.map(node => resized(graph, node, initializers, livingOn));
  // Ranges that QAT learnt were the whole network's.
  return withoutRanges({ ...graph, nodes, initializers });
}

/** A node after its operands shrank: depthwise groups follow the channels, and a constant Reshape target follows its output. */
function resized(graph: Graph, node: Node, initializers: Map<string, Tensor>, livingOn: (value: string) => (readonly number[] | undefined)[]): Node {
  const group = node.attributes.group;
  if (group?.type === 'int' && group.value > 1) {
    const weight = initializers.get(node.inputs[1] as string);
    const before = graph.initializers.get(node.inputs[1] as string);
    if (weight && before && group.value === before.dims[0] && before.dims[1] === 1) {
      return { ...node, attributes: { ...node.attributes, group: { type: 'int', value: weight.dims[0] as number } } };
    }
  }
  if (node.type === 'Reshape') {
    const target = graph.initializers.get(node.inputs[1] as string);
    const living = livingOn(node.outputs[0] as string);
    if (target && living.some(axis => axis !== undefined)) {
      const data = BigInt64Array.from(target.data as BigInt64Array, (dim, axis) => (living[axis] && dim > 0n ? BigInt(living[axis].length) : dim));
      initializers.set(`${node.inputs[1]}/${node.name}`, { ...target, data });
      return { ...node, inputs: [node.inputs[0] as string, `${node.inputs[1]}/${node.name}`] };
    }
  }
  return node;
}

/** Per layer and in total, before and after. */
export function reportOf(plan: PrunePlan, pruned: Network, settings: PruneSettings): PruneReport {
  const [before, after] = [costOf(plan.network.graph), costOf(pruned.graph)];
  const macs = (cost: typeof before, name: string) => cost.nodes.find(node => node.node === name)?.macs ?? 0;
  const size = (graph: Graph, layer: Layer) => [layer.weight, layer.node.inputs[2]].reduce((sum, name) => sum + (name ? (graph.initializers.get(name)?.data.length ?? 0) : 0), 0);
  const layers = plan.groups
    .flatMap(group => group.layers.map(layer => ({ layer, locked: group.locked })))
    .map(({ layer, locked }): LayerReport => {
      const [old, now] = [plan.network.graph.initializers.get(layer.weight) as Tensor, pruned.graph.initializers.get(layer.weight) as Tensor];
      return {
        layer: layer.node.name,
        type: layer.node.type,
        filtersBefore: old.dims[layer.axis] as number,
        filtersAfter: now.dims[layer.axis] as number,
        macsBefore: macs(before, layer.node.name),
        macsAfter: macs(after, layer.node.name),
        parametersBefore: size(plan.network.graph, layer),
        parametersAfter: size(pruned.graph, layer),
        ...(locked === undefined ? {} : { kept: locked }),
      };
    });
  const order = new Map(plan.network.graph.nodes.map((node, index) => [node.name, index]));
  layers.sort((a, b) => (order.get(a.layer) ?? 0) - (order.get(b.layer) ?? 0));
  return { settings, macsBefore: before.macs, macsAfter: after.macs, parametersBefore: before.parameters, parametersAfter: after.parameters, layers };
}
