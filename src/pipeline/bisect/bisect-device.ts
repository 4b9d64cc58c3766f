import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Precision } from '../../core/evidence.ts';
import type { Store } from '../../core/store.ts';
import { decodeImage, type Pixels } from '../../data/decode.ts';
import type { Placement, Size } from '../../data/placement.ts';
import type { Manifest } from '../../data/sample.ts';
import type { Passport } from '../../deploy/device.ts';
import { gradeOf } from '../../deploy/grade.ts';
import type { Device } from '../../deploy/open-device.ts';
import { inferOnDevice } from '../../deploy/work.ts';
import type { DeepstreamVersion } from '../../formats/deepstream-version.ts';
import { readOnnx } from '../../formats/onnx.ts';
import { f32, type Graph, sizeOf, type Tensor } from '../../graph/ir.ts';
import { type NetworkInfo, networkInfoOf } from '../../graph/network-info.ts';
import type { Tolerance } from '../../tasks/frame-match.ts';
import { openPredictor } from '../../train/predict.ts';
import type { DevicePool } from '../device-pool.ts';
import { validationBatches } from '../jobs/evaluate.ts';
import { readManifest } from '../manifest-file.ts';
import type { Project } from '../project.ts';
import { readPlan } from '../project-files.ts';
import { deepstreamFor } from '../release-content.ts';
import { dataPath } from '../split-settings.ts';
import { openTask } from '../task-plan.ts';
import { writeTensorFolder } from '../tensor-folder.ts';
import type { TrainingPlan } from '../training-plan.ts';
import { enginesOf, exportedConfig, madeBy, readSetup } from './deployed.ts';
import { type Change, type Frames, findChange, type RunNetwork } from './find-change.ts';
import { kittiAnswers } from './kitti.ts';
import type { Setup } from './suspects.ts';

export interface BisectRequest {
  readonly project: Project;
  readonly pool: DevicePool;
  readonly store: Store;
  readonly device: string;
  readonly images: number;
  readonly precision?: Precision | undefined;
  /** An nvinfer config instead of the exported one. */
  readonly config?: string | undefined;
  /** The version that reads the config; absent: the device's own, else the project's. */
  readonly deepstream?: DeepstreamVersion | undefined;
  /** A folder of gie-kitti-output-dir, here or on the device, and the muxer's frame where it is not the images' own size. */
  readonly kitti?: string | undefined;
  readonly frame?: Size | undefined;
  readonly tolerance: Omit<Tolerance, 'floor'>;
  readonly signal: AbortSignal;
  readonly onStage?: (what: string) => void;
}
export interface DeviceBisection extends Change {
  readonly device: string;
  readonly runtime: string;
  readonly config: string;
  readonly deepstream: DeepstreamVersion;
  readonly images: readonly string[];
}

/** The same validation images through the exported network on this host, through a device's engines and through DeepStream (emulated from a config, or as a real run wrote it). Throws where the project has not come so far. */
export async function bisectDevice(request: BisectRequest): Promise<DeviceBisection> {
  const { project, store, pool, signal, onStage = () => {} } = request;
  const exported = await madeBy(store, 'export', 'fp32', 'Export first: edgeforge run export');
  const graph = readOnnx(await readFile(exported));
  const plan = (await readPlan(project, project.settings.model.spec)).training;
  const device = await pool.open(request.device, signal);
  const deepstream = request.deepstream ?? deepstreamFor(device.facts.deepstream, project.settings.export.deepstream);
  const passports = await enginesOf(store, device, request.precision);
  const exportedFile = await exportedConfig(store, request.precision ?? passports.at(-1)?.precision);
  const wanted = await readSetup(exportedFile, deepstream);
  // The exported config of FP32 is FP16's: it is the engine that runs which counts.
  const deployed = request.config === undefined ? asBuilt(wanted, request.precision ?? passports.at(-1)?.precision) : await readSetup(request.config, deepstream);
  onStage('reading images');
  const { frames, ids } = await framesOf(request, graph, plan);
  const kitti = request.kitti === undefined ? undefined : await kittiAnswers(request.kitti, { transport: device.transport, sizes: frames.pixels, frame: request.frame });
  await using host = await onHost(graph, plan);
  const engines = passports.map(passport => ({
    precision: passport.precision,
    grade: gradeOf(device.facts, passport),
    run: onDevice(device, passport, signal, () => onStage(`${passport.precision} engine on ${device.name}`)),
  }));
  const change = await findChange({
    frames,
    host: host.run,
    engines,
    wanted,
    deployed,
    tolerance: request.tolerance,
    ...(kitti ? { kitti: { answers: kitti, grade: gradeOf(device.facts) } } : {}),
  });
  return { ...change, device: device.name, runtime: device.runtime.version(device.facts), config: deployed.file, deepstream, images: ids };
}

const asBuilt = <S extends Setup>(setup: S, precision: Precision = setup.reading.precision): S => ({ ...setup, reading: { ...setup.reading, precision } });

/** The first validation images, as they lie on disk and as training saw them. */
async function framesOf(
  { project, store, images, signal }: BisectRequest,
  graph: Graph,
  plan: TrainingPlan,
): Promise<{ readonly frames: Frames; readonly ids: readonly string[] }> {
  const info = networkInfoOf(graph) as NetworkInfo;
  const whole = await validationOf(project, store);
  const manifest = { ...whole, samples: whole.samples.slice(0, images) };
  const n = manifest.samples.length;
  const placements: Placement[] = [];
  let data = new Float32Array();
  let at = 0;
  let dims: readonly number[] = [];
  for await (const batch of validationBatches(manifest, plan, info, Math.min(8, n), signal)) {
    dims = [n, ...batch.images.dims.slice(1)];
    if (at === 0) data = new Float32Array(sizeOf(dims));
    // The last batch is filled up with images that do not count.
    const part = (batch.images.data as Float32Array).subarray(0, (data.length / n) * batch.n);
    data.set(part, at);
    at += part.length;
    placements.push(...batch.placements);
  }
  const pixels: Pixels[] = [];
  for (const { image } of manifest.samples) pixels.push(await decodeImage(join(manifest.root, image)));
  return { frames: { pixels, tensor: f32(dims, data), placements, fit: plan.fit }, ids: manifest.samples.map(({ id }) => id) };
}

async function validationOf(project: Project, store: Store): Promise<Manifest> {
  const hint = 'Read the data first: edgeforge run dataset';
  const images = project.settings.data.scenes ? await madeBy(store, 'scenes', 'images', hint) : dataPath(project);
  return readManifest(await madeBy(store, 'dataset', 'validation', hint), images);
}

/** The graph in this host's onnxruntime, a few images at a time. */
async function onHost(graph: Graph, plan: TrainingPlan): Promise<AsyncDisposable & { readonly run: RunNetwork }> {
  const predictor = await openPredictor(graph, openTask(plan.task, networkInfoOf(graph)?.labels ?? []));
  return { run: images => predictor.outputs(images), [Symbol.asyncDispose]: () => predictor.close() };
}

/** An engine on its device: the images are pushed, the raw outputs come back. */
const onDevice =
  (device: Device, passport: Passport, signal: AbortSignal, tell: () => void): RunNetwork =>
  async (images: Tensor) => {
    tell();
    const folder = await mkdtemp(join(tmpdir(), 'edgeforge-bisect-'));
    try {
      const n = images.dims[0] ?? 0;
      await writeTensorFolder(folder, n, new Map([['input', images]]));
      return (await inferOnDevice(device, passport, join(folder, '0.f32'), n, { signal })).tensors;
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  };
