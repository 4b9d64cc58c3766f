import { readFile } from 'node:fs/promises';
import { type PruneReport, type PruneSettings, pruneSettings } from '../../compress/prune.ts';
import type { PruneCurve } from '../../compress/prune-curve.ts';
import { EdgeError } from '../../core/errors.ts';
import type { Digest } from '../../core/fingerprint.ts';
import type { ActionRecord, Store } from '../../core/store.ts';
import { pruneCurveJob } from '../jobs/prune.ts';
import { latestRecord } from '../outputs.ts';
import type { ProjectFile } from '../project.ts';
import { imagesForEnergy } from '../steps/prune.ts';
import { trainingPlanSchema } from '../training-plan.ts';
import { readScore } from './training.ts';

/** One evaluation that was really made of a pruned network, as it came from the knife or retrained. */
export interface MeasuredPruning {
  readonly stage: 'pruned' | 'retrained';
  readonly threshold: number;
  readonly macs: number;
  readonly parameters: number;
  /** 0..1, on `n` validation images. */
  readonly value: number;
  readonly n: number;
  readonly decisions: number;
  readonly at: string;
}
/** What pruning the trained network would leave, and every accuracy that was measured on the way there. */
export interface PruningView {
  readonly curve: PruneCurve;
  readonly settings: PruneSettings;
  /** What the project file asks for now. */
  readonly goal?: { readonly keepMacs: number } | { readonly keepParameters: number } | { readonly threshold: number };
  readonly unpruned?: { readonly metric: string; readonly value: number; readonly n: number; readonly decisions: number };
  /** By falling MACs. Of this very network and these validation images: others do not compare. */
  readonly measured: readonly MeasuredPruning[];
  /** Points of the metric that may be lost. */
  readonly dropPoints: number;
}

/** Plans pruning of the project's trained network at every threshold and budget. Throws `file-missing` where nothing is trained yet. */
export async function pruningView(store: Store, project: Pick<ProjectFile, 'prune' | 'gate'>, signal: AbortSignal): Promise<PruningView> {
  const trained = await latestRecord(store, 'train');
  const network = trained?.outputs.network;
  if (!trained || !network) throw new EdgeError('file-missing', 'There is no trained network to prune yet.', { hint: 'Train one with: edgeforge run train' });
  const { keepMacs, keepParameters, ...rest } = project.prune ?? {};
  const settings = pruneSettings.parse(Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)));
  const energy = settings.importance === 'energy' ? energyOf(trained, store) : undefined;
  const curve = await pruneCurveJob({ settings, network: store.path(network), energy }, { send: () => undefined, signal });
  const goal = keepMacs !== undefined ? { keepMacs } : keepParameters !== undefined ? { keepParameters } : rest.threshold !== undefined ? { threshold: rest.threshold } : undefined;
  return { curve, settings, ...(goal ? { goal } : {}), ...(await measuredPrunings(store, network)), dropPoints: project.gate.dropPoints };
}

/** The images that the prune step would look at. */
function energyOf({ config, inputs }: ActionRecord, store: Store) {
  const { plan, root } = config as { readonly plan: unknown; readonly root?: string };
  return {
    plan: trainingPlanSchema.parse(plan),
    train: store.path(inputs.train as Digest),
    images: typeof inputs.images === 'string' ? store.path(inputs.images) : root,
    count: imagesForEnergy,
  };
}

/** Every evaluation on record of what came from this trained network by pruning, on the validation images of today. */
export async function measuredPrunings(store: Store, network: Digest): Promise<Pick<PruningView, 'unpruned' | 'measured'>> {
  const actions = await store.actions();
  const of = (step: string) => actions.filter(action => action.step === step);
  const validation = (await store.latest('evaluate'))?.inputs.validation;
  const scoreOf = async (digest: Digest | undefined) => {
    const score = digest && of('evaluate').findLast(({ inputs }) => inputs.network === digest && inputs.validation === validation)?.outputs.score;
    return score ? await readScore(store, score).catch(() => undefined) : undefined;
  };
  const measured: MeasuredPruning[] = [];
  for (const { outputs, at } of of('prune').filter(({ inputs }) => inputs.network === network)) {
    const report = outputs.report && ((await readFile(store.path(outputs.report), 'utf8').then(JSON.parse, () => undefined)) as PruneReport | undefined);
    if (!report) continue;
    const { macsAfter: macs, parametersAfter: parameters, settings } = report;
    const retrained = of('train').flatMap(action => (action.inputs.network === outputs.network ? [{ digest: action.outputs.network, at: action.at }] : []));
    const ends = [{ stage: 'pruned' as const, digest: outputs.network, at }, ...retrained.map(end => ({ stage: 'retrained' as const, ...end }))];
    for (const { stage, digest, at: when } of ends) {
      const score = await scoreOf(digest);
      if (score) measured.push({ stage, threshold: settings.threshold, macs, parameters, value: score.value, n: score.n, decisions: score.decisions, at: when });
    }
  }
  const unpruned = await scoreOf(network);
  measured.sort((a, b) => b.macs - a.macs || (a.at < b.at ? -1 : 1));
  if (!unpruned) return { measured };
  const { perClass: _, ...score } = unpruned;
  return { unpruned: score, measured };
}
