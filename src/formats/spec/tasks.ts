import type { SpecMessage } from './_bind.ts';

/** A kind of spec file. `…_train` and `…_infer` are two files of one network; the rest have one. */
export type SpecTask =
  | 'detectnet_v2_train'
  | 'detectnet_v2_infer'
  | 'classification'
  | 'dataset_convert'
  | 'faster_rcnn'
  | 'ssd'
  | 'dssd'
  | 'retinanet'
  | 'yolo_v3'
  | 'yolo_v4'
  | 'yolo_v4_tiny'
  | 'unet'
  | 'mask_rcnn'
  | 'efficientdet'
  | 'lprnet'
  | 'multitask_classification'
  | 'augment'
  | 'bpnet'
  | 'fpenet';

/** A root message, and which task it is, seen the message. `markers` are fields that no other task has at the top. */
export interface SpecRoot {
  readonly type: string;
  readonly tasks: readonly SpecTask[];
  readonly markers: readonly string[];
  /** Fields whose presence only tips the scale between tasks that fit equally: NVIDIA's deploy samples of SSD and YOLOv3 state the input size, RetinaNet's do not. */
  readonly tips?: readonly string[];
  task(message: SpecMessage): SpecTask;
}

const archOf = (message: SpecMessage, field: string): string => {
  const config = message[field];
  const arch = typeof config === 'object' && !Array.isArray(config) ? (config as SpecMessage).arch : undefined;
  return typeof arch === 'string' ? arch : '';
};
const single = (type: string, task: SpecTask, ...markers: string[]): SpecRoot => ({ type, tasks: [task], markers, task: () => task });

/** Every root message. Where a text fits several equally (a spec for TAO Deploy may hold evaluation and data only), the earlier row wins and a note says so. */
export const specRoots: readonly SpecRoot[] = [
  single('detectnet_v2.Experiment', 'detectnet_v2_train', 'cost_function_config', 'bbox_rasterizer_config', 'postprocessing_config', 'loss_mask_label_filter'),
  single('classification.Experiment', 'classification', 'train_config'),
  single('detectnet_v2.DatasetExportConfig', 'dataset_convert', 'kitti_config', 'coco_config', 'sample_modifier_config'),
  single('detectnet_v2.Inference', 'detectnet_v2_infer', 'inferencer_config', 'bbox_handler_config'),
  single('faster_rcnn.Experiment', 'faster_rcnn', 'enc_key', 'inference_config'),
  { ...single('yolo_v3.Experiment', 'yolo_v3', 'yolov3_config', 'yolo_config'), tips: ['augmentation_config'] },
  single('retinanet.Experiment', 'retinanet', 'retinanet_config'),
  {
    type: 'ssd.Experiment',
    tasks: ['ssd', 'dssd'],
    markers: ['ssd_config', 'dssd_config'],
    tips: ['augmentation_config'],
    task: message => ('dssd_config' in message ? 'dssd' : 'ssd'),
  },
  {
    type: 'yolo_v4.Experiment',
    tasks: ['yolo_v4', 'yolo_v4_tiny'],
    markers: ['yolov4_config'],
    task: message => (archOf(message, 'yolov4_config') === 'cspdarknet_tiny' ? 'yolo_v4_tiny' : 'yolo_v4'),
  },
  single('unet.Experiment', 'unet', 'data_class_config'),
  single('mask_rcnn.Experiment', 'mask_rcnn', 'maskrcnn_config', 'data_config'),
  single('efficientdet.Experiment', 'efficientdet'),
  single('lprnet.Experiment', 'lprnet', 'lpr_config'),
  single('multitask_classification.Experiment', 'multitask_classification'),
  single('augment.Augment', 'augment', 'spatial_config', 'color_config', 'blur_config', 'partition_config'),
];

/** Tasks whose specs are YAML, by the class that TLT's file names at its top. */
export const yamlTasks: Readonly<Record<string, SpecTask>> = { BpNetTrainer: 'bpnet', FpeNetTrainer: 'fpenet' };

/** The root message of a task, or undefined for the YAML tasks, which have no published schema. */
export const rootOf = (task: SpecTask): SpecRoot | undefined => specRoots.find(root => root.tasks.includes(task));
