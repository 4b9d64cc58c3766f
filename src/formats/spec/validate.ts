import type { SpecProblem } from './_bind.ts';
import { validateDetectnet } from './_validate-detectnet.ts';
import { validateInference } from './_validate-inference.ts';
import { validateClassification, validateConvert } from './_validate-others.ts';
import { type ParsedSpec, specError, withDefaults } from './parse-spec.ts';

/** Hard limits are errors, each with value, limit, path, line and mend; recommendations and silent habits of TLT are notes. */
export interface Validation {
  readonly errors: readonly SpecProblem[];
  readonly notes: readonly string[];
}

const withoutTraining = ({ errors, notes }: Validation): Validation => ({
  errors: errors.filter(({ path }) => !path.startsWith('train_config') && path !== 'model_config.freeze_blocks'),
  notes,
});

/** Deep validation of a spec for DetectNet_v2 (train, inference), classification and dataset_convert; for other tasks reading is all we check, and a note says so. To evaluate, a classification spec needs no training settings. */
export function validateSpec(spec: ParsedSpec, purpose: 'train' | 'evaluate' = 'train'): Validation {
  const message = withDefaults(spec.task, spec.message);
  const byLine = ({ errors, notes }: Validation): Validation => ({ errors: [...errors].sort((a, b) => (a.line ?? 0) - (b.line ?? 0)), notes: [...spec.notes, ...notes] });
  switch (spec.task) {
    case 'detectnet_v2_train':
      return byLine(validateDetectnet(spec, message));
    case 'detectnet_v2_infer':
      return byLine(validateInference(spec, message));
    case 'classification':
      return byLine(purpose === 'train' ? validateClassification(spec, message) : withoutTraining(validateClassification(spec, message)));
    case 'dataset_convert':
      return byLine(validateConvert(spec, message));
    default:
      return byLine({ errors: [], notes: [`${spec.task}: the fields are read and typed, their values are not checked`] });
  }
}

/** The notes of a spec that is valid; throws spec-invalid with the first error in full and the others by line. */
export function requireValid(spec: ParsedSpec, purpose: 'train' | 'evaluate' = 'train'): readonly string[] {
  const { errors, notes } = validateSpec(spec, purpose);
  if (errors.length > 0) throw specError(errors, spec.file);
  return notes;
}
