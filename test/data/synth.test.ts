import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf } from '../../src/core/fingerprint.ts';
import { mapClasses } from '../../src/data/class-map.ts';
import { colourBaseline } from '../../src/data/colour-baseline.ts';
import { decodePlaced } from '../../src/data/decode.ts';
import { importKitti } from '../../src/data/import-kitti.ts';
import { annotationOf, placeAnnotation } from '../../src/data/placement.ts';
import { contactSheet } from '../../src/data/preview.ts';
import { composeScene, drawScenes, sceneClasses, sceneLabels } from '../../src/data/synth.ts';
import { validateDataset } from '../../src/data/validate.ts';
import { averagePrecision } from '../../src/tasks/average-precision.ts';
import { meanBoxBaseline } from '../../src/tasks/baselines.ts';
import type { Annotation, Prediction } from '../../src/tasks/task.ts';

describe('scenes as values', () => {
  const scenes = Array.from({ length: 300 }, (_, index) => composeScene({ seed: 1 }, index));
  const objects = scenes.flatMap(scene => scene.objects);

  test('the same seed gives the same labels for ever; another seed others', () => {
    const labels = (seed: number) => digestOf(Array.from({ length: 20 }, (_, index) => sceneLabels(composeScene({ seed }, index).objects)).join('---'));
    expect(labels(1)).toBe('9577d35363df52c88013a44b9c053d138055fce4d3a5f75e9a7e8ddd9d5af873');
    expect(labels(2)).not.toBe(labels(1));
    expect(scenes[7]!.svg).toBe(composeScene({ seed: 1 }, 7).svg);
  });

  test('three objects or more on average, heights from 16 px to half the frame, all classes, occlusion in every grade', () => {
    expect(objects.length / scenes.length).toBeGreaterThanOrEqual(3);
    const heights = objects.map(({ y1, y2 }) => y2 - y1).sort((a, b) => a - b);
    expect(heights[0]).toBeGreaterThanOrEqual(16);
    expect(heights[0]).toBeLessThan(18);
    expect(heights.at(-1)).toBeLessThanOrEqual(144);
    expect(heights.at(-1)).toBeGreaterThan(135);
    for (const name of sceneClasses) expect(objects.filter(({ className }) => className === name).length / objects.length).toBeGreaterThan(0.2);
    for (const grade of [0, 1, 2]) expect(objects.filter(({ occluded }) => occluded === grade).length).toBeGreaterThan(20);
    for (const { x1, y1, x2, y2, truncated = 0 } of objects) {
      expect(x1 >= 0 && y1 >= 0 && x2 <= 480 && y2 <= 288 && x2 > x1 && y2 > y1).toBe(true);
      expect(truncated).toBeLessThanOrEqual(0.4);
    }
  });
});

