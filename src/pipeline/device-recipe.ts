import { basename } from 'node:path';
import type { Precision } from '../core/evidence.ts';
import type { Artifact, Recipe } from '../core/recipe.ts';
import { defaultKeep } from '../deploy/rollback.ts';
import type { DeepstreamVersion } from '../formats/deepstream-version.ts';
import { batchesOf, protocolOf, wishesOf } from './benchmark-section.ts';
import type { KnownDevice } from './device-pool.ts';
import type { deviceSteps } from './device-steps.ts';
import type { DeviceIdentity } from './engine-source.ts';
import type { Project } from './project.ts';
import type { Line, NetworkArtifacts } from './recipe.ts';
import { deepstreamFor } from './release-content.ts';
import { accuracyStep } from './steps/accuracy.ts';
import { gateStep, reportStep } from './steps/report.ts';
import { thisCpu } from './this-machine.ts';
import type { SpecPlan } from './training-plan.ts';

interface DeviceLine {
  readonly project: Project;
  readonly device: KnownDevice;
  readonly steps: ReturnType<typeof deviceSteps>;
  /** The release becomes current even where the gate was missed. */
  readonly despiteGate: boolean;
  readonly service: boolean;
  /** Unpruned first, where there is pruning. */
  readonly networks: readonly NetworkArtifacts[];
  readonly tensors: Artifact<'tensors'>;
  readonly plan: SpecPlan['training'];
  readonly history: Line & {
    readonly trained: { readonly log: Artifact<'training-log'> };
    readonly evaluated: { readonly score: Artifact<'score'> };
    readonly baselines: Artifact<'score'>;
  };
}

/** One engine to build and time: which network, at which batch, in which precision. */
interface EngineLine {
  readonly network: NetworkArtifacts;
  readonly batch: number;
  readonly precision: Precision;
}
interface Engine {
  readonly line: EngineLine;
  readonly passport: Artifact<'passport'>;
  readonly outputs: Artifact<'tensors'>;
}

/** What happens on one device: an engine per network and precision, all measured in one session, each one's accuracy through that very engine, the report and its gate. */
export function addDevice(recipe: Recipe, line: DeviceLine): Artifact<'report'> {
  const { project, device, steps, networks } = line;
  const { benchmark } = project.settings;
  const batches = batchesOf(benchmark);
  const lines = networks.flatMap(network => batches.flatMap(batch => project.settings.export.precisions.map(precision => ({ network, batch, precision }))));
  const engines = lines.map(each => addEngine(recipe, line, each));
  const entries = engines.flatMap((engine, index) => wishesOf(benchmark).flatMap(({ batch, scenario }) => (batch === engine.line.batch ? [{ engine: index, scenario }] : [])));
  const { measurements } = recipe.add(steps.benchmark, {
    id: `benchmark ${device.name}`,
    config: { identity: identityOf(device), protocol: { ...protocolOf(benchmark), ...boardWishOf(device) }, ...(benchmark.scenarios ? { entries } : {}) },
    inputs: { passports: engines.map(engine => engine.passport) },
  });
  const scores = networks.flatMap(network => batches.map(batch => addAccuracy(recipe, line, engines, network, batch)));
  const report = addReport(recipe, line, { engines, entries, measurements, scores });
  const { verdict } = recipe.add(gateStep, { id: `gate ${device.name}`, config: {}, inputs: { report } });
  const released = engines
    .filter(({ line: { network } }) => network.name === 'results')
    .map(({ line: each, passport }) => ({ passport, onnx: sourceOf(each.network, each.precision, device).onnx }));
  const results = networks.at(-1) as NetworkArtifacts;
  addRelease(recipe, {
    steps,
    device,
    project: basename(project.folder),
    name: project.settings.task,
    deepstream: project.settings.export.deepstream,
    engines: released,
    network: results.fp32,
    cache: results.quantized?.cache,
    report,
    verdict: line.despiteGate ? undefined : verdict,
    service: line.service,
  });
  return report;
}

