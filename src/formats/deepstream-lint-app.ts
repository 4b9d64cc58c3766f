import type { LintFinding } from './deepstream-lint.ts';
import { type Ini, iniValue } from './ini.ts';

/** A GIE of a deepstream-app config: its group, the nvinfer config it names and what it lays over that. */
export interface AppGie {
  readonly group: string;
  readonly config?: string;
  readonly labels?: string;
  readonly batch?: number;
  readonly uniqueId?: number;
  readonly onId?: number;
}

/** Whether a config is deepstream-app's (it has sources or GIE groups), not nvinfer's. */
export const isAppConfig = (ini: Ini): boolean => ini.groups.some(({ name }) => /^(source\d+|source-list|primary-gie|streammux)$/.test(name));

const numberOf = (text: string | undefined): number | undefined => (text === undefined || Number.isNaN(Number(text)) ? undefined : Number(text));

/** The enabled GIEs in the file's order. */
export function giesOf(ini: Ini): readonly AppGie[] {
  return ini.groups
    .filter(({ name }) => /^(primary-gie|secondary-gie\d*)$/.test(name) && iniValue(ini, name, 'enable') !== '0')
    .map(({ name: group }) => {
      const text = (key: string) => iniValue(ini, group, key);
      const config = text('config-file');
      const labels = text('labelfile-path');
      const batch = numberOf(text('batch-size'));
      const uniqueId = numberOf(text('gie-unique-id'));
      const onId = numberOf(text('operate-on-gie-id'));
      return {
        group,
        ...(config === undefined ? {} : { config }),
        ...(labels === undefined ? {} : { labels }),
        ...(batch === undefined ? {} : { batch }),
        ...(uniqueId === undefined ? {} : { uniqueId }),
        ...(onId === undefined ? {} : { onId }),
      };
    });
}

/** Mismatches inside a deepstream-app config, the errors first. Groups and keys: NVIDIA's deepstream-app reference. */
export function lintApp(ini: Ini): readonly LintFinding[] {
  const found = [muxer, identities, tracking, sinks].flatMap(rule => rule(ini)).filter(each => each !== undefined);
  return found.toSorted((a, b) => Number(a.severity === 'warning') - Number(b.severity === 'warning'));
}

type AppRule = (ini: Ini) => readonly (LintFinding | undefined)[];

/** Names key and line of a finding. */
const findingIn =
  (ini: Ini) =>
  (severity: LintFinding['severity'], group: string, key: string, message: string, symptom: string, mend: string): LintFinding => {
    const line = ini.groups.find(({ name }) => name === group)?.entries.findLast(entry => entry.key === key)?.line;
    return { severity, key: `${group}.${key}`, ...(line === undefined ? {} : { line }), message, symptom, mend };
  };

const muxer: AppRule = ini => {
  const finding = findingIn(ini);
  const sources = ini.groups.filter(({ name }) => /^source\d+$/.test(name) && iniValue(ini, name, 'enable') !== '0');
  const streams = sources.reduce((sum, { name }) => sum + (numberOf(iniValue(ini, name, 'num-sources')) ?? 1), 0);
  const live = sources.some(({ name }) => ['1', '4', '5'].includes(iniValue(ini, name, 'type') ?? '') || iniValue(ini, name, 'uri')?.startsWith('rtsp://') === true);
  const mux = numberOf(iniValue(ini, 'streammux', 'batch-size'));
  const primary = giesOf(ini).find(({ group }) => group === 'primary-gie');
  return [
    streams > 0 && mux !== undefined && mux < streams
      ? finding(
          'error',
          'streammux',
          'batch-size',
          `streammux batch-size is ${mux}, there are ${streams} streams.`,
          'Streams wait for each other: each shows a fraction of its frame rate.',
          `Set batch-size=${streams}`,
        )
      : undefined,
    primary?.batch !== undefined && mux !== undefined && primary.batch < mux
      ? finding(
          'warning',
          'primary-gie',
          'batch-size',
          `The primary’s batch-size is ${primary.batch}, the muxer’s ${mux}.`,
          'Each batch goes through the network in several calls: lower throughput.',
          `Set batch-size=${mux} and build the engine for it.`,
        )
      : undefined,
    live !== (iniValue(ini, 'streammux', 'live-source') === '1') && streams > 0 && mux !== undefined
      ? finding(
          'warning',
          'streammux',
          'live-source',
          `live-source is ${iniValue(ini, 'streammux', 'live-source') ?? 'absent'}, the sources are ${live ? 'live' : 'files'}.`,
          live ? 'Delay grows, then frames are dropped.' : 'Frames are dropped from files.',
          `Set live-source=${live ? 1 : 0}`,
        )
      : undefined,
  ];
};

const identities: AppRule = ini => {
  const finding = findingIn(ini);
  const gies = giesOf(ini);
  const ids = gies.flatMap(({ uniqueId }) => uniqueId ?? []);
  return [
    ids.length !== new Set(ids).size
      ? finding(
          'error',
          'primary-gie',
          'gie-unique-id',
          `gie-unique-id is not unique: ${ids.join(', ')}.`,
          'Secondary labels hang on the wrong objects, or on none.',
          'Give each GIE a number of its own.',
        )
      : undefined,
    ...gies
      .filter(({ group, onId }) => group !== 'primary-gie' && onId !== undefined && !ids.includes(onId))
      .map(({ group, onId }) =>
        finding('error', group, 'operate-on-gie-id', `${group} works on GIE ${onId}, which is not there.`, 'It never runs: no second label.', `Name one of: ${ids.join(', ')}`),
      ),
  ];
};

const tracking: AppRule = ini => {
  const finding = findingIn(ini);
  if (iniValue(ini, 'tracker', 'enable') !== '1') return [];
  return (['tracker-width', 'tracker-height'] as const)
    .filter(key => (numberOf(iniValue(ini, 'tracker', key)) ?? 32) % 32 !== 0)
    .map(key => finding('warning', 'tracker', key, `${key} is no multiple of 32.`, 'The tracker refuses it at start, or rounds it.', 'Take a multiple of 32.'));
};

const sinks: AppRule = ini => {
  const finding = findingIn(ini);
  return [
    iniValue(ini, 'application', 'enable-perf-measurement') === '1' &&
    ini.groups.some(({ name }) => /^sink\d+$/.test(name) && iniValue(ini, name, 'enable') !== '0' && iniValue(ini, name, 'sync') === '1')
      ? finding(
          'warning',
          'sink0',
          'sync',
          'A sink with sync=1 beside a performance measurement.',
          'FPS never exceed the video’s own: 30.00 for ever.',
          'Set sync=0 (and qos=0) to measure.',
        )
      : undefined,
  ];
};
