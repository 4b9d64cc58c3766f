import { readFile, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { z } from 'zod';
import { toFloat16 } from '../compress/half.ts';
import { EdgeError } from '../core/errors.ts';
import type { Precision } from '../core/evidence.ts';
import { type Artifact, defineStep, Recipe } from '../core/recipe.ts';
import type { Store } from '../core/store.ts';
import { decodeEtlt, looksLike } from '../formats/etlt.ts';
import { readOnnx, writeOnnx } from '../formats/onnx.ts';
import { atLowestCost } from '../graph/fold.ts';
import type { Graph } from '../graph/ir.ts';
import { defaultBenchmark, protocolOf } from './benchmark-section.ts';
import type { DevicePool, KnownDevice } from './device-pool.ts';
import { addRelease, deviceBlock, identityOf } from './device-recipe.ts';
import { deviceSteps } from './device-steps.ts';
import { awayOf, knownDevices } from './known-device.ts';
import type { Published } from './outputs.ts';
import { defaultDeepstream } from './project.ts';
import type { ProjectRecipe } from './recipe.ts';
import { sourceFile } from './sources.ts';
import { keyDigest, readKey } from './steps/package.ts';
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
    const graph = atLowestCost(await readModel(config.path, config.keyFile));
    log('info', `${basename(config.path)}: ${graph.nodes.length} nodes, inputs ${graph.inputs.map(input => `${input.name} [${input.type.dims.join('×')}]`).join(', ')}`);
    await writeFile(outputs.fp32, writeOnnx(graph));
    await writeFile(outputs.fp16, writeOnnx(isQuantized(graph) ? graph : toFloat16(graph)));
  },
});

const isQuantized = (graph: Graph): boolean => graph.nodes.some(node => node.type === 'QuantizeLinear');

async function readModel(path: string, keyFile: string | undefined): Promise<Graph> {
  const bytes = await readFile(path);
  if (!path.endsWith('.etlt')) return readOnnx(bytes);
  if (keyFile === undefined && process.env.EDGEFORGE_KEY === undefined) {
    throw new EdgeError('key-missing', `${path} is encrypted and no key is named.`, { hint: 'Give --key-file FILE, or set EDGEFORGE_KEY.', where: { file: path } });
  }
  const { payload } = decodeEtlt(bytes, await readKey(keyFile ?? ''));
  const kind = looksLike(payload);
  if (kind === 'onnx') return readOnnx(payload);
  throw new EdgeError(
    'format-unsupported',
    `What ${path} holds under this key ${kind === undefined ? 'is nothing known: the key is probably wrong' : `is ${kind}, which only tao-converter reads`}.`,
    {
      hint:
        kind === undefined
          ? 'Check the key.'
          : 'On a device with TensorRT 8.4 or older: tao-converter -k KEY -d C,H,W -o OUTPUTS -t fp16 -e model.engine FILE.etlt. Or export ONNX from TAO 5.',
      where: { file: path },
    },
  );
}

interface ModelOptions {
  readonly file: string;
  readonly keyFile?: string;
  readonly devices: readonly string[];
  readonly pool: DevicePool;
  readonly store: Store;
  readonly service: boolean;
}

/** Deploying without training: build and measure a finished network. Its accuracy is unknown here, so no row is judged. */
export async function modelRecipe({ file, keyFile, devices, pool, store, service }: ModelOptions): Promise<Pick<ProjectRecipe, 'recipe' | 'published' | 'away'>> {
  const recipe = new Recipe();
  const source = await sourceFile(file, await store.statCache(), '--model');
  const key = keyFile === undefined ? {} : { keyFile, keyDigest: await keyDigest(keyFile) };
  const model = recipe.add(importModel, { config: { path: source.path, content: source.digest, ...key }, inputs: {} });
  const lines = isQuantized(await readModel(file, keyFile)) ? (['int8'] as const) : (['fp32', 'fp16'] as const);
  const steps = deviceSteps(pool);
  const published: Published[] = [];
  const known = await knownDevices(recipe, pool, devices);
  for (const device of known) published.push({ artifact: addModelDevice(recipe, { file, device, steps, model, lines, service }), path: `report-${device.name}` });
  return { recipe, published, away: awayOf(known) };
}

interface ModelLine {
  readonly file: string;
  readonly device: KnownDevice;
  readonly steps: ReturnType<typeof deviceSteps>;
  readonly model: { readonly fp32: Artifact<'onnx'>; readonly fp16: Artifact<'onnx'> };
  readonly lines: readonly Precision[];
  readonly service: boolean;
}

/** Engines, measurement, report and release of a finished network on one device. */
function addModelDevice(recipe: Recipe, { file, device, steps, model, lines, service }: ModelLine): Artifact<'report'> {
  const { name } = device;
  const identity = identityOf(device);
  const engines = lines.map(precision => {
    const onnx = precision === 'fp16' && device.runtime === 'onnxruntime' ? model.fp16 : model.fp32;
    const { engine: passport } = recipe.add(steps.build, {
      id: `build ${name} ${precision}`,
      config: { identity, precision, batch: 1, threads: defaultBenchmark.threads, engine: `${name}-${wordOf(file)}-${precision}` },
      inputs: { onnx },
    });
    return { passport, onnx };
  });
  const passports = engines.map(({ passport }) => passport);
  const protocol = protocolOf(defaultBenchmark);
  const { measurements } = recipe.add(steps.benchmark, { id: `benchmark ${name}`, config: { identity, protocol }, inputs: { passports } });
  const { report } = recipe.add(reportStep, {
    id: `report ${name}`,
    config: {
      project: basename(file),
      device: deviceBlock(device),
      gate: { dropPoints: 1 },
      protocol: { name: defaultBenchmark.name, ...protocol, batch: 1 },
      lines: lines.map(precision => ({ network: 'results' as const, batch: 1, precision })),
    },
    inputs: { measurements, passports, scores: [], model: model.fp32 },
  });
  addRelease(recipe, { steps, device, project: basename(file), name: wordOf(file), deepstream: defaultDeepstream, engines, network: model.fp32, report, service });
  return report;
}

/** A file's name as one word that any other name may contain. */
const wordOf = (file: string): string =>
  basename(file)
    .replace(/\W+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '') || 'model';
