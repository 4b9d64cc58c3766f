import type { NetworkInfo } from '../graph/network-info.ts';
import { engines, precision } from './_lint-engine.ts';
import { geometry, labelling, outputs, pixels } from './_lint-network.ts';
import { Config, type Rule } from './_lint-rule.ts';
import type { CalibrationCache } from './calibration-cache.ts';
import { type DeepstreamVersion, knowsPropertyKey, nvinferClassKeys, nvinferPropertyKeys } from './deepstream-version.ts';
import { type Ini, type IniEntry, iniValue } from './ini.ts';

/** A mismatch between an nvinfer config and what it stands for, and what a person sees of it. */
export interface LintFinding {
  /** error: it will not run, or shows wrong results. warning: slower, or another result than meant. */
  readonly severity: 'error' | 'warning';
  readonly key: string;
  readonly line?: number;
  readonly message: string;
  readonly symptom: string;
  readonly mend: string;
}
/** What lies around the config. What is undefined is not checked. */
export interface LintContext {
  readonly deepstream: DeepstreamVersion;
  readonly labels?: string;
  /** The network that the config names, from its ONNX metadata, and its input (channels, height, width). */
  readonly network?: { readonly info: NetworkInfo; readonly input: readonly [number, number, number]; readonly quantized: boolean };
  readonly cache?: CalibrationCache;
  /** The engine that the config names. */
  readonly engine?: { readonly batch: number; readonly precision: string; readonly tensorrt?: string };
  /** The device's TensorRT. */
  readonly tensorrt?: string;
  /** Files that the config names and that are not there, by key. */
  readonly missing?: readonly string[];
}

const names: Rule = (config, { deepstream }) =>
  config.ini.groups.flatMap(({ name, entries }) =>
    entries.map((entry: IniEntry) => {
      const at = entry.line === undefined ? {} : { line: entry.line };
      if (name === 'property' && !knowsPropertyKey(deepstream, entry.key)) {
        const span = nvinferPropertyKeys.get(entry.key);
        return {
          severity: 'warning' as const,
          key: entry.key,
          ...at,
          message: span ? `nvinfer of DeepStream ${deepstream} has no ${entry.key} (it came with ${span[0]}).` : `nvinfer has no key ${entry.key}.`,
          symptom: 'One line "Unknown or legacy key specified" in the log; the setting does nothing.',
          mend: span ? `Leave it out, or use DeepStream ${span[0]} or later.` : 'Correct its spelling or leave it out.',
        };
      }
      if (/^class-attrs-/.test(name) && !nvinferClassKeys.has(entry.key))
        return {
          severity: 'warning' as const,
          key: `${name}.${entry.key}`,
          ...at,
          message: `[${name}] has no key ${entry.key}.`,
          symptom: 'The setting does nothing: thresholds or grouping stay at their defaults.',
          mend: entry.key.toLowerCase() === 'minboxes' ? 'Write minBoxes, with a capital B.' : 'Correct its spelling or leave it out.',
        };
      return undefined;
    }),
  );

const grouping: Rule = config => {
  if (config.number('network-type', 0) !== 0) return [];
  const mode = config.number('cluster-mode', 0);
  const attributes = config.ini.groups.filter(({ name }) => name.startsWith('class-attrs-'));
  const has = (key: string) => attributes.some(({ entries }) => entries.some(entry => entry.key === key));
  const threshold = Number(iniValue(config.ini, 'class-attrs-all', 'pre-cluster-threshold') ?? iniValue(config.ini, 'class-attrs-all', 'threshold') ?? 0.2);
  return [
    mode === 4 && !config.hasOwnParser
      ? config.finding('warning', 'cluster-mode', 'cluster-mode=4 groups nothing.', 'A heap of boxes on every object.', 'Set cluster-mode=2 (NMS) or 1 (DBSCAN).')
      : undefined,
    mode === 1 && !has('eps')
      ? config.finding('warning', 'cluster-mode', 'DBSCAN without eps: the default 0 groups nothing.', 'No boxes, or a heap of them.', 'Set eps and minBoxes in [class-attrs-all].')
      : undefined,
    has('threshold') && !has('pre-cluster-threshold')
      ? config.finding('warning', 'class-attrs-all.threshold', '`threshold` is the old name of pre-cluster-threshold.', 'None yet.', 'Write pre-cluster-threshold.')
      : undefined,
    threshold >= 1
      ? config.finding('error', 'class-attrs-all.pre-cluster-threshold', `A threshold of ${threshold}: no coverage is above 1.`, 'No boxes at all.', 'Set it between 0.1 and 0.5.')
      : undefined,
  ];
};

const files: Rule = (config, { missing = [] }) =>
  missing.map(key =>
    key === 'model-engine-file' && (config.value('onnx-file') !== undefined || config.value('tlt-encoded-model') !== undefined)
      ? config.finding(
          'warning',
          key,
          `The engine ${config.value(key)} is not there.`,
          'The first start takes minutes: nvinfer builds it, without progress.',
          'Build it first: edgeforge deploy <device>',
        )
      : config.finding('error', key, `${config.value(key)} is not there.`, 'It ends at once.', 'Correct the path: it counts from the config’s own folder.'),
  );

const rules: readonly Rule[] = [names, files, pixels, geometry, labelling, outputs, precision, engines, grouping];

/** Every mismatch between an nvinfer config and its labels, network, cache, engine and device, the errors first. Keys and behaviour by DeepStream version; see NVIDIA's gst-nvinfer documentation. */
export function lintNvinfer(ini: Ini, context: LintContext): readonly LintFinding[] {
  const config = new Config(ini);
  const found = rules.flatMap(rule => rule(config, context)).filter(finding => finding !== undefined);
  return found.toSorted((a, b) => Number(a.severity === 'warning') - Number(b.severity === 'warning'));
}
