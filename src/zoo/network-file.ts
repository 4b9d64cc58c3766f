import type { z } from 'zod';
import { EdgeError } from '../core/errors.ts';
import type { Graph } from '../graph/ir.ts';
import { networkInfoOf } from '../graph/network-info.ts';
import type { Network } from '../tasks/task.ts';
import { freezeSchema, learningOf } from './freeze.ts';

/** A stored graph (trained, pruned, exported) as a network that can train again, `load_graph` in TLT: what learns is worked out anew under `freeze`. Throws `graph-invalid` without our metadata. */
export function networkOf(graph: Graph, freeze: z.input<typeof freezeSchema> = {}): Network {
  const info = networkInfoOf(graph);
  if (info === undefined)
    throw new EdgeError('graph-invalid', `The graph "${graph.name}" does not say what it is: it was not made by edgeforge.`, {
      hint: 'Use it as a backbone instead: model: {onnx: FILE, preprocess: {scale: …, offset: […], order: rgb}}.',
    });
  return { graph, info, ...learningOf(graph, freezeSchema.parse(freeze)) };
}

/** Cells of a detector's output [height, width], or undefined for other tasks. */
export function gridOf({ graph, info }: Network): readonly [height: number, width: number] | undefined {
  if (info.task !== 'detectnet_v2') return undefined;
  const dims = graph.outputs.find(output => output.name.includes('cov'))?.type.dims;
  const [, , height, width] = dims ?? [];
  return typeof height === 'number' && typeof width === 'number' ? [height, width] : undefined;
}

/** The learning weights that belong to the head: new ones, which a fine-tuning may move faster than a pretrained backbone. */
export const headWeights = ({ trainable }: Pick<Network, 'trainable'>): readonly string[] => trainable.filter(name => /^(?:output_bbox|output_cov|predictions)\//.test(name));
