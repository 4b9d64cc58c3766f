import type { Digest } from '../core/fingerprint.ts';
import type { AppSettings } from '../deploy/definition.ts';
import type { Passport } from '../deploy/device.ts';
import type { ReleaseContent, ReleaseFile } from '../deploy/release-manifest.ts';
import { deepstreamAppText } from '../formats/deepstream-app.ts';
import { type DeepstreamVersion, deepstreamVersionOf } from '../formats/deepstream-version.ts';
import { engineName } from '../formats/nvinfer.ts';
import type { Report } from '../formats/report.ts';
import type { Graph } from '../graph/ir.ts';
import { networkInfoOf, sizeOfInput } from '../graph/network-info.ts';
import { appFile, deepstreamFiles, defaultThreshold, nvinferFile } from './deepstream-files.ts';

/** One engine of a release and what it was built from. */
export interface ReleasedEngine {
  readonly precision: Passport['precision'];
  readonly batch: number;
  /** The model holds Q/DQ pairs. */
  readonly quantized: boolean;
  /** The pushed model and cache, where nvinfer could build from them again. */
  readonly model: { readonly digest: Digest; readonly bytes: number };
  readonly calibration?: { readonly digest: Digest; readonly bytes: number };
}
interface Release {
  readonly name: string;
  readonly graph: Graph;
  readonly runtime: 'tensorrt' | 'onnxruntime';
  readonly deepstream: DeepstreamVersion;
  readonly engines: readonly ReleasedEngine[];
}

/** The DeepStream whose configs a device gets: its own where it has one, else the project's. */
export const deepstreamFor = (own: string | undefined, project: DeepstreamVersion): DeepstreamVersion => (own === undefined ? project : deepstreamVersionOf(own));

const suffixOf = (engine: Pick<ReleasedEngine, 'precision' | 'batch'>, engines: readonly ReleasedEngine[]): string =>
  new Set(engines.map(({ batch }) => batch)).size > 1 ? `${engine.precision}_b${engine.batch}` : engine.precision;
const modelFile = (name: string, { precision, quantized }: ReleasedEngine): string => `${name}${precision === 'int8' ? (quantized ? '.qdq' : '.int8') : ''}.onnx`;

/** The engine's name in a release: for TensorRT the one under which nvinfer looks for it beside the model. */
export const engineFile = (name: string, engine: ReleasedEngine, runtime: Release['runtime']): string =>
  runtime === 'tensorrt' ? engineName(modelFile(name, engine), engine) : `${name}_b${engine.batch}_${engine.precision}.onnx`;

/** The files of a release but its engines: models and caches by link, labels and DeepStream configs as texts where the device's runtime is TensorRT and the network is one of ours. */
export function releaseFiles({ name, graph, runtime, deepstream, engines }: Release): readonly ReleaseFile[] {
  const info = networkInfoOf(graph);
  if (info === undefined) return [];
  const [width, height, channels] = sizeOfInput(graph);
  const network = { info, input: [channels, height, width] as const, deepstream, threshold: defaultThreshold };
  if (runtime !== 'tensorrt') return deepstreamFiles(network, []);
  const links = new Map<string, ReleaseFile>();
  const link = (file: string, { digest, bytes }: { readonly digest: Digest; readonly bytes: number }) => links.set(file, { file, at: `store/${digest}`, digest, bytes });
  const configs = engines.map(engine => {
    // Before 9.0 nvinfer would turn Q/DQ into FP16 in silence: it gets the engine alone.
    const onnx = engine.quantized ? undefined : modelFile(name, engine);
    if (onnx !== undefined) link(onnx, engine.model);
    if (engine.calibration) link(`${name}.cal`, engine.calibration);
    return {
      suffix: suffixOf(engine, engines),
      precision: engine.precision,
      batch: engine.batch,
      quantized: engine.quantized,
      engine: engineFile(name, engine, runtime),
      ...(onnx === undefined ? {} : { onnx }),
      ...(engine.calibration ? { calibration: `${name}.cal` } : {}),
    };
  });
  return [...deepstreamFiles(network, configs), ...links.values()];
}

/** Precisions from the most exact on. */
const exactness = ['fp32', 'fp16', 'int8'] as const;
/** Rates that lie no further apart are taken as equal: a release must not change with a measurement's noise. */
const alike = 0.97;

/** What the application of a release runs: of the engines that the gate did not fail the one with the most images per second, of like ones the most exact; where it failed all, the first. */
export function chosenEngine(report: Pick<Report, 'results'>, engines: readonly ReleasedEngine[]): ReleasedEngine {
  const rated = engines.flatMap(engine => {
    const row = report.results.find(row => row.precision === engine.precision && row.batch === engine.batch);
    return row === undefined || row.gate === 'fail' ? [] : [{ engine, rate: row.throughput.value }];
  });
  const most = Math.max(...rated.map(({ rate }) => rate));
  const best = rated.filter(({ rate }) => rate >= alike * most).sort((a, b) => exactness.indexOf(a.engine.precision) - exactness.indexOf(b.engine.precision));
  return best[0]?.engine ?? (engines[0] as ReleasedEngine);
}

/** The gate's word on all rows together: one that fails, fails them all; one that is not judged leaves them unjudged. */
export const gateOf = ({ results }: Pick<Report, 'results'>): ReleaseContent['gate'] =>
  (['fail', 'unjudged'] as const).find(verdict => results.some(({ gate }) => gate === verdict)) ?? 'pass';

/** The text that deepstream-app starts with to run this engine: over the sources of the device's definition, else as a benchmark over the sample film; undefined where the release has no configs. */
export function appTextOf(
  engine: ReleasedEngine,
  { engines, files, deepstream, app }: Pick<Release, 'engines' | 'deepstream'> & { readonly files: readonly ReleaseFile[]; readonly app?: AppSettings | undefined },
): string | undefined {
  const suffix = suffixOf(engine, engines);
  const found = files.find(({ file }) => file === appFile(suffix));
  if (!found || !('text' in found)) return undefined;
  if (!app) return found.text;
  const { sources, sink, width, height, tracker } = app;
  return deepstreamAppText({ deepstream, sources, primary: { config: nvinferFile(suffix) }, frame: { width, height }, sink, tracker });
}
