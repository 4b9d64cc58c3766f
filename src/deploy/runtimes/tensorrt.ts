import { z } from 'zod';
import { EdgeError } from '../../core/errors.ts';
import { type Digest, digestOfFile } from '../../core/fingerprint.ts';
import { inPackage } from '../../core/package-root.ts';
import { classifyConverterFailure } from '../../formats/converter-failures.ts';
import { type EngineLayers, layersText, parseEngineLayers } from '../../formats/engine-layers.ts';
import { parseTrtexecLog } from '../../formats/trtexec.ts';
import { advanceBuild } from '../../formats/trtexec-build.ts';
import { classifyTrtexecFailure } from '../../formats/trtexec-failures.ts';
import { f32, type Tensor } from '../../graph/ir.ts';
import { forecastBuild, historyKey } from '../build-forecast.ts';
import type { BuildProgress, Facts, Failure, Finished, Passport, Runtime, TensorSet } from '../device.ts';
import { commandText } from '../quote.ts';
import { abilitiesOf, targetFor } from '../targets.ts';
import { limitError } from '../transports/_jobs.ts';
import { refuseConverter } from './_converter.ts';
import { readOutputs } from './_outputs.ts';
import { buildScript, inferScript, marked, scrapsOf } from './_trtexec-scripts.ts';
import { benchJob, measured, sessionFile, sessionProgress } from './_trtexec-session.ts';
import { buildWords, inferWords, tensorrtVersion } from './_trtexec-words.ts';

type Wish = Parameters<Runtime['refuse']>[0];
function refuse(spec: Wish, facts: Facts): EdgeError | undefined {
  if (facts.tensorrt === undefined || facts.trtexec === undefined)
    return new EdgeError('engine-missing', `The device has ${facts.tensorrt === undefined ? 'no TensorRT' : `TensorRT ${facts.tensorrt}, but no trtexec`}.`, {
      hint: 'On a Jetson: sudo apt install nvidia-jetpack (trtexec is in libnvinfer-bin). Or set runtime: onnxruntime for this device.',
    });
  const unread = spec.etlt && refuseConverter(spec.etlt, tensorrtVersion(facts), facts);
  if (unread) return unread;
  const target = targetFor(facts);
  const abilities = abilitiesOf(facts, target);
  if (spec.precision === 'int8' && !abilities.int8)
    return new EdgeError(
      'device-refused',
      `${target.title} has no fast INT8 (sm ${facts.sm ?? '?'}): TensorRT would build it and run it slower than FP16 (55.2 ms against 26.9 ms on a Nano).`,
      { hint: 'Use export: {precisions: [fp32, fp16]} for this device.' },
    );
  if (spec.precision === 'int8' && !spec.calibration)
    return new EdgeError('calibration-missing', 'INT8 needs a calibration cache or a Q/DQ model: without one trtexec invents ranges and the accuracy is meaningless.', {
      hint: 'Make both with: edgeforge export --precision int8',
    });
  if (spec.precision === 'fp16' && !abilities.fp16)
    return new EdgeError('device-refused', `${target.title} has no fast FP16.`, { hint: 'Use export: {precisions: [fp32]} for this device.' });
  if (spec.dlaCore !== undefined && spec.dlaCore >= abilities.dla)
    return new EdgeError(
      'device-refused',
      `${target.title} has ${abilities.dla === 0 ? 'no DLA' : `${abilities.dla} DLA cores, numbered from 0`}; core ${spec.dlaCore} was asked for.`,
      { hint: 'Leave dlaCore out to run on the GPU, or choose a device with a DLA.' },
    );
  if (spec.dlaCore !== undefined && spec.precision === 'fp32')
    return new EdgeError('device-refused', 'A DLA computes in FP16 and INT8 only.', { hint: 'Choose fp16 or int8 for the DLA.' });
  return undefined;
}

function failed(finished: Finished, log: string): Failure {
  const found = classifyTrtexecFailure(log, { exitCode: finished.exitCode });
  const limit = limitError('trtexec', log);
  if (limit) return limit;
  const killer = marked(log, 'oom')?.trim().split('\n').at(-1);
  if (found?.kind === 'killed' && killer)
    return new EdgeError('device-full', `The kernel's OOM killer ended trtexec: ${killer.replace(/^\[[\d. ]+\] /, '').slice(0, 200)}`, { hint: found.error.hint });
  if (finished.exitCode === 66)
    return new EdgeError('calibration-missing', 'The calibration cache is not on the device any more: trtexec would calibrate on noise.', {
      hint: 'Deploy again, what is missing is pushed: edgeforge deploy <device>',
    });
  return (
    found?.error ?? new EdgeError('engine-build-failed', `trtexec ended with exit code ${finished.exitCode}.`, { hint: 'The whole log lies beside the engine on the device.' })
  );
}

