import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { EdgeError } from '../../core/errors.ts';
import { siblingModule } from '../../core/package-root.ts';
import { writeOnnx } from '../../formats/onnx.ts';
import { classificationSpec } from '../../formats/spec/classification-spec.ts';
import type { TltNetwork } from '../../formats/spec/cli-flags.ts';
import type { Score } from '../../tasks/task.ts';
import { networkOf } from '../../zoo/network-file.ts';
import { isolated } from '../isolation.ts';
import type { EvaluateRequest } from '../jobs/evaluate.ts';
import { kpiName, withStatus } from '../status-file.ts';
import { evaluationData } from './datasets.ts';
import { readModel } from './model-file.ts';
import { readTrainingSpec } from './spec-file.ts';
import { checkFits } from './start-network.ts';
import type { Tell } from './tell.ts';

export interface TltEvaluate {
  readonly network: TltNetwork;
  readonly spec: string;
  /** Default (classification): eval_config.model_path. */
  readonly model: string | undefined;
  readonly key: string | undefined;
  readonly trainingSet: boolean;
  readonly images?: string | undefined;
  readonly labels?: string | undefined;
  readonly results?: string | undefined;
}

/** TLT's evaluate: the score of a network on the spec's validation data, as a table and in status.json. */
export const tltEvaluate = (request: TltEvaluate, tell: Tell): Promise<Score> =>
  withStatus('evaluate', request.results, tell, async status => {
    const plan = await readTrainingSpec(request.spec, request.network);
    for (const note of plan.notes) tell.note(note);
    const file = request.model ?? (request.network === 'classification' ? classificationSpec(plan.spec).spec.evaluation.modelPath : undefined);
    if (file === undefined) throw new EdgeError('usage', 'No network to evaluate is named.', { hint: 'Add -m MODEL, or set eval_config.model_path in the spec.' });
    const network = networkOf(await readModel(resolve(file), request.key));
    checkFits(network, plan, plan.training.task.name === 'detectnet_v2' ? plan.training.task.settings.labels : network.info.labels, file);
    const manifest = await evaluationData(plan, network.info.labels, { trainingSet: request.trainingSet, images: request.images, labels: request.labels });
    const score = await evaluatedApart({ plan: plan.training, graph: writeOnnx(network.graph), manifest: JSON.stringify(manifest), total: manifest.samples.length }, tell);
    for (const line of scoreLines(score)) tell.say(line);
    const perClass = Object.fromEntries(score.perClass.map(row => [row.label, 100 * row.value]));
    const name = score.metric === 'top-1' ? 'accuracy' : 'average_precision';
    status.write({
      status: 'RUNNING',
      message: 'Evaluation metrics generated.',
      kpi: { [kpiName(score.metric)]: 100 * score.value },
      categorical: { [name]: perClass },
    });
    return score;
  });

/** Runs the evaluation in a process of its own, over files in a temporary folder. */
async function evaluatedApart(
  { plan, graph, manifest, total }: { readonly plan: EvaluateRequest['plan']; readonly graph: Uint8Array; readonly manifest: string; readonly total: number },
  tell: Tell,
): Promise<Score> {
  const folder = await mkdtemp(join(tmpdir(), 'edgeforge-evaluate-'));
  try {
    const request: EvaluateRequest = { plan, network: join(folder, 'network.onnx'), validation: join(folder, 'validation.json') };
    await writeFile(request.network, graph);
    await writeFile(request.validation, manifest);
    return await isolated<Score>(siblingModule(import.meta.url, '../jobs/evaluate'), 'evaluateJob', request, {
      signal: tell.signal,
      onMessage: message => tell.progress((message as { readonly done: number }).done, total, 'images'),
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A score as TLT prints it, with the counts that it rests on. */
export function scoreLines({ metric, value, n, decisions, perClass, detail }: Score): readonly string[] {
  const percent = (share: number) => (100 * share).toFixed(4);
  const wide = Math.max(12, ...perClass.map(row => row.label.length));
  const classifier = metric === 'top-1';
  const title = classifier ? 'recall (in %)' : 'average precision (in %)';
  const head = classifier ? `Top-1 accuracy (in %): ${percent(value)} on ${n} images` : `Mean average_precision (in %): ${percent(value)} on ${n} images with ${decisions} objects`;
  const topK = detail.topK as { readonly k: number; readonly value: number } | undefined;
  return [
    head,
    ...(classifier && topK && topK.k > 1 ? [`Top-${topK.k} accuracy (in %): ${percent(topK.value)}`] : []),
    `${'class name'.padEnd(wide)}  ${title}  n`,
    `${'-'.repeat(wide)}  ${'-'.repeat(title.length)}  ---`,
    ...[...perClass].sort((a, b) => (a.label < b.label ? -1 : 1)).map(row => `${row.label.padEnd(wide)}  ${percent(row.value).padEnd(title.length)}  ${row.n}`),
  ];
}
