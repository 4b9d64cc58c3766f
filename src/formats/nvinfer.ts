import { EdgeError } from '../core/errors.ts';
import type { Precision } from '../core/evidence.ts';
import type { NetworkInfo } from '../graph/network-info.ts';
import { type DeepstreamVersion, deepstreamSince, knowsPropertyKey } from './deepstream-version.ts';
import { formatIni, formatIniYaml, type Ini, type IniEntry, type IniGroup } from './ini.ts';

export { type DeepstreamVersion, deepstreamVersions } from './deepstream-version.ts';

export type Cluster =
  | { readonly kind: 'nms'; readonly iou?: number; readonly topK?: number }
  | { readonly kind: 'dbscan'; readonly eps?: number; readonly minBoxes?: number; readonly minScore?: number };
/** Paths as nvinfer resolves them: relative to the config's own folder, or absolute. */
export interface NvinferFiles {
  readonly onnx?: string;
  readonly etlt?: string;
  readonly engine?: string;
  readonly calibration?: string;
  readonly labels: string;
}
/** Everything one nvinfer config says. */
export interface NvinferSettings {
  readonly info: NetworkInfo;
  /** Channels, height, width of the network input. */
  readonly input: readonly [number, number, number];
  readonly files: NvinferFiles;
  readonly precision: Precision;
  readonly batch: number;
  readonly deepstream: DeepstreamVersion;
  /** The ONNX holds Q/DQ nodes. */
  readonly quantized?: boolean;
  readonly uniqueId?: number;
  /** Frames skipped between two inferences; primary only. */
  readonly interval?: number;
  /** Detector: lowest coverage; classifier: lowest probability. Default 0.4 and 0.5. */
  readonly threshold?: number;
  /** Detector: thresholds of single classes, by label. */
  readonly classThresholds?: Readonly<Record<string, number>>;
  readonly cluster?: Cluster;
  readonly dlaCore?: number;
  /** Run on the objects of another nvinfer instead of the whole frame. */
  readonly secondary?: {
    readonly onId: number;
    readonly onClasses?: readonly number[];
    readonly minWidth?: number;
    readonly minHeight?: number;
    readonly reinferInterval?: number;
  };
}

/** What stands where the key belongs. Keys never enter a file that may be committed. */
export const keyPlaceholder = 'PUT-YOUR-KEY-HERE-ON-THE-DEVICE';
const modes: Readonly<Record<Precision, number>> = { fp32: 0, int8: 1, fp16: 2 };
const colors = { rgb: 0, bgr: 1, gray: 2 } as const;

/** The name under which nvinfer stores, and looks for, an engine it builds from a model. */
export const engineName = (
  model: string,
  { batch, precision, gpu = 0, dlaCore }: { readonly batch: number; readonly precision: Precision; readonly gpu?: number; readonly dlaCore?: number | undefined },
): string => `${model}_b${batch}_${dlaCore === undefined ? `gpu${gpu}` : `dla${dlaCore}`}_${precision}.engine`;

/** labels.txt as nvinfer reads it: a detector has one class a line, a classifier one line per output with `;` between classes. Throws `class-unmapped` where a label cannot stand there. */
export function deepstreamLabels(info: NetworkInfo): string {
  for (const label of info.labels) {
    if (label.trim() === '' || /[;\r\n]/.test(label)) {
      throw new EdgeError('class-unmapped', `The class name ${JSON.stringify(label)} cannot stand in DeepStream’s labels file.`, {
        hint: 'Rename the class without ";" and line breaks; an empty line would shift all later ids.',
      });
    }
  }
  return `${info.labels.join(info.task === 'classification' ? ';' : '\n')}\n`;
}

