import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { crc32c, maskedCrc32c } from '../../src/formats/crc32c.ts';
import { type Example, encodeExample, frameTfrecords, readTfrecords, tfrecordPayloads, writeTfrecords } from '../../src/formats/tfrecord.ts';
import { failure, refusal } from '../refusal.ts';

const ascii = (text: string) => new TextEncoder().encode(text);
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** Bit by bit, as the polynomial says: the judge of the tables. */
const slowCrc = (bytes: Uint8Array): number => {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
};

describe('crc32c', () => {
  it('is e3069283 for the check string', () => expect(crc32c(ascii('123456789'))).toBe(0xe3069283));
  it.each([
    ['32 zeros', new Uint8Array(32), 0x8a9136aa],
    ['32 ones', new Uint8Array(32).fill(255), 0x62a8ab43],
    ['0 to 31', Uint8Array.from({ length: 32 }, (_, index) => index), 0x46dd794e],
  ])('is RFC 3720’s for %s', (_, bytes, crc) => expect(crc32c(bytes)).toBe(crc));
  it('is the polynomial’s for any length and offset', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(8), (bytes, offset) => crc32c(bytes.subarray(offset)) === slowCrc(bytes.subarray(offset))));
  });
});

// By hand: length 3 (LE), masked CRC of the length, "abc", masked CRC of "abc". CRC-32C of "abc" is 364b3fb7.
const rotated = (crc: number) => ((((crc >>> 15) | (crc << 17)) >>> 0) + 0xa282ead8) % 2 ** 32;
const le32 = (value: number) => Buffer.from([value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24]).toString('hex');

describe('framing', () => {
  it('is the known bytes', () => {
    expect(crc32c(ascii('abc'))).toBe(0x364b3fb7);
    const length = '0300000000000000';
    expect(hex(frameTfrecords([ascii('abc')]))).toBe(`${length}${le32(rotated(slowCrc(Buffer.from(length, 'hex'))))}616263${le32(rotated(0x364b3fb7))}`);
  });
  it('masks as TensorFlow does', () => expect(maskedCrc32c(new Uint8Array(8))).toBe(rotated(slowCrc(new Uint8Array(8)))));
  it('round-trips any payloads', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 }), payloads => {
        expect([...tfrecordPayloads(frameTfrecords(payloads))].map(hex)).toEqual(payloads.map(hex));
      }),
    );
  });
});

describe('damage', () => {
  const good = frameTfrecords([ascii('first'), ascii('second')]);
  it.each([
    ['a flipped byte of data', 21 + 14, /record 1 at byte 21: the checksum of its 6 bytes/i],
    ['a flipped byte of a length', 21, /record 1 at byte 21: the checksum of its length/i],
    ['a flipped checksum', good.length - 1, /record 1 at byte 21/i],
  ])('%s is named with record and offset', (_, at, message) => {
    const bytes = good.slice();
    bytes[at]! ^= 4;
    expect(failure(() => [...tfrecordPayloads(bytes, 'a.tfrecord')])).toMatchObject({
      code: 'file-corrupt',
      message: expect.stringMatching(message),
      where: { file: 'a.tfrecord', path: 'record[1]' },
    });
  });
  it('a cut file and a huge length are refused before memory is taken', () => {
    expect(failure(() => [...tfrecordPayloads(good.subarray(0, 30))]).message).toMatch(/needs at least 16/);
    expect(failure(() => [...tfrecordPayloads(good.subarray(0, good.length - 1))]).message).toMatch(/only 5 follow/);
    const huge = new Uint8Array(32);
    new DataView(huge.buffer).setBigUint64(0, 2n ** 40n, true);
    new DataView(huge.buffer).setUint32(8, maskedCrc32c(huge.subarray(0, 8)), true);
    expect(failure(() => [...tfrecordPayloads(huge)]).message).toMatch(/1099511627776 bytes/);
  });
  it('never gives another error than file-corrupt, framing or content', () => {
    const check = (bytes: Uint8Array) => void expect(refusal(() => readTfrecords(bytes))?.code ?? 'file-corrupt').toBe('file-corrupt');
    fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), bytes => check(bytes)));
    fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), bytes => check(frameTfrecords([bytes]))));
  });
});

describe('tf.train.Example', () => {
  it('is the known bytes', () => {
    // features { feature { key: "a" value { int64_list { value: 5 } } } }, written by hand from the wire format.
    const example: Example = new Map([['a', { kind: 'int64', values: [5] }]]);
    expect(hex(encodeExample(example))).toBe('0a0c0a0a0a0161' + '12051a030a0105');
  });
  it('reads packed and unpacked lists alike', () => {
    const unpacked = Buffer.from('0a0d0a0b0a0161' + '12061a0408050807', 'hex');
    expect(readTfrecords(frameTfrecords([unpacked]))).toEqual([new Map([['a', { kind: 'int64', values: [5, 7] }]])]);
  });
  it('round-trips any features, equal examples as equal bytes', () => {
    const feature = fc.oneof(
      fc.record({ kind: fc.constant('bytes' as const), values: fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 4 }) }),
      fc.record({ kind: fc.constant('float' as const), values: fc.array(fc.float({ noNaN: true }), { maxLength: 4 }) }),
      fc.record({ kind: fc.constant('int64' as const), values: fc.array(fc.maxSafeInteger(), { maxLength: 4 }) }),
      fc.record({ kind: fc.constant('empty' as const), values: fc.constant([] as []) }),
    );
    const example = fc.dictionary(fc.string(), feature, { maxKeys: 5, noNullPrototype: true }).map(record => new Map(Object.entries(record)));
    fc.assert(
      fc.property(fc.array(example, { maxLength: 3 }), examples => {
        const bytes = writeTfrecords(examples);
        const again = readTfrecords(bytes);
        expect(again.map(item => [...item].sort(([a], [b]) => (a < b ? -1 : 1)))).toEqual(examples.map(item => [...item].sort(([a], [b]) => (a < b ? -1 : 1))));
        expect(hex(writeTfrecords(again))).toBe(hex(bytes));
      }),
    );
  });
});
