import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { PruneReport } from '../../compress/prune.ts';
import { computeCaution } from '../../compute/choose.ts';
import { EdgeError } from '../../core/errors.ts';
import type { Measurement } from '../../core/evidence.ts';
import type { Digest } from '../../core/fingerprint.ts';
import { defineStep } from '../../core/recipe.ts';
import type { Passport } from '../../deploy/device.ts';
import { readOnnx } from '../../formats/onnx.ts';
import { parseReport, type Report, type UnjudgedRow } from '../../formats/report.ts';
import { judgeRows, minDecisions } from '../../formats/report-gate.ts';
import { costOf } from '../../graph/cost.ts';
import { networkInfoOf } from '../../graph/network-info.ts';
import type { Score } from '../../tasks/task.ts';
import { protocolSchema } from '../engine-source.ts';
import type { TrainingLog } from '../jobs/train.ts';
import { publishedFigures } from '../published-figures.ts';
import { writeReport } from '../report-folder.ts';
import { reportImages } from '../report-images.ts';
import { taskPlanSchema } from '../task-plan.ts';
import { thisCpu } from '../this-machine.ts';
import { comparisonText } from '../training-comparison.ts';
import type { DeviceScore } from './accuracy.ts';
import { rangesNote } from './device.ts';

/** One row; `engine`: which passport and score it has, where an engine is measured in several scenarios. */
const lineSchema = z.strictObject({
  network: z.enum(['baseline', 'results']),
  batch: z.int(),
  precision: z.enum(['fp32', 'fp16', 'int8']),
  engine: z.int().nonnegative().optional(),
});

/** Everything that was measured, as one value (report.json), and that value as HTML and Markdown. */
export const reportStep = defineStep({
  name: 'report',
  version: 2,
  exclusive: () => [thisCpu],
  config: z.strictObject({
    project: z.string(),
    device: z.looseObject({ name: z.string() }),
    gate: z.strictObject({ dropPoints: z.number() }),
    protocol: protocolSchema.omit({ powerMode: true, gpuMHz: true }).extend({ batch: z.number(), name: z.string().optional() }),
    lines: z.array(lineSchema),
    task: taskPlanSchema.optional(),
    /** The model, where only the device could read it and there is no ONNX. */
    sealed: z.strictObject({ name: z.string(), digest: z.string(), bytes: z.int() }).optional(),
  }),
  inputs: {
    measurements: 'measurement',
    passports: 'passport[]',
    scores: 'score[]',
    trainLog: 'training-log?',
    trainScore: 'score?',
    baselines: 'score?',
    retrainLog: 'training-log?',
    retrainScore: 'score?',
    pruneReport: 'prune-report?',
    pruneScore: 'score?',
    images: 'tensors?',
    outputs: 'tensors?',
    model: 'onnx?',
  },
  outputs: { report: 'report' },
  async run({ config, inputs, digests, outputs, note }) {
    const measurements = await json<readonly Measurement[]>(inputs.measurements);
    const passports = await Promise.all(inputs.passports.map(path => json<Passport>(path)));
    const scores = (await Promise.all(inputs.scores.map(path => json<readonly DeviceScore[]>(path)))).flat();
    const rows = config.lines.map((line, i) => ({ line, row: rowOf(measurements[i] as Measurement, passports[line.engine ?? i] as Passport, scores[line.engine ?? i]) }));
    const gate = { ...config.gate, minDecisions };
    const of = (network: 'baseline' | 'results') =>
      judgeRows(
        rows.filter(({ line }) => line.network === network).map(({ row }) => row),
        gate,
      );
    const { model, artifact, info, input } = await modelOf(inputs.model, digests.model, config.sealed);
    const prune = inputs.pruneReport === undefined ? undefined : await json<PruneReport>(inputs.pruneReport);
    const trained = inputs.trainScore === undefined ? undefined : await json<Score>(inputs.trainScore);
    const training = [
      ...(inputs.trainLog && trained ? [stageOf('train', await json<TrainingLog>(inputs.trainLog), trained)] : []),
      ...(inputs.retrainLog && inputs.retrainScore ? [stageOf('retrain', await json<TrainingLog>(inputs.retrainLog), await json<Score>(inputs.retrainScore))] : []),
    ];
    const compared = training.flatMap(({ stage, compared }) => (compared ? [`${stage}: ${comparisonText(compared)}`] : []));
    const report: Report = {
      schemaVersion: 1,
      device: config.device,
      protocol: config.protocol,
      model,
      training,
      ...(prune && trained && inputs.pruneScore ? { pruning: pruningOf(prune, trained, await json<Score>(inputs.pruneScore)) } : {}),
      baseline: of('baseline'),
      results: of('results'),
      artifacts: [artifact, ...passports.map(({ engine }) => ({ name: engine.path.split('/').at(-1) as string, digest: engine.digest as Digest, bytes: engine.bytes }))],
      project: { name: config.project },
      gate,
      images: inputs.images && config.task ? await reportImages(inputs.images, inputs.outputs, config.task, info) : [],
      notes: [
        ...new Set([
          ...passports.flatMap(passport => passport.notes),
          ...(config.sealed ? ['No release was made: its configs are written for networks that can be read here. The engines lie on the device, under engines/.'] : []),
          ...compared,
          ...(inputs.baselines ? baselineNotes(await json(inputs.baselines)) : []),
          ...(await computeNotes(inputs.trainLog, inputs.retrainLog)),
        ]),
      ],
    };
    for (const row of report.results) if (row.gate === 'unjudged' && row.gateNote) note(`${row.precision}: ${row.gateNote}`);
    const published = publishedFigures(report, input);
    await writeReport(outputs.report, parseReport(JSON.parse(JSON.stringify(published.length > 0 ? { ...report, published } : report))));
  },
});

