import { circle, ellipse, line, palette, polygon, rect, type Shape, sharedDefs } from './_scene-shapes.ts';
import type { Random } from './random.ts';

export interface View {
  readonly width: number;
  readonly height: number;
  readonly horizon: number;
}
const skies = [
  ['#4f86c6', '#d7e6f2'],
  ['#8fa3b5', '#dfe3e6'],
  ['#2b3f63', '#e2a36b'],
  ['#6fb0e0', '#f5f1e0'],
  ['#5a6470', '#a8aeb2'],
] as const;
const grounds = ['#5d7a3a', '#7c8a4a', '#a08a5c', '#8a8377', '#4f6b3c', '#9a9a8f'] as const;

/** Sky, skyline, ground, road with its marks: all that stands behind the objects, in their own colours. */
export function backdrop(random: Random, view: View): string {
  const { width, height, horizon } = view;
  const [top, bottom] = random.pick(skies);
  const sky = `<linearGradient id="sky" x2="0" y2="1"><stop offset="0" stop-color="${top}"/><stop offset="1" stop-color="${bottom}"/></linearGradient>`;
  const parts = [`<defs>${sharedDefs}${sky}</defs>`, rect(0, 0, width, horizon + 2, 'url(#sky)')];
  for (let i = random.integer(0, 4); i > 0; i--)
    parts.push(
      ellipse(
        random.uniform(0, width),
        random.uniform(0, horizon * 0.7),
        random.uniform(20, 70),
        random.uniform(4, 12),
        '#fff',
        `opacity="${random.uniform(0.2, 0.7).toFixed(2)}"`,
      ),
    );
  parts.push(skyline(random, view), rect(0, horizon, width, height - horizon, random.pick(grounds)));
  for (let i = 0; i < 50; i++) parts.push(speck(random, random.uniform(0, width), horizon + (height - horizon) * random.uniform() ** 1.5, view));
  parts.push(road(random, view));
  return parts.join('');
}

function skyline(random: Random, { width, horizon }: View): string {
  let svg = '';
  for (let x = -random.uniform(0, 30); x < width; ) {
    const w = random.uniform(18, 75);
    const h = horizon * random.uniform(0.12, 0.8);
    svg += random.chance(0.72) ? facade(random, x, horizon - h + 1, w, h) : tree(random, x + w / 2, horizon + 2, Math.min(h, 60)).svg;
    x += w * random.uniform(0.7, 1.2);
  }
  return svg;
}

function facade(random: Random, x: number, y: number, w: number, h: number): string {
  const wall = random.pick(palette);
  let svg = rect(x, y, w, h, wall) + rect(x, y, w, h, 'url(#side)');
  const [across, down] = [random.uniform(5, 11), random.uniform(6, 12)];
  const pane = random.chance(0.5) ? '#1b252d' : random.pick(palette);
  for (let v = y + 3; v < y + h - 4; v += down) for (let u = x + 2; u < x + w - 4; u += across) if (random.chance(0.85)) svg += rect(u, v, across * 0.55, down * 0.55, pane);
  if (random.chance(0.35)) svg += rect(x, y + h * random.uniform(0.5, 0.8), w, h * 0.12, random.pick(palette));
  return svg;
}

/** Grass, stones, litter: strokes of the palette that grow towards the viewer. */
function speck(random: Random, x: number, y: number, { height, horizon }: View): string {
  const size = 1 + 9 * ((y - horizon) / (height - horizon));
  return random.chance(0.5)
    ? ellipse(x, y, size * random.uniform(0.5, 1.6), size * random.uniform(0.2, 0.5), random.pick(palette), `opacity="${random.uniform(0.25, 0.8).toFixed(2)}"`)
    : line(x, y, x + random.uniform(-size, size), y - random.uniform(0, size), random.pick(palette), size * 0.2);
}

