import { expect, test } from 'vitest';
import { encodeTensorboard, readTensorboard, tensorboardStart } from '../../src/formats/tensorboard.ts';

const events = [tensorboardStart(1700000000.5), { wallSeconds: 1700000001.25, step: 7, scalars: { 'train/loss': 0.5, 'validation/top-1': 0.25 } }];

test('events come back as they went in, also from a file written in pieces', () => {
  const pieces = events.map(event => encodeTensorboard([event]));
  expect(Buffer.concat(pieces)).toEqual(Buffer.from(encodeTensorboard(events)));
  expect(readTensorboard(Buffer.concat(pieces))).toEqual(events);
});

test('the bytes are TensorFlow’s: a version event of 24 + 16 bytes, field by field', () => {
  // 09 wall_time, 1a file_version (step 0 is left out, as proto3 does), framed by length and masked checksums.
  expect(Buffer.from(encodeTensorboard([tensorboardStart(1)])).toString('hex')).toMatch(/^1800000000000000[0-9a-f]{8}09000000000000f03f1a0d627261696e2e4576656e743a32[0-9a-f]{8}$/);
});

test('a damaged file is named', () => {
  const bytes = encodeTensorboard(events);
  bytes[50]! ^= 1;
  expect(() => readTensorboard(bytes, 'events.out')).toThrow(expect.objectContaining({ code: 'file-corrupt', where: expect.objectContaining({ file: 'events.out' }) }));
});
