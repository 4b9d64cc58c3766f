import { EdgeError } from '../core/errors.ts';
import type { Precision } from '../core/evidence.ts';
import { type DeepstreamVersion, deepstreamSince } from './deepstream-version.ts';
import { type Ini, iniValue } from './ini.ts';

/** What nvinfer does with the boxes of one class: [class-attrs-N], else [class-attrs-all], else its defaults. Sizes and offsets in pixels of the frame. */
export interface NvinferClass {
  readonly preThreshold: number;
  readonly postThreshold: number;
  readonly nmsIou: number;
  /** −1: all. */
  readonly topK: number;
  readonly eps: number;
  readonly groupThreshold: number;
  readonly minBoxes: number;
  readonly minScore: number;
  readonly least: { readonly width: number; readonly height: number };
  /** 0: no limit. */
  readonly most: { readonly width: number; readonly height: number };
  readonly roiTop: number;
  readonly roiBottom: number;
}
export type ClusterMode = 'rectangles' | 'dbscan' | 'nms' | 'hybrid' | 'none';
/** How nvinfer scales a frame; `other` are NVIDIA's own filters. */
export type ScalingFilter = 'nearest' | 'bilinear' | 'other';

/** One nvinfer config as nvinfer understands it, with its defaults filled in. */
export interface NvinferReading {
  readonly type: 'detector' | 'classifier';
  /** Channels, height, width, where it says so. */
  readonly input?: readonly [number, number, number];
  readonly scale: number;
  /** Per channel of `order`; empty: none. */
  readonly offsets: readonly number[];
  readonly order: 'rgb' | 'bgr' | 'gray';
  readonly keepsAspect: boolean;
  readonly symmetric: boolean;
  readonly filter: ScalingFilter;
  readonly classes: readonly NvinferClass[];
  readonly cluster: ClusterMode;
  readonly classifierThreshold: number;
  readonly hiddenClasses: readonly number[];
  /** It works on the objects of another nvinfer, not on frames: those below this size are passed over. */
  readonly objects?: { readonly width: number; readonly height: number };
  readonly precision: Precision;
  readonly labels?: string;
  readonly engine?: string;
}

const unmodelled = (message: string) =>
  new EdgeError('format-unsupported', message, { hint: 'Compare with the files of a real run instead: set gie-kitti-output-dir on the device and pass --kitti DIR.' });

/** GKeyFile reads the number at the value's start: '3 ## a note' is 3. */
const numberIn = (ini: Ini, group: string, key: string): number | undefined => {
  const value = Number.parseFloat(iniValue(ini, group, key) ?? '');
  return Number.isNaN(value) ? undefined : value;
};
const numbers = (text: string | undefined): number[] =>
  (text ?? '')
    .split(';')
    .filter(part => part.trim() !== '')
    .map(Number);

/** Defaults of gstnvinfer_property_parser.h. */
function classOf(ini: Ini, index: number): NvinferClass {
  // A class's own group replaces the common one whole.
  const own = `class-attrs-${index}`;
  const group = ini.groups.some(({ name }) => name === own) ? own : 'class-attrs-all';
  const value = (key: string, otherwise: number) => numberIn(ini, group, key) ?? otherwise;
  return {
    preThreshold: value('pre-cluster-threshold', value('threshold', 0.2)),
    postThreshold: value('post-cluster-threshold', 0),
    nmsIou: value('nms-iou-threshold', 0.3),
    topK: value('topk', -1),
    eps: value('eps', 0),
    groupThreshold: value('group-threshold', 0),
    minBoxes: value('minBoxes', 0),
    minScore: value('dbscan-min-score', 0),
    least: { width: value('detected-min-w', 0), height: value('detected-min-h', 0) },
    most: { width: value('detected-max-w', 0), height: value('detected-max-h', 0) },
    roiTop: value('roi-top-offset', 0),
    roiBottom: value('roi-bottom-offset', 0),
  };
}

/** As shipped from 6.0 on, nvinfer has no OpenCV and says so: it groups rectangles by NMS of 0.5 and the best 20 of each class. */
const withoutOpencv = (each: NvinferClass): NvinferClass => ({ ...each, nmsIou: 0.5, topK: 20 });

const clusterModes: readonly ClusterMode[] = ['rectangles', 'dbscan', 'nms', 'hybrid', 'none'];
const precisions: readonly (Precision | undefined)[] = ['fp32', 'int8', 'fp16'];
const orders = ['rgb', 'bgr', 'gray'] as const;

/**
 * Reads a config as nvinfer of that version does (gst-nvinfer's property parser). Throws `format-unsupported` where it names what only a real nvinfer can do: a parser of its
 * own, a mean image, NHWC, a network that is neither detector nor classifier.
 */
export function readNvinfer(ini: Ini, deepstream: DeepstreamVersion): NvinferReading {
  const text = (key: string) => iniValue(ini, 'property', key);
  const value = (key: string, otherwise: number) => numberIn(ini, 'property', key) ?? otherwise;
  for (const key of ['parse-bbox-func-name', 'parse-classifier-func-name', 'custom-lib-path', 'mean-file'])
    if (text(key)) throw unmodelled(`The config names ${key}=${text(key)}, which is not modelled here.`);
  if (value('network-input-order', 0) === 1) throw unmodelled('The config asks for NHWC input (network-input-order=1), which is not modelled here.');
  const type = value('network-type', value('is-classifier', 0));
  if (type !== 0 && type !== 1) throw unmodelled(`network-type=${type} is neither detector nor classifier.`);
  const mode = clusterModes[numberIn(ini, 'property', 'cluster-mode') ?? (value('enable-dbscan', 0) === 1 ? 1 : 0)] ?? 'none';
  const grouped = mode === 'rectangles' && deepstreamSince(deepstream, '6.0');
  const classes = Array.from({ length: type === 0 ? value('num-detected-classes', 0) : 0 }, (_, index) => classOf(ini, index));
  const [channels, height, width] = numbers(text('infer-dims') ?? text('input-dims'));
  const [labels, engine] = [text('labelfile-path'), text('model-engine-file')];
  const filter = value('scaling-filter', 6);
  return {
    type: type === 0 ? 'detector' : 'classifier',
    ...(channels && height && width ? { input: [channels, height, width] as const } : {}),
    scale: value('net-scale-factor', 1),
    offsets: numbers(text('offsets')),
    order: orders[value('model-color-format', 0)] ?? 'rgb',
    keepsAspect: value('maintain-aspect-ratio', 0) === 1,
    symmetric: value('symmetric-padding', 0) === 1 && deepstreamSince(deepstream, '6.0'),
    // NvBufSurfTransform's default is the nearest pixel, on the GPU and on VIC.
    filter: filter === 1 ? 'bilinear' : filter === 0 || filter === 6 ? 'nearest' : 'other',
    classes: grouped ? classes.map(withoutOpencv) : classes,
    cluster: grouped ? 'nms' : mode,
    classifierThreshold: value('classifier-threshold', 0),
    hiddenClasses: numbers(text('filter-out-class-ids')),
    ...(value('process-mode', 1) === 2 ? { objects: { width: value('input-object-min-width', 0), height: value('input-object-min-height', 0) } } : {}),
    precision: precisions[value('network-mode', 0)] ?? 'fp16',
    ...(labels ? { labels } : {}),
    ...(engine ? { engine } : {}),
  };
}
