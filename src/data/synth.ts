import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { EdgeError } from '../core/errors.ts';
import { inParallel } from './_in-parallel.ts';
import { backdrop, clutter, type View } from './_scene-clutter.ts';
import { car, person, type Shape, sign } from './_scene-shapes.ts';
import { type Random, randomAt } from './random.ts';
import type { RawObject } from './sample.ts';

/** The classes of the synthetic scenes, as their labels name them. */
export const sceneClasses = ['car', 'person', 'sign'] as const;
export interface Scene {
  readonly svg: string;
  readonly objects: readonly RawObject[];
}
export interface SceneOptions {
  readonly seed: number;
  readonly width?: number;
  readonly height?: number;
}
interface Placed extends Shape {
  readonly className: (typeof sceneClasses)[number] | undefined;
  readonly depth: number;
}
interface Frame {
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
}

const cameraMetres = 1.6;
const metres = { car: 1.5, person: 1.75, sign: 0.75 } as const;
const signFootMetres = 1.9;
const mostHidden = 0.6;

/** One scene as a value: SVG and truth in pixels. A pure function of (seed, index, size). Boxes are full extents cut to the frame; occluded is KITTI's 0 (≤ 10 %), 1 (≤ 40 %), 2 (≤ 60 % hidden). */
export function composeScene({ seed, width = 480, height = 288 }: SceneOptions, index: number): Scene {
  const random = randomAt(seed, 0x5ce9e, index);
  const view: View = { width, height, horizon: height * random.uniform(0.3, 0.42) };
  const back = backdrop(random, view);
  const things: Placed[] = [];
  for (let i = random.integer(4, 9); i > 0; i--) things.push(placeClutter(random, view));
  const wanted = [...repeated('car', random.integer(1, 3)), ...repeated('person', random.integer(0, 3)), ...repeated('sign', random.integer(0, 3))];
  for (const className of wanted)
    for (let attempt = 0; attempt < 12; attempt++) {
      const candidate = placeObject(random, view, className);
      if (!fits(candidate, things, view)) continue;
      things.push(candidate);
      break;
    }
  const drawn = things.sort((a, b) => a.depth - b.depth);
  const objects = drawn.flatMap((thing, at) => (thing.className ? [truthOf({ ...thing, className: thing.className }, drawn.slice(at + 1), view)] : []));
  const body = drawn.map(({ svg, x }) => `<g transform="translate(${x.toFixed(1)} 0)">${svg}</g>`).join('');
  const light = lightOver(random, view);
  return { svg: `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${back}${body}${light}</svg>`, objects };
}

const repeated = <T extends string>(value: T, count: number): T[] => Array.from({ length: count }, () => value);

/** Heights are log-uniform: as many far objects as near ones. `depth` is pixels per metre; the ground line follows from the perspective. */
function placeObject(random: Random, view: View, className: (typeof sceneClasses)[number]): Placed {
  const least = className === 'person' ? 20 : 16;
  const most = className === 'sign' ? view.height * 0.25 : view.height * 0.5;
  const height = least * (most / least) ** random.uniform();
  const unit = height / metres[className];
  const ground = view.horizon + unit * cameraMetres;
  const shape =
    className === 'car' ? car(random, ground, height) : className === 'person' ? person(random, ground, height) : sign(random, ground - unit * signFootMetres, height, ground);
  const beyond = className === 'car' ? 0.25 : 0.1;
  return { ...shape, x: random.uniform(-beyond * shape.width, view.width - (1 - beyond) * shape.width), className, depth: unit };
}

function placeClutter(random: Random, view: View): Placed {
  const unit = 9 * (view.height / 9 / 3.4) ** random.uniform();
  const shape = clutter(random, view.horizon + unit * cameraMetres, unit);
  return { ...shape, x: random.uniform(-shape.width / 2, view.width - shape.width / 2), className: undefined, depth: unit };
}

const frameOf = ({ x, y, width, height }: Shape): Frame => ({ x1: x, y1: y, x2: x + width, y2: y + height });
const cut = (frame: Frame, { width, height }: View): Frame => ({
  x1: Math.max(0, frame.x1),
  y1: Math.max(0, frame.y1),
  x2: Math.min(width, frame.x2),
  y2: Math.min(height, frame.y2),
});
const areaOf = ({ x1, y1, x2, y2 }: Frame): number => Math.max(0, x2 - x1) * Math.max(0, y2 - y1);

/** Share of a frame that nearer frames cover, on a grid of 12×12 points (frames, not outlines: an upper bound). */
function hiddenShare(frame: Frame, nearer: readonly Frame[]): number {
  const steps = 12;
  let hidden = 0;
  for (let i = 0; i < steps * steps; i++) {
    const x = frame.x1 + ((frame.x2 - frame.x1) * ((i % steps) + 0.5)) / steps;
    const y = frame.y1 + ((frame.y2 - frame.y1) * (Math.floor(i / steps) + 0.5)) / steps;
    if (nearer.some(other => x >= other.x1 && x < other.x2 && y >= other.y1 && y < other.y2)) hidden++;
  }
  return hidden / (steps * steps);
}

