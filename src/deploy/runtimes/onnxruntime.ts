import { z } from 'zod';
import { EdgeError } from '../../core/errors.ts';
import { type Measurement, type Protocol, scenarioOf } from '../../core/evidence.ts';
import type { Digest } from '../../core/fingerprint.ts';
import { inPackage } from '../../core/package-root.ts';
import { swapWords } from '../build-forecast.ts';
import type { BenchEntry, Facts, Failure, Finished, Job, Passport, Payload, RemotePath, Runtime, TensorSet } from '../device.ts';
import { gradeOf } from '../grade.ts';
import { lockedPackage, packageFile, packPayload } from '../payload.ts';
import { foreignLoadReasons, voidBecause } from '../session-verdict.ts';
import { latencySummary } from '../statistics.ts';
import { limitError } from '../transports/_jobs.ts';
import { readOutputs } from './_outputs.ts';

/** Versions that the payload carries; package.json pins both exactly. */
const ortVersion = '1.30.0';
const nodeVersion = '24.21.0';
/** What Node 24 and onnxruntime 1.30 were linked against (symbol versions of both). */
const oldestGlibc = [2, 28] as const;

const event = z.discriminatedUnion('event', [
  z.object({ event: z.literal('progress'), done: z.number(), total: z.number(), message: z.string() }),
  z.object({ event: z.literal('built'), bytes: z.number(), digest: z.string().regex(/^[0-9a-f]{64}$/), seconds: z.number(), upcast: z.boolean(), integer: z.boolean() }),
  z.object({ event: z.literal('latencies'), index: z.int(), ms: z.array(z.number()), foreignLoad: z.number().optional() }),
  z.object({ event: z.literal('inferred'), n: z.int() }),
  z.object({ event: z.literal('failed'), message: z.string() }),
]);
type RunnerEvent = z.infer<typeof event>;

/** The JSON lines of the measuring program; other lines (warnings of the library) are not ours and pass by. */
export function runnerEvents(log: string): RunnerEvent[] {
  const events: RunnerEvent[] = [];
  for (const line of log.split('\n')) {
    if (!line.startsWith('{"event"')) continue;
    try {
      const parsed = event.safeParse(JSON.parse(line));
      if (parsed.success) events.push(parsed.data);
    } catch {
      // A line cut off by a kill.
    }
  }
  return events;
}

const oldGlibc = (glibc: string | undefined): boolean => {
  const [major = 0, minor = 0] = (glibc ?? '0.0').split('.').map(Number);
  return major < oldestGlibc[0] || (major === oldestGlibc[0] && minor < oldestGlibc[1]);
};

function refuseMachine(facts: Facts): EdgeError | undefined {
  if (facts.architecture === 'other')
    return new EdgeError('device-refused', 'The onnxruntime runtime exists for x86-64 and 64-bit ARM only.', { hint: 'Use a device with x86_64 or aarch64 Linux.' });
  if (facts.glibc === undefined)
    return new EdgeError('device-refused', `The device's C library is not glibc, and Node ${nodeVersion} and onnxruntime ${ortVersion} need glibc ${oldestGlibc.join('.')}.`, {
      hint: 'Use a glibc system, for example Debian or Ubuntu, not Alpine.',
    });
  if (!oldGlibc(facts.glibc)) return undefined;
  const jetpack4 = facts.l4t?.release === 32;
  return new EdgeError(
    'device-refused',
    `The device has glibc ${facts.glibc}${jetpack4 ? ` (JetPack 4 stands on Ubuntu 18.04)` : ''}; Node ${nodeVersion} and onnxruntime ${ortVersion} need ${oldestGlibc.join('.')} or newer.`,
    {
      hint: jetpack4 ? 'JetPack 4 runs networks with its own TensorRT: set runtime: tensorrt for this device.' : 'Update the device’s system to one with a newer C library.',
    },
  );
}

const failed = (finished: Finished, log: string, what: string): Failure => {
  const said = runnerEvents(log).find(each => each.event === 'failed');
  const tail = log.trim().split('\n').at(-1)?.slice(0, 300);
  const limit = limitError(what, log);
  if (limit) return limit;
  if (finished.exitCode === 137)
    return new EdgeError('device-full', `${what} was killed on the device, most likely by the kernel for lack of memory.`, {
      hint: `End other programs there, add swap (${swapWords}), or use a smaller batch; then run the same command again.`,
    });
  return new EdgeError('engine-build-failed', `${what} failed on the device: ${said?.event === 'failed' ? said.message : (tail ?? `exit code ${finished.exitCode}`)}`, {
    hint: 'The whole log lies in ~/.edgeforge/jobs on the device.',
  });
};

