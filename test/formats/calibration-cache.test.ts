import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EdgeError } from '../../src/core/errors.ts';
import { cacheFor, calibrationProblems, formatCalibrationCache, parseCalibrationCache, withHeader } from '../../src/formats/calibration-cache.ts';
import { hasShared, shared } from '../shared.ts';

const files = hasShared ? readdirSync(shared('calib')).filter(name => name !== 'INDEX.tsv') : [];
describe.skipIf(!hasShared)('real caches', () => {
  test.each(files)('%s comes back byte for byte', name => {
    const text = readFileSync(shared('calib', name), 'latin1');
    expect(formatCalibrationCache(parseCalibrationCache(text))).toBe(text);
  });
  test('INDEX values', () => {
    const yolo = parseCalibrationCache(readFileSync(shared('calib', 'cudla-yolov5-qat2ptq.cache'), 'utf8'));
    expect([yolo.tensorrt, yolo.algorithm, yolo.entries.length, yolo.entries[0]?.name]).toEqual(['8.6.0', 'EntropyCalibration2', 197, 'images']);
    expect(yolo.entries[0]?.scale).toBeCloseTo(0.0078720935, 9);
    const old = parseCalibrationCache(readFileSync(shared('calib', 'dsref-yolov3-calibration.table'), 'utf8'));
    expect([old.header, old.tensorrt, old.algorithm, old.entries.length]).toEqual(['1', undefined, undefined, 184]);
    const ten = parseCalibrationCache(readFileSync(shared('calib', 'hackathon-plugin-10.0.1.int8cache'), 'utf8'));
    expect([ten.tensorrt, ten.entries.length, ten.entries[1]?.name]).toEqual(['10.0.1', 3, '(Unnamed Layer* 0) [PluginV3_V3ONE]_output']);
    const lpd = parseCalibrationCache(readFileSync(shared('calib', 'NVIDIA__NVIDIA_AI_Enterprise_AzureML__usa_lpd_cal.bin'), 'utf8'));
    expect([lpd.tensorrt, lpd.entries[0]?.hex]).toEqual(['7.0.0', '3c010108']);
  });
});

test('every oddity survives', () => {
  const text = 'TRT-5105-MinMaxCalibration\r\nb: 3C010A14\r\na:b: 0\n\nb: 3c010a14 \r\nx:1\r\n \r\nlast: 3f80000';
  const cache = parseCalibrationCache(text);
  expect(cache.entries.map(({ name, scale }) => [name, scale === 0])).toEqual([
    ['b', false],
    ['a:b', true],
    ['b', false],
    ['x', false],
    ['last', false],
  ]);
  expect(formatCalibrationCache(cache)).toBe(text);
  expect(parseCalibrationCache('TRT-8600-LegacyCalibration').headerEnd).toBe('');
});

test('an edited scale is written anew', () => {
  const cache = parseCalibrationCache('TRT-8601-EntropyCalibration2\na: 3f800000\n');
  expect(formatCalibrationCache({ ...cache, entries: [{ ...cache.entries[0]!, scale: 2 }] })).toBe('TRT-8601-EntropyCalibration2\na: 40000000\n');
  expect(formatCalibrationCache(withHeader(cache, '10.3.0.30-1+cuda12.5'))).toMatch(/^TRT-100300-EntropyCalibration2\n/);
});

test('a fresh cache per version', () => {
  const ranges = new Map([
    ['images:0', { amax: 127 }],
    ['10', { amax: 1 }],
    ['9', { amax: 0 }],
  ]);
  expect(cacheFor(ranges, { tensorrt: '8.6.1', algorithm: 'EntropyCalibration2' })).toBe('TRT-8601-EntropyCalibration2\nimages:0: 3f800000\n10: 3c010204\n9: 00000000\n');
  expect(cacheFor({ a: { amax: 1 } }, { tensorrt: '10.3.0' })).toMatch(/^TRT-100300-Entropy/);
  expect(cacheFor({ a: { amax: 1 } }, { tensorrt: '7.1.3' })).toMatch(/^TRT-7103-/);
  expect(() => cacheFor({ a: { amax: 1 } }, { tensorrt: '11.0.0' })).toThrow(/Q\/DQ/);
  for (const amax of [-1, Number.NaN, Number.POSITIVE_INFINITY]) expect(() => cacheFor({ a: { amax } }, { tensorrt: '8.6.1' })).toThrow(EdgeError);
});

test('problems are named', () => {
  const cache = parseCalibrationCache('TRT-8601-EntropyCalibration2\na: bf800000\nb: 7fc00000\nc: 3f800000\nc: 40000000\n');
  expect(calibrationProblems(cache)).toHaveLength(3);
});

test.each(['', '\n', 'hello', 'TRT-x-y', 'TRT-8601-EntropyCalibration2\nno colon', 'TRT-8601-EntropyCalibration2\na: 123456789', 'TRT-8601-EntropyCalibration2\n: 12'])(
  '%j is refused with its line',
  text => {
    expect(() => parseCalibrationCache(text)).toThrow(expect.objectContaining({ code: 'calibration-invalid' }));
  },
);

test('law: what parses comes back; all else is an EdgeError', () => {
  const line = fc.oneof(
    fc.tuple(fc.string(), fc.constantFrom(': ', ':', ' :  '), fc.stringMatching(/^[0-9a-fA-F]{1,8}$/)).map(parts => parts.join('')),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(line, { maxLength: 8 }), fc.constantFrom('\n', '\r\n'), fc.boolean(), (lines, end, final) => {
      const text = `TRT-8601-EntropyCalibration2${end}${lines.join(end)}${final ? end : ''}`;
      try {
        expect(formatCalibrationCache(parseCalibrationCache(text))).toBe(text);
      } catch (error) {
        expect(error).toMatchObject({ code: 'calibration-invalid' });
      }
    }),
  );
});
