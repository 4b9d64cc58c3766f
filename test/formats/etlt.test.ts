import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EdgeError } from '../../src/core/errors.ts';
import { decodeEtlt, decodeTlt, encodeEtlt, encodeTlt, looksLike } from '../../src/formats/etlt.ts';
import { refusal } from '../refusal.ts';
import { hasShared, shared } from '../shared.ts';

const onnx = new Uint8Array([0x08, 0x07, 0x12, 0x09, ...Buffer.from('edgeforge')]);
const hex = (text: string) => new Uint8Array(Buffer.from(text, 'hex'));

describe.skipIf(!hasShared)('vectors', () => {
  const vectors = hasShared
    ? (JSON.parse(readFileSync(shared('etlt', 'vector.json'), 'utf8')) as { password: string; inputName: string; plaintextHex: string; nonceHex: string; etltHex: string }[])
    : [];
  test.each(vectors)('$password', ({ password, inputName, plaintextHex, nonceHex, etltHex }) => {
    const read = decodeEtlt(hex(etltHex), password);
    expect(read.inputName).toBe(inputName);
    expect(Buffer.from(read.payload).toString('hex')).toBe(plaintextHex);
    expect(Buffer.from(encodeEtlt({ payload: hex(plaintextHex), key: password, inputName, nonce: hex(nonceHex) })).toString('hex')).toBe(etltHex);
  });
});

test('a wrong key is not judged by decodeEtlt, but seen by looksLike', () => {
  const bytes = encodeEtlt({ payload: onnx, key: 'right' });
  expect(looksLike(decodeEtlt(bytes, 'right').payload)).toBe('onnx');
  expect(looksLike(decodeEtlt(bytes, 'wrong').payload)).toBeUndefined();
});

test('two writes of the same payload differ in their nonce', () => {
  expect(encodeEtlt({ payload: onnx, key: 'k' })).not.toEqual(encodeEtlt({ payload: onnx, key: 'k' }));
});

test('what is refused', () => {
  const code = (run: () => unknown) => refusal(run)?.code;
  expect(code(() => decodeEtlt(new Uint8Array(3), 'k'))).toBe('file-corrupt');
  expect(code(() => decodeEtlt(hex(`ffffffff${'00'.repeat(40)}`), 'k'))).toBe('file-corrupt');
  expect(code(() => decodeEtlt(hex(`00000000${'00'.repeat(15)}`), 'k'))).toBe('file-corrupt');
  expect(code(() => decodeEtlt(hex(`00000000${'00'.repeat(16)}`), ''))).toBe('key-missing');
  expect(code(() => encodeEtlt({ payload: onnx, key: 'k', nonce: new Uint8Array(8) }))).toBe('usage');
  expect(code(() => encodeEtlt({ payload: onnx, key: 'k', inputName: 'ü' }))).toBe('usage');
});

test('.tlt: ours comes back, NVIDIA’s is refused by name', () => {
  const hdf5 = new Uint8Array([0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0]);
  expect(decodeTlt(encodeTlt({ payload: onnx, key: 'k' }), 'k')).toEqual(onnx);
  expect(() => decodeTlt(encodeTlt({ payload: hdf5, key: 'k' }), 'k')).toThrow(/NVIDIA’s own \.tlt/);
  expect(() => decodeTlt(hdf5, 'k')).toThrow(/\.hdf5/);
  expect(() => decodeTlt(encodeTlt({ payload: onnx, key: 'k' }), 'other')).toThrow(EdgeError);
});

test('looksLike tells the kinds apart', () => {
  expect(looksLike(hex('080110011a00'))).toBe('uff');
  expect(looksLike(hex('504b0304'))).toBe('zip');
  expect(looksLike(hex('0a0161a20600'))).toBe('caffe');
  expect(looksLike(new Uint8Array())).toBeUndefined();
});
test.skipIf(!hasShared)('real ONNX looks like ONNX', () => {
  expect(looksLike(readFileSync(shared('models', 'FastestDet.onnx')))).toBe('onnx');
});

test('bytes of any kind give a value or an EdgeError', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), bytes => {
      looksLike(bytes);
      refusal(() => decodeEtlt(bytes, 'k'));
    }),
    { numRuns: 60 },
  );
});
