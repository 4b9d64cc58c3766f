import { z } from 'zod';
import type { Graph } from './ir.ts';

/** What structured pruning left of a value: how many channels it had, and which of them are still there, in order. */
const keptSchema = z.record(z.string(), z.strictObject({ of: z.int(), kept: z.array(z.int()) }));
export type KeptChannels = z.output<typeof keptSchema>;
const key = 'edgeforge.kept';

/** The graph with the channels that pruning kept in its metadata, by value: its retraining compares them with the whole network's. */
export const withKeptChannels = (graph: Graph, kept: KeptChannels): Graph => ({ ...graph, metadata: { ...graph.metadata, [key]: JSON.stringify(kept) } });

/** Empty where the graph was not pruned, or has been retrained since. */
export function keptChannelsOf({ metadata }: Graph): KeptChannels {
  const text = metadata[key];
  return text === undefined ? {} : keptSchema.parse(JSON.parse(text));
}

export function withoutKeptChannels(graph: Graph): Graph {
  const { [key]: _, ...metadata } = graph.metadata;
  return { ...graph, metadata };
}
