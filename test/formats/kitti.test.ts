import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatInferenceLabels, formatKittiLabels, readKittiLabels } from '../../src/formats/kitti.ts';
import { formatLabels, parseLabels } from '../../src/formats/labels.ts';
import { formatYoloLabels, readYoloLabels } from '../../src/formats/yolo.ts';
import { failure, refusal } from '../refusal.ts';
import { hasShared, shared } from '../shared.ts';

const car = 'Car 0.00 1 -1.57 599.41 156.40 629.75 189.25 2.85 2.63 12.34 0.47 1.49 69.44 -1.56';

describe.skipIf(!hasShared)('kitti101', () => {
  const folder = hasShared ? shared('datasets', 'kitti101', 'label_2') : '';
  const files = hasShared ? readdirSync(folder).map(name => [name, readFileSync(`${folder}/${name}`, 'utf8')] as const) : [];
  it('has the objects that its README counts', () => {
    const counts: Record<string, number> = {};
    for (const [file, text] of files) for (const { className } of readKittiLabels(text, { file })) counts[className] = (counts[className] ?? 0) + 1;
    expect(files).toHaveLength(101);
    expect(counts).toEqual({ Car: 303, DontCare: 237, Pedestrian: 47, Van: 34, Cyclist: 18, Truck: 14, Tram: 12, Misc: 6, Person_sitting: 5 });
  });
  it('is written back byte for byte', () => {
    for (const [file, text] of files) expect(formatKittiLabels(readKittiLabels(text)), file).toBe(text.endsWith('\n') || text === '' ? text : `${text}\n`);
  });
});

describe('readKittiLabels', () => {
  it('reads the fifteen columns', () => {
    expect(readKittiLabels(`${car}\r\n\n`)).toEqual([
      {
        className: 'Car',
        truncated: 0,
        occluded: 1,
        alpha: -1.57,
        x1: 599.41,
        y1: 156.4,
        x2: 629.75,
        y2: 189.25,
        height: 2.85,
        width: 2.63,
        length: 12.34,
        x: 0.47,
        y: 1.49,
        z: 69.44,
        rotationY: -1.56,
      },
    ]);
  });
  it('reads a score only where results are meant', () => {
    expect(readKittiLabels(`${car} 0.9`, { fields: 'either' })[0]!.score).toBe(0.9);
    expect(failure(() => readKittiLabels(`${car} 0.9`)).message).toBe('16 fields; a KITTI label has 15.');
    expect(failure(() => readKittiLabels(car, { fields: 'results' })).message).toBe('15 fields; a KITTI result has 16.');
  });
  it.each([
    [`${car}\nCar 0 0`, 2, /^3 fields/, /rotation_y/],
    [`traffic ${car}`, 1, /^16 fields/, /without spaces/],
    [car.replace('156.40', '15x'), 1, /Field 6 \(y1\) is "15x"/, /y1/],
    [car.replace('156.40', 'NaN'), 1, /not a number/, /y1/],
    [car.replace('156.40', '1e999'), 1, /not a number/, /y1/],
    [car.replace(' 1 ', ' 0.5 '), 1, /occluded/, /0 visible/],
  ])('complains about %j with file and line', (text, line, message, hint) => {
    expect(failure(() => readKittiLabels(text, { file: 'a/000001.txt' }))).toMatchObject({
      code: 'dataset-invalid',
      message: expect.stringMatching(message),
      hint: expect.stringMatching(hint),
      where: { file: 'a/000001.txt', line },
    });
  });
  it('gives objects or an EdgeError for anything', () => {
    const words = fc.array(fc.constantFrom('Car', '0', '-1', '1.5', 'x', '1e400', '\n', '\t', '0x10', '１'), { maxLength: 40 }).map(parts => parts.join(' '));
    fc.assert(
      fc.property(fc.oneof(fc.string(), words), text => {
        refusal(() => readKittiLabels(text, { fields: 'either' }));
      }),
    );
  });
});

describe('formatInferenceLabels', () => {
  it('writes TLT’s sixteen fields', () => {
    expect(formatInferenceLabels([{ className: 'car', x1: 1, y1: 2.5, x2: 3.25, y2: 4.0625, confidence: 0.987654 }])).toBe(
      'car 0.00 0 0.00 1.000 2.500 3.250 4.063 0.00 0.00 0.00 0.00 0.00 0.00 0.00 0.988\n',
    );
  });
  it('is read back as results', () => {
    const box = { x1: 1, y1: 2, x2: 3, y2: 4 };
    expect(readKittiLabels(formatInferenceLabels([{ className: 'car', ...box, confidence: 12.5 }]), { fields: 'results' })).toMatchObject([
      { className: 'car', ...box, score: 12.5 },
    ]);
  });
});

describe('labels.txt', () => {
  it('means one class per line for a detector and one line per output for a classifier', () => {
    expect(parseLabels('car\nbus;x\n', 'detector')).toEqual({ outputs: [['car', 'bus']], notes: [] });
    expect(parseLabels('red;green;blue\nbig;small\n', 'classifier')).toEqual({
      outputs: [
        ['red', 'green', 'blue'],
        ['big', 'small'],
      ],
      notes: [],
    });
  });
  it('notes what DeepStream stumbles over', () => {
    const notes = (text: string, kind: 'detector' | 'classifier') => parseLabels(text, kind).notes.join();
    expect(notes('car\r\nbus\r\n', 'detector')).toMatch(/CRLF/);
    expect(notes('car\n\nbus\n', 'detector')).toMatch(/line 2 is empty/);
    expect(notes('rose\ntulip\n', 'classifier')).toMatch(/one class per line/);
    expect(notes('rose;tulip\n', 'detector')).toMatch(/form for a classifier/);
  });
  it('round-trips', () => {
    const classes = ['a', 'b c', 'd'];
    expect(parseLabels(formatLabels(classes, 'detector'), 'detector').outputs).toEqual([classes]);
    expect(parseLabels(formatLabels(classes, 'classifier'), 'classifier').outputs).toEqual([classes]);
  });
});

describe('YOLO labels', () => {
  const image = { width: 200, height: 100, classes: 2 };
  it('are corners in pixels', () => {
    expect(readYoloLabels('1 0.5 0.5 0.25 0.5\n', image)).toEqual([{ classId: 1, x1: 75, y1: 25, x2: 125, y2: 75 }]);
  });
  it('round-trip', () => {
    const text = '0 0.250000 0.500000 0.100000 0.200000\n1 0.500000 0.500000 1.000000 1.000000\n';
    expect(formatYoloLabels(readYoloLabels(text, image), image)).toBe(text);
  });
  it.each([
    ['2 0.5 0.5 0.1 0.1', /class id 2 .* from 0 to 1/],
    ['0 50 0.5 0.1 0.1', /outside 0\.\.1/],
    ['0 0.5 0.5 0.1', /4 fields/],
    ['0 a 0.5 0.1 0.1', /Field 2 is "a"/],
  ])('refuse %j', (text, message) => {
    expect(failure(() => readYoloLabels(`\n${text}`, { ...image, file: 'y.txt' }))).toMatchObject({
      code: 'dataset-invalid',
      message: expect.stringMatching(message),
      where: { file: 'y.txt', line: 2 },
    });
  });
});
