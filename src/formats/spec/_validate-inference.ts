import type { SpecMessage, SpecProblem } from './_bind.ts';
import { above, checkLimits, type Limit, multipleOf, oneOf, problemAt } from './_limits.ts';
import { part } from './_read.ts';
import { clusteringLimits } from './_validate-detectnet.ts';
import type { ParsedSpec } from './parse-spec.ts';

const inferenceLimits: readonly Limit[] = [
  ['inferencer_config.image_width', multipleOf(16)],
  ['inferencer_config.image_height', multipleOf(16)],
  ['inferencer_config.image_channels', oneOf([3, 1])],
  ['inferencer_config.batch_size', above(0, 1)],
  ['inferencer_config.stride', above(0, 16)],
  ['bbox_handler_config.classwise_bbox_handler_config.*.confidence_model', oneOf(['aggregate_cov', 'mean_cov'])],
  ...clusteringLimits('bbox_handler_config.classwise_bbox_handler_config.*.clustering_config'),
];

/** Errors and notes of a DetectNet_v2 inference spec. */
export function validateInference(spec: ParsedSpec, message: SpecMessage): { errors: SpecProblem[]; notes: string[] } {
  const absent = ['inferencer_config', 'bbox_handler_config'].filter(name => !part(message, name)).map(name => problemAt(spec, name, `${name} is missing.`, `Add ${name} { … }.`));
  const classes = part(message, 'inferencer_config')?.target_classes;
  const none = part(message, 'inferencer_config') && (!Array.isArray(classes) || classes.length === 0);
  const unnamed = none
    ? [problemAt(spec, 'inferencer_config.target_classes', 'inferencer_config names no target class.', 'Add target_classes: "…" in the order of the network’s outputs.')]
    : [];
  return { errors: [...absent, ...unnamed, ...checkLimits(spec, message, inferenceLimits)], notes: [] };
}