/** What is known of the network: all of it from its ONNX, else what the encrypted file shows from outside. */
async function modelOf(path: string | undefined, digest: Digest | undefined, sealed: { readonly name: string; readonly digest: string; readonly bytes: number } | undefined) {
  if (path === undefined || digest === undefined) {
    if (!sealed) throw new EdgeError('internal', 'A report needs its model.', { hint: 'This is a bug in edgeforge.' });
    return { model: { name: sealed.name, bytes: sealed.bytes }, artifact: { ...sealed, digest: sealed.digest as Digest }, info: undefined, input: undefined };
  }
  const graph = readOnnx(await readFile(path));
  const { parameters, macs } = costOf(graph);
  const info = networkInfoOf(graph);
  const { size: bytes } = await stat(path);
  return {
    model: { name: info?.architecture, architecture: info?.architecture, task: info?.task, parameters, macs, bytes },
    artifact: { name: 'model.onnx', digest, bytes },
    info,
    input: graph.inputs[0]?.type.dims.map(Number),
  };
}

/** Fails where a row of the deployed network lost more than the gate allows; the report stands either way. */
export const gateStep = defineStep({
  name: 'gate',
  version: 1,
  config: z.strictObject({}),
  inputs: { report: 'report' },
  outputs: { verdict: 'measurement' },
  async run({ inputs, outputs, log }) {
    const report = parseReport(await readFile(join(inputs.report, 'report.json'), 'utf8'));
    const failing = report.results.filter(row => row.gate === 'fail');
    for (const row of report.results) log('info', `${row.precision}: ${row.gate}${row.gateNote ? ` (${row.gateNote})` : ''}`);
    if (failing.length > 0) {
      throw new EdgeError('gate-missed', failing.map(row => `${row.precision} ${row.gateNote}`).join('; '), {
        hint: 'Try another calibration recipe (calibration: percentile or minmax), keep more MACs, or allow it: gate: {dropPoints: …}. The report is written all the same.',
      });
    }
    await writeFile(outputs.verdict, JSON.stringify(report.results.map(({ precision, batch, gate }) => ({ precision, batch, gate }))));
  },
});

const baselineNotes = (scores: readonly { readonly name: string; readonly metric: string; readonly value: number; readonly n: number }[]) =>
  scores.map(({ name, metric, value, n }) => `Baseline to beat, ${name}: ${(100 * value).toFixed(1)} % ${metric} on the ${n} validation images.`);

const json = async <T>(path: string): Promise<T> => JSON.parse(await readFile(path, 'utf8')) as T;

function rowOf(measurement: Measurement, passport: Passport, score: DeviceScore | undefined): UnjudgedRow {
  const { precision, scenario, batch, throughput, latencyMs, evidence, voided, energy, heat, track, stages } = measurement;
  const upcast = passport.notes.find(text => text.includes('upcast'));
  const ranges = passport.notes.find(text => text.startsWith(rangesNote))?.slice(rangesNote.length);
  return {
    precision,
    scenario,
    batch,
    throughput,
    latencyMs,
    evidence: { ...evidence, notes: [...evidence.notes] },
    sizeBytes: passport.engine.bytes,
    buildSeconds: passport.buildSeconds,
    ...(score ? { accuracy: { metric: score.score.metric, value: score.score.value, n: score.score.n, decisions: score.score.decisions } } : {}),
    ...(score?.agreement ? { agreement: { share: score.agreement.n === 0 ? 1 : score.agreement.equal / score.agreement.n, n: score.agreement.n } } : {}),
    ...(score?.sqnrDb === undefined ? {} : { sqnrDb: score.sqnrDb }),
    ...(voided === undefined ? {} : { voided }),
    ...(energy ? { energy } : {}),
    ...(heat ? { heat } : {}),
    ...(track ? { track } : {}),
    ...(stages ? { stages } : {}),
    ...(ranges === undefined ? {} : { ranges }),
    ...(upcast ? { computes: 'fp32 (upcast from fp16)' } : {}),
  };
}

/** What a reader should know of the compute that trained, where it is not the verified default. */
async function computeNotes(...logs: readonly (string | undefined)[]): Promise<readonly string[]> {
  const names = await Promise.all(logs.flatMap(log => (log === undefined ? [] : [json<TrainingLog>(log)])));
  return names.flatMap(({ computed: { compute } }) => (compute === 'onnxruntime-cpu' ? [] : [`Trained by ${compute}. ${computeCaution(compute) ?? ''}`]));
}

function stageOf(stage: 'train' | 'retrain', { history, compared }: TrainingLog, score: Score) {
  return {
    stage,
    epochs: history.at(-1)?.epoch ?? 0,
    metric: score.metric,
    value: score.value,
    n: score.n,
    decisions: score.decisions,
    compared,
    curve: history.map(({ epoch, loss, learningRate, validation }) => ({
      epoch,
      learningRate,
      ...(loss === undefined ? {} : { loss }),
      ...(validation ? { validation: validation.value } : {}),
    })),
  };
}

const pruningOf = ({ macsBefore, macsAfter, parametersBefore, parametersAfter, layers }: PruneReport, before: Score, after: Score) => ({
  macsBefore,
  macsAfter,
  parametersBefore,
  parametersAfter,
  accuracyBefore: before.value,
  accuracyAfter: after.value,
  layers: layers.map(layer => ({ name: layer.layer, before: layer.filtersBefore, after: layer.filtersAfter })),
});
