import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatVoc, readVoc } from '../../src/formats/voc.ts';
import { failure, refusal } from '../refusal.ts';
import { hasShared, shared } from '../shared.ts';

const document = (object: string) =>
  `<?xml version="1.0"?>\n<!-- cards -->\n<annotation verified="yes">\n<filename>a &amp; b.jpg</filename>\n<size><width>640</width><height>480</height><depth>3</depth></size>\n${object}\n</annotation>\n`;
const box = '<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30.5</xmax><ymax>40</ymax></bndbox>';

describe.skipIf(!hasShared)('playing_cards', () => {
  it('has 363 annotations with 670 boxes of six classes', () => {
    const folder = hasShared ? shared('datasets', 'playing_cards', 'images') : '';
    const files = (readdirSync(folder, { recursive: true }) as string[]).filter(name => name.endsWith('.xml'));
    const objects = files.flatMap(name => readVoc(readFileSync(`${folder}/${name}`, 'utf8'), name).objects);
    expect([files.length, objects.length, new Set(objects.map(({ className }) => className)).size]).toEqual([363, 670, 6]);
  });
});

describe('readVoc', () => {
  it('reads what VOC says, and entities, CDATA, comments, attributes', () => {
    expect(readVoc(document(`<object><name><![CDATA[king]]> of&#32;<!-- x -->hearts</name><pose>Unspecified</pose><truncated>1</truncated><difficult/>${box}</object>`))).toEqual({
      fileName: 'a & b.jpg',
      width: 640,
      height: 480,
      depth: 3,
      objects: [{ className: 'king of hearts', x1: 1, y1: 2, x2: 30.5, y2: 40, truncated: true, pose: 'Unspecified' }],
    });
  });
  it.each([
    [document(`<object>${box}</object>`), 'dataset-invalid', 6, /<object> has no <name>/],
    [document(`<object><name>a</name>${box.replace('30.5', 'x')}</object>`), 'dataset-invalid', 6, /<xmax> is "x"/],
    [document('<object></annotation>'), 'dataset-invalid', 6, /closes <object> of line 6/],
    [document('<object>'), 'dataset-invalid', 7, /<\/annotation> closes <object>/],
    [document('&nosuch;'), 'dataset-invalid', 6, /no entity/],
    ['<!DOCTYPE a [<!ENTITY x "y">]><annotation/>', 'format-unsupported', 1, /DOCTYPE/],
    ['<a>'.repeat(100), 'limit-exceeded', 1, /32 levels/],
    ['plain text', 'dataset-invalid', 1, /outside the root/],
    ['<annotation>', 'dataset-invalid', 1, /never closed/],
    ['', 'dataset-invalid', 1, /0 root elements/],
    ['<html></html>', 'dataset-invalid', 1, /<html>, not <annotation>/],
    [document('').replace('640', '6.5'), 'dataset-invalid', 5, /<width> is 6\.5/],
  ])('refuses %j', (text, code, line, message) => {
    expect(failure(() => readVoc(text, 'a.xml'))).toMatchObject({ code, message: expect.stringMatching(message), where: { file: 'a.xml', line } });
  });
  it('gives an annotation or an EdgeError for anything', () => {
    const pieces = fc
      .array(
        fc.constantFrom(
          '<annotation>',
          '</annotation>',
          '<object>',
          '</object>',
          '<size/>',
          '<a b="c">',
          '&amp;',
          '&#x110000;',
          '<!--',
          '-->',
          '<![CDATA[',
          ']]>',
          '<?',
          '?>',
          '<',
          '>',
          'x',
          '\n',
        ),
        { maxLength: 30 },
      )
      .map(parts => parts.join(''));
    fc.assert(
      fc.property(fc.oneof(pieces, fc.string()), text => void refusal(() => readVoc(text))),
      { numRuns: 500 },
    );
  });
  it('is linear in hostile text', () => {
    const start = performance.now();
    for (const text of [
      '<a '.repeat(300_000),
      `<a ${'b="c" '.repeat(150_000)}`,
      '<!--'.repeat(200_000),
      '&'.repeat(500_000),
      `<a>${'&amp'.repeat(200_000)}</a>`,
      '<![CDATA['.repeat(100_000),
    ])
      failure(() => readVoc(text));
    expect(performance.now() - start).toBeLessThan(5000);
  });
});

it('an annotation round-trips through formatVoc', () => {
  const word = fc.string({ minLength: 1 }).filter(text => text === text.trim() && text !== '' && !/[^\x20-\x7e]/.test(text));
  const corner = fc.integer({ min: 0, max: 5000 }).map(value => value / 4);
  const object = fc.record(
    { className: word, x1: corner, y1: corner, x2: corner, y2: corner, truncated: fc.boolean(), difficult: fc.boolean() },
    { requiredKeys: ['className', 'x1', 'y1', 'x2', 'y2'], noNullPrototype: true },
  );
  const annotation = fc.record({ fileName: word, width: fc.nat(5000), height: fc.nat(5000), objects: fc.array(object, { maxLength: 4 }) }, { noNullPrototype: true });
  fc.assert(
    fc.property(annotation, value => {
      expect(readVoc(formatVoc(value))).toEqual(value);
    }),
  );
});