const payloadAt = (payload: ReadonlyMap<string, RemotePath>, name: string): RemotePath => {
  const path = payload.get(name);
  if (path === undefined) throw new EdgeError('internal', `The payload "${name}" was not brought to the device.`, { hint: 'This is a bug in edgeforge.' });
  return path;
};

function runnerJob(
  mode: string,
  word: object,
  { payload, log, produces, limitMs }: { payload: ReadonlyMap<string, RemotePath>; log: string; produces: readonly string[]; limitMs: number },
): Job {
  const library = payloadAt(payload, 'onnxruntime');
  return {
    words: [`${library}/node`, `${payloadAt(payload, 'measure')}/measure.mjs`, mode, JSON.stringify({ library, ...word })],
    env: { ORT_DISABLE_TELEMETRY: '1' },
    log,
    produces,
    detach: true,
    limitMs,
  };
}

const evidenceOf = (passport: Passport, protocol: Protocol, facts: Facts): Measurement['evidence'] => ({
  grade: gradeOf(facts, passport),
  protocol: `warm-up ${protocol.warmUpMs} ms, ${protocol.durationMs} ms and at least ${protocol.minIterations} runs in ${protocol.rounds} alternating rounds, batch ${protocol.batch}, ${protocol.threads} threads`,
  device: `${facts.model} (${facts.cpu.model}, ${facts.cpu.cores} cores, ${facts.os})`,
  runtime: passport.runtime,
  at: facts.at,
  notes: passport.notes,
});

function measurementOf({ passport, protocol }: BenchEntry, facts: Facts, latencies: readonly number[], foreignLoad?: number): Measurement | Failure {
  const latencyMs = latencySummary(latencies);
  if (!latencyMs)
    return new EdgeError('measurement-void', `${passport.precision} gave ${latencies.length} usable times.`, { hint: 'Measure longer: benchmark.durationMs in the project file.' });
  return {
    precision: passport.precision,
    scenario: scenarioOf(protocol),
    batch: protocol.batch,
    throughput: { value: (protocol.batch * 1000) / latencyMs.mean, unit: 'images/s' },
    latencyMs,
    evidence: evidenceOf(passport, protocol, facts),
    ...(facts.emulator === undefined
      ? voidBecause(foreignLoadReasons(foreignLoad))
      : { voided: `the processor is played by ${facts.emulator}: its times say nothing of any device` }),
  };
}

function measured(entries: readonly BenchEntry[], facts: Facts, finished: Finished, log: string): readonly Measurement[] | Failure {
  if (finished.exitCode !== 0) return failed(finished, log, 'The benchmark');
  const events = runnerEvents(log);
  const results: Measurement[] = [];
  for (const [index, entry] of entries.entries()) {
    const found = events.find(each => each.event === 'latencies' && each.index === index);
    const result = measurementOf(entry, facts, found?.event === 'latencies' ? found.ms : [], found?.event === 'latencies' ? found.foreignLoad : undefined);
    if (result instanceof EdgeError) return result;
    results.push(result);
  }
  return results;
}

function bench(entries: readonly BenchEntry[], payload: ReadonlyMap<string, RemotePath>): Job {
  const word = {
    entries: entries.map(({ passport, protocol }) => ({
      engine: passport.engine.path,
      inputs: Object.fromEntries(Object.entries(passport.inputs).map(([name, shape]) => [name, [protocol.batch, ...shape.slice(1)]])),
      threads: protocol.threads,
      warmUpMs: protocol.warmUpMs,
      durationMs: protocol.durationMs,
      minIterations: protocol.minIterations,
      rounds: protocol.rounds,
    })),
  };
  const planned = entries.reduce((sum, { protocol }) => sum + protocol.warmUpMs + protocol.durationMs, 0);
  return runnerJob('bench', word, { payload, log: 'jobs/bench.log', produces: [], limitMs: 600_000 + 20 * planned });
}

function inferred(finished: Finished, files: ReadonlyMap<string, Uint8Array>): TensorSet | Failure {
  if (finished.exitCode !== 0) return failed(finished, finished.stdout, 'The inference');
  return readOutputs(files);
}

