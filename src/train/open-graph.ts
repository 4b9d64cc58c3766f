import type { Lowered, LoweringName, StateSlot } from '../compute/lowering.ts';
import { lowerNchwc } from '../compute/lowerings/nchwc.ts';
import { lowerStd } from '../compute/lowerings/std.ts';
import { blockSize } from '../compute/self-test.ts';
import { openSession, type Session, type SessionOptions } from '../compute/session.ts';
import { writeOnnx } from '../formats/onnx.ts';
import type { Graph } from '../graph/ir.ts';

/** The graph as this lowering computes it; `state` tells nchwc which inputs it may store in blocks. */
export async function lower(graph: Graph, lowering: LoweringName, state: readonly StateSlot[] = []): Promise<Lowered> {
  if (lowering === 'std') return lowerStd(graph);
  return lowerNchwc(graph, { block: await blockSize(writeOnnx), state });
}

export interface OpenGraphOptions extends SessionOptions {
  /** none: the graph holds standard operators only. */
  readonly lowering?: LoweringName | 'none';
}
/** Opens a graph in onnxruntime after a lowering. Inputs and outputs keep their names and their plain layout. */
export async function openGraph(graph: Graph, { lowering = 'none', ...options }: OpenGraphOptions = {}): Promise<Session> {
  const lowered = lowering === 'none' ? graph : (await lower(graph, lowering)).graph;
  return openSession(writeOnnx(lowered), options);
}
