import { z } from 'zod';
import { entriesOf, flagOf, numberOf, optional, part, textOf, textOrNone, textsOf, wrongTask } from './_read.ts';
import { clusteringSchema } from './detectnet-schema.ts';
import { clusteringOf } from './detectnet-spec.ts';
import { type ParsedSpec, withDefaults } from './parse-spec.ts';
import { requireValid } from './validate.ts';

const path = z.string();
/** Settings of a DetectNet_v2 inference spec: TLT's names in camelCase, defaults filled. */
export const inferenceSpecSchema = z.strictObject({
  targetClasses: z.array(z.string()),
  width: z.number(),
  height: z.number(),
  channels: z.number(),
  batchSize: z.number(),
  stride: z.number(),
  /** Network to run, as written; -m on the command line goes before it. */
  model: path.optional(),
  engine: path.optional(),
  kittiDump: z.boolean(),
  disableOverlay: z.boolean(),
  overlayLinewidth: z.number(),
  classes: z.record(
    z.string(),
    z.strictObject({
      clustering: clusteringSchema,
      confidenceModel: z.enum(['aggregate_cov', 'mean_cov']),
      outputMap: z.string().optional(),
      color: z.strictObject({ red: z.number(), green: z.number(), blue: z.number() }),
    }),
  ),
});
/** Settings of a DetectNet_v2 inference spec; the class "default" stands for those not named. */
export type InferenceSpec = z.infer<typeof inferenceSpecSchema>;

/** A parsed DetectNet_v2 inference spec as settings. TLT 2.0's confidence_threshold counts as dbscan_confidence_threshold where that is unset. */
export function inferenceSpec(spec: ParsedSpec): { readonly spec: InferenceSpec; readonly notes: readonly string[] } {
  if (spec.task !== 'detectnet_v2_infer') throw wrongTask(spec, 'detectnet_v2_infer');
  const notes = requireValid(spec);
  const message = withDefaults(spec.task, spec.message);
  const inferencer = part(message, 'inferencer_config');
  const handler = part(message, 'bbox_handler_config');
  const trt = part(inferencer, 'tensorrt_config');
  const written = part(part(spec.message, 'bbox_handler_config'), 'classwise_bbox_handler_config');
  const classes = entriesOf(handler, 'classwise_bbox_handler_config').map(([name]) => {
    const entry = part(part(handler, 'classwise_bbox_handler_config'), name);
    const clustering = clusteringOf(part(entry, 'clustering_config'));
    const unset = part(part(written, name), 'clustering_config')?.dbscan_confidence_threshold === undefined;
    const old = numberOf(part(written, name), 'confidence_threshold');
    const color = part(entry, 'bbox_color');
    return [
      name,
      {
        clustering: unset && old > 0 ? { ...clustering, dbscanConfidenceThreshold: old } : clustering,
        confidenceModel: textOf(entry, 'confidence_model'),
        ...optional('outputMap', textOrNone(entry, 'output_map')),
        color: { red: numberOf(color, 'R'), green: numberOf(color, 'G'), blue: numberOf(color, 'B') },
      },
    ] as const;
  });
  const settings = inferenceSpecSchema.parse({
    targetClasses: textsOf(inferencer, 'target_classes'),
    width: numberOf(inferencer, 'image_width'),
    height: numberOf(inferencer, 'image_height'),
    channels: numberOf(inferencer, 'image_channels'),
    batchSize: numberOf(inferencer, 'batch_size'),
    stride: numberOf(inferencer, 'stride'),
    ...optional('model', textOrNone(part(inferencer, 'tlt_config'), 'model') ?? textOrNone(trt, 'etlt_model')),
    ...optional('engine', textOrNone(trt, 'trt_engine')),
    kittiDump: flagOf(handler, 'kitti_dump'),
    disableOverlay: flagOf(handler, 'disable_overlay'),
    overlayLinewidth: numberOf(handler, 'overlay_linewidth'),
    classes: Object.fromEntries(classes),
  });
  return { spec: settings, notes };
}
