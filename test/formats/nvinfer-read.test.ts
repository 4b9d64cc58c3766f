import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { isAppConfig } from '../../src/formats/deepstream-lint-app.ts';
import { deepstreamSince, deepstreamVersions } from '../../src/formats/deepstream-version.ts';
import { parseIni, parseIniYaml } from '../../src/formats/ini.ts';
import { nvinferConfig } from '../../src/formats/nvinfer.ts';
import { readNvinfer } from '../../src/formats/nvinfer-read.ts';
import { refusal } from '../refusal.ts';
import { hasShared, shared } from '../shared.ts';
import { classifier, detector } from './deepstream-cases.ts';

test('what is written is read back, in every version', () => {
  for (const deepstream of deepstreamVersions)
    for (const resize of ['stretch', 'letterbox'] as const)
      for (const info of [detector, classifier]) {
        const { scale, offset, order } = info.preprocess;
        const settings = {
          info: { ...info, preprocess: { ...info.preprocess, resize } },
          input: [3, 96, 160] as const,
          files: { onnx: 'a.onnx', labels: 'l.txt' },
          precision: 'fp16' as const,
          batch: 1,
          deepstream,
          threshold: 0.3,
        };
        const read = readNvinfer(nvinferConfig(settings), deepstream);
        expect(read).toMatchObject({
          type: info === detector ? 'detector' : 'classifier',
          input: [3, 96, 160],
          scale,
          order,
          keepsAspect: resize === 'letterbox',
          symmetric: false,
          filter: 'bilinear',
          precision: 'fp16',
          labels: 'l.txt',
        });
        expect([read.offsets[0] ?? 0, read.offsets[2] ?? 0]).toEqual([offset[0], offset[2]]);
        if (info === detector) expect([read.cluster, read.classes.map(each => each.preThreshold)]).toEqual(['nms', [0.3, 0.3, 0.3]]);
        else expect(read.classifierThreshold).toBe(0.3);
      }
});
test('defaults are nvinfer’s own: nearest pixels, rectangles that need OpenCV, a threshold of 0.2', () => {
  const read = (version: '5.0' | '6.0' | '9.1') => readNvinfer(parseIni('[property]\nnum-detected-classes=1\nsymmetric-padding=1\n'), version);
  expect(read('5.0')).toMatchObject({ filter: 'nearest', cluster: 'rectangles', symmetric: false, scale: 1, classes: [{ preThreshold: 0.2, nmsIou: 0.3, topK: -1 }] });
  for (const version of ['6.0', '9.1'] as const)
    expect(read(version)).toMatchObject({ cluster: 'nms', symmetric: deepstreamSince(version, '6.0'), classes: [{ nmsIou: 0.5, topK: 20 }] });
});
describe.skipIf(!hasShared)('NVIDIA’s and others’ configs', () => {
  test.each(hasShared ? readdirSync(shared('deepstream-configs')).filter(name => /\.(txt|yml)$/.test(name)) : [])('%s is read, or refused for what only nvinfer can do', name => {
    const text = readFileSync(shared('deepstream-configs', name), 'utf8');
    const ini = name.endsWith('.yml') ? parseIniYaml(text) : parseIni(text, { headless: 'property' });
    if (isAppConfig(ini)) return;
    const refused = refusal(() => readNvinfer(ini, '7.0'));
    if (refused) expect([refused.code, refused.message]).toEqual(['format-unsupported', expect.stringMatching(/not modelled|neither detector nor classifier/)]);
    else expect(readNvinfer(ini, '7.0').scale).toBeLessThanOrEqual(1);
  });
});
