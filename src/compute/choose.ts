import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { EdgeError } from '../core/errors.ts';
import type { Provider } from './_onnxruntime.ts';
import type { LoweringName } from './lowering.ts';

const names = ['onnxruntime-cpu', 'onnxruntime-webgpu', 'onnxruntime-cuda', 'tfjs'] as const;
/** Where the numbers of a training are made. */
export type ComputeName = (typeof names)[number];
export const computeNames: readonly ComputeName[] = names;
export const computeNameSchema = z.enum(names);
/** What a person may ask for. */
export const computeWishSchema = z.enum(['auto', ...names]);
export type ComputeWish = z.output<typeof computeWishSchema>;

/** How a training runs on each: its onnxruntime provider (tfjs has none), its lowering, and how many steps one call takes. */
export const computeTable: Readonly<Record<ComputeName, { readonly provider?: Provider; readonly lowering: LoweringName | 'auto'; readonly stepsPerCall: number }>> = {
  'onnxruntime-cpu': { provider: 'cpu', lowering: 'auto', stepsPerCall: 1 },
  'onnxruntime-webgpu': { provider: 'webgpu', lowering: 'webgpu', stepsPerCall: 1 },
  // onnxruntime-node binds no CUDA memory: the state crosses the bus once per call, so a call takes several steps.
  'onnxruntime-cuda': { provider: 'cuda', lowering: 'webgpu', stepsPerCall: 8 },
  tfjs: { lowering: 'tfjs', stepsPerCall: 1 },
};

/** The packages that bring tfjs, best first. The last is plain JavaScript: right, and some ten thousand times slower. */
export const tfjsPackages = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node', '@tensorflow/tfjs-backend-cpu'] as const;
export type TfjsPackage = (typeof tfjsPackages)[number];

function found(name: string): string | undefined {
  try {
    return createRequire(import.meta.url).resolve(name);
  } catch {
    return undefined;
  }
}

/** What this machine has for computing, by its files alone: nothing is loaded. */
export interface ComputeFacts {
  /** An NVIDIA driver has made its device files. */
  readonly nvidia: boolean;
  /** onnxruntime's CUDA provider lies beside its binding. */
  readonly cudaProvider: boolean;
  readonly tfjs: TfjsPackage | undefined;
}
export function computeFacts(): ComputeFacts {
  const root = found('onnxruntime-node/package.json');
  const binaries = root === undefined ? undefined : join(dirname(root), 'bin', 'napi-v6', process.platform, process.arch);
  return {
    nvidia: ['/dev/nvidiactl', '/dev/nvidia0', '/dev/dxg'].some(path => existsSync(path)),
    cudaProvider: binaries !== undefined && ['libonnxruntime_providers_cuda.so', 'onnxruntime_providers_cuda.dll'].some(file => existsSync(join(binaries, file))),
    tfjs: tfjsPackages.find(name => found(`${name}/package.json`) !== undefined),
  };
}

/** The commands that add what is missing. */
export const computeMends = {
  /** Where onnxruntime lies, whatever folder one stands in. */
  cuda: `ONNXRUNTIME_NODE_INSTALL=cuda12 node "${join(dirname(found('onnxruntime-node/package.json') ?? 'node_modules/onnxruntime-node/package.json'), 'script', 'install.js')}"`,
  /** The provider links to CUDA 12 and cuDNN 9, which NVIDIA's package sources hold. */
  cudnn: 'sudo apt install cuda-toolkit-12-6 libcudnn9-cuda-12',
  /** NVIDIA's driver brings its own Vulkan; Intel's and AMD's are Mesa's. */
  vulkan: 'sudo apt install libvulkan1 mesa-vulkan-drivers',
  tfjsGpu: 'npm install @tensorflow/tfjs-node-gpu',
  tfjs: 'npm install @tensorflow/tfjs-node',
} as const;

export interface ComputeChoice {
  readonly name: ComputeName;
  /** Why `auto` took it, or that it was asked for. */
  readonly why: string;
}

/**
 * The wish, resolved by rules over facts and never by a race: the same machine must resolve it the same way tomorrow. Throws `engine-missing` where what
 * was asked for is not installed.
 */
export function chooseCompute(wish: ComputeWish, facts: ComputeFacts = computeFacts()): ComputeChoice {
  if (wish === 'auto') return automatic(facts);
  const missing = (what: string, mend: string) =>
    new EdgeError('engine-missing', `compute: ${wish} was asked for, and ${what}.`, { hint: `Add it with: ${mend}; or set compute: onnxruntime-cpu.` });
  if (wish === 'onnxruntime-cuda' && !facts.cudaProvider) throw missing('the CUDA files of onnxruntime are not installed', computeMends.cuda);
  if (wish === 'tfjs' && facts.tfjs === undefined) throw missing('no package of tfjs is installed', facts.nvidia ? computeMends.tfjsGpu : computeMends.tfjs);
  return { name: wish, why: 'it was asked for by name' };
}

function automatic({ nvidia, cudaProvider, tfjs }: ComputeFacts): ComputeChoice {
  if (nvidia && cudaProvider) return { name: 'onnxruntime-cuda', why: 'an NVIDIA GPU is here and the CUDA files of onnxruntime are installed' };
  if (nvidia && tfjs === '@tensorflow/tfjs-node-gpu') return { name: 'tfjs', why: 'an NVIDIA GPU is here and @tensorflow/tfjs-node-gpu is installed' };
  const why = nvidia ? 'an NVIDIA GPU is here, but neither the CUDA files of onnxruntime nor @tensorflow/tfjs-node-gpu are installed' : 'no NVIDIA GPU is visible';
  return { name: 'onnxruntime-cpu', why: `${why}; WebGPU is only taken by name, since no hardware GPU has been measured with it yet` };
}

/** What a person should know of a choice before trusting its numbers. */
export function computeCaution(name: ComputeName, { tfjs }: ComputeFacts = computeFacts()): string | undefined {
  if (name === 'onnxruntime-cuda')
    return 'onnxruntime-cuda is unverified: it follows the documentation and no GPU has run it yet. Compare its first epochs with compute: onnxruntime-cpu.';
  if (name === 'onnxruntime-webgpu') return 'onnxruntime-webgpu is verified on a software renderer only; its speed on a GPU is unknown.';
  if (name !== 'tfjs') return undefined;
  return tfjs === '@tensorflow/tfjs-backend-cpu'
    ? `tfjs computes in plain JavaScript here, some ten thousand times slower than onnxruntime-cpu. A real backend: ${computeMends.tfjs}`
    : `tfjs on ${tfjs} is unverified: only its JavaScript backend has run this graph so far.`;
}
