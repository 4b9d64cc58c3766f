import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, extname, join, relative, resolve } from 'node:path';
import { calibrationRecipe, rangeTableSchema } from '../../compress/calibrate.ts';
import { learntRanges, withoutRanges } from '../../compress/qat.ts';
import { writeAtomic } from '../../core/atomic-file.ts';
import { EdgeError } from '../../core/errors.ts';
import type { Precision } from '../../core/evidence.ts';
import { siblingModule } from '../../core/package-root.ts';
import type { Manifest } from '../../data/sample.ts';
import { cacheFor } from '../../formats/calibration-cache.ts';
import { deepstreamLabels, nvinferText } from '../../formats/nvinfer.ts';
import { writeOnnx } from '../../formats/onnx.ts';
import type { TltNetwork } from '../../formats/spec/cli-flags.ts';
import { bindBatch } from '../../graph/clean.ts';
import { atLowestCost } from '../../graph/fold.ts';
import type { Graph } from '../../graph/ir.ts';
import { type NetworkInfo, sizeOfInput } from '../../graph/network-info.ts';
import { networkOf } from '../../zoo/network-file.ts';
import { isolated } from '../isolation.ts';
import type { CalibrateRequest } from '../jobs/calibrate.ts';
import { withStatus } from '../status-file.ts';
import type { SpecPlan } from '../training-plan.ts';
import { readCalibrationList } from './calibration-list.ts';
import { readClassmap, specData } from './datasets.ts';
import { chooseFiles, imageFiles, imageManifest } from './images.ts';
import { etltBytes, readModel } from './model-file.ts';
import { readTrainingSpec } from './spec-file.ts';
import { checkFits } from './start-network.ts';
import type { Tell } from './tell.ts';

export interface TltExport {
  readonly network: TltNetwork;
  readonly model: string;
  /** Default: beside the network. */
  readonly output?: string | undefined;
  readonly spec?: string | undefined;
  readonly key: string | undefined;
  readonly precision: Precision;
  readonly calibration: {
    readonly list?: string | undefined;
    readonly images?: string | undefined;
    readonly cache: string;
    readonly batches: number;
    readonly batchSize: number;
    /** TensorRT of the device, for the cache's header. */
    readonly tensorrt: string;
    /** Where the ranges of a network trained with enable_qat go, as TLT's JSON. */
    readonly json?: string | undefined;
    /** Calibrates such a network on images all the same. */
    readonly forcePtq?: boolean | undefined;
  };
  readonly maxBatch: number;
  /** Fixed in the graph; undefined: free. */
  readonly staticBatch?: number | undefined;
  readonly deepstream: boolean;
  readonly classmap?: string | undefined;
  readonly results?: string | undefined;
}

/** TLT's export: `.etlt` (with a key) or `.onnx`, labels.txt, the INT8 calibration cache, and nvinfer_config.txt where asked for. Returns the files. */
export const tltExport = (request: TltExport, tell: Tell): Promise<readonly string[]> =>
  withStatus('export', request.results, tell, async () => {
    const network = networkOf(await readModel(resolve(request.model), request.key));
    const plan = request.spec === undefined ? undefined : await readTrainingSpec(request.spec, request.network);
    if (plan) checkFits(network, plan, plan.training.task.name === 'detectnet_v2' ? plan.training.task.settings.labels : network.info.labels, request.model);
    await checkClassmap(request, network.info);
    const free = atLowestCost(network.graph);
    const graph = request.staticBatch === undefined ? free : bindBatch(free, request.staticBatch);
    const model = await writeExported(graph, request, tell);
    const labels = join(dirname(model), 'labels.txt');
    await writeAtomic(labels, deepstreamLabels(network.info));
    const files = [model, labels];
    if (request.precision === 'int8') {
      const json = await writeCache(free, network.info, request, plan, tell);
      files.push(resolve(request.calibration.cache), ...(json === undefined ? [] : [json]));
    } else if (request.precision === 'fp16') tell.say('FP16 is chosen when the engine is built on the device; the exported network stays in FP32.');
    if (request.deepstream) files.push(await writeNvinfer(network.info, graph, model, request));
    tell.say(`Files: ${files.join(', ')}`);
    tell.say('Next: edgeforge deploy DEVICE --model FILE builds the engine and measures it there.');
    return files;
  });

