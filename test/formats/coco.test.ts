import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatCoco, readCoco } from '../../src/formats/coco.ts';
import { failure } from '../refusal.ts';
import { hasShared, shared } from '../shared.ts';

const dataset = {
  classes: ['car', 'bus'],
  images: [
    { id: 7, fileName: 'a.jpg', width: 100, height: 50, objects: [{ className: 'bus', x1: 1, y1: 2, x2: 11, y2: 22, crowd: false }] },
    { id: 9, fileName: 'b.jpg', width: 10, height: 10, objects: [] },
  ],
};

describe('COCO', () => {
  it.skipIf(!hasShared)('reads the 33 real images', () => {
    const { images, classes } = readCoco(readFileSync(shared('datasets', 'coco_permissive_33', 'instances.json'), 'utf8'));
    expect(images).toHaveLength(33);
    expect(classes.length).toBeGreaterThan(1);
    expect(images.flatMap(({ objects }) => objects).length).toBeGreaterThan(33);
    expect(readCoco(formatCoco({ images, classes }))).toEqual({ images, classes });
  });
  it('round-trips', () => expect(readCoco(formatCoco(dataset))).toEqual(dataset));
  const edit = (change: (value: { images: Record<string, unknown>[]; annotations: Record<string, unknown>[] }) => unknown) => {
    const value = JSON.parse(formatCoco(dataset));
    change(value);
    return JSON.stringify(value);
  };
  it.each([
    ['{', undefined, /Not JSON/],
    ['[]', '', /Not COCO/],
    [edit(({ annotations }) => Object.assign(annotations[0]!, { bbox: [1, 2, 3] })), 'annotations.0.bbox', /Not COCO/],
    [edit(({ annotations }) => Object.assign(annotations[0]!, { category_id: 99 })), 'annotations.0.category_id', /category 99/],
    [edit(({ annotations }) => Object.assign(annotations[0]!, { image_id: 99 })), 'annotations.0.image_id', /image 99/],
    [edit(({ images }) => Object.assign(images[1]!, { id: 7 })), 'images.1.id', /occurs twice/],
    [edit(({ images }) => Object.assign(images[1]!, { width: 0 })), 'images.1.width', /Not COCO/],
  ])('refuses %j', (text, path, message) => {
    const error = failure(() => readCoco(text, 'c.json'));
    expect(error).toMatchObject({ code: 'dataset-invalid', message: expect.stringMatching(message) });
    expect(error.where?.path).toBe(path);
  });
  it('gives a dataset or an EdgeError for any JSON', () => {
    fc.assert(
      fc.property(fc.json(), text => {
        expect(failure(() => readCoco(text)).code).toBe('dataset-invalid');
      }),
    );
  });
});
