import { describe, expect, it } from 'vitest';
import { parseCalibrationCache } from '../../src/formats/calibration-cache.ts';
import { type LintContext, lintNvinfer } from '../../src/formats/deepstream-lint.ts';
import { giesOf, isAppConfig, lintApp } from '../../src/formats/deepstream-lint-app.ts';
import { formatIni, parseIni } from '../../src/formats/ini.ts';
import { type DeepstreamVersion, deepstreamLabels, nvinferConfig } from '../../src/formats/nvinfer.ts';
import { deepstreamConfigs, detector as info } from './deepstream-cases.ts';

const good = nvinferConfig({
  info,
  input: [3, 192, 320],
  files: { onnx: 'net.onnx', calibration: 'cal.txt', labels: 'labels.txt' },
  precision: 'int8',
  batch: 4,
  deepstream: '6.3',
});
const text = formatIni(good);
const around: LintContext = {
  deepstream: '6.3',
  labels: deepstreamLabels(info),
  network: { info, input: [3, 192, 320], quantized: false },
  cache: parseCalibrationCache('TRT-8502-EntropyCalibration2\ninput_1: 3c010a14\n'),
  engine: { batch: 4, precision: 'int8', tensorrt: '8.5.2' },
  tensorrt: '8.5.2',
};
const found = (change: (text: string) => string, context: Partial<LintContext> = {}) =>
  lintNvinfer(parseIni(change(text)), { ...around, ...context }).map(({ severity, key, line }) => `${severity} ${key}${line === undefined ? '' : ' with line'}`);
const set = (key: string, value: string) => (config: string) => {
  const line = new RegExp(`^${key}=.*$`, 'm');
  return line.test(config) ? config.replace(line, `${key}=${value}`) : config.replace('[property]\n', `[property]\n${key}=${value}\n`);
};
const without = (key: string) => (config: string) => config.replace(new RegExp(`^${key}=.*\n`, 'm'), '');
const same = (config: string) => config;

describe('nvinfer', () => {
  it('finds nothing in what edgeforge writes', () => expect(found(same)).toEqual([]));
  it.each<[string, (text: string) => string, Partial<LintContext>, string]>([
    ['scale', set('net-scale-factor', '1'), {}, 'error net-scale-factor with line'],
    ['offsets', set('offsets', '124;117;104'), {}, 'error offsets with line'],
    ['colour order', set('model-color-format', '1'), {}, 'error model-color-format with line'],
    ['size', set('infer-dims', '3;384;640'), {}, 'error infer-dims with line'],
    ['letterbox', set('maintain-aspect-ratio', '1'), {}, 'error maintain-aspect-ratio with line'],
    ['nearest pixels', without('scaling-filter'), {}, 'warning scaling-filter'],
    ['too few classes', set('num-detected-classes', '2'), {}, 'error num-detected-classes with line'],
    ['label order', same, { labels: 'person\ncar\nsign\n' }, 'error labelfile-path with line'],
    ['labels of a classifier', same, { labels: 'car;person;sign\n' }, 'error labelfile-path with line'],
    ['carriage returns', same, { labels: 'car\r\nperson\r\nsign\r\n' }, 'error labelfile-path with line'],
    ['INT8 without a cache', without('int8-calib-file'), {}, 'error network-mode with line'],
    ['Q/DQ before 9.0', same, { network: { info, input: [3, 192, 320], quantized: true } }, 'error onnx-file with line'],
    ['a cache of another TensorRT', same, { cache: parseCalibrationCache('TRT-8201-EntropyCalibration2\ninput_1: 3c010a14\n') }, 'error int8-calib-file with line'],
    ['an engine of another TensorRT', same, { engine: { batch: 4, precision: 'int8', tensorrt: '8.6.1' } }, 'error model-engine-file with line'],
    ['a batch above the engine’s', set('batch-size', '8'), {}, 'error batch-size with line'],
    ['another precision than the engine’s', set('network-mode', '2'), {}, 'warning network-mode with line'],
    ['a classifier’s type', set('network-type', '1'), {}, 'error network-type with line'],
    ['foreign outputs', set('output-blob-names', 'boxes;scores'), {}, 'error output-blob-names with line'],
    ['a secondary without its primary', set('process-mode', '2'), {}, 'error operate-on-gie-id'],
    ['no grouping', set('cluster-mode', '4'), {}, 'warning cluster-mode with line'],
    ['a misspelt key', set('batchsize', '1'), {}, 'warning batchsize with line'],
    ['a key of a later version', same, { deepstream: '5.0' }, ''],
    ['a missing engine', same, { missing: ['model-engine-file'] }, 'warning model-engine-file with line'],
    ['a missing model', same, { missing: ['onnx-file'] }, 'error onnx-file with line'],
    ['a threshold that nothing reaches', config => config.replace('pre-cluster-threshold=0.4', 'pre-cluster-threshold=1'), {}, 'error class-attrs-all.pre-cluster-threshold'],
    ['minboxes in small letters', config => config.replace('topk=100', 'topk=100\nminboxes=3'), {}, 'warning class-attrs-all.minboxes with line'],
  ])('%s', (_, change, context, wanted) => {
    const all = found(change, context);
    if (wanted === '') expect(all.every(each => each.startsWith('warning'))).toBe(true);
    else expect(all).toContain(wanted);
  });
  it('finds no error in the configs of every version', () => {
    const configs = [...deepstreamConfigs()].filter(([path]) => /detectnet_v2.*config_infer_primary\.txt$/.test(path));
    expect(configs.length).toBeGreaterThan(10);
    for (const [path, config] of configs) {
      const deepstream = /deepstream-([\d.]+)\//.exec(path)?.[1] as DeepstreamVersion;
      expect(lintNvinfer(parseIni(config), { deepstream, labels: deepstreamLabels(info), network: { info, input: [3, 384, 1248], quantized: false } })).toEqual([]);
    }
  });
  it('says what one would see, and how to mend it', () => {
    const [finding] = lintNvinfer(parseIni(set('model-color-format', '1')(text)), around);
    expect(finding).toMatchObject({ symptom: expect.stringContaining('Red and blue'), mend: 'Set model-color-format=0' });
  });
  it('reads a number before a note as GKeyFile does', () => expect(found(set('network-type', '0 ## detector'))).toEqual([]));
});

