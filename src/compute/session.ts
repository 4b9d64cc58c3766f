import { createRequire } from 'node:module';
import { EdgeError } from '../core/errors.ts';
import { evaluate } from '../graph/evaluate.ts';
import { type DataType, type F64Tensor, type Graph, sizeOf, type Tensor, type TensorData } from '../graph/ir.ts';

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

export interface SessionOptions {
  /** Threads inside one operator; default: one per core. */
  readonly threads?: number;
  /** Busy-waiting worker threads: a few percent faster alone on a machine, harmful beside other work. Off by default. */
  readonly spinning?: boolean;
  readonly optimization?: 'disabled' | 'basic' | 'extended' | 'all';
  /** Prefix of the JSON profile that `close` writes. */
  readonly profile?: string;
  /** Writes the graph that onnxruntime really runs to this file. */
  readonly optimizedModel?: string;
}

/** onnxruntime's own types, as far as we use them: its .d.ts is ahead of and behind its binding in places. */
interface OrtTensor {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: TensorData;
  dispose?(): void;
}
interface OrtSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: Record<string, OrtTensor>, fetches: Record<string, OrtTensor | null>): Promise<Record<string, OrtTensor>>;
  release(): Promise<void>;
  endProfiling(): void;
}
interface Ort {
  readonly InferenceSession: { create(model: Uint8Array, options: object): Promise<OrtSession> };
  readonly Tensor: new (type: string, data: TensorData, dims: readonly number[]) => OrtTensor;
  readonly env: { versions: Record<string, string> };
}

let loaded: Ort | undefined;
/** onnxruntime, loaded at first use so that commands without arithmetic start fast. Throws `engine-missing` where its binary does not load. */
function onnxruntime(): Ort {
  if (loaded) return loaded;
  process.env.ORT_DISABLE_TELEMETRY = '1';
  try {
    loaded = createRequire(import.meta.url)('onnxruntime-node') as Ort;
  } catch (cause) {
    throw new EdgeError('engine-missing', `onnxruntime does not load on this machine: ${(cause as Error).message.split('\n')[0]}`, {
      hint: 'Install the dependencies again with: npm ci',
      cause,
    });
  }
  return loaded;
}
/** Version of the loaded onnxruntime, e.g. '1.30.0'. */
export const onnxruntimeVersion = (): string => (createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string }).version;

/** Opens ONNX bytes in onnxruntime on the CPU. Throws `graph-invalid` with onnxruntime's own sentence where it refuses the model. */
export async function openSession(model: Uint8Array, options: SessionOptions = {}): Promise<Session> {
  const ort = onnxruntime();
  let session: OrtSession;
  try {
    session = await ort.InferenceSession.create(model, {
      executionProviders: ['cpu'],
      ...(options.threads === undefined ? {} : { intraOpNumThreads: options.threads }),
      interOpNumThreads: 1,
      // A memory pattern is one more block as large as the whole run, beside the arena that the first run left; reusing the arena is no slower.
      enableMemPattern: false,
      executionMode: 'sequential',
      graphOptimizationLevel: options.optimization ?? 'all',
      logSeverityLevel: 3,
      // x64quantprecision: the u8·s8 kernels of x86 without VNNI saturate at 16 bits; the u8·u8 ones that the optimizer then takes do not.
      extra: { session: { x64quantprecision: '1', intra_op: { allow_spinning: options.spinning ? '1' : '0' } } },
      ...(options.profile === undefined ? {} : { enableProfiling: true, profileFilePrefix: options.profile }),
      ...(options.optimizedModel === undefined ? {} : { optimizedModelFilePath: options.optimizedModel }),
    });
  } catch (cause) {
    throw new EdgeError('graph-invalid', `onnxruntime refuses the model: ${(cause as Error).message}`, { hint: 'See what the file holds with: edgeforge inspect FILE', cause });
  }
  return wrap(ort, session, options.profile !== undefined);
}

function wrap(ort: Ort, session: OrtSession, profiled: boolean): Session {
  return {
    inputs: session.inputNames,
    outputs: session.outputNames,
    async run(feeds, wanted = session.outputNames, into) {
      const given: Record<string, OrtTensor> = {};
      for (const name of session.inputNames) given[name] = fed(ort, name, feeds.get(name));
      let results: Record<string, OrtTensor>;
      try {
        results = await session.run(given, Object.fromEntries(wanted.map(name => [name, into?.has(name) ? fed(ort, name, into.get(name)) : null])));
      } catch (cause) {
        throw new EdgeError('shape-mismatch', `onnxruntime could not run the model: ${(cause as Error).message}`, {
          hint: 'Compare the shapes of the inputs with: edgeforge inspect FILE',
          cause,
        });
      }
      return new Map(wanted.map(name => [name, into?.get(name) ?? tensorOf(results[name] as OrtTensor)]));
    },
    async close() {
      if (profiled) session.endProfiling();
      await session.release();
    },
  };
}

function fed(ort: Ort, name: string, tensor: Tensor | undefined): OrtTensor {
  if (tensor === undefined) throw new EdgeError('shape-mismatch', `The input ${name} was not given.`, { hint: 'Feed every input that the session lists.' });
  if (sizeOf(tensor.dims) !== tensor.data.length) {
    throw new EdgeError('shape-mismatch', `The input ${name} says [${tensor.dims.join('×')}] but holds ${tensor.data.length} values.`, {
      hint: 'Give as many values as the shape has.',
    });
  }
  return new ort.Tensor(tensor.dataType, tensor.data, tensor.dims);
}
const tensorOf = (tensor: OrtTensor): Tensor => ({ dataType: tensor.type as DataType, dims: [...tensor.dims], data: tensor.data });

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