/** The watchdog's word and a lost cache come first, as for trtexec; the rest is the converter's own way to fail. */
const unconverted = (finished: Finished, log: string): Failure =>
  limitError('The converter', log) ?? (finished.exitCode === 66 ? failed(finished, log) : classifyConverterFailure(log, finished.exitCode));

const builtSchema = z.object({ bytes: z.coerce.number().int().positive(), digest: z.string().regex(/^[0-9a-f]{64}$/) });

function built(spec: Parameters<Runtime['built']>[0], facts: Facts, finished: Finished, log: string): Passport | Failure {
  const said = parseTrtexecLog(log);
  // PASSED and exit code 0 together: a kill leaves no banner, and an [E] line while timing tactics is no failure.
  if (finished.exitCode !== 0 || said.outcome === 'failed') return spec.etlt ? unconverted(finished, log) : failed(finished, log);
  const [bytes, digest, seconds] = (marked(log, 'engine') ?? '').trim().split(/\s+/);
  const engine = builtSchema.safeParse({ bytes, digest });
  if (!engine.success && spec.etlt) return unconverted(finished, log);
  if (!engine.success) return new EdgeError('engine-build-failed', 'trtexec passed, but there is no engine file.', { hint: 'Is the device’s disk full? Try: df -h ~' });
  const layers = parseEngineLayers(marked(log, 'layers') ?? '');
  if (spec.precision === 'int8' && layers?.int8 === 0)
    return new EdgeError('engine-build-failed', `No layer of the INT8 engine runs in INT8 (${layersText(layers)}).`, {
      hint: 'Does the cache belong to this model? Calibrate and export again: edgeforge export --precision int8',
    });
  return {
    engine: { path: spec.engine, digest: engine.data.digest as Digest, bytes: engine.data.bytes },
    precision: spec.precision,
    batch: spec.batch,
    inputs: spec.inputs,
    modelDigest: spec.modelDigest,
    ...(spec.calibration ? { calibrationDigest: spec.calibration.digest } : {}),
    runtime: tensorrt.version(facts),
    deviceId: facts.deviceId,
    ...(facts.sm === undefined ? {} : { sm: facts.sm }),
    ...(facts.l4t ? { l4t: `${facts.l4t.release}.${facts.l4t.revision}` } : {}),
    ...(facts.tensorrt === undefined ? {} : { tensorrt: facts.tensorrt }),
    words: buildWords(spec, facts, { dynamic: true }),
    buildSeconds: said.built?.seconds ?? Number(seconds ?? 0),
    ...(facts.emulated || said.emulated ? { emulated: true } : {}),
    ...(layers ? { layers } : {}),
    notes: notesOf(spec, log, said.warnings, layers),
  };
}

/** What of a build its reader must know: how much runs in INT8 and on the DLA, and what TensorRT warned of. */
function notesOf(spec: Parameters<Runtime['built']>[0], log: string, warnings: readonly string[], layers: EngineLayers | undefined): string[] {
  const missing = warnings.filter(line => /Missing scale and zero-point/.test(line)).length;
  const [dla, gpu] = ['DlaLayer', 'GpuLayer'].map(kind => log.split(`[${kind}]`).length - 1) as [number, number];
  return [
    ...(spec.etlt ? [`built by ${spec.etlt.payload === 'uff' ? 'the device’s converter from UFF' : 'the device’s converter from an .etlt'}`] : []),
    ...(spec.precision === 'int8' && layers ? [layersText(layers)] : []),
    ...(spec.precision === 'int8' && !layers ? ['TensorRT did not tell which layers run in INT8'] : []),
    ...(missing > 0 ? [`${missing} tensors have no scale in the cache and run outside INT8`] : []),
    ...(spec.dlaCore !== undefined && dla + gpu > 0 ? [`${dla} of ${dla + gpu} subgraphs and layers run on the DLA, the rest falls back to the GPU`] : []),
  ];
}

const jsonOf = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

