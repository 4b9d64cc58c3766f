import { expect, test } from 'vitest';
import { nvinferPropertyKeys } from '../../src/formats/deepstream-version.ts';
import { iniValue, parseIni, parseIniYaml } from '../../src/formats/ini.ts';
import { deepstreamLabels, deepstreamVersions, keyPlaceholder, type NvinferSettings, nvinferConfig, nvinferText, nvinferYaml } from '../../src/formats/nvinfer.ts';
import { classifier, detector } from './deepstream-cases.ts';

const base: NvinferSettings = { info: detector, input: [3, 384, 1248], files: { onnx: 'a.onnx', labels: 'labels.txt' }, precision: 'fp16', batch: 4, deepstream: '6.2' };
const value = (settings: NvinferSettings, key: string, group = 'property') => iniValue(nvinferConfig(settings), group, key);

test('preprocessing, labels and names travel', () => {
  expect(value(base, 'net-scale-factor')).toBe(String(1 / 255));
  expect(value(base, 'offsets')).toBeUndefined();
  expect(value(base, 'model-engine-file')).toBe('a.onnx_b4_gpu0_fp16.engine');
  expect([value(base, 'network-mode'), value(base, 'num-detected-classes'), value(base, 'infer-dims'), value(base, 'output-blob-names')]).toEqual([
    '2',
    '3',
    '3;384;1248',
    'output_bbox;output_cov',
  ]);
  const bgr = { ...base, info: { ...classifier, preprocess: { ...classifier.preprocess, order: 'bgr' as const, resize: 'letterbox' as const } } };
  expect([value(bgr, 'offsets'), value(bgr, 'model-color-format'), value(bgr, 'maintain-aspect-ratio'), value(bgr, 'network-type')]).toEqual(['128;128;128', '1', '1', '1']);
  expect([value({ ...bgr, deepstream: '5.1' }, 'symmetric-padding'), value(bgr, 'symmetric-padding')]).toEqual([undefined, '0']);
  expect(deepstreamLabels(detector)).toBe('car\nperson\nsign\n');
  expect(deepstreamLabels(classifier)).toBe('daisy;dandelion;roses;sunflowers;tulips\n');
  expect(() => deepstreamLabels({ ...detector, labels: ['a;b'] })).toThrow(/a;b/);
});
test('a class has its own threshold and repeats the rest', () => {
  const own = { ...base, classThresholds: { person: 0.2 }, cluster: { kind: 'dbscan', eps: 0.5, minBoxes: 2 } as const };
  expect([value(own, 'pre-cluster-threshold', 'class-attrs-1'), value(own, 'minBoxes', 'class-attrs-1'), value(own, 'cluster-mode')]).toEqual(['0.2', '2', '1']);
  expect(() => nvinferConfig({ ...base, classThresholds: { dog: 1 } })).toThrow(/dog/);
});
test('wishes that nvinfer would mend in silence are refused', () => {
  expect(() => nvinferConfig({ ...base, precision: 'int8' })).toThrow(expect.objectContaining({ code: 'calibration-missing' }));
  expect(() => nvinferConfig({ ...base, precision: 'int8', quantized: true })).toThrow(/Q\/DQ/);
  expect(value({ ...base, precision: 'int8', quantized: true, files: { engine: 'x.engine', labels: 'l' } }, 'model-engine-file')).toBe('x.engine');
  expect(value({ ...base, precision: 'int8', quantized: true, deepstream: '9.1' }, 'strongly-typed')).toBe('1');
  expect(() => nvinferConfig({ ...base, info: { ...detector, outputs: ['a', 'b'] } })).toThrow(/bbox/);
  expect(() => nvinferConfig({ ...base, files: { etlt: 'a.etlt', labels: 'l' }, deepstream: '8.0' })).toThrow(/etlt/);
  expect(() => nvinferYaml({ ...base, deepstream: '6.0.1' })).toThrow(/YAML/);
});
test('an .etlt’s key is a placeholder', () => {
  const text = nvinferText({ ...base, files: { etlt: 'a.etlt', labels: 'l' }, deepstream: '5.0' });
  expect(text).toContain(`\ntlt-model-key=${keyPlaceholder}\n`);
  expect(text).toContain('tlt-encoded-model=a.etlt\n');
});
test('text and YAML say the same, with keys that the version knows', () => {
  for (const deepstream of deepstreamVersions.slice(4)) {
    const settings = { ...base, deepstream };
    const plain = (ini: { groups: readonly { name: string; entries: readonly { key: string; value: string }[] }[] }) =>
      ini.groups.map(({ name, entries }) => [name, entries.map(({ key, value: text }) => [key, text])]);
    expect(plain(parseIniYaml(nvinferYaml(settings)))).toEqual(plain(parseIni(nvinferText(settings))));
    for (const { key } of nvinferConfig(settings).groups[0]!.entries) expect(nvinferPropertyKeys.has(key), key).toBe(true);
  }
});
