import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { noDetectionAugmentation } from '../../src/data/augment.ts';
import { type Batch, type LoaderOptions, openBatches, openLoader } from '../../src/data/batches.ts';
import { type ClassMap, mapClasses } from '../../src/data/class-map.ts';
import { decodeCovering, decodeImage, decodePlaced, readHeader } from '../../src/data/decode.ts';
import { importKitti } from '../../src/data/import-kitti.ts';
import { decodePlainJpeg, jpegDecoder, readJpegHeader } from '../../src/data/jpeg.ts';
import { placeBox, placementOf, unplaceBox } from '../../src/data/placement.ts';
import { picturesOfBatch } from '../../src/data/preview.ts';
import type { Manifest } from '../../src/data/sample.ts';
import { drawScenes } from '../../src/data/synth.ts';

let folder: string;
let manifest: Manifest;
let classes: ClassMap;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'batches-'));
  await drawScenes({ seed: 9, count: 10, folder, width: 160, height: 96 });
  manifest = await importKitti(folder);
  classes = mapClasses(manifest);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const augmentation = {
  ...noDetectionAugmentation,
  hflipProbability: 0.5,
  translateMaxX: 4,
  translateMaxY: 4,
  zoomMin: 0.9,
  zoomMax: 1.2,
  hueRotationMax: 20,
  saturationShiftMax: 0.2,
  contrastScaleMax: 0.1,
};
const options = (): LoaderOptions => ({
  manifest,
  classes,
  size: { width: 64, height: 48 },
  preprocess: { scale: 1 / 255, offset: [0, 0, 0], order: 'rgb', resize: 'stretch' },
  augmentation,
  batch: 4,
  seed: 11,
  shuffle: true,
});
const collect = async (batches: AsyncIterable<Batch>) => {
  const all: Omit<Batch, 'release'>[] = [];
  for await (const { release: _, ...batch } of batches) all.push(batch);
  return all;
};