/** A candidate stands if it is inside enough, hides no object beyond 60 % (nor half of its own kind), and is itself not hidden beyond that. */
function fits(candidate: Placed, things: readonly Placed[], view: View): boolean {
  const full = frameOf(candidate);
  const frame = cut(full, view);
  if (areaOf(frame) < 0.6 * areaOf(full) || frame.y2 - frame.y1 < 16) return false;
  const all = [...things, candidate];
  return all.every(thing => {
    if (!thing.className) return true;
    const nearer = all.filter(other => other !== thing && other.depth >= thing.depth);
    const seen = cut(frameOf(thing), view);
    const twins = nearer.filter(other => other.className === thing.className).map(frameOf);
    return hiddenShare(seen, nearer.map(frameOf)) <= mostHidden && hiddenShare(seen, twins) <= 0.3;
  });
}

function truthOf(thing: Placed & { readonly className: string }, nearer: readonly Placed[], view: View): RawObject {
  const full = frameOf(thing);
  const frame = cut(full, view);
  const hidden = hiddenShare(frame, nearer.map(frameOf));
  return { className: thing.className, ...frame, truncated: Math.max(0, 1 - areaOf(frame) / areaOf(full)), occluded: hidden <= 0.1 ? 0 : hidden <= 0.4 ? 1 : 2 };
}

/** Time of day and weather as one veil, and perhaps a shaft of light. */
function lightOver(random: Random, { width, height }: View): string {
  const veil = random.pick(['#000', '#ffd9a0', '#20304a', '#fff', '#c9d4dd']);
  const shaft = random.chance(0.3)
    ? `<polygon points="${random.integer(0, width)},0 ${random.integer(0, width)},0 ${random.integer(0, width)},${height} ${random.integer(0, width)},${height}" fill="#fff" opacity=".1"/>`
    : '';
  return `<rect width="${width}" height="${height}" fill="${veil}" opacity="${random.uniform(0, 0.28).toFixed(3)}"/>${shaft}`;
}

/** Sensor noise: one table of normals, read from a place that the scene decides. */
const normals = (() => {
  const random = randomAt(0x4015e);
  return Float32Array.from({ length: 1 << 16 }, () => random.normal());
})();
function addNoise(pixels: Uint8Array, random: Random): void {
  const sigma = random.uniform(1, 9);
  const gain = random.uniform(0.8, 1.15);
  let at = random.bits();
  for (let i = 0; i < pixels.length; i++) {
    // A step that jumps now and then, so that the table's period leaves no pattern.
    at = (at + 1 + ((i & 1023) === 0 ? random.bits() : 0)) & 0xffff;
    const value = pixels[i]! * gain + normals[at]! * sigma;
    pixels[i] = value < 0 ? 0 : value > 255 ? 255 : value + 0.5;
  }
}

/** A scene as JPEG bytes. */
export async function rasterizeScene(scene: Scene, options: SceneOptions, index: number): Promise<Buffer> {
  const { data, info } = await sharp(Buffer.from(scene.svg)).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  addNoise(data, randomAt(options.seed, 0x4015e, index));
  return sharp(data, { raw: { width: info.width, height: info.height, channels: 3 } })
    .jpeg({ quality: 88 })
    .toBuffer();
}

/** KITTI's 15 columns; what a picture has no depth for is 0. */
export const sceneLabels = (objects: readonly RawObject[]): string =>
  objects
    .map(
      ({ className, truncated = 0, occluded = 0, x1, y1, x2, y2 }) =>
        `${className} ${truncated.toFixed(2)} ${occluded} 0.00 ${[x1, y1, x2, y2].map(v => v.toFixed(2)).join(' ')} 0.00 0.00 0.00 0.00 0.00 0.00 0.00\n`,
    )
    .join('');

/** Draws `count` scenes into `folder`/images/NNNNNN.jpg and /labels/NNNNNN.txt (KITTI). The same seed draws the same scenes; scene i does not depend on how many there are. */
export async function drawScenes(
  options: SceneOptions & { readonly count: number; readonly folder: string; readonly signal?: AbortSignal; readonly onProgress?: (done: number, total: number) => void },
): Promise<void> {
  const { count, folder, signal, onProgress, width = 480, height = 288 } = options;
  if (!(width >= 160 && height >= 96 && width <= 4096 && height <= 4096))
    throw new EdgeError('usage', `Scenes of ${width}×${height} cannot be drawn.`, { hint: 'Use a size from 160×96 to 4096×4096; 480×288 is the default.' });
  await Promise.all(['images', 'labels'].map(name => mkdir(join(folder, name), { recursive: true })));
  let done = 0;
  await inParallel(
    Array.from({ length: count }, (_, index) => index),
    availableParallelism() + 1,
    async index => {
      signal?.throwIfAborted();
      const name = String(index).padStart(6, '0');
      const scene = composeScene(options, index);
      await writeFile(join(folder, 'images', `${name}.jpg`), await rasterizeScene(scene, options, index));
      await writeFile(join(folder, 'labels', `${name}.txt`), sceneLabels(scene.objects));
      onProgress?.(++done, count);
    },
  );
}
