import type { SpecMessage } from './_bind.ts';
import { entriesOf, flagOf, numberOf, part, scalarRecordOf, textOf } from './_read.ts';

/** What NVIDIA recommends, and what TLT does that the spec does not say. */
export function recommendDetectnet(message: SpecMessage): string[] {
  const pre = part(part(message, 'augmentation_config'), 'preprocessing');
  const [width, height] = [numberOf(pre, 'output_image_width'), numberOf(pre, 'output_image_height')];
  const model = part(message, 'model_config');
  const training = part(message, 'training_config');
  const evaluation = part(message, 'evaluation_config');
  const spatial = part(part(message, 'augmentation_config'), 'spatial_augmentation');
  const data = part(message, 'dataset_config');
  const regularizer = textOf(part(training, 'regularizer'), 'type');
  const samples = entriesOf(part(message, 'postprocessing_config'), 'target_class_config').map(([name]) =>
    numberOf(part(part(part(part(message, 'postprocessing_config'), 'target_class_config'), name), 'clustering_config'), 'dbscan_min_samples'),
  );
  const upper = Object.keys(scalarRecordOf<string>(data, 'target_class_mapping', 'string')).filter(key => key !== key.toLowerCase());
  const notes: [boolean, string][] = [
    [pre !== undefined && (width < 480 || height < 272), `the input is ${width}×${height}; NVIDIA recommends at least 480×272`],
    [pre !== undefined && !flagOf(pre, 'enable_auto_resize'), 'enable_auto_resize is off: TLT pads and crops frames to the input size and never resizes them'],
    [numberOf(spatial, 'vflip_probability') > 0, `vflip_probability is ${numberOf(spatial, 'vflip_probability')}: TLT reads it and flips nothing`],
    [spatial !== undefined && numberOf(spatial, 'zoom_max') === 0, 'zoom_min and zoom_max are 0: read as 1, no zoom'],
    [
      flagOf(model, 'load_graph') && regularizer !== 'NO_REG' && regularizer !== '',
      `regularizer is ${regularizer}; NVIDIA recommends NO_REG when a pruned network is retrained (load_graph)`,
    ],
    [
      evaluation !== undefined && training !== undefined && numberOf(evaluation, 'first_validation_epoch') > numberOf(training, 'num_epochs'),
      `first_validation_epoch is ${numberOf(evaluation, 'first_validation_epoch')} of ${numberOf(training, 'num_epochs')} epochs: only the last epoch is validated`,
    ],
    [
      data !== undefined && data.validation_fold === undefined && data.validation_data_source === undefined,
      'dataset_config has neither validation_fold nor validation_data_source: nothing is validated',
    ],
    [
      samples.some(value => value > 0 && value < 1),
      `dbscan_min_samples is ${samples.find(value => value > 0 && value < 1)}: taken as written; TAO 5 takes at least 1 instead, which gives other boxes`,
    ],
    [upper.length > 0, `target_class_mapping has capital letters (${upper.join(', ')}): dataset_convert writes classes in lower case`],
  ];
  return notes.filter(([holds]) => holds).map(([, note]) => note);
}
