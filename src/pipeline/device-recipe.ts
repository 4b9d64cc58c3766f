import type { Precision } from '../core/evidence.ts';
import type { Artifact, Recipe } from '../core/recipe.ts';
import type { KnownDevice } from './device-pool.ts';
import type { Project } from './project.ts';
import type { Line, NetworkArtifacts } from './recipe.ts';
import { accuracyStep } from './steps/accuracy.ts';
import type { DeviceIdentity, deviceSteps } from './steps/device.ts';
import { gateStep, reportStep } from './steps/report.ts';
import { thisCpu } from './this-machine.ts';
import type { SpecPlan } from './training-plan.ts';

interface DeviceLine {
  readonly project: Project;
  readonly device: KnownDevice;
  readonly steps: ReturnType<typeof deviceSteps>;
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

/** What happens on one device: an engine per network and precision, all measured in one session, each one's accuracy through that very engine, the report and its gate. */
export function addDevice(recipe: Recipe, { project, device, steps, networks, tensors, plan, history }: DeviceLine): Artifact<'report'> {
  const { settings } = project;
  const { precisions } = settings.export;
  const { batch: batches, images: _, ...protocol } = settings.benchmark;
  const identity = identityOf(device);
  const lines = networks.flatMap(network => batches.flatMap(batch => precisions.map(precision => ({ network, batch, precision }))));
  const engines = lines.map(({ network, batch, precision }) => {
    const name = `${network.name === 'baseline' ? 'unpruned' : 'pruned'} ${precision}${batches.length > 1 ? ` b${batch}` : ''}`;
    const label = `${device.name} ${networks.length > 1 ? name : name.replace('pruned ', '')}`;
    const { onnx, cache } = sourceOf(network, precision, device.runtime);
    const { passport } = recipe.add(steps.build, {
      id: `build ${label}`,
      config: { identity, precision, batch, threads: protocol.threads, engine: label.replaceAll(' ', '-') },
      inputs: { onnx, ...(cache ? { cache } : {}) },
    });
    const { tensors: outputs } = recipe.add(steps.infer, { id: `infer ${label}`, config: { identity }, inputs: { passport, tensors } });
    return { passport, outputs };
  });
  const { measurements } = recipe.add(steps.benchmark, {
    id: `benchmark ${device.name}`,
    config: { identity, protocol },
    inputs: { passports: engines.map(engine => engine.passport) },
  });
  const scores = networks.flatMap((network, at) =>
    batches.map((batch, which) => {
      const start = (at * batches.length + which) * precisions.length;
      const id = `accuracy ${device.name}${networks.length > 1 ? ` ${network.name === 'baseline' ? 'unpruned' : 'pruned'}` : ''}${batches.length > 1 ? ` b${batch}` : ''}`;
      return recipe.add(accuracyStep, {
        id,
        config: { task: plan.task, precisions },
        inputs: { images: tensors, outputs: engines.slice(start, start + precisions.length).map(engine => engine.outputs) },
      }).scores;
    }),
  );
  const last = engines.at(-1)?.outputs;
  const { report } = recipe.add(reportStep, {
    id: `report ${device.name}`,
    config: {
      project: project.folder.split('/').at(-1) ?? 'project',
      device: deviceBlock(device),
      gate: settings.gate,
      protocol: { ...protocol, batch: batches[0] ?? 1 },
      lines: lines.map(({ network, batch, precision }) => ({ network: network.name, batch, precision })),
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
  });
  recipe.add(gateStep, { id: `gate ${device.name}`, config: {}, inputs: { report } });
  return report;
}

/** What an engine is built from: FP16 and INT8 graphs for onnxruntime; for TensorRT the FP32 graph, with a cache where it still reads one. */
function sourceOf(
  network: NetworkArtifacts,
  precision: Precision,
  runtime: KnownDevice['runtime'],
): { readonly onnx: Artifact<'onnx'>; readonly cache?: Artifact<'calibration-cache'> } {
  if (precision === 'int8' && network.quantized) {
    return runtime === 'onnxruntime' ? { onnx: network.quantized.onnxruntime } : { onnx: network.fp32, cache: network.quantized.cache };
  }
  return { onnx: precision === 'fp16' && runtime === 'onnxruntime' ? network.fp16 : network.fp32 };
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