interface ReleaseLine {
  readonly steps: ReturnType<typeof deviceSteps>;
  readonly device: KnownDevice;
  /** Whose it is, and what its files are called. */
  readonly project: string;
  readonly name: string;
  readonly deepstream: DeepstreamVersion;
  readonly engines: readonly { readonly passport: Artifact<'passport'>; readonly onnx: Artifact<'onnx'> }[];
  readonly network: Artifact<'onnx'>;
  readonly cache?: Artifact<'calibration-cache'> | undefined;
  /** A service runs it, whatever the device's definition says. */
  readonly service: boolean;
  readonly report: Artifact<'report'>;
  /** Without it the release becomes current whatever the gate says. */
  readonly verdict?: Artifact<'measurement'> | undefined;
}

/** A folder on the device of what was built and measured, and the switch to it. */
export function addRelease(recipe: Recipe, { steps, device, project, name, deepstream, engines, network, cache, report, verdict, service }: ReleaseLine): void {
  const identity = identityOf(device);
  const { service: app } = device.definition;
  const { release } = recipe.add(steps.release, {
    id: `release ${device.name}`,
    config: { identity, project, name, deepstream: deepstreamFor(device.facts.deepstream, deepstream), ...(typeof app === 'object' ? { app } : {}) },
    inputs: { passports: engines.map(({ passport }) => passport), models: engines.map(({ onnx }) => onnx), ...(cache ? { cache } : {}), network, report },
  });
  recipe.add(steps.switch, {
    id: `switch ${device.name}`,
    config: { identity, keep: device.definition.releases ?? defaultKeep, service: service || (device.definition.service ?? false) !== false },
    inputs: { release, ...(verdict ? { verdict } : {}) },
  });
}

/** What the device is to be set to while it is measured, by the project or the user's list. */
const boardWishOf = ({ definition: { powerMode, gpuMHz } }: KnownDevice) => ({ ...(powerMode === undefined ? {} : { powerMode }), ...(gpuMHz === undefined ? {} : { gpuMHz }) });

/** A step's id on this device: `build nano pruned int8`; the network is named where there are two, the batch where there are several. */
function idOf(verb: string, { device, networks, project }: DeviceLine, { network, batch, precision }: Omit<EngineLine, 'precision'> & { readonly precision?: Precision }): string {
  const which = networks.length > 1 ? [network.name === 'baseline' ? 'unpruned' : 'pruned'] : [];
  return [verb, device.name, ...which, ...(precision ? [precision] : []), ...(batchesOf(project.settings.benchmark).length > 1 ? [`b${batch}`] : [])].join(' ');
}

function addEngine(recipe: Recipe, line: DeviceLine, each: EngineLine): Engine {
  const { device, steps, tensors, project } = line;
  const identity = identityOf(device);
  const { onnx, cache } = sourceOf(each.network, each.precision, device);
  const { engine: passport } = recipe.add(steps.build, {
    id: idOf('build', line, each),
    config: {
      identity,
      precision: each.precision,
      batch: each.batch,
      threads: project.settings.benchmark.threads,
      engine: idOf('', line, each).trim().replaceAll(' ', '-'),
      ...buildSettings(project, device),
    },
    inputs: { onnx, ...(cache ? { cache } : {}) },
  });
  const { tensors: outputs } = recipe.add(steps.infer, { id: idOf('infer', line, each), config: { identity }, inputs: { passport, tensors } });
  return { line: each, passport, outputs };
}

/** What else decides a TensorRT engine: a limit of the device's own, and several builds; absent where nothing of the kind is asked for. */
function buildSettings({ settings }: Project, { name, runtime }: KnownDevice) {
  const { builds: count } = settings.benchmark;
  const workspaceMiB = settings.devices[name]?.workspaceMiB;
  return {
    ...(workspaceMiB === undefined ? {} : { workspaceMiB }),
    ...(count > 1 && runtime === 'tensorrt' ? { builds: { count, protocol: protocolOf(settings.benchmark) } } : {}),
  };
}

function addAccuracy(recipe: Recipe, line: DeviceLine, engines: readonly Engine[], network: NetworkArtifacts, batch: number): Artifact<'score'> {
  const own = engines.filter(engine => engine.line.network === network && engine.line.batch === batch);
  return recipe.add(accuracyStep, {
    id: idOf('accuracy', line, { network, batch }),
    config: { task: line.plan.task, precisions: own.map(engine => engine.line.precision) },
    inputs: { images: line.tensors, outputs: own.map(engine => engine.outputs) },
  }).scores;
}