/** Networks on the device's processor: onnxruntime in a Node of our own, for any Linux with glibc ≥ 2.28. */
export const onnxruntime: Runtime = {
  name: 'onnxruntime',
  needs: ['architecture', 'glibc', 'cpu'],
  version: () => `onnxruntime ${ortVersion}`,
  refuse(spec, facts) {
    const machine = refuseMachine(facts);
    if (spec.etlt)
      return new EdgeError(
        'device-refused',
        `onnxruntime reads ONNX only; this .etlt ${spec.etlt.payload === 'uff' ? 'holds UFF' : 'is to be built by a converter of TensorRT'}.`,
        {
          hint: 'Either export the model as ONNX (TAO 5 does) and deploy that; or deploy to a device with TensorRT 8.4 or older that has tao-converter.',
        },
      );
    if (machine) return machine;
    if (spec.dlaCore !== undefined)
      return new EdgeError('device-refused', 'The onnxruntime runtime has no DLA.', { hint: 'Leave dlaCore out, or use runtime: tensorrt on a Jetson with a DLA.' });
    return undefined;
  },
  async payloads(facts): Promise<readonly Payload[]> {
    const refusal = refuseMachine(facts);
    if (refusal) throw refusal;
    const binaries = `bin/napi-v6/linux/${facts.architecture}`;
    const locked = await lockedPackage('onnxruntime-node');
    if (locked && locked.version !== ortVersion)
      throw new EdgeError('internal', `The lock file has onnxruntime-node ${locked.version}, this runtime says ${ortVersion}.`, { hint: 'This is a bug in edgeforge.' });
    const main = await packPayload(`onnxruntime-${ortVersion}-${facts.architecture}`, [
      { from: await packageFile(`node-linux-${facts.architecture}`, 'bin/node'), name: 'node' },
      { from: await packageFile('onnxruntime-node', `${binaries}/libonnxruntime.so.1`), name: 'libonnxruntime.so.1' },
      { from: await packageFile('onnxruntime-node', `${binaries}/onnxruntime_binding.node`), name: 'onnxruntime_binding.node' },
    ]);
    const runner = await packPayload('measure', [{ from: inPackage('src/deploy/runner/measure.mjs'), name: 'measure.mjs' }]);
    return [
      { name: 'onnxruntime', ...main, archive: true, executable: false },
      { name: 'measure', ...runner, archive: true, executable: false },
    ];
  },
  build: (spec, _facts, payload) =>
    runnerJob(
      'build',
      { model: spec.model, engine: spec.engine, threads: spec.threads, precision: spec.precision },
      { payload, log: `${spec.engine}.log`, produces: [spec.engine], limitMs: 1_800_000 },
    ),
  progress(line, state) {
    const [found] = runnerEvents(line);
    return found?.event === 'progress' ? { done: found.done, total: found.total, message: found.message } : state;
  },
  built(spec, facts, finished, log) {
    const found = runnerEvents(log).find(each => each.event === 'built');
    if (finished.exitCode !== 0 || found?.event !== 'built') return failed(finished, log, `Building the ${spec.precision} engine`);
    if (spec.precision === 'int8' && !found.integer)
      return new EdgeError('engine-build-failed', 'The INT8 engine holds no integer operator: the model has no Q/DQ pairs that onnxruntime could fuse.', {
        hint: 'Export the Q/DQ model with: edgeforge export --precision int8',
      });
    const vnni = facts.cpu.features.some(feature => /vnni|amx_int8|asimddp|i8mm/.test(feature));
    const notes = [
      ...(found.upcast ? ['upcast to fp32 by this CPU runtime'] : []),
      ...(spec.precision === 'int8' && !vnni ? ['this processor has no VNNI or dot product: INT8 gains little speed'] : []),
    ];
    return {
      engine: { path: spec.engine, digest: found.digest as Digest, bytes: found.bytes },
      precision: spec.precision,
      batch: spec.batch,
      inputs: spec.inputs,
      modelDigest: spec.modelDigest,
      runtime: onnxruntime.version(facts),
      deviceId: facts.deviceId,
      words: finished.command,
      buildSeconds: found.seconds,
      notes,
    } satisfies Passport;
  },
  bench: (entries, _facts, payload) => bench(entries, payload),
  measured,
  infer(passport, input, n, outputFolder, facts, payload) {
    const [first] = Object.entries(passport.inputs);
    if (!first || Object.keys(passport.inputs).length !== 1)
      throw new EdgeError('format-unsupported', `The network has ${Object.keys(passport.inputs).length} inputs; the device's runner takes one.`, {
        hint: 'Export a network with one image input.',
      });
    const word = { engine: passport.engine.path, input: first[0], shape: first[1], batch: passport.batch, n, input_file: input, output: outputFolder, threads: facts.cpu.cores };
    return runnerJob('infer', word, { payload, log: `${outputFolder}.log`, produces: [`${outputFolder}/outputs.json`], limitMs: 1_800_000 });
  },
  inferred,
};
