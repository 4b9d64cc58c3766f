import { type ComputeName, computeTable } from '../compute/choose.ts';
import type { Lowered, LoweringName, StateSlot } from '../compute/lowering.ts';
import { loopSteps } from '../compute/lowerings/loop.ts';
import { lowerNchwc } from '../compute/lowerings/nchwc.ts';
import { lowerStd } from '../compute/lowerings/std.ts';
import { lowerWebgpu } from '../compute/lowerings/webgpu.ts';
import { blockSize, distanceFromStd } from '../compute/self-test.ts';
import { openSession, type Session, type SessionOptions } from '../compute/session.ts';
import { openStateful, openStatefulThread, type StatefulSession, stateReader } from '../compute/stateful-session.ts';
import { openTfjs } from '../compute/tfjs/session.ts';
import { EdgeError } from '../core/errors.ts';
import { writeOnnx } from '../formats/onnx.ts';
import type { Graph, Tensor } from '../graph/ir.ts';

/** The graph as this lowering computes it; `state` tells nchwc which inputs it may store in blocks. */
export async function lower(graph: Graph, lowering: LoweringName, state: readonly StateSlot[] = []): Promise<Lowered> {
  if (lowering === 'std') return lowerStd(graph);
  if (lowering === 'webgpu') return lowerWebgpu(graph);
  // tfjs has kernels for the internal operators themselves.
  if (lowering === 'tfjs') return { graph, layouts: new Map() };
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

/** Opens a lowered training step where it is to run, holding no state yet. */
export async function openStep(
  { graph }: Lowered,
  state: readonly StateSlot[],
  options: Pick<SessionOptions, 'threads' | 'spinning' | 'profile'> & { readonly compute: ComputeName; readonly stepsPerCall: number; readonly thread?: boolean },
): Promise<StatefulSession> {
  const { compute, stepsPerCall, thread } = options;
  // In this thread: tfjs' native binding is not known to load in a second one.
  if (compute === 'tfjs') return openTfjs(graph, { state });
  const { provider = 'cpu' } = computeTable[compute];
  const looped = stepsPerCall > 1;
  const resident = provider === 'webgpu' && !looped;
  const open = thread ? openStatefulThread : openStateful;
  return open(writeOnnx(looped ? loopSteps(graph, state) : graph), {
    state,
    provider,
    looped,
    ...(resident ? { reader: writeOnnx(stateReader(graph, state)) } : {}),
    ...(options.threads === undefined ? {} : { threads: options.threads }),
    ...(options.spinning === undefined ? {} : { spinning: options.spinning }),
    ...(options.profile === undefined ? {} : { profile: options.profile }),
  });
}

/** How far the gradients of a small graph lie from the CPU's there (relative L2): the self-test of everything that is no CPU of onnxruntime. Throws `engine-missing` where it does not run. */
export const computeDistance = (compute: ComputeName): Promise<number> =>
  distanceFromStd(writeOnnx, async (graph, feeds) => {
    const { lowering, provider = 'cpu' } = computeTable[compute];
    if (compute === 'tfjs') return runOnce(await openTfjs(graph, { state: [] }), feeds);
    const session = await openGraph(graph, { lowering: lowering === 'auto' ? 'std' : lowering, provider });
    return runOnce(session, feeds);
  });
async function runOnce(session: Pick<Session, 'run' | 'close'>, feeds: ReadonlyMap<string, Tensor>): Promise<ReadonlyMap<string, Tensor>> {
  try {
    return await session.run(feeds);
  } finally {
    await session.close();
  }
}
const trusted = new Map<ComputeName, Promise<number>>();
/** Checks a compute once per process before anything trains on it. Throws `engine-missing` with the distance where its numbers are not the CPU's. */
export async function trustCompute(compute: ComputeName): Promise<void> {
  const test = trusted.get(compute) ?? computeDistance(compute);
  trusted.set(compute, test);
  const distance = await test;
  if (distance < 1e-3) return;
  throw new EdgeError('engine-missing', `${compute} computes wrongly here: the gradients of a small network lie ${distance.toExponential(1)} from the CPU's.`, {
    hint: 'Set compute: onnxruntime-cpu, and update the driver of the GPU.',
  });
}