/** The config as groups. Throws where nvinfer would in silence do something else: INT8 without a cache, Q/DQ before 9.0 without an engine, .etlt where TensorRT 10 reads none. */
export function nvinferConfig(settings: NvinferSettings): Ini {
  refuse(settings);
  const { info, secondary } = settings;
  const property: IniEntry[] = [
    ...modelKeys(settings),
    ...inputKeys(settings),
    ...runKeys(settings),
    ...(info.task === 'classification' ? classifierKeys(settings) : detectorKeys(settings)),
  ];
  for (const { key } of property) {
    if (!knowsPropertyKey(settings.deepstream, key))
      throw new EdgeError('internal', `nvinfer of DeepStream ${settings.deepstream} has no key ${key}.`, { hint: 'Please report this with your project file.' });
  }
  return {
    comment: `${info.architecture} (${info.task}) as ${secondary ? 'secondary' : 'primary'} inference, ${settings.precision}, batch ${settings.batch}, DeepStream ${settings.deepstream}.\nWritten by edgeforge; paths are relative to this file.`,
    groups: [{ name: 'property', entries: property }, ...(info.task === 'detectnet_v2' ? classGroups(settings) : [])],
  };
}
/** The config as text (`.txt`). */
export const nvinferText = (settings: NvinferSettings): string => formatIni(nvinferConfig(settings));
/** The config as YAML (`.yml`), which nvinfer reads from 6.1 on. Throws `format-unsupported` before. */
export function nvinferYaml(settings: NvinferSettings): string {
  if (!deepstreamSince(settings.deepstream, '6.1'))
    throw unsupported(`DeepStream ${settings.deepstream} reads no YAML configs.`, 'Write the text form, or use DeepStream 6.1 or later.');
  return formatIniYaml(nvinferConfig(settings));
}

const unsupported = (message: string, hint: string) => new EdgeError('format-unsupported', message, { hint });

function refuse({ info, files, precision, batch, deepstream, quantized = false, dlaCore, classThresholds = {}, input }: NvinferSettings): void {
  if (files.onnx === undefined && files.etlt === undefined && files.engine === undefined)
    throw new EdgeError('usage', 'nvinfer needs a model (ONNX or .etlt) or an engine.', { hint: 'Export first: edgeforge export --out DIR' });
  if (!Number.isInteger(batch) || batch < 1 || batch > 1024)
    throw new EdgeError('limit-exceeded', `nvinfer takes a batch of 1 to 1024, not ${batch}.`, { hint: 'Set export.batch in edgeforge.yaml.' });
  if (info.preprocess.order === 'gray' && input[0] !== 1)
    throw new EdgeError('shape-mismatch', `A gray network has 1 input channel, this one ${input[0]}.`, { hint: 'Set model.preprocess.order to rgb or bgr.' });
  if (files.etlt !== undefined && deepstreamSince(deepstream, '8.0'))
    throw unsupported(`DeepStream ${deepstream} builds no engine from an .etlt.`, 'Use the ONNX file: edgeforge export writes both.');
  if (precision === 'int8' && quantized && !deepstreamSince(deepstream, '9.0') && (files.engine === undefined || files.onnx !== undefined)) {
    throw new EdgeError('calibration-missing', `nvinfer of DeepStream ${deepstream} turns a Q/DQ ONNX into FP16 in silence.`, {
      hint: 'Build the engine first (edgeforge deploy <device>) and name only it, or export FP32 ONNX with a calibration cache.',
    });
  }
  if (precision === 'int8' && !quantized && files.calibration === undefined && (files.onnx !== undefined || files.etlt !== undefined)) {
    throw new EdgeError('calibration-missing', 'INT8 without a calibration cache: nvinfer would build FP16 in silence.', {
      hint: 'Calibrate (edgeforge export --precision int8), or ask for fp16.',
    });
  }
  if (dlaCore !== undefined && precision === 'fp32') throw unsupported('The DLA has no FP32.', 'Ask for fp16 or int8, or leave the DLA out.');
  const unknown = Object.keys(classThresholds).find(label => !info.labels.includes(label));
  if (unknown !== undefined)
    throw new EdgeError('class-unmapped', `A threshold names the class "${unknown}"; the network has ${info.labels.join(', ')}.`, { hint: 'Correct the class name.' });
  if (info.task === 'detectnet_v2' && !['bbox', 'cov'].every(part => info.outputs.some(name => name.includes(part)))) {
    throw new EdgeError('graph-invalid', `nvinfer’s detector finds its outputs by "bbox" and "cov" in their names; these are ${info.outputs.join(', ')}.`, {
      hint: 'Export the network with edgeforge, which names them output_bbox and output_cov.',
    });
  }
}

