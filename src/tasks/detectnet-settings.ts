import { z } from 'zod';
import { EdgeError } from '../core/errors.ts';

const unit = z.number().min(0).max(1);
const weight = z.number().min(0);
const pixels = z.number().int().min(0);
const objective = (initialWeight: number, weightTarget: number) =>
  z.strictObject({ initialWeight: weight.default(initialWeight), weightTarget: weight.default(weightTarget) }).prefault({});

/** Where an object paints its coverage: an ellipse about (covCenterX, covCenterY) of the box, radii as parts of the distance to the nearer edge, at least bboxMinRadius cells. */
export const rasterClassSchema = z.strictObject({
  covCenterX: unit.default(0.5),
  covCenterY: unit.default(0.5),
  covRadiusX: unit.default(0.4),
  covRadiusY: unit.default(0.4),
  bboxMinRadius: unit.default(1),
});

/** What a class costs: its share, the weight of cells with coverage above 0.5 against the rest, and the two objectives' weights. */
export const costClassSchema = z.strictObject({
  classWeight: weight.default(1),
  coverageForegroundWeight: z.number().gt(0).lt(1).default(0.05),
  objectives: z.strictObject({ cov: objective(1, 1), bbox: objective(10, 10) }).prefault({}),
});

/** How cells become boxes. dbscanMinSamples is a sum of coverages and is taken as written (TAO 5 floors it to 1: write 1 to get that). */
export const clusterClassSchema = z.strictObject({
  coverageThreshold: unit.default(0.005),
  minimumBoundingBoxHeight: z.number().min(0).default(20),
  clusteringAlgorithm: z.enum(['DBSCAN', 'NMS', 'HYBRID']).default('DBSCAN'),
  dbscanEps: unit.default(0.13),
  dbscanMinSamples: z.number().min(0).default(0.05),
  dbscanConfidenceThreshold: z.number().min(0).default(0),
  nmsIouThreshold: unit.default(0.2),
  nmsConfidenceThreshold: unit.default(0.01),
});

/** Boxes outside these sizes (network-input pixels) are ignored in evaluation. */
export const evaluationBoxSchema = z.strictObject({
  minimumHeight: pixels.default(0),
  maximumHeight: pixels.default(9999),
  minimumWidth: pixels.default(0),
  maximumWidth: pixels.default(9999),
});

/** Everything DetectNet_v2 needs to know besides the network: TLT's field names in camelCase, TLT's defaults, keyed by label. */
export const detectnetSettingsSchema = z.strictObject({
  /** Class order: channel c of output_cov, channels 4c…4c+3 of output_bbox. */
  labels: z.array(z.string().min(1)).min(1).max(1000),
  width: z.number().int().positive().max(16384),
  height: z.number().int().positive().max(16384),
  stride: z.number().int().positive().default(16),
  /** Box regression: pixels per unit, and the offset of a cell's reference point. DeepStream's parser has 35 and 0.5 built in. */
  bbox: z.strictObject({ scale: z.number().positive().default(35), offset: z.number().min(0).default(0.5) }).prefault({}),
  rasterizer: z.strictObject({ deadzoneRadius: unit.default(0.67), classes: z.record(z.string(), rasterClassSchema).default({}) }).prefault({}),
  cost: z
    .strictObject({
      classes: z.record(z.string(), costClassSchema).default({}),
      enableAutoweighting: z.boolean().default(true),
      maxObjectiveWeight: weight.default(0.9999),
      minObjectiveWeight: weight.default(0.0001),
      /** Factor on the coverage cost of cells whose centre lies in an ignored box and that hold no object (TLT's loss mask). 1: none, as TLT without loss_mask_label_filter. */
      ignoredMultiplier: unit.default(1),
    })
    .prefault({}),
  postprocessing: z.record(z.string(), clusterClassSchema).default({}),
  evaluation: z
    .strictObject({
      minimumOverlap: z.record(z.string(), unit).default({}),
      boxes: z.record(z.string(), evaluationBoxSchema).default({}),
      averagePrecisionMode: z.enum(['SAMPLE', 'INTEGRATE']).default('INTEGRATE'),
      /** inclusive: corners rounded to integers and sizes +1, as TLT; continuous: as they are. */
      pixels: z.enum(['inclusive', 'continuous']).default('inclusive'),
      /** A class without any truth has no AP. zero: it counts as 0 in the mean, as TLT; skip: it stays out of the mean. */
      withoutTruth: z.enum(['zero', 'skip']).default('zero'),
    })
    .prefault({}),
  /** What counts as a decision when two predictions are compared (INT8 against FP32). */
  agreement: z.strictObject({ minimumScore: z.number().min(0).default(0.3), minimumIou: unit.default(0.5) }).prefault({}),
});

