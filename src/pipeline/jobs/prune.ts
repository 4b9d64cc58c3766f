import { readFile, writeFile } from 'node:fs/promises';
import { type ActivationStatistics, activationStatistics } from '../../compress/activation-statistics.ts';
import { pruneToBudget } from '../../compress/budget.ts';
import { type PruneReport, type PruneSettings, prune } from '../../compress/prune.ts';
import { type PruneCurve, pruneCurve } from '../../compress/prune-curve.ts';
import { readOnnx, writeOnnx } from '../../formats/onnx.ts';
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

/** Prunes in a process of its own and writes the network: by threshold or budget, by magnitude or by energy. */
export async function pruneJob({ settings, budget, network: file, output, energy }: PruneRequest, { send, signal }: IsolatedContext): Promise<PruneReport> {
  const network = networkOf(readOnnx(await readFile(file)));
  const seen = energy && (await look(network, energy, signal, (done, total) => send({ done, total })));
  const pruned = budget ? pruneToBudget(network, budget, settings, seen) : prune(network, settings, seen);
  await writeFile(output, writeOnnx(pruned.network.graph));
  return pruned.report;
}

/** What pruning by these settings would leave of a network at any threshold or budget; writes nothing. */
export async function pruneCurveJob({ settings, network: file, energy }: PruneCurveRequest, { send, signal }: IsolatedContext): Promise<PruneCurve> {
  const network = networkOf(readOnnx(await readFile(file)));
  return pruneCurve(network, settings, energy && (await look(network, energy, signal, (done, total) => send({ done, total }))));
}

async function look(
  { graph, info }: Network,
  { plan, train, images, count }: EnergySource,
  signal: AbortSignal,
  onImages: (done: number, total: number) => void,
): Promise<ActivationStatistics> {
  const whole = await readManifest(train, images);
  const manifest = { ...whole, samples: selectImages(whole, { images: count, selection: 'stratified', seed: 42 }) };
  return activationStatistics(graph, singleImages(manifest, { plan, info, signal }), { signal, onImages: done => onImages(done, manifest.samples.length) });
}
