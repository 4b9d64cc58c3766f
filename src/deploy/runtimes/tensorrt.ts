import { z } from 'zod';
import { EdgeError } from '../../core/errors.ts';
import type { Measurement, Protocol } from '../../core/evidence.ts';
import type { Digest } from '../../core/fingerprint.ts';
import { parseTrtexecLog } from '../../formats/trtexec.ts';
import { advanceBuild } from '../../formats/trtexec-build.ts';
import { classifyTrtexecFailure } from '../../formats/trtexec-failures.ts';
import { f32, type Tensor } from '../../graph/ir.ts';
import type { Facts, Failure, Finished, Passport, Runtime, TensorSet } from '../device.ts';
import { gradeOf } from '../grade.ts';
import { commandText, script } from '../quote.ts';
import { latencySummary } from '../statistics.ts';
import { abilitiesOf, targetFor } from '../targets.ts';
import { benchWords, buildWords, inferWords, tensorrtVersion } from './_trtexec-words.ts';

/** Stands before what our own shell lines add to trtexec's log. */
const mark = '\u001e';
const marked = (log: string, name: string): string | undefined => {
  const from = log.lastIndexOf(`${mark}${name}\n`);
  if (from < 0) return undefined;
  const rest = log.slice(from + name.length + 2);
  const end = rest.indexOf(mark);
  return end < 0 ? rest : rest.slice(0, end);
};

type Wish = Parameters<Runtime['refuse']>[0];
function refuse(spec: Wish, facts: Facts): EdgeError | undefined {
  if (facts.tensorrt === undefined || facts.trtexec === undefined)
    return new EdgeError('engine-missing', `The device has ${facts.tensorrt === undefined ? 'no TensorRT' : `TensorRT ${facts.tensorrt}, but no trtexec`}.`, {
      hint: 'On a Jetson: sudo apt install nvidia-jetpack (trtexec is in libnvinfer-bin). Or set runtime: onnxruntime for this device.',
    });
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
  return (
    found?.error ?? new EdgeError('engine-build-failed', `trtexec ended with exit code ${finished.exitCode}.`, { hint: 'The whole log lies beside the engine on the device.' })
  );
}

const builtSchema = z.object({ bytes: z.coerce.number().int().positive(), digest: z.string().regex(/^[0-9a-f]{64}$/) });

function built(spec: Parameters<Runtime['built']>[0], facts: Facts, finished: Finished, log: string): Passport | Failure {
  const said = parseTrtexecLog(log);
  // PASSED and exit code 0 together: a kill leaves no banner, and an [E] line while timing tactics is no failure.
  if (finished.exitCode !== 0 || said.outcome === 'failed') return failed(finished, log);
  const [bytes, digest] = (marked(log, 'engine') ?? '').trim().split(/\s+/);
  const engine = builtSchema.safeParse({ bytes, digest });
  if (!engine.success) return new EdgeError('engine-build-failed', 'trtexec passed, but there is no engine file.', { hint: 'Is the device’s disk full? Try: df -h ~' });
  const missing = said.warnings.filter(line => /Missing scale and zero-point/.test(line)).length;
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
    buildSeconds: said.built?.seconds ?? 0,
    ...(facts.emulated || said.emulated ? { emulated: true } : {}),
    notes: missing > 0 ? [`${missing} tensors have no scale in the cache and run outside INT8`] : [],
  };
}

function measured(passport: Passport, protocol: Protocol, facts: Facts, finished: Finished, log: string): Measurement | Failure {
  const said = parseTrtexecLog(log);
  if (finished.exitCode !== 0 || said.outcome !== 'passed') return failed(finished, log);
  const times = z.array(z.object({ latencyMs: z.number().nonnegative() }).loose()).safeParse(jsonOf(marked(log, 'times') ?? ''));
  const latencyMs = times.success ? latencySummary(times.data.map(each => each.latencyMs)) : undefined;
  if (!latencyMs || said.throughputQps === undefined)
    return new EdgeError('measurement-void', 'trtexec passed, but gave no times of single queries.', { hint: 'Measure again; the log lies in ~/.edgeforge/jobs on the device.' });
  return {
    precision: passport.precision,
    scenario: protocol.batch === 1 ? 'single_stream' : 'offline',
    batch: protocol.batch,
    // trtexec counts queries; a query is a whole batch.
    throughput: { value: said.throughputQps * protocol.batch, unit: 'images/s' },
    latencyMs,
    evidence: {
      grade: gradeOf(facts, passport, said),
      protocol: `trtexec: warm-up ${protocol.warmUpMs} ms, ${protocol.durationMs} ms and at least ${protocol.minIterations} queries, batch ${protocol.batch}, latency with transfers`,
      device: `${facts.model}${facts.powerMode ? `, mode ${facts.powerMode}` : ''}`,
      runtime: passport.runtime,
      at: facts.at,
      notes: [...passport.notes, ...said.warnings.filter(line => /unstable|bound by|Throughput may be/i.test(line))],
    },
  };
}
const jsonOf = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

