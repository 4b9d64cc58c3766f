import { readFileSync } from 'node:fs';
import { hasShared, shared } from '../../shared.ts';

/** The real specs beside the checkout: file name, expected task, text. Empty where they are absent (test/shared.ts says so). */
export const realSpecs: readonly { readonly file: string; readonly task: string; readonly text: string }[] = hasShared
  ? readFileSync(shared('specs', 'INDEX.tsv'), 'utf8')
      .trim()
      .split('\n')
      .slice(1)
      .map(line => line.split('\t'))
      .map(([file, , , task]) => ({ file: file!, task: task!, text: readFileSync(shared('specs', file!), 'utf8') }))
  : [];

/** A small complete DetectNet_v2 training spec; `edit` replaces parts of its text. */
export const detectnetText = (edit: readonly (readonly [from: string, to: string])[] = []): string => {
  let text = `random_seed: 42
model_config { arch: "resnet" num_layers: 18 use_batch_norm: true all_projections: true
  objective_set { bbox { scale: 35.0 offset: 0.5 } cov {} } }
bbox_rasterizer_config {
  target_class_config { key: "car" value { cov_center_x: 0.5 cov_center_y: 0.5 cov_radius_x: 0.4 cov_radius_y: 0.4 bbox_min_radius: 1.0 } }
  deadzone_radius: 0.67
}
cost_function_config {
  target_classes { name: "car" class_weight: 1.0 coverage_foreground_weight: 0.05
    objectives { name: "cov" initial_weight: 1 weight_target: 1 }
    objectives { name: "bbox" initial_weight: 10 weight_target: 10 } }
  enable_autoweighting: true max_objective_weight: 0.9999 min_objective_weight: 0.0001
}
postprocessing_config {
  target_class_config { key: "car" value: { clustering_config { coverage_threshold: 0.005 dbscan_eps: 0.13 dbscan_min_samples: 0.05 minimum_bounding_box_height: 20 } } }
}
training_config {
  batch_size_per_gpu: 8 num_epochs: 120
  learning_rate { soft_start_annealing_schedule { min_learning_rate: 5e-6 max_learning_rate: 5e-4 soft_start: 0.1 annealing: 0.7 } }
  regularizer { type: L1 weight: 3e-9 }
  optimizer { adam { epsilon: 1e-8 beta1: 0.9 beta2: 0.999 } }
  cost_scaling { enabled: False initial_exponent: 20 increment: 0.005 decrement: 1 }
}
evaluation_config {
  validation_period_during_training: 10 first_validation_epoch: 30
  minimum_detection_ground_truth_overlap { key: "car" value: 0.7 }
  evaluation_box_config { key: "car" value { minimum_height: 20 maximum_height: 9999 minimum_width: 10 maximum_width: 9999 } }
  average_precision_mode: INTEGRATE
}
augmentation_config {
  preprocessing { output_image_width: 960 output_image_height: 544 output_image_channel: 3 min_bbox_width: 1 min_bbox_height: 1 enable_auto_resize: true }
  spatial_augmentation { hflip_probability: 0.5 zoom_min: 1 zoom_max: 1 translate_max_x: 8 translate_max_y: 8 }
  color_augmentation { hue_rotation_max: 25 saturation_shift_max: 0.2 contrast_scale_max: 0.1 contrast_center: 0.5 }
}
dataset_config {
  data_sources { tfrecords_path: "records/*" image_directory_path: "images" }
  image_extension: "jpg"
  target_class_mapping { key: "car" value: "car" }
  target_class_mapping { key: "van" value: "car" }
  validation_fold: 0
}
`;
  for (const [from, to] of edit) {
    if (!text.includes(from)) throw new Error(`The sample spec has no ${from}.`);
    text = text.replaceAll(from, to);
  }
  return text;
};