describe('deepstream-app', () => {
  const app = (extra = '') =>
    `[application]\nenable-perf-measurement=1\n[source0]\nenable=1\ntype=3\nuri=file:///v.mp4\nnum-sources=4\n[sink0]\nenable=1\ntype=1\nsync=0\n[streammux]\nbatch-size=4\nlive-source=0\n[primary-gie]\nenable=1\ngie-unique-id=1\nbatch-size=4\nconfig-file=pgie.txt\n${extra}`;
  const keys = (config: string) => lintApp(parseIni(config)).map(({ severity, key }) => `${severity} ${key}`);
  it('tells the two kinds of config apart and finds the GIEs', () => {
    expect([isAppConfig(parseIni(app())), isAppConfig(good)]).toEqual([true, false]);
    expect(giesOf(parseIni(app('[secondary-gie0]\nenable=0\n')))).toEqual([{ group: 'primary-gie', config: 'pgie.txt', batch: 4, uniqueId: 1 }]);
  });
  it.each([
    ['nothing', app(), []],
    ['a small muxer batch', app().replace('batch-size=4', 'batch-size=1'), ['error streammux.batch-size']],
    ['a small primary batch', app().replace('batch-size=4\nconfig', 'batch-size=1\nconfig'), ['warning primary-gie.batch-size']],
    ['files as live', app().replace('live-source=0', 'live-source=1'), ['warning streammux.live-source']],
    ['a secondary of nobody', app('[secondary-gie0]\nenable=1\ngie-unique-id=2\noperate-on-gie-id=7\n'), ['error secondary-gie0.operate-on-gie-id']],
    ['one id twice', app('[secondary-gie0]\nenable=1\ngie-unique-id=1\noperate-on-gie-id=1\n'), ['error primary-gie.gie-unique-id']],
    ['a tracker of odd size', app('[tracker]\nenable=1\ntracker-width=650\ntracker-height=384\n'), ['warning tracker.tracker-width']],
    ['a synchronous sink', app().replace('sync=0', 'sync=1'), ['warning sink0.sync']],
  ])('%s', (_, config, wanted) => expect(keys(config)).toEqual(wanted));
});
