import { EdgeError } from '../../core/errors.ts';
import type { DeepstreamVersion } from '../../formats/deepstream-version.ts';
import type { Ini } from '../../formats/ini.ts';
import { parseLabels } from '../../formats/labels.ts';
import { type NvinferClass, type NvinferReading, readNvinfer } from '../../formats/nvinfer-read.ts';

/** An nvinfer config with the labels it names: rows per output layer; a detector has one row. */
export interface Setup {
  readonly reading: NvinferReading;
  readonly labels: readonly (readonly string[])[];
}
/** Settings of one kind that may differ between the config and what the network wants, and how they read. */
export interface Suspect {
  readonly cause: string;
  readonly key: string;
  /** What it is about, as one line. */
  readonly show: (setup: Setup) => string;
  /** The setup with these settings taken from the other, all else its own. */
  readonly mend: (setup: Setup, from: Setup) => Setup;
}

/** Reads a config and its labels. nvinfer keeps a carriage return in a label; it is shown as ␍. */
export function setupOf(ini: Ini, labels: string | undefined, deepstream: DeepstreamVersion): Setup {
  const reading = readNvinfer(ini, deepstream);
  if (reading.type === 'detector' && reading.classes.length === 0)
    throw new EdgeError('format-unsupported', 'The config of a detector says no num-detected-classes.', { hint: 'Set num-detected-classes to the number of labels.' });
  return { reading, labels: parseLabels((labels ?? '').replaceAll('\r', '␍'), reading.type).outputs };
}

/** The label of a class of an output layer as nvinfer attaches it; a class without one has none. */
export const labelOf = ({ labels }: Setup, layer: number, classIndex: number): string => labels[layer]?.[classIndex] ?? '(no label)';

const field = (cause: string, key: string, name: keyof NvinferReading, show = (value: unknown) => String(value)): Suspect => ({
  cause,
  key,
  show: ({ reading }) => show(reading[name]),
  mend: ({ reading, labels }, from) => ({ labels, reading: { ...reading, [name]: from.reading[name] } }),
});

/** The same settings of every class, as they come from the other's class of that number, or its first where it has fewer. */
const perClass = (names: readonly (keyof NvinferClass)[], { reading, labels }: Setup, from: Setup): Setup => ({
  labels,
  reading: {
    ...reading,
    classes: reading.classes.map((own, index) => {
      const other = from.reading.classes[index] ?? from.reading.classes[0] ?? own;
      return { ...own, ...Object.fromEntries(names.map(name => [name, other[name]])) };
    }),
  },
});
const shownPerClass = (names: readonly (keyof NvinferClass)[], { reading }: Setup): string => {
  const texts = reading.classes.map(each => names.map(name => JSON.stringify(each[name])).join(' '));
  return new Set(texts).size === 1 ? texts[0]! : texts.join('; ');
};

const groupingNames = {
  nms: ['nmsIou', 'topK'],
  dbscan: ['eps', 'minBoxes', 'minScore', 'topK'],
  hybrid: ['eps', 'minBoxes', 'nmsIou', 'topK'],
  rectangles: ['groupThreshold', 'eps'],
  none: ['topK'],
} as const;
const grouping = ['nmsIou', 'topK', 'eps', 'groupThreshold', 'minBoxes', 'minScore'] as const;
const limits = ['least', 'most', 'roiTop', 'roiBottom'] as const;
const yesNo = (value: unknown) => (value === true ? '1' : '0');

/** Everything in a config that can move boxes, scores or labels, in the order in which nvinfer works. */
export const suspects: readonly Suspect[] = [
  field('scale', 'net-scale-factor', 'scale'),
  field('offsets', 'offsets', 'offsets', value => {
    const offsets = value as readonly number[];
    return offsets.every(each => each === 0) ? 'none' : offsets.join(';');
  }),
  field('colour order', 'model-color-format', 'order'),
  field('aspect ratio', 'maintain-aspect-ratio', 'keepsAspect', yesNo),
  field('symmetric padding', 'symmetric-padding', 'symmetric', yesNo),
  field('scaling filter', 'scaling-filter', 'filter'),
  {
    cause: 'threshold',
    key: 'pre-cluster-threshold',
    show: setup => (setup.reading.type === 'classifier' ? String(setup.reading.classifierThreshold) : shownPerClass(['preThreshold', 'postThreshold'], setup)),
    mend: (setup, from) => {
      const { reading, labels } = perClass(['preThreshold', 'postThreshold'], setup, from);
      return { labels, reading: { ...reading, classifierThreshold: from.reading.classifierThreshold } };
    },
  },
  {
    cause: 'clustering',
    key: 'cluster-mode',
    show: setup => `${setup.reading.cluster} ${shownPerClass(groupingNames[setup.reading.cluster], setup)}`.trim(),
    mend: (setup, from) => {
      const { reading, labels } = perClass(grouping, setup, from);
      return { labels, reading: { ...reading, cluster: from.reading.cluster } };
    },
  },
  {
    cause: 'size limits of boxes',
    key: 'detected-min-w, detected-max-w, roi-top-offset …',
    show: setup => shownPerClass(limits, setup),
    mend: (setup, from) => perClass(limits, setup, from),
  },
  {
    cause: 'size limits of objects',
    key: 'input-object-min-width, input-object-min-height',
    show: ({ reading: { objects } }) => `${objects?.width ?? 0} ${objects?.height ?? 0}`,
    mend: ({ reading: { objects: _, ...reading }, labels }, from) => ({ labels, reading: { ...reading, ...(from.reading.objects ? { objects: from.reading.objects } : {}) } }),
  },
  {
    cause: 'number of classes',
    key: 'num-detected-classes, filter-out-class-ids',
    show: ({ reading }) => `${reading.classes.length}${reading.hiddenClasses.length > 0 ? ` without ${reading.hiddenClasses.join(', ')}` : ''}`,
    mend: ({ reading, labels }, from) => ({
      labels,
      reading: {
        ...reading,
        hiddenClasses: from.reading.hiddenClasses,
        classes: from.reading.classes.map((other, index) => reading.classes[index] ?? reading.classes[0] ?? other),
      },
    }),
  },
  {
    cause: 'labels',
    key: 'labelfile-path',
    show: ({ labels }) => labels.map(row => row.join(', ')).join(' | '),
    mend: ({ reading }, from) => ({ reading, labels: from.labels }),
  },
];
/** What of a setup decides the network's input. */
export const inputKey = ({ reading: { scale, offsets, order, keepsAspect, symmetric, filter } }: Setup): string =>
  JSON.stringify([scale, offsets, order, keepsAspect, keepsAspect && symmetric, filter]);