function road(random: Random, { width, height, horizon }: View): string {
  const vanish = width * random.uniform(0.3, 0.7);
  const half = width * random.uniform(0.45, 0.8);
  const tar = random.pick(['#4a4c50', '#5b5d60', '#3c3e42', '#6a6966']);
  const at = (share: number, t: number): [number, number] => [vanish + (share * half + (width / 2 - vanish) * 0.5) * t, horizon + (height - horizon) * t];
  let svg = polygon([at(-1, 0.01), at(1, 0.01), at(1, 1), at(-1, 1)], tar) + polygon([at(-1, 0.01), at(1, 0.01), at(1, 1), at(-1, 1)], 'url(#side)', 'opacity=".5"');
  const paint = random.pick(['#e9e7dc', '#e6b91e']);
  for (const side of [-0.93, 0.93]) svg += polygon([at(side, 0.02), at(side + 0.02, 0.02), at(side + 0.02, 1), at(side, 1)], '#d8d6cc', 'opacity=".8"');
  for (let t = 0.05; t < 1; t *= 1.55) svg += polygon([at(-0.015, t), at(0.015, t), at(0.02, Math.min(1, t * 1.25)), at(-0.02, Math.min(1, t * 1.25))], paint);
  for (let i = 0; i < 14; i++) {
    const t = random.uniform(0.05, 1) ** 1.3;
    const [x, y] = at(random.uniform(-0.9, 0.9), t);
    svg += ellipse(
      x,
      y,
      26 * t * random.uniform(0.3, 1),
      7 * t * random.uniform(0.3, 1),
      random.chance(0.7) ? '#2b2c2f' : random.pick(palette),
      `opacity="${random.uniform(0.15, 0.5).toFixed(2)}"`,
    );
  }
  return svg;
}

export function tree(random: Random, x: number, ground: number, h: number): Shape {
  const leaf = random.pick(['#2f5d2a', '#3f7a34', '#56702c', '#7a6a2a', '#244b2a']);
  let svg = rect(x - h * 0.05, ground - h * 0.45, h * 0.1, h * 0.45, '#4d3523');
  for (let i = 0; i < 9; i++)
    svg += circle(x + random.uniform(-0.25, 0.25) * h, ground - h * random.uniform(0.48, 0.85), h * random.uniform(0.1, 0.17), i % 3 === 0 ? '#1f3f1e' : leaf);
  for (let i = 0; i < 7; i++) svg += circle(x + random.uniform(-0.28, 0.28) * h, ground - h * random.uniform(0.45, 0.9), h * 0.025, random.pick(palette));
  return { svg, x: x - h * 0.4, y: ground - h, width: h * 0.8, height: h };
}

/** One thing that is none of the classes, as high as `unit` pixels per metre makes it, its left edge at x = 0 and its foot at `ground`. */
export function clutter(random: Random, ground: number, unit: number): Shape {
  const kinds = [container, billboard, bollard, kiosk, crates, balloons, bush, column];
  return random.pick(kinds)(random, ground, unit);
}

function container(random: Random, ground: number, unit: number): Shape {
  const [w, h] = [unit * random.uniform(1.5, 3.6), unit * random.uniform(0.9, 1.6)];
  const y = ground - h;
  let svg = rect(0, y, w, h, random.pick(palette));
  const stripe = random.pick(palette);
  const count = random.integer(4, 12);
  for (let i = 0; i < count; i++) svg += rect((w * i) / count, y, w / count / random.uniform(2, 4), h, stripe, 'opacity=".8"');
  return { svg: svg + rect(0, y, w, h, 'url(#shade)'), x: 0, y, width: w, height: h };
}

function billboard(random: Random, ground: number, unit: number): Shape {
  const [w, board, legs] = [unit * random.uniform(0.9, 2.2), unit * random.uniform(0.6, 1.2), unit * random.uniform(0.5, 1.8)];
  const y = ground - board - legs;
  let svg = rect(w * 0.2, y + board, w * 0.06, legs, '#5a5f63') + rect(w * 0.74, y + board, w * 0.06, legs, '#5a5f63') + rect(0, y, w, board, random.pick(palette));
  for (let i = 0; i < 7; i++) {
    const [u, v] = [random.uniform(0.04, 0.7), random.uniform(0.05, 0.65)];
    svg += random.chance(0.6)
      ? rect(u * w, y + v * board, w * random.uniform(0.08, 0.28), board * random.uniform(0.08, 0.3), random.pick(palette))
      : circle((u + 0.12) * w, y + (v + 0.12) * board, board * random.uniform(0.05, 0.13), random.pick(palette));
  }
  return { svg, x: 0, y, width: w, height: board + legs };
}

function bollard(random: Random, ground: number, unit: number): Shape {
  const [w, h] = [unit * random.uniform(0.25, 0.5), unit * random.uniform(0.7, 1.7)];
  const y = ground - h;
  let svg = rect(0, y, w, h, random.pick(palette), `rx="${(w * 0.3).toFixed(1)}"`);
  const bands = random.integer(1, 4);
  for (let i = 0; i < bands; i++) svg += rect(0, y + h * random.uniform(0.05, 0.85), w, h * 0.1, random.pick(palette));
  return { svg: svg + rect(0, y, w, h, 'url(#side)', `rx="${(w * 0.3).toFixed(1)}"`), x: 0, y, width: w, height: h };
}

