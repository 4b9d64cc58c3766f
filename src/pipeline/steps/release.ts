import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { EdgeError } from '../../core/errors.ts';
import { canonical, type Digest, digestOf } from '../../core/fingerprint.ts';
import { defineStep } from '../../core/recipe.ts';
import { appConfig, installedService } from '../../deploy/app-unit.ts';
import { appSchema } from '../../deploy/definition.ts';
import type { Device } from '../../deploy/open-device.ts';
import { script } from '../../deploy/quote.ts';
import { type ReleaseContent, releaseManifestSchema } from '../../deploy/release-manifest.ts';
import { activateRelease, makeRelease } from '../../deploy/rollback.ts';
import { pushFile } from '../../deploy/work.ts';
import { deepstreamVersions } from '../../formats/deepstream-version.ts';
import { readOnnx } from '../../formats/onnx.ts';
import { parseReport } from '../../formats/report.ts';
import type { DevicePool } from '../device-pool.ts';
import { cacheForDevice, deviceIdentity, identitySchema, isQuantized, resourcesOf } from '../engine-source.ts';
import { appTextOf, chosenEngine, engineFile, gateOf, type ReleasedEngine, releaseFiles } from '../release-content.ts';
import { heard, readPassport } from './device.ts';

/** Engines, models, cache, labels and DeepStream configs as one folder on the device that a service can run; the output is its manifest. Nothing becomes current by it. */
export const releaseStep = (pool: DevicePool) =>
  defineStep({
    name: 'release',
    version: 1,
    config: z.strictObject({
      identity: identitySchema,
      project: z.string(),
      name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]*$/),
      deepstream: z.enum(deepstreamVersions),
      app: appSchema.optional(),
    }),
    inputs: { passports: 'passport[]', models: 'onnx[]', cache: 'calibration-cache?', network: 'onnx', report: 'report' },
    outputs: { release: 'release' },
    // By its digest: the reasons of a plan must not show a camera's password.
    identity: ({ identity, app, ...rest }) => ({ ...rest, identity: deviceIdentity(identity), ...(app ? { app: digestOf(canonical(app)) } : {}) }),
    exclusive: ({ identity }) => resourcesOf(identity),
    async recall({ config, outputs, signal }) {
      const { transport } = await pool.open(config.identity.name, signal);
      const { id } = await readManifest(outputs.release);
      const { exitCode } = await transport.exec(['test', '-f', `releases/${id}/manifest.json`], { signal });
      return exitCode === 0 ? 'valid' : 'gone';
    },
    async run({ config, inputs, digests, outputs, scratch, signal, log }) {
      const device = heard(await pool.open(config.identity.name, signal), log);
      const passports = await Promise.all(inputs.passports.map(readPassport));
      const engines: ReleasedEngine[] = [];
      for (const [index, { precision, batch, calibrationDigest }] of passports.entries()) {
        const model = inputs.models[index] as string;
        const graph = readOnnx(await readFile(model));
        const cache =
          calibrationDigest === undefined || inputs.cache === undefined ? undefined : await cacheForDevice(inputs.cache, join(scratch, 'cache'), device.facts.tensorrt, graph);
        const calibration = cache === undefined ? {} : { calibration: await pushed(device, cache, signal) };
        engines.push({ precision, batch, quantized: isQuantized(graph), model: await pushed(device, model, signal), ...calibration });
      }
      const report = parseReport(await readFile(join(inputs.report, 'report.json'), 'utf8'));
      const graph = readOnnx(await readFile(inputs.network));
      const { name, deepstream } = config;
      const files = releaseFiles({ name, graph, runtime: device.runtime.name, deepstream, engines });
      const chosen = chosenEngine(report, engines);
      // The application starts with one and the same name, whichever engine it runs.
      const text = appTextOf(chosen, { engines, files, deepstream, app: config.app });
      const content: ReleaseContent = {
        project: config.project,
        device: device.name,
        report: digests.report,
        gate: gateOf(report),
        precision: chosen.precision,
        ...(text === undefined ? {} : { app: appConfig }),
        engines: engines.map((engine, index) => ({ file: engineFile(name, engine, device.runtime.name), passport: passports[index] as (typeof passports)[number] })),
        files: text === undefined ? files : [...files, { file: appConfig, text }],
      };
      const { manifest, made } = await makeRelease(device, content, signal);
      log('info', made ? `release ${manifest.id}: ${manifest.engines.length} engines, ${manifest.files.length} files` : `release ${manifest.id} has just this content`);
      await writeFile(outputs.release, JSON.stringify(manifest));
    },
  });

/** Makes a release the current one. It waits for the gate's verdict, unless it is told to go on without. */
export const switchStep = (pool: DevicePool) =>
  defineStep({
    name: 'switch',
    version: 1,
    config: z.strictObject({ identity: identitySchema, keep: z.int().positive(), /** A service runs it. */ service: z.boolean() }),
    inputs: { release: 'release', verdict: 'measurement?' },
    // Named for what it stands for: "device says the current release is gone", when another one has taken its place.
    outputs: { 'current release': 'release' },
    identity: ({ identity, service }) => ({ ...deviceIdentity(identity), service }),
    exclusive: ({ identity }) => resourcesOf(identity),
    async recall({ config, outputs, signal }) {
      const { transport } = await pool.open(config.identity.name, signal);
      const { to } = z.object({ to: z.string() }).parse(JSON.parse(await readFile(outputs['current release'], 'utf8')));
      const { exitCode } = await transport.exec(script('[ "$(readlink current)" = "releases/$1" ]', to), { signal });
      if (exitCode !== 0) return 'gone';
      return config.service && (await installedService(transport)) === undefined ? 'gone' : 'valid';
    },
    async run({ config, inputs, outputs, signal, log, note }) {
      const device = heard(await pool.open(config.identity.name, signal), log);
      const { id, app } = await readManifest(inputs.release);
      if (config.service && app === undefined)
        throw new EdgeError(
          'device-refused',
          `Release ${id} has no DeepStream application, since ${device.name} runs ${device.runtime.name}: there is nothing for a service to run.`,
          {
            hint: `Leave service out for ${device.name}.`,
          },
        );
      const { from, removed, notes } = await activateRelease(device, id, config);
      log('info', from === undefined ? `${id} is current` : `${id} is current, was ${from}`);
      if (removed.length > 0) log('info', `${removed.length} old releases are removed: ${removed.join(', ')}`);
      for (const text of notes) note(text);
      await writeFile(outputs['current release'], JSON.stringify({ to: id }));
    },
  });

const readManifest = async (path: string) => releaseManifestSchema.parse(JSON.parse(await readFile(path, 'utf8')));

async function pushed(device: Device, file: string, signal: AbortSignal): Promise<{ readonly digest: Digest; readonly bytes: number }> {
  const { digest, report } = await pushFile(device, file, { signal });
  return { digest, bytes: report.bytes };
}
