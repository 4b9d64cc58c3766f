import { readFile, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { EdgeError } from '../core/errors.ts';
import type { Digest } from '../core/fingerprint.ts';
import type { EngineSpec } from '../deploy/device.ts';
import { formatCalibrationCache, parseCalibrationCache, withHeader } from '../formats/calibration-cache.ts';
import type { Graph } from '../graph/ir.ts';

/** What of a device enters fingerprints: two equal boards are two devices, temperature and load are not identity. */
export const identitySchema = z.strictObject({
  device: z.string(),
  /** How it is reached now: not identity. */
  name: z.string(),
  machine: z.string().optional(),
  sm: z.string().optional(),
  l4t: z.string().optional(),
  runtime: z.string(),
});
export type DeviceIdentity = z.infer<typeof identitySchema>;

/** How long is measured. */
export const protocolSchema = z.strictObject({
  warmUpMs: z.number(),
  durationMs: z.number(),
  minIterations: z.number(),
  rounds: z.number(),
  threads: z.number(),
  steadyMs: z.number().optional(),
  powerMode: z.string().optional(),
  gpuMHz: z.number().optional(),
});
/** What of it decides outputs: not how it is reached now. */
export const deviceIdentity = ({ name: _, machine: __, ...identity }: DeviceIdentity) => identity;
/** One thing at a time on a device; and nothing is measured while this machine trains, where the device is this machine. */
export const resourcesOf = ({ device, machine }: DeviceIdentity): string[] => [`device:${device}`, ...(machine === undefined ? [] : [machine])];

/** Which engine a build step makes. */
export const buildConfigSchema = z.strictObject({
  identity: identitySchema,
  precision: z.enum(['fp32', 'fp16', 'int8']),
  batch: z.int().positive(),
  threads: z.int().positive(),
  engine: z.string(),
  workspaceMiB: z.int().positive().optional(),
  /** Several builds, of which the median by this protocol is kept. */
  builds: z.strictObject({ count: z.int().min(2), protocol: protocolSchema }).optional(),
});
export type BuildConfig = z.output<typeof buildConfigSchema>;

/** What to build on the device, from a model that lies in its store under its digest. */
export const engineSpec = (
  config: BuildConfig,
  graph: Graph,
  { model, calibration }: { readonly model: Digest; readonly calibration?: EngineSpec['calibration'] },
): EngineSpec => ({
  model: `store/${model}`,
  modelDigest: model,
  precision: config.precision,
  batch: config.batch,
  inputs: Object.fromEntries(graph.inputs.map(input => [input.name, input.type.dims.map((dim, axis) => (axis === 0 ? config.batch : Number(dim)))])),
  // By its model too: other projects, and this one's other settings, keep their engines beside it.
  engine: `engines/${config.engine}-${model.slice(0, 12)}`,
  threads: config.threads,
  ...(config.workspaceMiB === undefined ? {} : { workspaceMiB: config.workspaceMiB }),
  ...(calibration ? { calibration } : {}),
  ...(isQuantized(graph) ? { quantized: true } : {}),
});

/** Which engine a device's converter makes of an .etlt. */
export const convertConfigSchema = z.strictObject({
  identity: identitySchema,
  /** Where the converter lies there; another one may make another engine. */
  tool: z.string(),
  model: z.strictObject({ path: z.string(), content: z.string() }),
  keyFile: z.string().optional(),
  keyDigest: z.string().optional(),
  calibration: z.strictObject({ path: z.string(), content: z.string() }).optional(),
  sealed: z.strictObject({ payload: z.enum(['onnx', 'uff']), input: z.string(), dims: z.array(z.int().positive()), outputs: z.array(z.string()), open: z.boolean() }),
  precision: z.enum(['fp32', 'fp16', 'int8']),
  batch: z.int().positive(),
  engine: z.string(),
  workspaceMiB: z.int().positive().optional(),
});
export type ConvertConfig = z.output<typeof convertConfigSchema>;

/** What the converter is to build, from an .etlt that lies in the device's store under its digest. */
export const convertedSpec = ({ sealed, precision, batch, engine, workspaceMiB }: ConvertConfig, model: Digest, calibration?: EngineSpec['calibration']): EngineSpec => ({
  model: `store/${model}`,
  modelDigest: model,
  precision,
  batch,
  inputs: { [sealed.input]: [batch, ...sealed.dims] },
  engine: `engines/${engine}-${model.slice(0, 12)}`,
  threads: 1,
  ...(workspaceMiB === undefined ? {} : { workspaceMiB }),
  ...(calibration ? { calibration } : {}),
  etlt: { payload: sealed.payload, outputs: sealed.outputs, open: sealed.open },
});

/** The cache that came with an .etlt, under the header of the device's own TensorRT. Whether its tensors are the network's only the converter can see. */
export async function givenCacheForDevice(cache: string, copy: string, tensorrt: string | undefined): Promise<string> {
  if (tensorrt === undefined) return cache;
  await writeFile(copy, formatCalibrationCache(withHeader(parseCalibrationCache(await readFile(cache, 'utf8')), tensorrt)));
  return copy;
}

/** Whether the graph carries its INT8 ranges as Q/DQ pairs. */
export const isQuantized = (graph: Graph): boolean => graph.nodes.some(node => node.type === 'QuantizeLinear');

/** The cache, seen to be this network's, under the header of the device's own TensorRT and of the calibrator that trtexec has, without which TensorRT rejects it. */
export async function cacheForDevice(cache: string, copy: string, tensorrt: string | undefined, graph: Graph): Promise<string> {
  const parsed = parseCalibrationCache(await readFile(cache, 'utf8'));
  const known = new Set(parsed.entries.map(entry => entry.name));
  const tensors = [...graph.inputs.map(({ name }) => name), ...graph.nodes.flatMap(({ outputs }) => outputs)];
  const covered = tensors.filter(name => known.has(name)).length;
  if (covered < 2 || !graph.inputs.some(({ name }) => known.has(name)))
    throw new EdgeError('calibration-invalid', `The calibration cache names ${covered} of the ${tensors.length} tensors of this network: it belongs to another one.`, {
      hint: 'Calibrate this very network: edgeforge run calibrate',
    });
  return givenCacheForDevice(cache, copy, tensorrt);
}
