import type { Random } from './random.ts';

/** Drawn things: SVG text and the tight frame around what was drawn, in pixels. */
export interface Shape {
  readonly svg: string;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}
/** One palette for objects and clutter alike, so that colour alone tells nothing. */
export const palette = ['#c8202c', '#1f4fa8', '#e6b91e', '#f0efe9', '#23262b', '#2f7d3b', '#e07a1f', '#a9b0b6', '#1d8a8f', '#6d4630', '#7a2f7e', '#d9d2b8', '#5b6770'] as const;
const skins = ['#f1c9a5', '#d8a178', '#a8703f', '#6b4426', '#e8b98f'] as const;
const hairs = ['#1c1613', '#4a2f1b', '#8d6a35', '#8b8b8b', '#231f20'] as const;

const n = (value: number): string => value.toFixed(1);
export const rect = (x: number, y: number, w: number, h: number, fill: string, more = ''): string =>
  `<rect x="${n(x)}" y="${n(y)}" width="${n(w)}" height="${n(h)}" fill="${fill}" ${more}/>`;
export const circle = (x: number, y: number, r: number, fill: string, more = ''): string => `<circle cx="${n(x)}" cy="${n(y)}" r="${n(r)}" fill="${fill}" ${more}/>`;
export const ellipse = (x: number, y: number, rx: number, ry: number, fill: string, more = ''): string =>
  `<ellipse cx="${n(x)}" cy="${n(y)}" rx="${n(rx)}" ry="${n(ry)}" fill="${fill}" ${more}/>`;
export const polygon = (points: readonly (readonly [number, number])[], fill: string, more = ''): string =>
  `<polygon points="${points.map(([x, y]) => `${n(x)},${n(y)}`).join(' ')}" fill="${fill}" ${more}/>`;
export const line = (x1: number, y1: number, x2: number, y2: number, stroke: string, width: number): string =>
  `<line x1="${n(x1)}" y1="${n(y1)}" x2="${n(x2)}" y2="${n(y2)}" stroke="${stroke}" stroke-width="${n(width)}" stroke-linecap="round"/>`;

/** Gradients that the shapes refer to; every scene carries them once. */
export const sharedDefs = `<linearGradient id="shade" x2="0" y2="1"><stop offset="0" stop-color="#fff" stop-opacity=".30"/><stop offset=".5" stop-color="#fff" stop-opacity="0"/><stop offset="1" stop-color="#000" stop-opacity=".45"/></linearGradient><linearGradient id="side"><stop offset="0" stop-color="#fff" stop-opacity=".22"/><stop offset="1" stop-color="#000" stop-opacity=".38"/></linearGradient><linearGradient id="glass" x1="0" y1="0" x2="1" y2="1"><stop offset="0" stop-color="#9fb9cc"/><stop offset=".45" stop-color="#31424f"/><stop offset="1" stop-color="#10181e"/></linearGradient>`;

/** A car standing on `ground`, `height` high, its left edge at x = 0. */
export function car(random: Random, ground: number, height: number): Shape {
  return random.chance(0.55) ? carFromTheSide(random, ground, height) : carFromTheEnd(random, ground, height);
}

function carFromTheSide(random: Random, ground: number, h: number): Shape {
  const w = h * random.uniform(2.35, 2.85);
  const y = ground - h;
  const paint = random.pick(palette);
  const flip = random.chance(0.5);
  const at = (u: number, v: number): [number, number] => [flip ? w * (1 - u) : w * u, y + h * v];
  const boot = random.uniform(0.08, 0.22);
  const body = polygon(
    [at(0.01, 0.5), at(boot, 0.45), at(boot + 0.14, 0.01), at(0.62, 0.01), at(0.76, 0.43), at(0.96, 0.52), at(0.995, 0.66), at(0.99, 0.84), at(0.01, 0.84)],
    paint,
  );
  const shading = body.replace(`fill="${paint}"`, 'fill="url(#shade)"');
  const glass =
    polygon([at(boot + 0.055, 0.44), at(boot + 0.16, 0.08), at(0.41, 0.08), at(0.41, 0.44)], 'url(#glass)') +
    polygon([at(0.44, 0.44), at(0.44, 0.08), at(0.605, 0.08), at(0.71, 0.44)], 'url(#glass)');
  const r = h * 0.195;
  const wheels = [0.19, 0.8]
    .map(u => at(u, 1))
    .map(
      ([cx]) =>
        circle(cx, y + h * 0.82, r * 1.12, '#0c0d0f') +
        circle(cx, ground - r, r, '#17181a') +
        circle(cx, ground - r, r * 0.56, '#b9bdc2') +
        circle(cx, ground - r, r * 0.2, '#333'),
    )
    .join('');
  const [lampX, lampY] = at(0.955, 0.58);
  const [tailX, tailY] = at(0.03, 0.56);
  const lamps = ellipse(lampX, lampY, w * 0.025, h * 0.055, '#fff6cf') + rect(tailX - w * 0.018, tailY - h * 0.05, w * 0.036, h * 0.11, '#d0101c');
  const [sillX] = at(flip ? 0.98 : 0.02, 0);
  const sill = rect(sillX, y + h * 0.78, w * 0.96, h * 0.07, '#15171a', 'opacity=".75"');
  const doors = line(...at(0.425, 0.46), ...at(0.425, 0.78), '#0008', Math.max(0.6, h * 0.018)) + line(...at(0.45, 0.56), ...at(0.5, 0.56), '#0009', Math.max(0.6, h * 0.02));
  const shadow = ellipse(w / 2, ground, w * 0.5, h * 0.07, '#000', 'opacity=".45"');
  return { svg: shadow + body + shading + sill + glass + doors + lamps + wheels, x: 0, y, width: w, height: h };
}

