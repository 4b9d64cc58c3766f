import { createRequire } from 'node:module';
import { EdgeError } from '../core/errors.ts';
import { type DataType, sizeOf, type Tensor, type TensorData } from '../graph/ir.ts';

export type Provider = 'cpu' | 'webgpu' | 'cuda';

export interface SessionOptions {
  /** Which of onnxruntime's execution providers; default: cpu. */
  readonly provider?: Provider;
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
export interface OrtTensor {
  readonly type: string;
  readonly dims: readonly number[];
  readonly location: 'cpu' | 'gpu-buffer';
  /** Throws while the tensor lies on a GPU. */
  readonly data: TensorData;
  dispose?(): void;
}
export interface OrtSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: Record<string, OrtTensor>, fetches?: Record<string, OrtTensor | null>): Promise<Record<string, OrtTensor>>;
  release(): Promise<void>;
  endProfiling(): void;
}
export interface Ort {
  readonly InferenceSession: { create(model: Uint8Array, options: object): Promise<OrtSession> };
  readonly Tensor: new (type: string, data: TensorData, dims: readonly number[]) => OrtTensor;
  readonly env: { versions: Record<string, string> };
  listSupportedBackends(): readonly { readonly name: string; readonly bundled: boolean }[];
}

let loaded: Ort | undefined;
/** onnxruntime, loaded at first use so that commands without arithmetic start fast. Throws `engine-missing` where its binary does not load. */
export function onnxruntime(): Ort {
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

/** Opens ONNX bytes; `resident` outputs stay in buffers of the GPU. Throws `graph-invalid` with onnxruntime's own sentence, or `engine-missing` where the provider does not start. */
export async function openOrt(model: Uint8Array, options: SessionOptions, resident: readonly string[] = []): Promise<OrtSession> {
  const { provider = 'cpu' } = options;
  try {
    return await onnxruntime().InferenceSession.create(model, {
      executionProviders: [provider],
      ...(options.threads === undefined ? {} : { intraOpNumThreads: options.threads }),
      interOpNumThreads: 1,
      // A memory pattern is one more block as large as the whole run, beside the arena that the first run left; reusing the arena is no slower.
      enableMemPattern: false,
      executionMode: 'sequential',
      graphOptimizationLevel: options.optimization ?? 'all',
      // A GPU provider warns of every small integer node that it leaves to the processor.
      logSeverityLevel: 3,
      // x64quantprecision: the u8·s8 kernels of x86 without VNNI saturate at 16 bits; the u8·u8 ones that the optimizer then takes do not.
      extra: { session: { x64quantprecision: '1', intra_op: { allow_spinning: options.spinning ? '1' : '0' } } },
      ...(options.profile === undefined ? {} : { enableProfiling: true, profileFilePrefix: options.profile }),
      ...(options.optimizedModel === undefined ? {} : { optimizedModelFilePath: options.optimizedModel }),
      ...(resident.length === 0 ? {} : { preferredOutputLocation: Object.fromEntries(resident.map(name => [name, 'gpu-buffer'])) }),
    });
  } catch (cause) {
    throw refusal(provider, cause as Error);
  }
}

function refusal(provider: Provider, cause: Error): EdgeError {
  const said = cause.message.split('\n')[0] ?? '';
  if (provider !== 'cpu' && /adapter|providers_|CUDA|cudnn|not (supported|available)|backend not found/i.test(said)) {
    return new EdgeError('engine-missing', `onnxruntime's ${provider} provider does not start on this machine: ${said.split(': ').at(-1)}.`, {
      hint: 'What is missing and how to add it says: edgeforge doctor',
      cause,
    });
  }
  return new EdgeError('graph-invalid', `onnxruntime refuses the model: ${cause.message}`, { hint: 'See what the file holds with: edgeforge inspect FILE', cause });
}

/** Runs a session; what it says of a bad feed becomes `shape-mismatch`. */
export async function runOrt(session: OrtSession, feeds: Record<string, OrtTensor>, fetches?: Record<string, OrtTensor | null>): Promise<Record<string, OrtTensor>> {
  try {
    return await (fetches === undefined ? session.run(feeds) : session.run(feeds, fetches));
  } catch (cause) {
    throw new EdgeError('shape-mismatch', `onnxruntime could not run the model: ${(cause as Error).message}`, {
      hint: 'Compare the shapes of the inputs with: edgeforge inspect FILE',
      cause,
    });
  }
}

/** A tensor as onnxruntime takes it, over the same memory. Throws `shape-mismatch` where it is missing or its size is not its shape's. */
export function fed(name: string, tensor: Tensor | undefined): OrtTensor {
  if (tensor === undefined) throw new EdgeError('shape-mismatch', `The input ${name} was not given.`, { hint: 'Feed every input that the session lists.' });
  if (sizeOf(tensor.dims) !== tensor.data.length) {
    throw new EdgeError('shape-mismatch', `The input ${name} says [${tensor.dims.join('×')}] but holds ${tensor.data.length} values.`, {
      hint: 'Give as many values as the shape has.',
    });
  }
  return new (onnxruntime().Tensor)(tensor.dataType, tensor.data, tensor.dims);
}
/** The other way. */
export const tensorOf = (tensor: OrtTensor): Tensor => ({ dataType: tensor.type as DataType, dims: [...tensor.dims], data: tensor.data });