describe('scenes on disk', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'scenes-'));
    await drawScenes({ seed: 5, count: 70, folder });
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  test('are a sound KITTI set, byte for byte the same again, and scene i does not depend on the count', async () => {
    const manifest = await importKitti(folder);
    expect(manifest).toMatchObject({ classes: ['car', 'person', 'sign'] });
    expect((await validateDataset(manifest)).ok).toBe(true);
    const again = join(folder, 'again');
    await drawScenes({ seed: 5, count: 2, folder: again });
    for (const name of await readdir(join(again, 'images'))) expect(await readFile(join(again, 'images', name))).toEqual(await readFile(join(folder, 'images', name)));
  });

  test('boxes hold what was drawn: pixels in a box differ from the same scene without objects', async () => {
    // A lone object on a plain ground: its pixels must fill its box to the edges.
    for (const index of [0, 1, 2, 3]) {
      const { svg, objects } = composeScene({ seed: 31 }, index);
      const body = svg.slice(svg.indexOf('<g transform'), svg.lastIndexOf('</g>') + 4);
      const { data } = await sharp(
        Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg" width="480" height="288">${svg.slice(svg.indexOf('<defs>'), svg.indexOf('</defs>') + 7)}${body}</svg>`),
      )
        .raw()
        .toBuffer({ resolveWithObject: true });
      for (const { x1, y1, x2, y2 } of objects) {
        const opaque = (x: number, y: number) => data[(Math.min(287, Math.max(0, y)) * 480 + Math.min(479, Math.max(0, x))) * 4 + 3]! > 128;
        const row = (y: number) => Array.from({ length: Math.ceil(x2 - x1) }, (_, i) => opaque(Math.floor(x1) + i, y)).some(Boolean);
        const column = (x: number) => Array.from({ length: Math.ceil(y2 - y1) }, (_, i) => opaque(x, Math.floor(y1) + i)).some(Boolean);
        const near = 2;
        expect(row(Math.floor(y1) + near) && row(Math.ceil(y2) - 1 - near) && column(Math.floor(x1) + near) && column(Math.ceil(x2) - 1 - near)).toBe(true);
      }
    }
  });

  test('neither colour nor position finds the objects: both baselines stay under 0.3', async () => {
    const manifest = await importKitti(folder);
    const map = mapClasses(manifest);
    const samples = await Promise.all(
      manifest.samples.map(async sample => {
        const { pixels, placement } = await decodePlaced(join(folder, sample.image), { width: 240, height: 144 }, 'stretch');
        return { pixels, annotation: placeAnnotation(annotationOf(sample, map), placement) };
      }),
    );
    const [training, held] = [samples.slice(0, 40), samples.slice(40)];
    const colour = colourBaseline(training, 3);
    const mean = meanBoxBaseline(training.map(({ annotation }) => annotation));
    const map50 = (predictions: readonly Prediction[]) =>
      meanAp(
        predictions,
        held.map(({ annotation }) => annotation),
      );
    const [byColour, byMean] = [map50(held.map(({ pixels }) => colour.predict(pixels))), map50(held.map(({ pixels }) => mean.predict(pixels)))];
    expect(byColour).toBeLessThanOrEqual(0.3);
    expect(byMean).toBeLessThanOrEqual(0.3);
    expect(colour.tuning.every(({ trainingAp }) => trainingAp < 0.4)).toBe(true);
  });

  test('a contact sheet shows them', async () => {
    const { objects } = composeScene({ seed: 5 }, 0);
    const boxes = objects.map(({ className, x1, y1, x2, y2 }) => ({ classIndex: sceneClasses.indexOf(className as 'car'), x1, y1, x2, y2 }));
    const source = join(folder, 'images', '000000.jpg');
    const sheet = await contactSheet([{ source, boxes, title: 'a <b> & "c"' }, { source, predictions: [{ ...boxes[0]!, score: 0.5 }], ignored: boxes }, { source }], {
      labels: sceneClasses,
      columns: 2,
      tileWidth: 160,
      format: 'png',
    });
    expect(await sharp(sheet).metadata()).toMatchObject({ format: 'png', width: 4 + 2 * 164, height: 4 + 2 * 100 });
    await expect(contactSheet([], { labels: [] })).rejects.toMatchObject({ code: 'dataset-invalid' });
  });
});

test('the colour baseline is able: it finds objects that colour alone gives away', () => {
  const samples = Array.from({ length: 12 }, (_, i) => {
    const data = new Uint8Array(80 * 60 * 3).fill(40);
    const [x1, y1] = [5 + i * 3, 10 + i];
    for (let y = y1; y < y1 + 20; y++) for (let x = x1; x < x1 + 30; x++) data.set([220, 30, 30], (y * 80 + x) * 3);
    const annotation: Annotation = { kind: 'boxes', boxes: [{ classIndex: 0, x1, y1, x2: x1 + 30, y2: y1 + 20 }], ignored: [] };
    return { pixels: { data, width: 80, height: 60 }, annotation };
  });
  const baseline = colourBaseline(samples.slice(0, 8), 1);
  const held = samples.slice(8);
  expect(
    meanAp(
      held.map(({ pixels }) => baseline.predict(pixels)),
      held.map(({ annotation }) => annotation),
      1,
    ),
  ).toBe(1);
});

function meanAp(predictions: readonly Prediction[], truth: readonly Annotation[], classes = 3): number {
  const boxes = <B extends { classIndex: number }>(of: { kind: string; boxes?: readonly B[] }, classIndex: number): readonly B[] =>
    (of.boxes ?? []).filter(box => box.classIndex === classIndex);
  const values = Array.from({ length: classes }, (_, classIndex) => {
    const images = truth.map((annotation, i) => ({
      detections: boxes(predictions[i] as Extract<Prediction, { kind: 'boxes' }>, classIndex),
      truths: boxes(annotation as Extract<Annotation, { kind: 'boxes' }>, classIndex),
      ignored: [],
      regions: [],
    }));
    return averagePrecision(images, { minimumOverlap: 0.5, mode: 'INTEGRATE', pixels: 'continuous' }).value ?? 0;
  });
  return values.reduce((a, b) => a + b, 0) / classes;
}