function kiosk(random: Random, ground: number, unit: number): Shape {
  const [w, h] = [unit * random.uniform(1.2, 2.4), unit * random.uniform(1.6, 2.4)];
  const y = ground - h;
  let svg = rect(w * 0.06, y + h * 0.3, w * 0.88, h * 0.7, random.pick(palette)) + rect(w * 0.15, y + h * 0.42, w * 0.7, h * 0.22, random.pick(palette));
  const count = random.integer(4, 8);
  const [a, b] = [random.pick(palette), random.pick(palette)];
  for (let i = 0; i < count; i++)
    svg += polygon(
      [
        [(w * i) / count, y + h * 0.3],
        [(w * (i + 1)) / count, y + h * 0.3],
        [w / 2 + (w * (i + 1 - count / 2)) / count / 2, y],
        [w / 2 + (w * (i - count / 2)) / count / 2, y],
      ],
      i % 2 ? a : b,
    );
  return { svg: svg + rect(w * 0.06, y + h * 0.3, w * 0.88, h * 0.7, 'url(#shade)'), x: 0, y, width: w, height: h };
}

function crates(random: Random, ground: number, unit: number): Shape {
  const side = unit * random.uniform(0.3, 0.6);
  const [across, up] = [random.integer(1, 4), random.integer(1, 3)];
  let svg = '';
  for (let i = 0; i < across; i++)
    for (let j = 0; j < up; j++) {
      const [x, y] = [i * side, ground - (j + 1) * side];
      svg +=
        rect(x, y, side * 0.97, side * 0.97, random.pick(palette)) + line(x, y, x + side, y + side, '#0006', side * 0.06) + rect(x, y, side * 0.97, side * 0.97, 'url(#shade)');
    }
  return { svg, x: 0, y: ground - up * side, width: across * side, height: up * side };
}

function balloons(random: Random, ground: number, unit: number): Shape {
  const r = unit * random.uniform(0.18, 0.36);
  const h = unit * random.uniform(1.2, 2.8);
  const count = random.integer(1, 3);
  let svg = '';
  for (let i = 0; i < count; i++)
    svg +=
      line(r * (1 + 1.4 * i), ground - h + r, r * (1 + 1.4 * i), ground, '#444', unit * 0.02) +
      circle(r * (1 + 1.4 * i), ground - h + r, r, random.pick(palette)) +
      circle(r * (0.7 + 1.4 * i), ground - h + r * 0.7, r * 0.25, '#fff', 'opacity=".5"');
  return { svg, x: 0, y: ground - h, width: r * (2 + 1.4 * (count - 1)), height: h };
}

function bush(random: Random, ground: number, unit: number): Shape {
  const [w, h] = [unit * random.uniform(0.8, 2), unit * random.uniform(0.5, 1.1)];
  let svg = '';
  for (let i = 0; i < 10; i++)
    svg += circle(w * random.uniform(0.15, 0.85), ground - h * random.uniform(0.15, 0.75), h * 0.25, random.pick(['#31562a', '#446f33', '#274722', '#5d7a38']));
  for (let i = 0; i < 10; i++) svg += circle(w * random.uniform(0.08, 0.92), ground - h * random.uniform(0.1, 0.9), h * 0.05, random.pick(palette));
  return { svg, x: 0, y: ground - h, width: w, height: h };
}

function column(random: Random, ground: number, unit: number): Shape {
  const [w, h] = [unit * random.uniform(0.5, 0.8), unit * random.uniform(1.8, 2.6)];
  const y = ground - h;
  let svg =
    rect(0, y, w, h, random.pick(palette)) +
    polygon(
      [
        [-w * 0.08, y],
        [w * 1.08, y],
        [w / 2, y - h * 0.08],
      ],
      random.pick(palette),
    );
  for (let i = 0; i < 6; i++) svg += rect(w * random.uniform(0.05, 0.4), y + h * random.uniform(0.05, 0.8), w * random.uniform(0.3, 0.5), h * 0.1, random.pick(palette));
  return { svg: svg + rect(0, y, w, h, 'url(#side)'), x: 0, y, width: w, height: h };
}