describe('batches', () => {
  test('are the same for any number of workers, any prefetch and any cache', async () => {
    const inline = await collect(openBatches({ ...options(), workers: 0, epoch: 3 }));
    for (const [workers, prefetch, cacheBytes] of [
      [1, 1, 0],
      [3, 2, 1 << 22],
    ] as const) {
      const made = await collect(openBatches({ ...options(), workers, prefetch, cacheBytes, epoch: 3 }));
      expect(made).toEqual(inline);
    }
    expect(inline.map(({ images }) => images.dims)).toEqual(Array(3).fill([4, 3, 48, 64]));
    expect(Math.max(...(inline[0]!.images.data as Float32Array))).toBeLessThanOrEqual(1);
  });

  test('an epoch can be read again, from a loader that has read others before (resume)', async () => {
    await using loader = openLoader({ ...options(), workers: 2, cacheBytes: 1 << 22 });
    const [first, second] = [await collect(loader.epoch(0)), await collect(loader.epoch(1))];
    expect(second).not.toEqual(first);
    expect(await collect(loader.epoch(0))).toEqual(first);
    expect(await collect(openBatches({ ...options(), workers: 0, epoch: 1 }))).toEqual(second);
    const ids = first.flatMap(batch => batch.ids);
    expect(new Set(ids).size).toBe(10);
  });

  test('memory given back is used again, and a batch in it is the same as one in fresh memory', async () => {
    await using loader = openLoader({ ...options(), workers: 2, last: 'pad' });
    const [fresh, seen, buffers] = [await collect(loader.epoch(1)), [] as unknown[], new Set<unknown>()];
    for (let round = 0; round < 4; round++)
      for await (const { release, ...batch } of loader.epoch(1)) {
        if (round === 3) seen.push({ ...batch, images: { ...batch.images, data: batch.images.data.slice() } });
        buffers.add(batch.images.data.buffer);
        release();
        release();
      }
    expect(seen).toEqual(fresh);
    expect(buffers.size).toBeLessThan(6);
  });

  test('the last batch: dropped, wrapped or padded', async () => {
    const base = { ...options(), workers: 0, shuffle: false };
    expect((await collect(openBatches({ ...base, last: 'drop' }))).map(({ n }) => n)).toEqual([4, 4]);
    const wrapped = await collect(openBatches({ ...base, last: 'wrap' }));
    expect(wrapped.at(-1)!.ids).toEqual(['000008', '000009', '000000', '000001']);
    const padded = await collect(openBatches({ ...base, last: 'pad' }));
    expect(padded.at(-1)).toMatchObject({ n: 2, ids: ['000008', '000009'] });
    expect(padded.at(-1)!.annotations).toHaveLength(2);
    expect((padded.at(-1)!.images.data as Float32Array).subarray(2 * 3 * 48 * 64).every(value => value === 0)).toBe(true);
  });

  test('a corrupt file stops with its name, or is skipped with a note', async () => {
    const broken: Manifest = { ...manifest, samples: manifest.samples.map((sample, i) => (i === 2 ? { ...sample, image: 'images/broken.jpg' } : sample)) };
    await writeFile(join(folder, 'images', 'broken.jpg'), 'this is no jpeg');
    for (const workers of [0, 2]) {
      const base = { ...options(), manifest: broken, workers, shuffle: false };
      await expect(collect(openBatches(base))).rejects.toMatchObject({
        code: 'image-corrupt',
        message: expect.stringContaining('broken.jpg'),
        hint: expect.stringContaining('data check'),
      });
      const notes: string[] = [];
      const skipping = { ...base, onCorrupt: 'skip', onNote: (note: string) => notes.push(note) } as const;
      expect((await collect(openBatches(skipping)))[0]!.ids).toEqual(['000000', '000001', '000003', '000003']);
      expect((await collect(openBatches({ ...skipping, last: 'pad' })))[0]).toMatchObject({ n: 3, ids: ['000000', '000001', '000003'] });
      expect(notes[0]).toMatch(/broken\.jpg.*skipped/);
    }
    await expect(
      collect(openBatches({ ...options(), manifest: { ...manifest, samples: [{ ...manifest.samples[0]!, image: 'images/gone.jpg' }] }, batch: 1, onCorrupt: 'skip' })),
    ).rejects.toMatchObject({ code: 'file-missing' });
  });

  test('leaving early and aborting close the workers', async () => {
    for await (const batch of openBatches({ ...options(), workers: 2 })) {
      expect(batch.n).toBe(4);
      break;
    }
    const controller = new AbortController();
    const reading = (async () => {
      for await (const _ of openBatches({ ...options(), workers: 2, signal: controller.signal })) controller.abort();
    })();
    await expect(reading).rejects.toMatchObject({ code: 'cancelled' });
  });

  test('classification: crops, flips and colours by key; classes as indices', async () => {
    const flowers: Manifest = {
      ...manifest,
      task: 'classification',
      classes: ['a', 'b'],
      samples: manifest.samples.map(({ objects: _, ...sample }, i) => ({ ...sample, className: i % 2 ? 'b' : 'a' })),
    };
    const base: LoaderOptions = {
      ...options(),
      manifest: flowers,
      classes: mapClasses(flowers),
      shuffle: false,
      augmentation: { kind: 'classification', randomCrop: true, hflipProbability: 0.5, color: true },
      size: { width: 32, height: 32 },
    };
    const inline = await collect(openBatches({ ...base, workers: 0 }));
    expect(await collect(openBatches({ ...base, workers: 2, cacheBytes: 1 << 22 }))).toEqual(inline);
    expect(inline[0]!.annotations).toEqual([0, 1, 0, 1].map(classIndex => ({ kind: 'class', classIndex })));
    const { augmentation: _, ...plain } = base;
    expect((await collect(openBatches({ ...plain, workers: 0, fit: 'centre-crop' })))[0]!.images.dims).toEqual([4, 3, 32, 32]);
  });

  test('pictures of a batch undo its preprocessing', async () => {
    const { augmentation: _, ...plain } = { ...options(), workers: 0, shuffle: false };
    const { pixels } = await decodePlaced(join(folder, manifest.samples[0]!.image), plain.size, 'stretch');
    for (const preprocess of [plain.preprocess, { scale: 1, offset: [103.939, 116.779, 123.68], order: 'bgr', resize: 'stretch' }] as const) {
      const [batch] = await collect(openBatches({ ...plain, preprocess: { ...preprocess, offset: [...preprocess.offset] as [number, number, number] } }));
      const [picture] = picturesOfBatch(batch!, { ...preprocess, offset: [...preprocess.offset] as [number, number, number] });
      expect(picture).toMatchObject({ title: '000000', source: { width: 64, height: 48 } });
      expect(Buffer.compare(Buffer.from((picture!.source as { data: Uint8Array }).data), Buffer.from(pixels.data))).toBe(0);
    }
  });

  test('impossible wishes are refused', () => {
    expect(() => openLoader({ ...options(), batch: 0 })).toThrow(/batch of 0/);
    expect(() => openLoader({ ...options(), batch: 11, last: 'drop' })).toThrow(/do not fill/);
    expect(() => openLoader({ ...options(), manifest: { ...manifest, samples: [] } })).toThrow(/no images/);
    expect(() => openLoader({ ...options(), augmentation: { kind: 'classification', randomCrop: false, hflipProbability: 0, color: false } })).toThrow(/does not fit/);
  });
});

