import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { defineStep } from '../../core/recipe.ts';
import { buildEngine, pushFile } from '../../deploy/work.ts';
import type { DevicePool } from '../device-pool.ts';
import { convertConfigSchema, convertedSpec, deviceIdentity, givenCacheForDevice, resourcesOf } from '../engine-source.ts';
import { engineThere, heard, told } from './device.ts';
import { readKey } from './package.ts';

/** An .etlt → an engine that the device's own converter builds, for what trtexec cannot read; the output is its passport. The key goes to the device for the build alone. */
export const convertStep = (pool: DevicePool) =>
  defineStep({
    name: 'convert',
    version: 1,
    config: convertConfigSchema,
    inputs: {},
    outputs: { engine: 'passport' },
    identity: ({ identity, model, keyFile: _, calibration, ...rest }) => ({
      ...rest,
      identity: deviceIdentity(identity),
      model: model.content,
      ...(calibration ? { calibration: calibration.content } : {}),
    }),
    exclusive: ({ identity }) => resourcesOf(identity),
    recall: ({ config, outputs, signal }) => engineThere(pool, config.identity.name, outputs.engine, signal),
    async run({ config, outputs, scratch, signal, progress, log, note }) {
      const device = heard(await pool.open(config.identity.name, signal), log);
      const { sealed, precision, batch, calibration: given } = config;
      // Before anything is uploaded.
      const refusal = device.runtime.refuse({ precision, batch, calibration: given !== undefined, etlt: sealed }, device.facts);
      if (refusal) throw refusal;
      const options = { signal, onProgress: told('stages', progress, log) };
      const model = await pushFile(device, config.model.path, options);
      const calibration = given && (await pushFile(device, await givenCacheForDevice(given.path, join(scratch, 'cache'), device.facts.tensorrt), options));
      const passport = await buildEngine(device, convertedSpec(config, model.digest, calibration), { ...options, key: await readKey(config.keyFile ?? '') });
      for (const text of passport.notes) note(text);
      await writeFile(outputs.engine, JSON.stringify(passport));
    },
  });