function carFromTheEnd(random: Random, ground: number, h: number): Shape {
  const w = h * random.uniform(1.15, 1.35);
  const y = ground - h;
  const paint = random.pick(palette);
  const rear = random.chance(0.5);
  const at = (u: number, v: number): [number, number] => [w * u, y + h * v];
  const outline = [at(0.17, 0.01), at(0.83, 0.01), at(0.92, 0.38), at(0.99, 0.46), at(0.99, 0.86), at(0.01, 0.86), at(0.01, 0.46), at(0.08, 0.38)] as const;
  const body = polygon(outline, paint) + polygon(outline, 'url(#shade)');
  const glass = polygon([at(0.22, 0.07), at(0.78, 0.07), at(0.85, 0.37), at(0.15, 0.37)], 'url(#glass)');
  const tyres = rect(...at(0.04, 0.76), w * 0.17, h * 0.24, '#121314') + rect(...at(0.79, 0.76), w * 0.17, h * 0.24, '#121314');
  const lamp = rear ? '#d5121d' : '#fff3c4';
  const lamps = rect(...at(0.03, 0.48), w * 0.2, h * 0.12, lamp) + rect(...at(0.77, 0.48), w * 0.2, h * 0.12, lamp);
  const middle = rear
    ? rect(...at(0.36, 0.58), w * 0.28, h * 0.1, '#f2f2ea')
    : rect(...at(0.3, 0.5), w * 0.4, h * 0.14, '#1b1d20') + rect(...at(0.38, 0.7), w * 0.24, h * 0.07, '#f2f2ea');
  const bumper = rect(...at(0.02, 0.74), w * 0.96, h * 0.1, '#1c1e21', 'opacity=".8"');
  const shadow = ellipse(w / 2, ground, w * 0.52, h * 0.06, '#000', 'opacity=".45"');
  return { svg: shadow + tyres + body + glass + bumper + lamps + middle, x: 0, y, width: w, height: h };
}

/** A person standing or walking on `ground`; the frame holds the swinging arms and legs. */
export function person(random: Random, ground: number, h: number): Shape {
  const y = ground - h;
  const [skin, hair, top, trousers] = [random.pick(skins), random.pick(hairs), random.pick(palette), random.pick(palette)];
  const stride = random.uniform(0.02, 0.12) * h;
  const swing = random.uniform(0.04, 0.13) * h;
  const limb = h * 0.075;
  const shoulder = h * 0.115;
  const middle = Math.max(shoulder + limb / 2, stride + limb * 0.9, swing + shoulder * 0.7 + limb / 2);
  const cx = middle;
  const hip = y + h * 0.52;
  const legs = [-1, 1]
    .map(
      side =>
        line(cx + side * h * 0.045, hip, cx + side * stride, ground - h * 0.045, trousers, limb * 1.25) +
        ellipse(cx + side * stride + limb * 0.2, ground - h * 0.022, limb * 0.7, h * 0.024, '#17120f'),
    )
    .join('');
  const arm = (side: number) => {
    const [elbowX, elbowY] = [cx + side * (shoulder * 0.8 + swing * 0.5), y + h * 0.36];
    return line(cx + side * shoulder * 0.85, y + h * 0.21, elbowX, elbowY, top, limb) + line(elbowX, elbowY, cx + side * (shoulder * 0.7 + swing), y + h * 0.47, skin, limb * 0.75);
  };
  const torso = `<rect x="${n(cx - shoulder)}" y="${n(y + h * 0.165)}" width="${n(shoulder * 2)}" height="${n(h * 0.37)}" rx="${n(h * 0.05)}" fill="`;
  const head = `${circle(cx, y + h * 0.085, h * 0.072, skin)}<path d="M${n(cx - h * 0.074)} ${n(y + h * 0.085)} a${n(h * 0.074)} ${n(h * 0.082)} 0 0 1 ${n(h * 0.148)} 0 z" fill="${hair}"/>`;
  const neck = rect(cx - h * 0.025, y + h * 0.13, h * 0.05, h * 0.05, skin);
  const shadow = ellipse(cx, ground, middle * 1.05, h * 0.025, '#000', 'opacity=".4"');
  const bag = random.chance(0.25) ? rect(cx - shoulder * 0.75, y + h * 0.2, shoulder * 1.5, h * 0.22, random.pick(palette), `rx="${n(h * 0.03)}"`) : '';
  const svg = `${shadow + legs + arm(-1) + arm(1) + neck + torso}${top}"/>${torso}url(#side)"/>${bag}${head}`;
  return { svg, x: 0, y, width: middle * 2, height: h };
}