describe('placement', () => {
  const box = { x1: 100, y1: 50, x2: 300, y2: 150 };
  test.each([
    ['stretch', { x1: 50, y1: 50, x2: 150, y2: 150 }, { width: 500, height: 500 }],
    ['letterbox', { x1: 50, y1: 25, x2: 150, y2: 75 }, { width: 500, height: 250 }],
    ['none', box, { width: 500, height: 500 }],
    ['centre-crop', { x1: 106.4 - 282, y1: 53.2 - 16, x2: 319.2 - 282, y2: 159.6 - 16 }, { width: 500, height: 500 }],
  ] as const)('%s moves boxes with the image, and back', (fit, expected, content) => {
    const placement = placementOf({ width: 1000, height: 500 }, { width: 500, height: 500 }, fit);
    expect(placement.content).toEqual(content);
    const placed = placeBox(box, placement);
    for (const side of ['x1', 'y1', 'x2', 'y2'] as const) {
      expect(placed[side]).toBeCloseTo(expected[side], 6);
      expect(unplaceBox(placed, placement)[side]).toBeCloseTo(box[side], 9);
    }
  });

  test('the decoded object lies in its placed box', async () => {
    const white = { x: 60, y: 20, width: 40, height: 30 };
    const file = join(folder, 'block.png');
    const block = await sharp({ create: { width: white.width, height: white.height, channels: 3, background: '#fff' } })
      .png()
      .toBuffer();
    await sharp({ create: { width: 200, height: 100, channels: 3, background: '#000' } })
      .composite([{ input: block, left: white.x, top: white.y }])
      .png()
      .toFile(file);
    for (const fit of ['stretch', 'letterbox', 'none', 'centre-crop'] as const) {
      const { pixels, placement } = await decodePlaced(file, { width: 96, height: 96 }, fit);
      expect([pixels.width, pixels.height]).toEqual([placement.content.width, placement.content.height]);
      const at = (x: number, y: number) => pixels.data[(Math.round(y) * pixels.width + Math.round(x)) * 3]!;
      const { x1, y1, x2, y2 } = placeBox({ x1: 60, y1: 20, x2: 100, y2: 50 }, placement);
      const inside = [Math.min(pixels.width, x2) - 3, Math.min(pixels.height, y2) - 3] as const;
      expect(at(Math.max(0, x1) + 3, Math.max(0, y1) + 3)).toBeGreaterThan(240);
      expect(at(...inside)).toBeGreaterThan(240);
      if (x1 > 4) expect(at(x1 - 4, y1 + 4)).toBeLessThan(16);
      if (x2 < pixels.width - 4) expect(at(x2 + 3, y1 + 4)).toBeLessThan(16);
    }
  });

  test('JPEGs: the same picture from libjpeg-turbo and from sharp; a colour profile, CMYK and damage are sharp’s to judge', async () => {
    const noise = Buffer.from(Uint8Array.from({ length: 64 * 48 * 3 }, (_, i) => 128 + 90 * Math.sin(i / 97) + ((i * 7919) % 31)));
    const picture = sharp(noise, { raw: { width: 64, height: 48, channels: 3 } });
    const plain = await picture.clone().jpeg({ quality: 95, chromaSubsampling: '4:4:4' }).toBuffer();
    const ways = {
      plain,
      progressive: await picture.clone().jpeg({ progressive: true }).toBuffer(),
      gray: await picture.clone().grayscale().jpeg().toBuffer(),
      profile: await picture.clone().withIccProfile('p3').jpeg().toBuffer(),
      cmyk: await picture.clone().toColourspace('cmyk').jpeg().toBuffer(),
    };
    expect(jpegDecoder).toBe('libjpeg-turbo'); // npm ci brings it for every platform that CI knows
    for (const [name, bytes] of Object.entries(ways)) {
      const header = readJpegHeader(bytes);
      expect(header).toMatchObject({ width: 64, height: 48, plain: name !== 'profile' && name !== 'cmyk' });
      const file = join(folder, `${name}.jpg`);
      await writeFile(file, bytes);
      const [ours, sharps] = [(await decodeImage(file)).data, await sharp(bytes).toColourspace('srgb').raw().toBuffer()];
      const gap = Math.max(...ours.map((value, i) => Math.abs(value - sharps[name === 'gray' && sharps.length * 3 === ours.length ? Math.floor(i / 3) : i]!)));
      expect(gap).toBeLessThanOrEqual(name === 'plain' || name === 'progressive' || name === 'gray' ? 12 : 0);
    }
    for (const cut of [plain.length - 200, 300, 24, 3]) {
      const file = join(folder, 'cut.jpg');
      await writeFile(file, plain.subarray(0, cut));
      expect(decodePlainJpeg(plain.subarray(0, cut), { width: 64, height: 48, plain: true })).toBeUndefined();
      await expect(decodeImage(file)).rejects.toMatchObject({ code: 'image-corrupt', where: { file } });
    }
    expect(readJpegHeader(Buffer.from('no jpeg at all'))).toBeUndefined();
    // A header that lies about its size must not be written beyond the picture it names.
    expect(decodePlainJpeg(plain, { width: 8, height: 8, plain: true })).toBeUndefined();
  });

  test('bicubic and bilinear mix pixels differently, both over an area where an image shrinks', async () => {
    const stripes = Buffer.from(Uint8Array.from({ length: 96 * 96 * 3 }, (_, i) => (Math.floor(i / 3) % 2 ? 255 : 0)));
    const file = join(folder, 'stripes.png');
    await sharp(stripes, { raw: { width: 96, height: 96, channels: 3 } })
      .png()
      .toFile(file);
    const row = async (size: number, filter?: 'bilinear' | 'bicubic') => [...(await decodePlaced(file, { width: size, height: size }, 'stretch', filter)).pixels.data];
    for (const filter of ['bilinear', 'bicubic'] as const) expect(Math.max(...(await row(24, filter)).map(value => Math.abs(value - 127.5)))).toBeLessThan(24);
    expect(await row(40)).toEqual(await row(40, 'bilinear'));
    expect(await row(40, 'bicubic')).not.toEqual(await row(40, 'bilinear'));
  });

  test('gray, 16-bit, transparent and CMYK files become 8-bit RGB; broken and absent ones are errors', async () => {
    const base = sharp({ create: { width: 8, height: 6, channels: 4, background: { r: 200, g: 100, b: 50, alpha: 0.5 } } });
    await base.clone().grayscale().removeAlpha().toColourspace('b-w').png().toFile(join(folder, 'gray.png'));
    await base.clone().removeAlpha().toColourspace('rgb16').png().toFile(join(folder, 'deep.png'));
    await base.clone().png().toFile(join(folder, 'alpha.png'));
    await base.clone().removeAlpha().toColourspace('cmyk').jpeg().toFile(join(folder, 'cmyk.jpg'));
    for (const name of ['gray.png', 'deep.png', 'alpha.png', 'cmyk.jpg']) expect((await decodeImage(join(folder, name))).data).toHaveLength(8 * 6 * 3);
    const deep = await decodeImage(join(folder, 'deep.png'));
    expect([...deep.data.subarray(0, 3)]).toEqual([200, 100, 50]);
    // The size is read off the bytes for JPEG and PNG, whatever stands before it, and by libvips for the rest.
    const tagged = await base
      .clone()
      .removeAlpha()
      .resize(40, 30)
      .withExif({ IFD0: { Copyright: 'x'.repeat(3000) } })
      .jpeg({ progressive: true })
      .toBuffer();
    await writeFile(join(folder, 'tagged.jpg'), tagged);
    await base.clone().resize(40, 30).tiff().toFile(join(folder, 'plain.tif'));
    for (const name of ['tagged.jpg', 'plain.tif'])
      expect((await decodePlaced(join(folder, name), { width: 20, height: 20 }, 'letterbox')).placement.content).toEqual({ width: 20, height: 15 });
    expect(await decodeCovering(join(folder, 'tagged.jpg'), { width: 20, height: 10 })).toMatchObject({ original: { width: 40, height: 30 }, pixels: { width: 20, height: 15 } });
    await writeFile(join(folder, 'broken.png'), 'no');
    await expect(decodeImage(join(folder, 'broken.png'))).rejects.toMatchObject({ code: 'image-corrupt', where: { file: join(folder, 'broken.png') } });
    await expect(readHeader(join(folder, 'broken.png'))).rejects.toMatchObject({ code: 'image-corrupt' });
    await expect(decodeImage(join(folder, 'absent.png'))).rejects.toMatchObject({ code: 'file-missing' });
  });
});