function modelKeys({ files, precision, batch, quantized = false, deepstream, dlaCore }: NvinferSettings): IniEntry[] {
  const model = files.onnx ?? files.etlt;
  const engine = files.engine ?? (model === undefined ? undefined : engineName(model, { batch, precision, dlaCore }));
  return entries({
    'onnx-file': files.onnx,
    'tlt-encoded-model': files.onnx === undefined ? files.etlt : undefined,
  }).concat(
    files.onnx === undefined && files.etlt !== undefined
      ? [{ key: 'tlt-model-key', value: keyPlaceholder, comment: 'The key of the .etlt goes here on the device only. Do not commit it.' }]
      : [],
    entries({
      'model-engine-file': engine,
      'int8-calib-file': precision === 'int8' && !quantized ? files.calibration : undefined,
      'strongly-typed': quantized && deepstreamSince(deepstream, '9.0') ? 1 : undefined,
      'labelfile-path': files.labels,
    }),
  );
}

function inputKeys({ info: { preprocess, outputs }, input, deepstream }: NvinferSettings): IniEntry[] {
  const { scale, offset, order, resize } = preprocess;
  const letterbox = resize === 'letterbox';
  return entries({
    'infer-dims': input.join(';'),
    'net-scale-factor': scale,
    offsets: offset.every(value => value === 0) ? undefined : (order === 'gray' ? offset.slice(0, 1) : offset).join(';'),
    'model-color-format': colors[order],
    'maintain-aspect-ratio': letterbox ? 1 : 0,
    // Our letterbox anchors the image at the top left; before 6.0 nvinfer knew no other.
    'symmetric-padding': letterbox && deepstreamSince(deepstream, '6.0') ? 0 : undefined,
    // Bilinear: its default takes the nearest pixel, which no network was trained on.
    'scaling-filter': 1,
    'output-blob-names': outputs.join(';'),
  });
}

function runKeys({ precision, batch, uniqueId, interval, secondary, dlaCore }: NvinferSettings): IniEntry[] {
  return entries({
    'gpu-id': 0,
    'batch-size': batch,
    'network-mode': modes[precision],
    'process-mode': secondary ? 2 : 1,
    'gie-unique-id': uniqueId ?? (secondary ? 2 : 1),
    interval: secondary ? undefined : (interval ?? 0),
    'operate-on-gie-id': secondary?.onId,
    'operate-on-class-ids': secondary?.onClasses?.join(';'),
    'input-object-min-width': secondary?.minWidth,
    'input-object-min-height': secondary?.minHeight,
    'secondary-reinfer-interval': secondary?.reinferInterval,
    'enable-dla': dlaCore === undefined ? undefined : 1,
    'use-dla-core': dlaCore,
  });
}

function classifierKeys({ threshold = 0.5, secondary, deepstream }: NvinferSettings): IniEntry[] {
  return entries({
    'network-type': 1,
    'classifier-threshold': threshold,
    // Async results are attached by the tracker, so only objects can have them.
    'classifier-async-mode': secondary ? 0 : undefined,
    'classifier-type': deepstreamSince(deepstream, '6.0') ? 'edgeforge' : undefined,
  });
}

const detectorKeys = ({ info, cluster = { kind: 'nms' } }: NvinferSettings): IniEntry[] =>
  entries({ 'network-type': 0, 'num-detected-classes': info.labels.length, 'cluster-mode': cluster.kind === 'nms' ? 2 : 1 });

function classGroups({ info, threshold = 0.4, classThresholds = {}, cluster = { kind: 'nms' } }: NvinferSettings): IniGroup[] {
  const grouping =
    cluster.kind === 'nms'
      ? entries({ 'nms-iou-threshold': cluster.iou ?? 0.5, topk: cluster.topK ?? 100 })
      : entries({ eps: cluster.eps ?? 0.7, minBoxes: cluster.minBoxes ?? 3, 'dbscan-min-score': cluster.minScore });
  // A class's own group replaces the common one whole, so it repeats every key.
  const single = info.labels.flatMap((label, index) => {
    const own = Object.hasOwn(classThresholds, label) ? classThresholds[label] : undefined;
    return own === undefined ? [] : [{ name: `class-attrs-${index}`, comment: label, entries: [...entries({ 'pre-cluster-threshold': own }), ...grouping] }];
  });
  return [{ name: 'class-attrs-all', entries: [...entries({ 'pre-cluster-threshold': threshold }), ...grouping] }, ...single];
}

const entries = (values: Readonly<Record<string, string | number | undefined>>): IniEntry[] =>
  Object.entries(values).flatMap(([key, value]) => (value === undefined ? [] : [{ key, value: String(value) }]));