const exportSchema = z.array(z.object({ name: z.string(), dimensions: z.string(), values: z.array(z.number()) }));
/** One JSON of trtexec per sample (`0.json`, `1.json`, …) → tensors [n, …]. */
function inferred(finished: Finished, files: ReadonlyMap<string, Uint8Array>): TensorSet | Failure {
  if (finished.exitCode !== 0) return failed(finished, finished.stdout);
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
  return { n: samples.length, tensors };
}

/** Engines of NVIDIA's TensorRT, built and timed by the device's own trtexec (words for 7.x to 11; 8.6 and 10.3 are golden in the tests). */
export const tensorrt: Runtime = {
  name: 'tensorrt',
  needs: ['tensorrt', 'trtexec', 'sm'],
  version: facts => `tensorrt ${facts.tensorrt === undefined ? 'unknown' : tensorrtVersion(facts).text}`,
  refuse,
  payloads: async () => [],
  build(spec, facts) {
    const words = buildWords(spec, facts, { dynamic: true });
    // A missing cache would make trtexec "calibrate" on noise, so it is looked for first; the engine gets its name only when whole.
    const text = `mkdir -p "$(dirname "$1")"; engine=$1; cache=$2; shift 2; if [ -n "$cache" ] && [ ! -s "$cache" ]; then echo "calibration cache $cache is missing" >&2; exit 66; fi; "$@" || exit $?; [ -s "$engine.part" ] && mv "$engine.part" "$engine" && printf '\\036engine\\n%s %s\\n' "$(stat -c %s "$engine")" "$(sha256sum < "$engine" | cut -c1-64)"`;
    return { words: script(text, spec.engine, spec.calibration?.path ?? '', ...words), log: `${spec.engine}.log`, produces: [spec.engine], detach: true, limitMs: 7_200_000 };
  },
  progress: (line, state) => advanceBuild(line, state),
  built,
  bench(passport, protocol, facts) {
    const times = 'jobs/times.json';
    const text = `t=$1; shift; rm -f "$t"; "$@" || exit $?; printf '\\036times\\n'; cat "$t"`;
    return {
      words: script(text, times, ...benchWords(passport, protocol, facts, times)),
      log: 'jobs/bench.log',
      produces: [times],
      detach: true,
      limitMs: 600_000 + 20 * (protocol.warmUpMs + protocol.durationMs),
    };
  },
  measured,
  infer(passport, input, n, outputFolder, facts) {
    const [first] = Object.entries(passport.inputs);
    if (!first || passport.batch !== 1)
      throw new EdgeError('device-refused', `Accuracy through trtexec takes engines of batch 1; this one has ${passport.batch}.`, {
        hint: 'Build a batch-1 engine for the accuracy: benchmark: {batch: [1]}.',
      });
    const bytes = 4 * first[1].reduce((product, dim) => product * dim, 1);
    const one = commandText(inferWords(passport, first[0], '@FILE@', '@OUT@', facts))
      .replace("'@FILE@'", '"$f"')
      .replaceAll('@FILE@', '$f')
      .replaceAll('@OUT@', '$o/$i.json');
    const text = `set -e; in=$1; o=$2; rm -rf "$o"; mkdir -p "$o"; f=$o/one.raw; i=0; while [ $i -lt ${n} ]; do tail -c +$((i*${bytes}+1)) "$in" | head -c ${bytes} > "$f"; ${one} > "$o/log" 2>&1 || { cat "$o/log"; exit 1; }; i=$((i+1)); echo "[I] image $i of ${n}"; done; rm -f "$f"`;
    return { words: script(text, input, outputFolder), log: `${outputFolder}.log`, produces: [`${outputFolder}/${n - 1}.json`], detach: true, limitMs: 60_000 + n * 30_000 };
  },
  inferred,
};