const exportSchema = z.array(z.object({ name: z.string(), dimensions: z.string(), values: z.array(z.number()) }));
/** Outputs of our own runner, or one JSON of trtexec per sample (`0.json`, `1.json`, …) → tensors [n, …]. */
function inferred(finished: Finished, files: ReadonlyMap<string, Uint8Array>): TensorSet | Failure {
  const said = /^\{"event": "failed", "message": (".*")\}$/m.exec(finished.stdout)?.[1];
  if (said !== undefined)
    return new EdgeError('engine-build-failed', `Running the images through the engine failed: ${String(jsonOf(said))}`, {
      hint: 'Build the engine again: edgeforge deploy <device>',
    });
  if (finished.exitCode !== 0) return failed(finished, finished.stdout);
  if (files.has('outputs.json')) return readOutputs(files);
  const samples = [...files.entries()].filter(([name]) => /^\d+\.json$/.test(name)).sort(([a], [b]) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
  const parts = new Map<string, { dims: number[]; values: number[] }>();
  for (const [name, bytes] of samples) {
    const parsed = exportSchema.safeParse(jsonOf(new TextDecoder().decode(bytes)));
    if (!parsed.success) return new EdgeError('file-corrupt', `${name} from the device is no output of trtexec.`, { hint: 'Run the same command again.' });
    for (const { name: tensor, dimensions, values } of parsed.data) {
      const part = parts.get(tensor) ?? { dims: dimensions.split('x').map(Number), values: [] };
      for (const value of values) part.values.push(value);
      parts.set(tensor, part);
    }
  }
  const tensors = new Map<string, Tensor>();
  for (const [name, { dims, values }] of parts) tensors.set(name, f32([samples.length, ...dims.slice(1)], values));
  const asked = Number(/^(\d+) images/.exec(marked(finished.stdout, 'forecast') ?? '')?.[1] ?? samples.length);
  const cut = asked > samples.length ? `${samples.length} of ${asked} images were run: ${marked(finished.stdout, 'forecast')?.trim()}` : undefined;
  return { n: samples.length, tensors, ...(cut === undefined ? {} : { note: cut }) };
}

const runnerFile = inPackage('src/deploy/runner/tensorrt_infer.py');

/** Engines of NVIDIA's TensorRT, built and timed by the device's own trtexec (words for 7.x to 11, golden in the tests). */
export const tensorrt: Runtime = {
  name: 'tensorrt',
  needs: ['tensorrt', 'trtexec', 'sm'],
  version: facts => `tensorrt ${facts.tensorrt === undefined ? 'unknown' : tensorrtVersion(facts).text}`,
  refuse,
  async payloads(facts) {
    const files = { session: sessionFile, ...(facts.pythonTensorrt === undefined ? {} : { runner: runnerFile }) };
    return Promise.all(Object.entries(files).map(async ([name, local]) => ({ name, local, digest: await digestOfFile(local), archive: false, executable: false })));
  },
  forecast: forecastBuild,
  build(spec, facts) {
    const words = buildScript(spec, buildWords(spec, facts, { dynamic: true }), historyKey(spec));
    return { words, log: `${spec.engine}.log`, produces: [spec.engine], scraps: scrapsOf(spec.engine), detach: true, limitMs: 7_200_000 };
  },
  progress: (line, state) => sessionProgress(line) ?? advanceRun(line) ?? advanceBuild(line, state),
  built,
  bench: benchJob,
  measured: (entries, facts, finished, log) => measured(entries, facts, finished, log) ?? failed(finished, log),
  infer(passport, input, n, outputFolder, facts, payload) {
    const runner = payload.get('runner');
    const job = { log: `${outputFolder}.log`, detach: true, limitMs: 60_000 + n * 30_000 };
    if (runner !== undefined) return { ...job, words: ['python3', runner, passport.engine.path, input, String(n), outputFolder], produces: [`${outputFolder}/outputs.json`] };
    const [first] = Object.entries(passport.inputs);
    if (!first || passport.batch !== 1)
      throw new EdgeError('device-refused', `Accuracy through trtexec takes engines of batch 1; this one has ${passport.batch}.`, {
        hint: 'Build a batch-1 engine for the accuracy (benchmark: {batch: [1]}), or install the Python module: sudo apt install python3-libnvinfer',
      });
    const bytes = 4 * first[1].reduce((product, dim) => product * dim, 1);
    const one = commandText(inferWords(passport, first[0], '@FILE@', '@OUT@', facts))
      .replace("'@FILE@'", '"$f"')
      .replaceAll('@FILE@', '$f')
      .replaceAll('@OUT@', '$o/$i.json');
    return { ...job, words: inferScript(input, n, outputFolder, { bytes, one }), produces: [`${outputFolder}/0.json`] };
  },
  inferred,
};

/** Progress of images through an engine, by our runner's lines or our shell's. */
function advanceRun(line: string): BuildProgress | undefined {
  const [, done, total] = /^(?:\{"event": "progress", "done": (?=\d)|\[I\] image )(\d{1,9})(?:, "total": | of )(\d{1,9})/.exec(line) ?? [];
  return done === undefined ? undefined : { done: Number(done), total: Number(total), message: `image ${done} of ${total}` };
}
