import type { Precision } from '../core/evidence.ts';
import { tensorrtOfText } from '../formats/tensorrt-version.ts';
import type { Graph } from '../graph/ir.ts';
import { builderMB } from './build-forecast.ts';
import type { Device } from './open-device.ts';

/** One way to run a model on a device: what stands against it, what it costs, and the mend. */
export interface ModelFit {
  readonly precision: Precision;
  /** 'GPU', 'CPU' or 'DLA 0'. */
  readonly on: string;
  readonly state: 'possible' | 'note' | 'blocked';
  readonly because: string;
  readonly mend?: string;
}

/** Operators and the first TensorRT whose parser takes them without a plugin of one's own; from its change log and operator tables. */
const newcomers: Readonly<Record<string, readonly [major: number, minor: number]>> = {
  QuantizeLinear: [8, 0],
  DequantizeLinear: [8, 0],
  ScatterND: [8, 0],
  Einsum: [8, 2],
  GatherND: [8, 2],
  ScatterElements: [8, 2],
  Round: [8, 2],
  Sign: [8, 2],
  IsNaN: [8, 2],
  If: [8, 2],
  NonMaxSuppression: [8, 5],
  GridSample: [8, 5],
  OneHot: [8, 5],
  NonZero: [8, 5],
  RoiAlign: [8, 5],
  LayerNormalization: [8, 6],
  Attention: [10, 14],
};
/** What a DLA computes itself, by the restrictions of NVIDIA's documentation; everything else falls back to the GPU. */
const onDla = new Set([
  'Conv',
  'ConvTranspose',
  'MaxPool',
  'AveragePool',
  'Relu',
  'Sigmoid',
  'Tanh',
  'Clip',
  'LeakyRelu',
  'Add',
  'Mul',
  'Sub',
  'Max',
  'Min',
  'Concat',
  'BatchNormalization',
  'Gemm',
]);
const silent = new Set(['Constant', 'Identity', 'Flatten', 'Reshape', 'QuantizeLinear', 'DequantizeLinear']);

const quantized = (graph: Graph): boolean => graph.nodes.some(({ type }) => type === 'QuantizeLinear');
const bytesOf = (graph: Graph): number => [...graph.initializers.values()].reduce((sum, { data }) => sum + ('byteLength' in data ? data.byteLength : 0), 0);

/** Operators of the graph that this TensorRT does not know. */
function unknownTo(graph: Graph, tensorrt: string): readonly string[] {
  const version = tensorrtOfText(tensorrt);
  const old = ([major, minor]: readonly [number, number]): boolean => version !== undefined && (version.major < major || (version.major === major && version.minor < minor));
  return [...new Set(graph.nodes.map(({ type }) => type))].filter(type => Object.hasOwn(newcomers, type) && old(newcomers[type]!));
}

/** Model × precision × processor on a device, before anything is uploaded. Judged by its operators, its weights and the device's facts; only a build proves it. */
export function modelFits(graph: Graph, device: Device): readonly ModelFit[] {
  const { target, runtime } = device;
  const main = runtime.name === 'tensorrt' ? 'GPU' : 'CPU';
  const places: readonly (number | undefined)[] = [undefined, ...(runtime.name === 'tensorrt' ? Array.from({ length: target.abilities.dla }, (_, core) => core) : [])];
  return (['fp32', 'fp16', 'int8'] as const).flatMap(precision =>
    places
      .filter(core => core === undefined || precision !== 'fp32')
      .map(core => ({ precision, on: core === undefined ? main : `DLA ${core}`, ...fitOf(graph, device, precision, core) })),
  );
}

function fitOf(graph: Graph, { facts, runtime, target }: Device, precision: Precision, core: number | undefined): Omit<ModelFit, 'precision' | 'on'> {
  const refusal = runtime.refuse({ precision, batch: 1, calibration: true, ...(core === undefined ? {} : { dlaCore: core }) }, facts);
  if (refusal) return { state: 'blocked', because: refusal.message, mend: refusal.hint };
  if (runtime.name !== 'tensorrt' || facts.tensorrt === undefined) return { state: 'possible', because: runtime.version(facts) };
  const unknown = unknownTo(graph, facts.tensorrt);
  if (unknown.length > 0)
    return {
      state: 'blocked',
      because: `TensorRT ${facts.tensorrt} does not know ${unknown.join(', ')}`,
      mend: 'Export the network without it (raw maps, decoded by the host), or use a device with a newer TensorRT.',
    };
  const version = tensorrtOfText(facts.tensorrt);
  if (core !== undefined && quantized(graph) && version && version.major < 9)
    return {
      state: 'blocked',
      because: `a DLA under TensorRT ${facts.tensorrt} takes a calibration cache, not Q/DQ nodes`,
      mend: 'Deploy the float network with its cache: edgeforge export --precision int8',
    };
  const needMB = Math.ceil(builderMB(facts.tensorrt) + (4 * bytesOf(graph)) / 2 ** 20 + (target.defaults.workspaceMiB ?? 1024));
  const haveMB = (facts.availableMB ?? facts.memoryMB) + (facts.swapFreeMB ?? 0);
  if (needMB > haveMB)
    return {
      state: 'blocked',
      because: `building takes about ${needMB} MiB; ${haveMB} MiB are free, swap included`,
      mend: 'Free memory or add swap: edgeforge doctor <device> says how.',
    };
  if (core !== undefined) return dlaShare(graph);
  if (precision === 'int8' && !quantized(graph)) return { state: 'possible', because: 'with a calibration cache of this very model' };
  return { state: 'possible', because: `about ${needMB} MiB to build, ${haveMB} MiB free` };
}

/** How much of a network a DLA takes; each piece that falls back costs a hop to the GPU and back. */
function dlaShare(graph: Graph): Omit<ModelFit, 'precision' | 'on'> {
  const work = graph.nodes.filter(({ type }) => !silent.has(type));
  const fallbacks = [...new Set(work.filter(({ type }) => !onDla.has(type)).map(({ type }) => type))];
  const taken = work.filter(({ type }) => onDla.has(type)).length;
  if (fallbacks.length === 0) return { state: 'possible', because: `all ${work.length} operators are of kinds that a DLA computes` };
  return { state: 'note', because: `${taken} of ${work.length} operators are of kinds that a DLA computes; ${fallbacks.join(', ')} would run on the GPU` };
}
