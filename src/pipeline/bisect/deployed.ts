import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { EdgeError } from '../../core/errors.ts';
import type { Precision } from '../../core/evidence.ts';
import type { Store } from '../../core/store.ts';
import type { Passport } from '../../deploy/device.ts';
import type { Device } from '../../deploy/open-device.ts';
import type { DeepstreamVersion } from '../../formats/deepstream-version.ts';
import { type Ini, iniValue, parseIni, parseIniYaml } from '../../formats/ini.ts';
import { latestRecord } from '../outputs.ts';
import { type Setup, setupOf } from './suspects.ts';

/** What a step made last. Throws `output-missing` with the command that makes it. */
export async function madeBy(store: Store, step: string, output: string, hint: string): Promise<string> {
  const digest = (await latestRecord(store, step))?.outputs[output];
  if (digest !== undefined) return store.path(digest);
  throw new EdgeError('output-missing', `The project has no ${output} of the step "${step}" yet.`, { hint });
}

/** The last engines of the exported network on a device, one per precision, FP32 first. Throws `output-missing` where there is none. */
export async function enginesOf(store: Store, { name, facts }: Pick<Device, 'name' | 'facts'>, only?: Precision): Promise<readonly Passport[]> {
  const records = await Promise.all(['export', 'quantize'].map(step => latestRecord(store, step)));
  const models = new Set<string>(records.flatMap(record => Object.values(record?.outputs ?? {})));
  const found = new Map<Precision, Passport>();
  for (const { step, outputs } of await store.actions()) {
    if (step !== 'build' || outputs.engine === undefined) continue;
    const text = await readFile(store.path(outputs.engine), 'utf8').catch(() => undefined);
    const passport = text === undefined ? undefined : (JSON.parse(text) as Passport);
    if (passport?.deviceId === facts.deviceId && models.has(passport.modelDigest)) found.set(passport.precision, passport);
  }
  const engines = (['fp32', 'fp16', 'int8'] as const).flatMap(precision => found.get(precision) ?? []).filter(({ precision }) => only === undefined || precision === only);
  if (engines.length > 0) return engines;
  throw new EdgeError('output-missing', `"${name}" has no ${only === undefined ? '' : `${only} `}engine of the exported network.`, { hint: `Build it: edgeforge deploy ${name}` });
}

/** A config file with the labels it names. Throws `file-missing`. */
export async function readSetup(file: string, deepstream: DeepstreamVersion): Promise<Setup & { readonly file: string }> {
  const ini = await iniAt(file);
  const named = iniValue(ini, 'property', 'labelfile-path');
  const path = named === undefined ? undefined : resolve(dirname(file), named);
  const labels = path === undefined ? undefined : await textOf(path, 'the labels that the config names');
  return { ...setupOf(ini, labels, deepstream), file };
}

const textOf = (file: string, what: string): Promise<string> =>
  readFile(file, 'utf8').catch((cause: unknown) => {
    throw new EdgeError('file-missing', `${file} (${what}) is not there.`, { hint: 'Write the configs with: edgeforge export --out DIR', where: { file }, cause });
  });

/** A DeepStream config, in text or YAML by its name. Throws `file-missing` or `file-corrupt`. */
export async function iniAt(file: string): Promise<Ini> {
  const text = await textOf(file, 'a DeepStream config');
  return /\.ya?ml$/i.test(file) ? parseIniYaml(text) : parseIni(text, { headless: 'property' });
}

/** The nvinfer config that edgeforge exports for a precision; FP32 has none of its own, as FP16's differs in nothing that is looked at. */
export const exportedConfig = async (store: Store, precision: Precision | undefined): Promise<string> =>
  join(await madeBy(store, 'package', 'bundle', 'Export first: edgeforge run package'), `nvinfer_${precision === 'int8' ? 'int8' : 'fp16'}.txt`);