async function checkClassmap({ classmap }: TltExport, { labels }: NetworkInfo): Promise<void> {
  if (classmap === undefined) return;
  const named = await readClassmap(classmap);
  if (named.join('\n') !== labels.join('\n'))
    throw new EdgeError('class-unmapped', `${classmap} has ${named.join(', ')}; the network has ${labels.join(', ')}.`, {
      hint: 'Use the classmap.json that this network’s training wrote.',
      where: { file: classmap },
    });
}

async function writeExported(graph: Graph, { output, model, key }: TltExport, tell: Tell): Promise<string> {
  const stem = (file: string) => file.slice(0, file.length - extname(file).length);
  const file = resolve(output ?? `${stem(model)}${key === undefined ? '.exported.onnx' : '.etlt'}`);
  const ending = extname(file).toLowerCase();
  await mkdir(dirname(file), { recursive: true });
  if (ending === '.onnx') {
    if (file === resolve(model)) throw new EdgeError('usage', `-o ${output} is the network itself.`, { hint: 'Name another file.' });
    await writeAtomic(file, writeOnnx(graph));
    return file;
  }
  if (ending !== '.etlt') throw new EdgeError('usage', `-o ${output ?? file} ends in neither .etlt nor .onnx.`, { hint: `Name ${stem(file)}.etlt or ${stem(file)}.onnx.` });
  if (key === undefined)
    throw new EdgeError('key-missing', `${file} would be encrypted, and no key is given.`, {
      hint: 'Set EDGEFORGE_KEY or add --key_file FILE, or name an .onnx.',
      where: { file },
    });
  await writeAtomic(file, etltBytes(graph, key));
  tell.say('The .etlt holds ONNX (its header says so). TensorRT 10 and DeepStream 8 read no .etlt: give them the .onnx of train or prune, exported with -o FILE.onnx.');
  return file;
}

/** The cache, from the ranges that enable_qat learnt or from images; returns the JSON beside it, where one is asked for. */
async function writeCache(graph: Graph, info: NetworkInfo, request: TltExport, plan: SpecPlan | undefined, tell: Tell): Promise<string | undefined> {
  const { cache, tensorrt, json, forcePtq } = request.calibration;
  const learnt = forcePtq ? undefined : learntRanges(graph);
  if (!learnt) {
    if (json !== undefined)
      throw new EdgeError(
        'calibration-missing',
        `${request.model} has no ranges of its own for --cal_json_file: ${forcePtq ? '--force_ptq calibrates it on images' : 'it was not trained with enable_qat'}.`,
        {
          hint: forcePtq ? 'Leave out one of the two flags.' : 'Set enable_qat: true in training_config and train again, or leave out --cal_json_file.',
          where: { file: request.model },
        },
      );
    await calibrateTo(withoutRanges(graph), info, request, plan, tell);
    return undefined;
  }
  await writeAtomic(resolve(cache), cacheFor(new Map(learnt.ranges.map(range => [range.name, range])), { tensorrt }));
  tell.say(
    `The cache holds the ${learnt.ranges.length} ranges learnt in training (enable_qat); no image calibrates. It is headed for TensorRT ${tensorrt} (--tensorrt VERSION changes that).`,
  );
  if (json === undefined) return undefined;
  // TAO's form: ranges, not scales.
  const scales = Object.fromEntries(learnt.ranges.map(({ name, amax }) => [name, amax]));
  await writeAtomic(resolve(json), `${JSON.stringify({ tensor_scales: scales }, undefined, 4)}\n`);
  return resolve(json);
}

