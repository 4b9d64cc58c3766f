import { z } from 'zod';
import { EdgeError } from '../core/errors.ts';
import type { Graph } from './ir.ts';

/** How a pixel becomes a network input: x = (pixel − offset[channel]) · scale, pixel in 0..255, channels in `order`, planes first (NCHW). Sizes come from the graph's input. */
export const preprocessSchema = z.strictObject({
  scale: z.number().positive(),
  offset: z.tuple([z.number(), z.number(), z.number()]).default([0, 0, 0]),
  order: z.enum(['rgb', 'bgr', 'gray']).default('rgb'),
  /** stretch: both sides scaled independently; letterbox: aspect kept, top-left anchored, rest filled with `offset`(zero after preprocessing). */
  resize: z.enum(['stretch', 'letterbox']).default('stretch'),
});
export type Preprocess = z.infer<typeof preprocessSchema>;

/** What a network means. It travels with the graph as ONNX metadata, into cache, configs and device. */
export const networkInfoSchema = z.strictObject({
  task: z.enum(['detectnet_v2', 'classification']),
  architecture: z.string(),
  labels: z.array(z.string()),
  input: z.string(),
  outputs: z.array(z.string()),
  preprocess: preprocessSchema,
});
export type NetworkInfo = z.infer<typeof networkInfoSchema>;

const key = 'edgeforge';
/** The graph with `info` in its metadata. */
export const withNetworkInfo = (graph: Graph, info: NetworkInfo): Graph => ({ ...graph, metadata: { ...graph.metadata, [key]: JSON.stringify(networkInfoSchema.parse(info)) } });
/** What the graph says of itself, or undefined where it was not made here. Throws `graph-invalid` where the metadata is broken. */
export function networkInfoOf(graph: Graph): NetworkInfo | undefined {
  const text = graph.metadata[key];
  if (text === undefined) return undefined;
  try {
    return networkInfoSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new EdgeError('graph-invalid', `The metadata "${key}" of the graph "${graph.name}" is not readable.`, { hint: 'Export the network again with: edgeforge export', cause });
  }
}

/** Width, height and channels of a network's image input, in pixels. Throws `graph-invalid` where it has none of fixed size. */
export function sizeOfInput(graph: Graph): readonly [width: number, height: number, channels: number] {
  const [, channels, height, width] = graph.inputs[0]?.type.dims ?? [];
  if (typeof width !== 'number' || typeof height !== 'number' || typeof channels !== 'number') {
    throw new EdgeError('graph-invalid', `The graph "${graph.name}" has no image input [N, channels, height, width] of fixed size.`, {
      hint: 'See what it has with: edgeforge inspect FILE',
    });
  }
  return [width, height, channels];
}
