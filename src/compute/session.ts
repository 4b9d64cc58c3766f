import { createRequire } from 'node:module';
import { EdgeError } from '../core/errors.ts';
import { evaluate } from '../graph/evaluate.ts';
import type { F64Tensor, Graph, Tensor } from '../graph/ir.ts';
import { fed, type OrtTensor, openOrt, runOrt, type SessionOptions, tensorOf } from './_onnxruntime.ts';

export type { SessionOptions } from './_onnxruntime.ts';

/** Something that maps named tensors to named tensors: onnxruntime over a model, or the float64 reference over a graph. */
export interface Session {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /**
   * Runs once; `wanted` (default: all) names the outputs to return; `into` holds tensors of the right shape to write some of them to.
   * Throws `shape-mismatch` where a feed is missing or does not fit.
   */
  run(feeds: ReadonlyMap<string, Tensor>, wanted?: readonly string[], into?: ReadonlyMap<string, Tensor>): Promise<ReadonlyMap<string, Tensor>>;
  /** Frees the engine's memory; with `profile` set, writes the profile first. */
  close(): Promise<void>;
}

/** Version of the loaded onnxruntime, e.g. '1.30.0'. */
export const onnxruntimeVersion = (): string => (createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string }).version;

/** Opens ONNX bytes in onnxruntime. Throws `graph-invalid` with onnxruntime's own sentence where it refuses the model, `engine-missing` where its provider does not start. */
export async function openSession(model: Uint8Array, options: SessionOptions = {}): Promise<Session> {
  const session = await openOrt(model, options);
  return {
    inputs: session.inputNames,
    outputs: session.outputNames,
    async run(feeds, wanted = session.outputNames, into) {
      const given = Object.fromEntries(session.inputNames.map(name => [name, fed(name, feeds.get(name))]));
      const results = await runOrt(session, given, Object.fromEntries(wanted.map(name => [name, into?.has(name) ? fed(name, into.get(name)) : null])));
      return new Map(wanted.map(name => [name, into?.get(name) ?? tensorOf(results[name] as OrtTensor)]));
    },
    async close() {
      if (options.profile !== undefined) session.endProfiling();
      await session.release();
    },
  };
}

const toF64 = (tensor: Tensor): F64Tensor => ({ dims: tensor.dims, data: Float64Array.from(tensor.data as ArrayLike<number | bigint>, Number) });
/** The float64 reference behind the same face: slow, exact, the judge of the others. Outputs are float64 tensors. */
export function openReference(graph: Graph): Session {
  const outputs = graph.outputs.map(output => output.name);
  return {
    inputs: graph.inputs.map(input => input.name),
    outputs,
    async run(feeds, wanted = outputs) {
      const values = evaluate(graph, new Map([...feeds].map(([name, tensor]) => [name, toF64(tensor)])));
      return new Map(
        wanted.map(name => {
          const value = values.get(name);
          if (!value) throw new EdgeError('graph-invalid', `The graph has no value ${name}.`, { hint: 'Ask for one of its outputs.' });
          return [name, { dataType: 'float64', dims: value.dims, data: value.data }];
        }),
      );
    },
    async close() {},
  };
}
