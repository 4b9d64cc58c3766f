import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { rangesMetadata } from '../../compress/calibrate.ts';
import { EdgeError } from '../../core/errors.ts';
import { type Measurement, scenarios } from '../../core/evidence.ts';
import { defineStep } from '../../core/recipe.ts';
import { buildMedianEngine } from '../../deploy/build-median.ts';
import type { BuildProgress, Passport } from '../../deploy/device.ts';
import type { Device } from '../../deploy/open-device.ts';
import { tellingTransport } from '../../deploy/transports/telling.ts';
import { benchEngines, buildEngine, enginesThere, inferOnDevice, pushFile, refuseSetting } from '../../deploy/work.ts';
import { readOnnx } from '../../formats/onnx.ts';
import type { DevicePool } from '../device-pool.ts';
import { buildConfigSchema, cacheForDevice, deviceIdentity, engineSpec, identitySchema, isQuantized, protocolSchema, resourcesOf } from '../engine-source.ts';
import { readTensorIndex, writeTensorFolder } from '../tensor-folder.ts';

/** How an INT8 engine's passport says where its ranges come from. */
export const rangesNote = 'INT8 ranges: ';

/** ONNX (and a cache) → an engine that stays on its device; the output is its passport, and recall asks the device whether it is still there. */
export const buildStep = (pool: DevicePool) =>
  defineStep({
    name: 'build',
    version: 3,
    config: buildConfigSchema,
    inputs: { onnx: 'onnx', cache: 'calibration-cache?' },
    // Named for what it stands for: "device says the engine is gone".
    outputs: { engine: 'passport' },
    identity: ({ identity, ...rest }) => ({ ...rest, identity: deviceIdentity(identity) }),
    exclusive: ({ identity }) => resourcesOf(identity),
    recall: ({ config, outputs, signal }) => engineThere(pool, config.identity.name, outputs.engine, signal),
    async run({ config, inputs, digests, outputs, scratch, signal, progress, log, note }) {
      const device = heard(await pool.open(config.identity.name, signal), log);
      const graph = readOnnx(await readFile(inputs.onnx));
      // Before anything is uploaded; what the build itself would refuse too.
      const refusal = device.runtime.refuse({ precision: config.precision, batch: config.batch, calibration: inputs.cache !== undefined || isQuantized(graph) }, device.facts);
      if (refusal) throw refusal;
      refuseSetting(device, device.setting);
      const cache = inputs.cache === undefined ? undefined : await cacheForDevice(inputs.cache, join(scratch, 'cache'), device.facts.tensorrt, graph);
      const onProgress = told('stages', progress, log);
      const options = { signal, onProgress };
      const pushing = (what: string) => ({ signal, onProgress: (sent: BuildProgress) => onProgress({ ...sent, message: `pushing the ${what}` }) });
      await pushFile(device, inputs.onnx, pushing('network'));
      const calibration = cache === undefined ? undefined : await pushFile(device, cache, pushing('calibration cache'));
      const spec = engineSpec(config, graph, { model: digests.onnx, ...(calibration && digests.cache ? { calibration: { path: calibration.path, digest: digests.cache } } : {}) });
      const { builds } = config;
      const built = builds
        ? await buildMedianEngine(device, spec, { count: builds.count, protocol: { ...builds.protocol, batch: config.batch } }, options)
        : await buildEngine(device, spec, options);
      const ranges = config.precision === 'int8' ? graph.metadata[rangesMetadata] : undefined;
      const passport = ranges === undefined ? built : { ...built, notes: [...built.notes, `${rangesNote}${ranges}`] };
      for (const text of passport.notes) note(text);
      await writeFile(outputs.engine, JSON.stringify(passport));
    },
  });

/** A device that was never reached: nothing about it can be planned, so all that stands for it is this step, which says why. */
export const reachStep = (pool: DevicePool) =>
  defineStep({
    name: 'reach',
    version: 1,
    config: z.strictObject({ name: z.string() }),
    inputs: {},
    outputs: { device: 'measurement' },
    async run({ config, signal }) {
      await pool.open(config.name, signal);
      throw new EdgeError('device-unreachable', `"${config.name}" answers now, but did not when this run was planned.`, { hint: 'Run the same command again.' });
    },
  });