interface Measured {
  readonly engines: readonly Engine[];
  /** What is measured of which engine. */
  readonly entries: readonly { readonly engine: number }[];
  readonly measurements: Artifact<'measurement'>;
  readonly scores: readonly Artifact<'score'>[];
}

function addReport(recipe: Recipe, { project, device, networks, tensors, plan, history }: DeviceLine, { engines, entries, measurements, scores }: Measured): Artifact<'report'> {
  const { benchmark } = project.settings;
  const last = engines.at(-1)?.outputs;
  return recipe.add(reportStep, {
    id: `report ${device.name}`,
    config: {
      project: basename(project.folder),
      device: deviceBlock(device),
      gate: project.settings.gate,
      protocol: { name: benchmark.name, ...protocolOf(benchmark), batch: batchesOf(benchmark)[0] ?? 1 },
      lines: entries.map(({ engine }) => {
        const { network, batch, precision } = (engines[engine] as Engine).line;
        return { network: network.name, batch, precision, engine };
      }),
      task: plan.task,
    },
    inputs: {
      measurements,
      passports: engines.map(engine => engine.passport),
      scores,
      trainLog: history.trained.log,
      trainScore: history.evaluated.score,
      baselines: history.baselines,
      images: tensors,
      model: (networks.at(-1) as NetworkArtifacts).fp32,
      ...(history.retrained ? { retrainLog: history.retrained.log, retrainScore: history.retrained.score } : {}),
      ...(history.pruned ? { pruneReport: history.pruned.report, pruneScore: history.pruned.score } : {}),
      ...(last ? { outputs: last } : {}),
    },
  }).report;
}

/** What an engine is built from: FP16 and INT8 graphs for onnxruntime; for TensorRT a float graph with a flag or its cache, or from 11 on, where the graph alone says its types, the FP16 and Q/DQ graphs. */
function sourceOf(
  network: NetworkArtifacts,
  precision: Precision,
  { runtime, facts }: Pick<KnownDevice, 'runtime' | 'facts'>,
): { readonly onnx: Artifact<'onnx'>; readonly cache?: Artifact<'calibration-cache'> } {
  const typed = runtime === 'onnxruntime' || Number.parseInt(facts.tensorrt ?? '', 10) >= 11;
  if (precision === 'int8' && network.quantized) {
    if (runtime === 'onnxruntime') return { onnx: network.quantized.onnxruntime };
    return typed ? { onnx: network.quantized.tensorrt } : { onnx: network.quantized.float, cache: network.quantized.cache };
  }
  return { onnx: precision === 'fp16' && typed ? network.fp16 : network.fp32 };
}

/** What of a device enters fingerprints. */
export function identityOf({ name, facts, runtimeVersion, thisMachine }: KnownDevice): DeviceIdentity {
  return {
    device: facts.deviceId,
    name,
    runtime: runtimeVersion,
    ...(thisMachine ? { machine: thisCpu } : {}),
    ...(facts.sm ? { sm: facts.sm } : {}),
    ...(facts.l4t ? { l4t: `${facts.l4t.release}.${facts.l4t.revision}` } : {}),
  };
}

/** The report's device block: who it is and under what it ran; nothing that changes by the hour. */
export function deviceBlock({ name, facts, target, runtimeVersion }: KnownDevice) {
  const { deviceId, kind, architecture, model, os, kernel, cpu, memoryMB, jetpack, tensorrt, cuda, deepstream, sm, gpu, powerMode, emulated } = facts;
  return JSON.parse(
    JSON.stringify({
      name,
      target: target.name,
      runtime: runtimeVersion,
      id: deviceId,
      kind,
      architecture,
      model,
      os,
      kernel,
      cpu,
      memoryMB,
      jetpack,
      tensorrt,
      cuda,
      deepstream,
      sm,
      gpu,
      powerMode,
      emulated,
    }),
  ) as { name: string };
}
