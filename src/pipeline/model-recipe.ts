import { stat, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { z } from 'zod';
import { toFloat16 } from '../compress/half.ts';
import { EdgeError } from '../core/errors.ts';
import type { Precision } from '../core/evidence.ts';
import { type Artifact, defineStep, Recipe } from '../core/recipe.ts';
import type { Store } from '../core/store.ts';
import { writeOnnx } from '../formats/onnx.ts';
import { atLowestCost } from '../graph/fold.ts';
import type { Graph } from '../graph/ir.ts';
import { defaultBenchmark, protocolOf } from './benchmark-section.ts';
import type { DevicePool, KnownDevice } from './device-pool.ts';
import { addRelease, deviceBlock, identityOf } from './device-recipe.ts';
import { deviceSteps } from './device-steps.ts';
import { isQuantized } from './engine-source.ts';
import { type GivenModel, type OpenedModel, openModel, type SealedModel } from './given-model.ts';
import { awayOf, knownDevices } from './known-device.ts';
import { defaultDeepstream } from './project.ts';
import type { ProjectRecipe } from './recipe.ts';
import { type Source, sourceFile } from './sources.ts';
import { keyDigest } from './steps/package.ts';
import { reportStep } from './steps/report.ts';
import { thisCpu } from './this-machine.ts';

/** A finished network from outside: .onnx, or .etlt whose payload is ONNX; folded, in FP32 and FP16. A Q/DQ network stays as it is. */
const importModel = defineStep({
  name: 'import-model',
  version: 1,
  config: z.strictObject({ path: z.string(), content: z.string(), keyFile: z.string().optional(), keyDigest: z.string().optional() }),
  inputs: {},
  outputs: { fp32: 'onnx', fp16: 'onnx' },
  identity: ({ path: _, keyFile: __, ...rest }) => rest,
  exclusive: () => [thisCpu],
  async run({ config, outputs, log }) {
    const graph = atLowestCost(await readGraph({ file: config.path, ...(config.keyFile === undefined ? {} : { keyFile: config.keyFile }) }));
    log('info', `${basename(config.path)}: ${graph.nodes.length} nodes, inputs ${graph.inputs.map(input => `${input.name} [${input.type.dims.join('×')}]`).join(', ')}`);
    await writeFile(outputs.fp32, writeOnnx(graph));
    await writeFile(outputs.fp16, writeOnnx(isQuantized(graph) ? graph : toFloat16(graph)));
  },
});

/** The network inside, where it can be read here. */
async function readGraph(model: Pick<GivenModel, 'file' | 'keyFile'>): Promise<Graph> {
  const { graph } = await openModel(model);
  if (graph) return graph;
  throw new EdgeError('internal', `${model.file} holds no ONNX.`, { hint: 'This is a bug in edgeforge.' });
}

interface ModelOptions extends GivenModel {
  readonly devices: readonly string[];
  readonly pool: DevicePool;
  readonly store: Store;
  readonly service: boolean;
}

/** Deploying without training: build and measure a finished network. Its accuracy is unknown here, so no row is judged. */
export async function modelRecipe({ devices: names, pool, store, service, ...given }: ModelOptions): Promise<Pick<ProjectRecipe, 'recipe' | 'published' | 'away'>> {
  const recipe = new Recipe();
  const cache = await store.statCache();
  const { file, keyFile } = given;
  const source = await sourceFile(file, cache, '--model');
  const opened = await openModel(given);
  const calibration = given.calibration === undefined ? undefined : await sourceFile(given.calibration, cache, '--calibration');
  const key = keyFile === undefined ? {} : { keyFile, keyDigest: await keyDigest(keyFile) };
  const model = opened.graph && recipe.add(importModel, { config: { path: source.path, content: source.digest, ...key }, inputs: {} });
  const bytes = (await stat(file)).size;
  const steps = deviceSteps(pool);
  const devices = await knownDevices(recipe, pool, names);
  refuseIdleWords(given, opened, devices);
  if (service && !opened.graph)
    throw new EdgeError('usage', `A service runs a release, and there is none of ${basename(file)}: its network cannot be read here.`, {
      hint: 'Leave --service out, or export the model as ONNX (TAO 5 does) and deploy that.',
    });
  const published = devices.map(device => ({
    artifact: addModelDevice(recipe, { given, opened, source, bytes, calibration, key, device, steps, model, service }),
    path: `report-${device.name}`,
  }));
  return { recipe, published, away: awayOf(devices) };
}

/** Whether the device's converter builds: what trtexec cannot read, and what is wished so. */
export const converts = ({ graph, sealed }: OpenedModel, { definition }: Pick<KnownDevice, 'definition'>): boolean =>
  sealed !== undefined && (graph === undefined || definition.converter === true);

/** Words for a converter that no device would hear are a mistake, not a hint; and Q/DQ is nothing for it. */
function refuseIdleWords({ dims, outputs, calibration }: GivenModel, opened: OpenedModel, devices: readonly KnownDevice[]): void {
  const words = Object.entries({ '--dims': dims, '--outputs': outputs, '--calibration': calibration }).flatMap(([name, value]) => (value === undefined ? [] : [name]));
  const idle = devices.find(device => !converts(opened, device));
  if (words.length > 0 && idle)
    throw new EdgeError(
      'usage',
      `${words.join(', ')} ${words.length > 1 ? 'are' : 'is'} for an .etlt that a device’s tao-converter builds; on "${idle.name}" this model goes another way.`,
      {
        hint: 'Leave the words out; or set converter: true at the device (an .etlt only, TensorRT 8.4 or older).',
      },
    );
  const wishing = devices.find(device => converts(opened, device));
  if (wishing && opened.graph && isQuantized(opened.graph))
    throw new EdgeError('usage', 'This .etlt holds Q/DQ pairs, which a converter does not keep for certain.', {
      hint: `Leave converter: true out at "${wishing.name}": trtexec builds it.`,
    });
}

interface ModelLine {
  readonly given: GivenModel;
  readonly opened: OpenedModel;
  readonly source: Source;
  readonly bytes: number;
  readonly calibration: Source | undefined;
  readonly key: { readonly keyFile?: string; readonly keyDigest?: string };
  readonly device: KnownDevice;
  readonly steps: ReturnType<typeof deviceSteps>;
  /** Absent where nobody here can read it. */
  readonly model: { readonly fp32: Artifact<'onnx'>; readonly fp16: Artifact<'onnx'> } | undefined;
  readonly service: boolean;
}

/** Precisions of a finished network: a Q/DQ network is INT8 alone; INT8 of a float one takes a cache. */
export function precisionsOf({ graph }: OpenedModel, cached: boolean): readonly Precision[] {
  if (graph && isQuantized(graph)) return ['int8'];
  return cached ? ['fp32', 'fp16', 'int8'] : ['fp32', 'fp16'];
}

/** An engine from the .etlt itself, by the device's converter. */
function addConverted(recipe: Recipe, { given, opened, source, calibration, key, device, steps }: ModelLine, precision: Precision): Artifact<'passport'> {
  const { workspaceMiB } = device.definition;
  const sealed = opened.sealed as SealedModel;
  return recipe.add(steps.convert, {
    id: `convert ${device.name} ${precision}`,
    config: {
      identity: identityOf(device),
      tool: device.facts.converter ?? 'none',
      model: { path: source.path, content: source.digest },
      ...key,
      ...(precision === 'int8' && calibration ? { calibration: { path: calibration.path, content: calibration.digest } } : {}),
      sealed: { ...sealed, dims: [...sealed.dims], outputs: [...sealed.outputs] },
      precision,
      batch: 1,
      engine: `${device.name}-${wordOf(given.file)}-${precision}`,
      ...(workspaceMiB === undefined ? {} : { workspaceMiB }),
    },
    inputs: {},
  }).engine;
}

/** An engine from the ONNX, by the device's runtime. */
function addBuilt(recipe: Recipe, { given, device, steps }: ModelLine, precision: Precision, onnx: Artifact<'onnx'>): Artifact<'passport'> {
  return recipe.add(steps.build, {
    id: `build ${device.name} ${precision}`,
    config: { identity: identityOf(device), precision, batch: 1, threads: defaultBenchmark.threads, engine: `${device.name}-${wordOf(given.file)}-${precision}` },
    inputs: { onnx },
  }).engine;
}

/** Engines, measurement, report and (where the network can be read here) release of a finished network on one device. */
function addModelDevice(recipe: Recipe, line: ModelLine): Artifact<'report'> {
  const { given, opened, source, bytes, device, steps, model } = line;
  const { name } = device;
  const identity = identityOf(device);
  const precisions = precisionsOf(opened, line.calibration !== undefined);
  const own = model === undefined || converts(opened, device) ? undefined : model;
  const passports = precisions.map(precision =>
    own ? addBuilt(recipe, line, precision, precision === 'fp16' && device.runtime === 'onnxruntime' ? own.fp16 : own.fp32) : addConverted(recipe, line, precision),
  );
  const protocol = protocolOf(defaultBenchmark);
  const { measurements } = recipe.add(steps.benchmark, { id: `benchmark ${name}`, config: { identity, protocol }, inputs: { passports } });
  const { report } = recipe.add(reportStep, {
    id: `report ${name}`,
    config: {
      project: basename(given.file),
      device: deviceBlock(device),
      gate: { dropPoints: 1 },
      protocol: { name: defaultBenchmark.name, ...protocol, batch: 1 },
      lines: precisions.map(precision => ({ network: 'results' as const, batch: 1, precision })),
      ...(model ? {} : { sealed: { name: basename(given.file), digest: source.digest, bytes } }),
    },
    inputs: { measurements, passports, scores: [], ...(model ? { model: model.fp32 } : {}) },
  });
  if (model) {
    const engines = passports.map((passport, i) => ({ passport, onnx: own && precisions[i] === 'fp16' && device.runtime === 'onnxruntime' ? model.fp16 : model.fp32 }));
    addRelease(recipe, {
      steps,
      device,
      project: basename(given.file),
      name: wordOf(given.file),
      deepstream: defaultDeepstream,
      engines,
      network: model.fp32,
      report,
      service: line.service,
    });
  }
  return report;
}

/** A file's name as one word that any other name may contain. */
const wordOf = (file: string): string =>
  basename(file)
    .replace(/\W+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '') || 'model';
