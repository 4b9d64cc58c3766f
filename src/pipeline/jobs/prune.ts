import { readFile, writeFile } from 'node:fs/promises';
import { type ActivationStatistics, activationStatistics } from '../../compress/activation-statistics.ts';
import { pruneToBudget } from '../../compress/budget.ts';
import { type PruneReport, type PruneSettings, prune } from '../../compress/prune.ts';
import { type PruneCurve, pruneCurve } from '../../compress/prune-curve.ts';
import { reconstruct } from '../../compress/reconstruct.ts';
import type { Manifest } from '../../data/sample.ts';
import { readOnnx, writeOnnx } from '../../formats/onnx.ts';
import { f32, type Graph, sizeOf, type Tensor, type ValueInfo } from '../../graph/ir.ts';
import type { Network } from '../../tasks/task.ts';
import { networkOf } from '../../zoo/network-file.ts';
import type { IsolatedContext } from '../isolation.ts';
import { readManifest } from '../manifest-file.ts';
import type { Placing, TrainingPlan } from '../training-plan.ts';
import { selectImages, singleImages } from './calibrate.ts';

export interface PruneRequest {
  readonly settings: PruneSettings;
  readonly budget?: { readonly keepMacs: number } | { readonly keepParameters: number } | undefined;
  readonly network: string;
  readonly output: string;
  /** Present where importance is `energy`: training images to look at, unaugmented, and how many. */
  readonly energy?: EnergySource | undefined;
}
export type PruneCurveRequest = Pick<PruneRequest, 'settings' | 'network' | 'energy'>;
export interface EnergySource {
  readonly plan: Placing & Pick<TrainingPlan, 'mapping'>;
  readonly train: string;
  /** Where the images lie that the manifest speaks of. */
  readonly images?: string | undefined;
  readonly count: number;
}

/** What the job tells of its two phases: looking at images, then passing them up to each layer that is fitted. */
export interface PruneProgress {
  readonly done: number;
  readonly total: number;
  readonly unit: string;
}

/**
 * Prunes in a process of its own and writes the network: by threshold or budget, by magnitude or by energy. By energy, what is left is then fitted to say what the whole
 * network says of the same images.
 */
export async function pruneJob({ settings, budget, network: file, output, energy }: PruneRequest, { send, signal }: IsolatedContext): Promise<PruneReport> {
  const network = networkOf(readOnnx(await readFile(file)));
  let told = 0;
  const tell = (unit: string) => (done: number, total: number) => {
    const now = performance.now();
    if (done < total && now - told < 250) return;
    told = now;
    send({ done, total, unit } satisfies PruneProgress);
  };
  const seen = energy && (await look(network, energy, signal, tell('images')));
  const pruned = budget ? pruneToBudget(network, budget, settings, seen) : prune(network, settings, seen);
  const graph = energy ? await fitted(pruned.network.graph, network, energy, signal, tell('passes of an image')) : pruned.network.graph;
  await writeFile(output, writeOnnx(graph));
  return pruned.report;
}

/** Bytes of input that the fit holds in memory; larger images are fewer, and each gives more cells. */
const fitBytes = 2 ** 29;
async function fitted(pruned: Graph, { graph, info }: Network, energy: EnergySource, signal: AbortSignal, onImages: (done: number, total: number) => void): Promise<Graph> {
  if (pruned === graph) return graph;
  const bytes = 4 * sizeOf((graph.inputs[0] as ValueInfo).type.dims.slice(1).map(Number));
  const manifest = await chosen({ ...energy, count: Math.min(energy.count, Math.max(16, Math.floor(fitBytes / bytes))) });
  const images: ReadonlyMap<string, Tensor>[] = [];
  // A batch's memory is used again: what is kept is a copy.
  for await (const feeds of singleImages(manifest, { plan: energy.plan, info, signal }))
    images.push(new Map([...feeds].map(([name, tensor]) => [name, f32(tensor.dims as number[], Float32Array.from(tensor.data as Float32Array))])));
  return reconstruct(pruned, graph, images, { signal, onImages });
}

/** What pruning by these settings would leave of a network at any threshold or budget; writes nothing. */
export async function pruneCurveJob({ settings, network: file, energy }: PruneCurveRequest, { send, signal }: IsolatedContext): Promise<PruneCurve> {
  const network = networkOf(readOnnx(await readFile(file)));
  return pruneCurve(network, settings, energy && (await look(network, energy, signal, (done, total) => send({ done, total }))));
}

async function chosen({ train, images, count }: EnergySource): Promise<Manifest> {
  const whole = await readManifest(train, images);
  return { ...whole, samples: selectImages(whole, { images: count, selection: 'stratified', seed: 42 }) };
}

async function look({ graph, info }: Network, energy: EnergySource, signal: AbortSignal, onImages: (done: number, total: number) => void): Promise<ActivationStatistics> {
  const manifest = await chosen(energy);
  return activationStatistics(graph, singleImages(manifest, { plan: energy.plan, info, signal }), { signal, onImages: done => onImages(done, manifest.samples.length) });
}
