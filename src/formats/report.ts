import { z } from 'zod';
import { EdgeError } from '../core/errors.ts';
import { publishedSchema } from './report-published.ts';

/** A share, 0..1. */
const share = z.number().min(0).max(1);
const count = z.int().min(0);

const evidenceSchema = z.strictObject({
  grade: z.enum(['measured', 'emulated', 'published']),
  protocol: z.string(),
  device: z.string(),
  runtime: z.string(),
  at: z.string(),
  notes: z.array(z.string()),
  /** What a board was set to meanwhile. */
  board: z
    .strictObject({
      clocks: z.enum(['locked', 'as found']),
      powerMode: z.string().optional(),
      gpuMHz: z.number().optional(),
      cpuMHz: z.number().optional(),
      emcMHz: z.number().optional(),
      gpuMaxMHz: z.number().optional(),
      powerLimitW: z.number().optional(),
      fan: z.string().optional(),
      restored: z.boolean().optional(),
    })
    .optional(),
});

/** Of one image, by the board's own sensor. */
const energySchema = z.strictObject({
  perImageMj: z.number().positive(),
  fpsPerW: z.number().positive(),
  meanW: z.number().positive(),
  idleW: z.number().min(0).optional(),
  rail: z.string(),
  samples: count,
  sensor: z.literal('board sensor, not wall'),
});
const stageSchema = z.strictObject({
  stage: z.enum(['engine', 'engine with copies', 'deepstream fakesink', 'deepstream sink']),
  imagesPerSecond: z.number().positive(),
  p50Ms: z.number().optional(),
});

const accuracySchema = z.strictObject({
  metric: z.string(),
  /** 0..1. */
  value: share,
  /** What `value` rests on: images, or ground-truth boxes where `unit` says so. */
  n: count,
  /** 100 × (FP32 − this) of the same network: positive is a loss. */
  dropPoints: z.number().optional(),
  /** What was judged, where it is not n: ground-truth boxes. */
  decisions: count.optional(),
  /** 95 % interval of the paired drop, in points. */
  dropInterval: z.tuple([z.number(), z.number()]).optional(),
});

/** Of one batch. The optional members came later; reports of before lack them. */
const latencySchema = z.strictObject({
  p50: z.number(),
  p90: z.number(),
  p99: z.number(),
  mean: z.number(),
  sd: z.number().min(0),
  n: count,
  min: z.number().optional(),
  max: z.number().optional(),
  p95: z.number().optional(),
  /** sd / mean. */
  cv: z.number().min(0).optional(),
  /** 95 % confidence interval of the median. */
  p50Interval: z.tuple([z.number(), z.number()]).readonly().optional(),
  /** Equal bins from the least latency to p99, and how many lie beyond. */
  histogram: z.strictObject({ fromMs: z.number(), toMs: z.number(), counts: z.array(count).readonly(), beyond: count }).optional(),
});

const rowSchema = z.looseObject({
  precision: z.enum(['fp32', 'fp16', 'int8']),
  scenario: z.string(),
  batch: z.int().positive(),
  throughput: z.strictObject({ value: z.number().positive(), unit: z.literal('images/s') }),
  latencyMs: latencySchema,
  accuracy: accuracySchema.optional(),
  gate: z.enum(['pass', 'fail', 'unjudged']),
  evidence: evidenceSchema,
  /** What the artifact computes in, where it is not its name: 'fp32 (upcast from fp16)'. */
  computes: z.string().optional(),
  /** Where INT8's ranges come from: the calibration recipe, or 'qat'. */
  ranges: z.string().optional(),
  /** Output signal against the FP32 graph, in dB. */
  sqnrDb: z.number().optional(),
  /** Decisions equal to FP32's. */
  agreement: z.strictObject({ share, n: count }).optional(),
  sizeBytes: count.optional(),
  buildSeconds: z.number().min(0).optional(),
  gateNote: z.string().optional(),
  /** Why the times do not count, where they do not: foreign load, a throttled clock. The accuracy stands. */
  voided: z.string().optional(),
  energy: energySchema.optional(),
  /** The hottest sensor meanwhile. */
  heat: z.strictObject({ sensor: z.string(), minC: z.number(), maxC: z.number() }).optional(),
  /** Power, GPU clock and heat through the rounds, in seconds since the session began: means over equal parts of each round. */
  track: z
    .array(z.strictObject({ round: z.int().positive(), atS: z.number(), w: z.number().optional(), gpuMHz: z.number().optional(), heatC: z.number().optional() }))
    .readonly()
    .optional(),
  /** From the engine alone to the whole application. */
  stages: z.array(stageSchema).readonly().optional(),
});

const epochSchema = z.looseObject({ epoch: z.number(), loss: z.number().optional(), validation: z.number().optional(), learningRate: z.number().optional() });

const trainingSchema = z.looseObject({
  stage: z.enum(['train', 'retrain']),
  epochs: count,
  metric: z.string(),
  value: share,
  n: count,
  decisions: count.optional(),
  curve: z.array(epochSchema).optional(),
});

const pruningSchema = z.looseObject({
  macsBefore: count,
  macsAfter: count,
  parametersBefore: count,
  parametersAfter: count,
  accuracyBefore: share.optional(),
  accuracyAfter: share.optional(),
  /** Filters per layer. */
  layers: z.array(z.looseObject({ name: z.string(), before: count, after: count })).optional(),
});

