import { readFile } from 'node:fs/promises';
import type { Store } from '../../core/store.ts';
import type { Score } from '../../tasks/task.ts';
import type { TrainingLog } from '../jobs/train.ts';
import { latestRecord } from '../outputs.ts';
import type { ProjectFile } from '../project.ts';

/** A training as it ended last: its curve by epoch, and what the network that came out scores on the validation images. */
export interface StageView {
  readonly stage: 'train' | 'retrain';
  /** The spec file, as the project names it. */
  readonly spec: string;
  readonly log?: TrainingLog & { readonly at: string; readonly milliseconds: number };
  readonly score?: Pick<Score, 'metric' | 'value' | 'n' | 'decisions' | 'perClass'>;
}

/** The project's trainings with their last results, where there are any; a run under way is not among them. */
export async function trainingView(store: Store, { model, retrain }: Pick<ProjectFile, 'model' | 'retrain'>): Promise<readonly StageView[]> {
  const first = await stageView(store, { stage: 'train', spec: model.spec, scored: 'evaluate' });
  return retrain ? [first, await stageView(store, { stage: 'retrain', spec: retrain.spec, scored: 'evaluate retrained' })] : [first];
}

async function stageView(store: Store, { stage, spec, scored }: { readonly stage: StageView['stage']; readonly spec: string; readonly scored: string }): Promise<StageView> {
  const [trained, evaluated] = [await latestRecord(store, stage), await latestRecord(store, scored)];
  const log = trained?.outputs.log && (JSON.parse(await readFile(store.path(trained.outputs.log), 'utf8')) as TrainingLog);
  // A score of an older network would stand beside the wrong curve.
  const score = evaluated?.outputs.score && evaluated.inputs.network === trained?.outputs.network ? await readScore(store, evaluated.outputs.score) : undefined;
  return { stage, spec, ...(trained && log ? { log: { ...log, at: trained.at, milliseconds: trained.milliseconds } } : {}), ...(score ? { score } : {}) };
}

/** What an evaluation found, without curves and matrices. */
export async function readScore(store: Store, digest: Parameters<Store['path']>[0]): Promise<NonNullable<StageView['score']>> {
  const { metric, value, n, decisions, perClass } = JSON.parse(await readFile(store.path(digest), 'utf8')) as Score;
  return { metric, value, n, decisions, perClass };
}