/** Ranges of the exported graph over calibration images, in a process of its own, as a TensorRT cache. */
async function calibrateTo(graph: Graph, info: NetworkInfo, request: TltExport, plan: SpecPlan | undefined, tell: Tell): Promise<void> {
  const { batches, batchSize, cache, tensorrt } = request.calibration;
  const wanted = batches * batchSize;
  const manifest = await calibrationImages(request, info, plan, wanted);
  if (manifest.samples.length < wanted)
    tell.note(`${wanted} calibration images were asked for (--batches ${batches} × --batch_size ${batchSize}); there are ${manifest.samples.length}, and all are used.`);
  if (wanted < 100) tell.note(`${wanted} calibration images are few; NVIDIA advises 500 or more.`);
  // One .etlt serves all precisions: its biases stay as trained.
  const recipe = calibrationRecipe.parse({ algorithm: 'entropy', images: Math.min(wanted, manifest.samples.length), selection: 'random', biasCorrection: false });
  const [width, height] = sizeOfInput(graph);
  const folder = await mkdtemp(join(tmpdir(), 'edgeforge-calibrate-'));
  try {
    const at = { onnx: join(folder, 'network.onnx'), train: join(folder, 'images.json'), output: join(folder, 'ranges.json') };
    await writeFile(at.onnx, writeOnnx(graph));
    await writeFile(at.train, JSON.stringify(manifest));
    const job: CalibrateRequest = {
      plan: { input: { width, height }, fit: plan?.training.fit ?? info.preprocess.resize, filter: plan?.training.filter ?? 'bilinear' },
      recipe,
      ...at,
    };
    const onMessage = (message: unknown) => {
      const { done, total } = message as { readonly done: number; readonly total: number };
      tell.progress(done, total, 'images (two passes)');
    };
    await isolated(siblingModule(import.meta.url, '../jobs/calibrate'), 'calibrateJob', job, { signal: tell.signal, onMessage });
    const { ranges } = rangeTableSchema.parse(JSON.parse(await readFile(at.output, 'utf8')));
    await writeAtomic(resolve(cache), cacheFor(new Map(ranges.map(range => [range.name, range])), { tensorrt }));
    tell.say(`Calibrated (entropy) on ${recipe.images} images; the cache is headed for TensorRT ${tensorrt} (--tensorrt VERSION changes that).`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function calibrationImages({ calibration }: TltExport, info: NetworkInfo, plan: SpecPlan | undefined, wanted: number): Promise<Manifest> {
  const task = info.task === 'classification' ? 'classification' : 'detection';
  const files =
    calibration.list !== undefined
      ? await readCalibrationList(calibration.list)
      : calibration.images !== undefined
        ? await imageFiles(calibration.images, { deep: true })
        : undefined;
  if (files) return imageManifest(chooseFiles(files, wanted), task);
  if (plan) {
    const { train } = await specData(plan);
    return imageManifest(
      chooseFiles(
        train.samples.map(sample => resolve(train.root, sample.image)),
        wanted,
        plan.training.seed,
      ),
      task,
    );
  }
  throw new EdgeError('calibration-missing', 'INT8 needs calibration images, and none are named.', {
    hint: 'Add --cal_image_dir DIR, or -e SPEC to take its training images; or ask for --data_type fp16.',
  });
}

async function writeNvinfer(info: NetworkInfo, graph: Graph, model: string, { precision, maxBatch, calibration }: TltExport): Promise<string> {
  const folder = dirname(model);
  const [width, height, channels] = sizeOfInput(graph);
  const name = basename(model);
  const text = nvinferText({
    info,
    input: [channels, height, width],
    files: {
      ...(name.endsWith('.etlt') ? { etlt: name } : { onnx: name }),
      labels: 'labels.txt',
      ...(precision === 'int8' ? { calibration: relative(folder, resolve(calibration.cache)) } : {}),
    },
    precision,
    batch: maxBatch,
    deepstream: '6.3',
  });
  const file = join(folder, 'nvinfer_config.txt');
  await writeAtomic(file, text);
  return file;
}