const regular = (cx: number, cy: number, r: number, corners: number, turn: number): [number, number][] =>
  Array.from({ length: corners }, (_, i) => [cx + r * Math.cos(turn + (2 * Math.PI * i) / corners), cy + r * Math.sin(turn + (2 * Math.PI * i) / corners)]);

/** A sign's board: its SVG with the left edge at x = 0 and the middle at cy; its width as a share of its height. */
interface Board {
  readonly svg: string;
  readonly width: number;
}
const white = '#f6f5ee';
const red = '#c3141f';
const black = '#161616';

/** A traffic sign of `h` pixels whose lower edge is at `bottom`, on a pole down to `ground`. The frame is the board's alone. */
export function sign(random: Random, bottom: number, h: number, ground: number): Shape {
  const { svg, width } = random.pick([stop, warning, limit, direction, priority])(random, bottom - h / 2, h);
  const [cx, top, length] = [width / 2, bottom - h * 0.1, ground - bottom + h * 0.1];
  const pole = rect(cx - h * 0.04, top, h * 0.08, length, '#7d8388') + rect(cx, top, h * 0.04, length, '#4c5257');
  return { svg: pole + svg, x: 0, y: bottom - h, width, height: h };
}

function stop(_: Random, cy: number, h: number): Board {
  const r = h / 2;
  const octagon = (share: number, fill: string) => polygon(regular(r, cy, (r / Math.cos(Math.PI / 8)) * share, 8, Math.PI / 8), fill);
  return {
    svg: octagon(1, white) + octagon(0.88, red) + rect(r - h * 0.3, cy - h * 0.09, h * 0.6, h * 0.18, '#fff') + rect(r - h * 0.03, cy - h * 0.09, h * 0.06, h * 0.18, red),
    width: h,
  };
}

function warning(random: Random, cy: number, h: number): Board {
  const w = h * 1.12;
  const bottom = cy + h / 2;
  const inner = (inset: number, fill: string) =>
    polygon(
      [
        [w / 2, bottom - h + inset * 1.9],
        [w - inset * 1.6, bottom - inset],
        [inset * 1.6, bottom - inset],
      ],
      fill,
    );
  const mark = rect(w / 2 - h * 0.045, bottom - h * 0.6, h * 0.09, h * 0.28, black) + circle(w / 2, bottom - h * 0.22, h * 0.055, black);
  return { svg: inner(0, red) + inner(h * 0.12, random.chance(0.5) ? white : '#f0c419') + mark, width: w };
}

function limit(_: Random, cy: number, h: number): Board {
  const r = h / 2;
  const zero = (x: number) => rect(x, cy - h * 0.17, h * 0.18, h * 0.34, black) + rect(x + h * 0.06, cy - h * 0.1, h * 0.06, h * 0.2, '#fff');
  return { svg: circle(r, cy, r, red) + circle(r, cy, r * 0.74, '#fbfbf7') + zero(r - h * 0.22) + zero(r + h * 0.05), width: h };
}

function direction(_: Random, cy: number, h: number): Board {
  const r = h / 2;
  const arrow =
    line(r, cy + h * 0.26, r, cy - h * 0.1, '#fff', h * 0.11) +
    polygon(
      [
        [r, cy - h * 0.34],
        [r + h * 0.19, cy - h * 0.06],
        [r - h * 0.19, cy - h * 0.06],
      ],
      '#fff',
    );
  return { svg: circle(r, cy, r, white) + circle(r, cy, r * 0.9, '#1a56b0') + arrow, width: h };
}

function priority(_: Random, cy: number, h: number): Board {
  const r = h / 2;
  const diamond = (share: number, fill: string) => polygon(regular(r, cy, r * share, 4, 0), fill);
  return { svg: diamond(1, white) + diamond(0.88, black) + diamond(0.74, '#f2c21b'), width: h };
}