const boxSchema = z.looseObject({ label: z.string(), x1: z.number(), y1: z.number(), x2: z.number(), y2: z.number(), score: share.optional(), truth: z.boolean().optional() });
const imageSchema = z.looseObject({
  caption: z.string(),
  /** JPEG bytes in base64, without the data: prefix. */
  jpegBase64: z.string().regex(/^[A-Za-z0-9+/]*={0,2}$/),
  width: z.int().positive(),
  height: z.int().positive(),
  /** Pixels of this image. */
  boxes: z.array(boxSchema),
});

/** The report as machines read it. Metric values are 0..1; `baseline` is the unpruned network, `results` the pruned (or only) one. */
export const reportSchema = z.looseObject({
  schemaVersion: z.literal(1),
  device: z.looseObject({ name: z.string() }),
  protocol: z.looseObject({
    name: z.string().optional(),
    warmUpMs: z.number().min(0),
    durationMs: z.number().min(0),
    minIterations: count,
    rounds: count,
    batch: z.int().positive(),
    threads: count,
  }),
  /** Parameters and MACs are absent where the device alone could read the network (UFF in an .etlt). */
  model: z.looseObject({
    name: z.string().optional(),
    architecture: z.string().optional(),
    task: z.string().optional(),
    parameters: count.optional(),
    macs: count.optional(),
    bytes: count,
  }),
  training: z.array(trainingSchema),
  pruning: pruningSchema.optional(),
  baseline: z.array(rowSchema),
  results: z.array(rowSchema),
  artifacts: z.array(z.looseObject({ name: z.string(), digest: z.string(), bytes: count })),
  project: z.looseObject({ name: z.string() }).optional(),
  createdAt: z.string().optional(),
  gate: z.strictObject({ dropPoints: z.number().min(0), minDecisions: count }).optional(),
  /** Candidates that gave no row: refused, failed, or void. */
  failures: z
    .array(z.looseObject({ precision: z.string(), network: z.enum(['baseline', 'results']), code: z.string(), message: z.string(), hint: z.string().optional() }))
    .optional(),
  images: z.array(imageSchema).optional(),
  /** Points of two quantities against each other, such as FP32 outputs against INT8's. */
  scatter: z.array(z.looseObject({ title: z.string(), x: z.string(), y: z.string(), points: z.array(z.tuple([z.number(), z.number()])).max(5000) })).optional(),
  published: z.array(publishedSchema).optional(),
  notes: z.array(z.string()).optional(),
});

export type Report = z.infer<typeof reportSchema>;
export type ReportRow = z.infer<typeof rowSchema>;
export type ReportAccuracy = z.infer<typeof accuracySchema>;
export type ReportImage = z.infer<typeof imageSchema>;
/** A row before the gate has spoken. */
export type UnjudgedRow = Pick<
  ReportRow,
  | 'precision'
  | 'scenario'
  | 'batch'
  | 'throughput'
  | 'latencyMs'
  | 'accuracy'
  | 'evidence'
  | 'computes'
  | 'ranges'
  | 'sqnrDb'
  | 'agreement'
  | 'sizeBytes'
  | 'buildSeconds'
  | 'voided'
  | 'energy'
  | 'heat'
  | 'track'
  | 'stages'
>;

/** The published JSON Schema (draft 2020-12) of `reportSchema`. */
export const reportJsonSchema: Readonly<Record<string, unknown>> = {
  ...z.toJSONSchema(reportSchema, { target: 'draft-2020-12', io: 'input' }),
  $id: 'urn:edgeforge:schema:report:1',
  title: 'Edgeforge report, version 1',
};

/** A report from outside (JSON text or a value). Throws `file-corrupt` with the path of the first member that is wrong. */
export function parseReport(source: unknown): Report {
  const value = typeof source === 'string' ? parseJson(source) : source;
  const result = reportSchema.safeParse(value);
  if (result.success) return withoutFalseMeasurements(result.data);
  const [issue] = result.error.issues;
  const path = issue?.path.join('.') ?? '';
  throw new EdgeError('file-corrupt', `The report is not valid at "${path}": ${issue?.message ?? 'unknown'}.`, {
    hint: 'Make it again with: edgeforge report --json',
    where: { path },
  });
}

/** A stand-in measures nothing: a report that says otherwise is none. */
function withoutFalseMeasurements(report: Report): Report {
  const rows = [...report.baseline, ...report.results];
  if (report.device.emulated !== true || rows.every(row => row.evidence.grade !== 'measured')) return report;
  throw new EdgeError('file-corrupt', `The report calls numbers measured, but its device "${report.device.name}" is emulated.`, {
    hint: 'Such numbers can only be graded emulated. Measure on the device itself: edgeforge deploy <device>',
    where: { path: 'results' },
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new EdgeError('file-corrupt', 'The report is not JSON.', { hint: 'Make it again with: edgeforge report --json', cause });
  }
}

/** A row and its network, with how much faster it is than the unpruned network's FP32 (else this network's) at the same scenario and batch. */
export interface ReportLine {
  readonly network: 'baseline' | 'results';
  readonly row: ReportRow;
  readonly speedup?: number;
}
/** All rows in reading order: unpruned first, each network by precision. */
export function reportLines(report: Report): readonly ReportLine[] {
  const same = (a: ReportRow, b: ReportRow) => a.scenario === b.scenario && a.batch === b.batch;
  const all = [...report.baseline.map(row => ({ network: 'baseline' as const, row })), ...report.results.map(row => ({ network: 'results' as const, row }))];
  return all.map(line => {
    const reference = all.find(({ row }) => row.precision === 'fp32' && same(row, line.row))?.row;
    return reference === undefined ? line : { ...line, speedup: line.row.throughput.value / reference.throughput.value };
  });
}