export type DetectnetInput = z.input<typeof detectnetSettingsSchema>;
export type DetectnetSettings = z.output<typeof detectnetSettingsSchema>;
export type RasterClass = z.output<typeof rasterClassSchema>;
export type ClusterClass = z.output<typeof clusterClassSchema>;
export type EvaluationBox = z.output<typeof evaluationBoxSchema>;
export type CostClass = z.output<typeof costClassSchema>;

/** One class with all its settings resolved. */
export interface DetectnetClass {
  readonly label: string;
  readonly raster: RasterClass;
  readonly cost: CostClass;
  readonly cluster: ClusterClass;
  readonly minimumOverlap: number;
  readonly evaluationBox: EvaluationBox;
}

/** Parses settings; throws `spec-invalid` with the path of the mistake, or `class-unmapped` where a section names a class that is no label. */
export function parseDetectnetSettings(input: DetectnetInput): { readonly settings: DetectnetSettings; readonly classes: readonly DetectnetClass[] } {
  const parsed = detectnetSettingsSchema.safeParse(input);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new EdgeError('spec-invalid', `DetectNet_v2 settings: ${issue?.path.map(String).join('.')}: ${issue?.message}`, {
      hint: 'Mend that field of the training spec; edgeforge spec explain FILE shows every default.',
      where: { path: issue?.path.map(String).join('.') ?? '' },
    });
  }
  const settings = parsed.data;
  for (const [name, size] of [
    ['width', settings.width],
    ['height', settings.height],
  ] as const) {
    if (size % settings.stride === 0) continue;
    const below = Math.max(settings.stride, size - (size % settings.stride));
    throw new EdgeError('spec-invalid', `The network's ${name} ${size} is not a multiple of its stride ${settings.stride}.`, {
      hint: `Set output_image_${name} to ${below} or ${size - (size % settings.stride) + settings.stride}.`,
      where: { path: name },
    });
  }
  if (new Set(settings.labels).size !== settings.labels.length)
    throw new EdgeError('spec-invalid', `A class is named twice: ${settings.labels.join(', ')}.`, { hint: 'Name each target class once.', where: { path: 'labels' } });
  const sections: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
    'rasterizer.classes': settings.rasterizer.classes,
    'cost.classes': settings.cost.classes,
    postprocessing: settings.postprocessing,
    'evaluation.minimumOverlap': settings.evaluation.minimumOverlap,
    'evaluation.boxes': settings.evaluation.boxes,
  };
  for (const [path, section] of Object.entries(sections))
    for (const name of Object.keys(section))
      if (!settings.labels.includes(name))
        throw new EdgeError('class-unmapped', `${path} names the class "${name}", which is none of: ${settings.labels.join(', ')}.`, {
          hint: 'Spell it as in cost_function_config.target_classes, or remove it.',
          where: { path: `${path}.${name}` },
        });
  return { settings, classes: settings.labels.map(label => resolve(settings, label)) };
}

// Object.hasOwn: a class may be called "constructor".
const own = <T>(record: Readonly<Record<string, T>>, key: string): T | undefined => (Object.hasOwn(record, key) ? record[key] : undefined);

const resolve = (settings: DetectnetSettings, label: string): DetectnetClass => ({
  label,
  raster: own(settings.rasterizer.classes, label) ?? rasterClassSchema.parse({}),
  cost: own(settings.cost.classes, label) ?? costClassSchema.parse({}),
  cluster: own(settings.postprocessing, label) ?? clusterClassSchema.parse({}),
  minimumOverlap: own(settings.evaluation.minimumOverlap, label) ?? 0.5,
  evaluationBox: own(settings.evaluation.boxes, label) ?? evaluationBoxSchema.parse({}),
});
