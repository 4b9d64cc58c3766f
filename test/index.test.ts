import { existsSync, statSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { inPackage } from '../src/core/package-root.ts';
import * as source from '../src/index.ts';

test('the launcher may be executed: npx starts it by its name', () => expect(statSync(inPackage('src', 'launch.cjs')).mode & 0o100).toBe(0o100));

const built = existsSync(inPackage('dist', 'index.js'));
if (!built) console.warn('SKIPPED: importing the package by its name, because dist/ is not built (npm run build).');
// As a stranger would: by the package's name, through "exports". The name is a variable so that the compiler does not need dist/ either.
const name: string = 'edgeforge';
const faces: [string, typeof source][] = [['src', source], ...(built ? [['dist', (await import(name)) as typeof source] as [string, typeof source]] : [])];

const names = [
  'EdgeError',
  'decodeEtlt',
  'encodeEtlt',
  'formatCalibrationCache',
  'looksLike',
  'parseCalibrationCache',
  'parseNvTegraRelease',
  'parseSpec',
  'parseTegrastats',
  'parseTrtexecLog',
  'readOnnx',
  'readTfrecords',
  'writeOnnx',
];

describe.each(faces)('the library face (%s)', (_, face) => {
  test('has the promised functions and nothing else', () => {
    expect(Object.keys(face).sort()).toEqual(names);
  });

  test('specs, caches and .etlt', () => {
    const { task, message, notes } = face.parseSpec('random_seed: 42\ncost_function_config { enable_autoweighting: true }');
    expect([task, message.random_seed, Array.isArray(notes)]).toEqual(['detectnet_v2_train', 42, true]);
    const cache = 'TRT-8001-EntropyCalibration2\r\na b: 3C010A14\nx: 0\nx: 3c010a14';
    expect(face.formatCalibrationCache(face.parseCalibrationCache(cache))).toBe(cache);
    const payload = Uint8Array.from([8, 7, 0x12, 1, 0x65]);
    const sealed = face.encodeEtlt({ payload, key: 'k', inputName: 'input_1', nonce: new Uint8Array(16) });
    const opened = face.decodeEtlt(sealed, 'k');
    expect([opened.inputName, [...opened.payload], face.looksLike(opened.payload)]).toEqual(['input_1', [...payload], 'onnx']);
    expect(face.looksLike(face.decodeEtlt(sealed, 'other').payload)).toBeUndefined();
  });

  test('what devices say', () => {
    expect(face.parseNvTegraRelease('# R35 (release), REVISION: 3.1, GCID: 32827747')).toEqual({ release: 35, revision: '3.1' });
    expect(face.parseTrtexecLog('&&&& PASSED TensorRT.trtexec [TensorRT v100300] # trtexec')).toMatchObject({ version: '10.3.0', outcome: 'passed', warnings: [], errors: [] });
    expect(face.parseTrtexecLog('[I] nothing more')).toMatchObject({ outcome: 'incomplete' });
    expect(face.parseTrtexecLog('')).not.toHaveProperty('throughputQps');
    const line = face.parseTegrastats('RAM 2448/7772MB (lfb 1x4MB) SWAP 0/3886MB CPU [3%@729,off] EMC_FREQ 0% GR3D_FREQ 12% tj@45C VDD_IN 4000mW/4100mW');
    expect(line).toMatchObject({ ramUsedMB: 2448, ramTotalMB: 7772, cpu: [{ loadPercent: 3, mhz: 729 }, null], gr3d: { loadPercent: 12 }, totalRail: 'VDD_IN' });
    expect(line).not.toHaveProperty('timestamp');
  });

  test('malformed input is an EdgeError with a code and a mend', () => {
    const bytes = fc.uint8Array({ maxLength: 120 });
    const text = fc.oneof(fc.string({ maxLength: 120 }), fc.constantFrom('a {', 'TRT-', '{{{{', 'RAM 1/', '\u0000', 'kitti_config { val_split: x }'));
    const attempt = (read: () => unknown) => {
      try {
        read();
      } catch (error) {
        expect(error, String(error)).toBeInstanceOf(face.EdgeError);
        expect((error as source.EdgeError).code).not.toBe('internal');
        expect((error as source.EdgeError).hint).not.toBe('');
      }
    };
    fc.assert(
      fc.property(bytes, text, (some, words) => {
        attempt(() => face.readOnnx(some));
        attempt(() => face.readTfrecords(some));
        attempt(() => face.looksLike(some));
        for (const parse of [face.parseSpec, face.parseCalibrationCache, face.parseNvTegraRelease, face.parseTrtexecLog, face.parseTegrastats]) attempt(() => parse(words));
      }),
      { numRuns: 200 },
    );
    for (const some of [new Uint8Array(), Uint8Array.from([255, 255, 255, 255, 1]), Uint8Array.from([4, 0, 0, 0, 65])])
      expect(() => face.decodeEtlt(some, 'k')).toThrow(face.EdgeError);
    expect(() => face.decodeEtlt(new Uint8Array(40), '')).toThrow(expect.objectContaining({ code: 'key-missing' }));
    expect(() => face.readOnnx(Uint8Array.from([1, 2, 3]))).toThrow(face.EdgeError);
    expect(() => face.readTfrecords(Uint8Array.from([1, 2, 3]))).toThrow(face.EdgeError);
  });
});