/** Every engine of a device in one session, so that drift hits all of them alike. */
export const benchmarkStep = (pool: DevicePool) =>
  defineStep({
    name: 'benchmark',
    version: 2,
    config: z.strictObject({
      identity: identitySchema,
      protocol: protocolSchema,
      /** Which of the engines, and in which scenario; absent: each once, the batch says the scenario. */
      entries: z.array(z.strictObject({ engine: z.int().nonnegative(), scenario: z.enum(scenarios).optional() })).optional(),
    }),
    inputs: { passports: 'passport[]' },
    outputs: { measurements: 'measurement' },
    identity: ({ identity, ...rest }) => ({ ...rest, identity: deviceIdentity(identity) }),
    exclusive: ({ identity }) => resourcesOf(identity),
    recall: async () => (pool.measureAgain ? 'gone' : 'valid'),
    async run({ config, inputs, outputs, signal, progress, log }) {
      const device = heard(await pool.open(config.identity.name, signal), log);
      const passports = await Promise.all(inputs.passports.map(readPassport));
      const wishes = config.entries ?? passports.map((_, engine) => ({ engine, scenario: undefined }));
      const entries = wishes.map(({ engine, scenario }) => {
        const passport = passports[engine] as Passport;
        return { passport, protocol: { ...config.protocol, batch: passport.batch, scenario } };
      });
      const measurements: readonly Measurement[] = await benchEngines(device, entries, { signal, onProgress: told('rounds', progress, log) });
      await writeFile(outputs.measurements, JSON.stringify(measurements));
    },
  });

/** The validation tensors through the very engine that is timed; raw outputs come back. */
export const inferStep = (pool: DevicePool) =>
  defineStep({
    name: 'infer',
    version: 1,
    config: z.strictObject({ identity: identitySchema }),
    inputs: { passport: 'passport', tensors: 'tensors' },
    outputs: { tensors: 'tensors' },
    identity: ({ identity }) => deviceIdentity(identity),
    exclusive: ({ identity }) => resourcesOf(identity),
    async run({ config, inputs, outputs, signal, progress, log, note }) {
      const device = heard(await pool.open(config.identity.name, signal), log);
      const { n, tensors } = await readTensorIndex(inputs.tensors);
      const [input] = Object.values(tensors);
      const result = await inferOnDevice(device, await readPassport(inputs.passport), join(inputs.tensors, input?.file ?? ''), n, {
        signal,
        onProgress: ({ done, total, unit = 'images' }) => progress(done, total, {}, unit),
      });
      if (result.note !== undefined) note(result.note);
      await writeTensorFolder(outputs.tensors, result.n, result.tensors);
    },
  });

/** The device, each command that a step sends there noted in the step's log. */
export const heard = (device: Device, log: (level: 'command', message: string) => void): Device => ({
  ...device,
  transport: tellingTransport(device.transport, line => log('command', line)),
});

/** Progress from a device as a step's own; a stage that stays the same is told once. */
export function told(
  unit: string,
  progress: (done: number, total: number, metrics?: Readonly<Record<string, number>>, unit?: string) => void,
  log: (level: 'info', message: string) => void,
) {
  let last = '';
  return ({ done, total, message, unit: counted }: BuildProgress) => {
    progress(done, total, {}, counted ?? unit);
    if (message !== last) log('info', message);
    last = message;
  };
}

/** Whether the engine of a recorded passport still lies on its device. */
export async function engineThere(pool: DevicePool, name: string, passport: string, signal: AbortSignal): Promise<'valid' | 'gone'> {
  const [there] = await enginesThere(await pool.open(name, signal), [await readPassport(passport)]);
  return there ? 'valid' : 'gone';
}

/** A passport as a build step wrote it. */
export const readPassport = async (path: string): Promise<Passport> => JSON.parse(await readFile(path, 'utf8')) as Passport;
