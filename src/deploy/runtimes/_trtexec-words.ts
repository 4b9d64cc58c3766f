import { EdgeError } from '../../core/errors.ts';
import { type TensorrtVersion, tensorrtOfText } from '../../formats/tensorrt-version.ts';
import type { Command, EngineSpec, Facts, Passport } from '../device.ts';
import { converterWords, loadWords } from './_converter.ts';

const atLeast = ({ major, minor }: TensorrtVersion, wantedMajor: number, wantedMinor: number): boolean => major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);

/** TensorRT as the facts say it. Throws `engine-missing` where there is none. */
export function tensorrtVersion(facts: Facts): TensorrtVersion {
  const version = facts.tensorrt === undefined ? undefined : tensorrtOfText(facts.tensorrt);
  if (!version)
    throw new EdgeError('engine-missing', 'The device has no TensorRT that we could find.', {
      hint: 'On a Jetson: sudo apt install nvidia-jetpack. Or set runtime: onnxruntime for this device.',
    });
  return version;
}
const program = (facts: Facts): string => facts.trtexec ?? '/usr/src/tensorrt/bin/trtexec';

/** `name:1x3x544x960,other:…`; names with reserved characters in quotes of trtexec's own. */
export const shapesText = (inputs: Readonly<Record<string, readonly number[]>>): string =>
  Object.entries(inputs)
    .map(([name, shape]) => `${/[:,']/.test(name) ? `'${name}'` : name}:${shape.join('x')}`)
    .join(',');

/** How the workspace is said: MiB as a bare number everywhere, since a suffix means different things to 10.0 and 10.1. */
function workspaceWords(version: TensorrtVersion, mebibytes: number): string[] {
  return atLeast(version, 8, 4) ? [`--memPoolSize=workspace:${mebibytes}`] : [`--workspace=${mebibytes}`];
}

/** Precision: flags up to 10.x; from 11 on the model itself carries its types. */
function precisionWords(spec: EngineSpec, version: TensorrtVersion): string[] {
  if (spec.precision === 'fp32' || version.major >= 11) return [];
  if (spec.precision === 'fp16') return ['--fp16'];
  // Q/DQ models take --int8 and never --calib; --fp16 is for the layers that stay outside INT8.
  return ['--int8', '--fp16', ...(spec.calibration ? [`--calib=${spec.calibration.path}`] : [])];
}

/** What builds an engine, by trtexec or, from an .etlt, by the device's converter: no inference, the engine written beside its name and renamed by the caller. `dynamic`: the model's batch is open, so shapes must be said. */
export function buildWords(spec: EngineSpec, facts: Facts, { dynamic }: { readonly dynamic: boolean }): Command {
  if (spec.etlt) return converterWords({ ...spec, etlt: spec.etlt }, facts);
  const version = tensorrtVersion(facts);
  const workspace = spec.workspaceMiB ?? 1024;
  return [
    program(facts),
    `--onnx=${spec.model}`,
    `--saveEngine=${spec.engine}.part`,
    ...(version.major < 8 ? ['--explicitBatch'] : []),
    ...(dynamic ? [`--shapes=${shapesText(spec.inputs)}`] : []),
    ...workspaceWords(version, workspace),
    ...precisionWords(spec, version),
    ...(spec.dlaCore === undefined ? [] : [`--useDLACore=${spec.dlaCore}`, '--allowGPUFallback']),
    ...(atLeast(version, 8, 0) ? ['--timingCacheFile=engines/timing.cache'] : []),
    ...(atLeast(version, 8, 2) ? ['--profilingVerbosity=detailed', `--exportLayerInfo=${spec.engine}.layers`] : []),
    atLeast(version, 8, 6) ? '--skipInference' : '--buildOnly',
    '--verbose',
  ];
}

/** Up to 7.1 --exportTimes turns the profiler on, which no CUDA graph goes with. */
export const profiled = (version: TensorrtVersion): boolean => !atLeast(version, 7, 2);

/** Up to 8.5 the exported times begin with the warm-up's queries; 8.6 surely leaves them out. */
export const tracesWarmUp = (version: TensorrtVersion): boolean => !atLeast(version, 8, 6);

/** Durations as every trtexec takes them. */
export const wholeSeconds = (ms: number): number => Math.max(1, Math.ceil(ms / 1000));

/** What trtexec must be told again of an engine that it loads: processor and shape, as they were built. */
const loadedAs = ({ words, batch }: Passport): readonly string[] =>
  words.includes('-e') ? loadWords(words, batch) : words.filter(word => word.startsWith('--useDLACore') || word.startsWith('--shapes='));

/** What measures an engine: transfers, spin wait and graph set explicitly, or 10.x and 11.x would not compare. */
export function benchWords(passport: Passport, protocol: { warmUpMs: number; durationMs: number; minIterations: number }, facts: Facts, times: string): Command {
  const version = tensorrtVersion(facts);
  const dla = loadedAs(passport).some(word => word.startsWith('--useDLACore'));
  return [
    program(facts),
    `--loadEngine=${passport.engine.path}`,
    `--warmUp=${protocol.warmUpMs}`,
    `--duration=${wholeSeconds(protocol.durationMs)}`,
    `--iterations=${protocol.minIterations}`,
    '--avgRuns=10',
    ...loadedAs(passport),
    ...(version.major >= 11 ? ['--includeDataTransfers'] : ['--useSpinWait', ...(dla || profiled(version) ? [] : ['--useCudaGraph'])]),
    `--exportTimes=${times}`,
  ];
}

/** What runs one sample through an engine and writes its outputs as JSON text. */
export function inferWords(passport: Passport, input: string, file: string, output: string, facts: Facts): Command {
  return [
    program(facts),
    `--loadEngine=${passport.engine.path}`,
    `--loadInputs=${/[:,']/.test(input) ? `'${input}'` : input}:${file}`,
    `--exportOutput=${output}`,
    '--iterations=1',
    '--warmUp=0',
    '--duration=0',
    // 11 copies nothing by default: the outputs would stay on the GPU.
    ...(tensorrtVersion(facts).major >= 11 ? ['--includeDataTransfers'] : []),
    ...loadedAs(passport),
  ];
}
