import { z } from 'zod';
import type { Builder } from '../builder.ts';
import { type Dim, type F64Tensor, int, sizeOf } from '../ir.ts';
import { roundEven } from '../numbers.ts';
import type { Bound, Operator } from '../operator.ts';
import { asMask, dimsAt, row, scaled, staticDims, tie, typeAt, valueAt, wrong } from './_row.ts';
import { scatterAdd } from './gather.ts';

const attributes = z.object({
  mode: z.string().default('bilinear'),
  padding_mode: z.enum(['zeros', 'border', 'reflection']).default('zeros'),
  align_corners: z.number().default(0),
});
type GridAttributes = z.infer<typeof attributes>;
/** Opset 20 calls bilinear linear, and bicubic cubic. */
function modeOf(bound: Bound<GridAttributes>): 'linear' | 'nearest' {
  const { mode } = bound.attributes;
  if (mode === 'nearest') return mode;
  if (mode === 'bilinear' || mode === 'linear') return 'linear';
  throw wrong(bound, `samples ${mode}, which edgeforge does not`, 'operator-unsupported');
}
/** X [N, C, H, W] and grid [N, h, w, 2] → [N, C, h, w]. */
function sampledDims(bound: Bound<GridAttributes>, x: readonly Dim[], grid: readonly Dim[]): readonly Dim[] {
  if (x.length !== 4 || grid.length !== 4 || grid[3] !== 2) throw wrong(bound, `samples [${x}] at [${grid}]; edgeforge samples images at places (x, y)`, 'operator-unsupported');
  return [x[0] as Dim, x[1] as Dim, grid[1] as Dim, grid[2] as Dim];
}
/** From [−1, 1] to places: −1 and 1 are the centres of the outer pixels with align_corners, else their outer edges. */
const unnormalize = (aligned: boolean, size: number): readonly [factor: number, offset: number] => (aligned ? [(size - 1) / 2, (size - 1) / 2] : [size / 2, (size - 1) / 2]);
/** The two places at which reflection turns round. */
const turns = (aligned: boolean, size: number): readonly [low: number, high: number] => (aligned ? [0, size - 1] : [-0.5, size - 0.5]);

function placeOf({ padding_mode, align_corners }: GridAttributes, value: number, size: number): number {
  const [factor, offset] = unnormalize(align_corners === 1, size);
  const x = value * factor + offset;
  const clamp = (v: number) => Math.min(size - 1, Math.max(0, v));
  if (padding_mode === 'zeros') return x;
  if (padding_mode === 'border') return clamp(x);
  const [low, high] = turns(align_corners === 1, size);
  const span = high - low;
  if (span === 0) return 0;
  const far = Math.abs(x - low) % (2 * span);
  return clamp(low + (far > span ? 2 * span - far : far));
}
/** What place x of an axis reads: indices and weights. */
const taps = (mode: 'linear' | 'nearest', x: number): readonly (readonly [number, number])[] =>
  mode === 'nearest'
    ? [[roundEven(x), 1]]
    : [
        [Math.floor(x), 1 - (x - Math.floor(x))],
        [Math.floor(x) + 1, x - Math.floor(x)],
      ];

function sample(bound: Bound<GridAttributes>, x: F64Tensor, grid: F64Tensor): F64Tensor {
  const dims = sampledDims(bound, x.dims, grid.dims) as number[];
  const [n = 0, c = 0, h = 0, w = 0] = dims;
  const [height, width] = x.dims.slice(2) as [number, number];
  const mode = modeOf(bound);
  const data = new Float64Array(sizeOf(dims));
  const [points, plane] = [h * w, height * width];
  for (let image = 0; image < n; image++)
    for (let p = 0; p < points; p++) {
      const at = 2 * (image * points + p);
      const columns = taps(mode, placeOf(bound.attributes, grid.data[at] as number, width));
      for (const [row, rowWeight] of taps(mode, placeOf(bound.attributes, grid.data[at + 1] as number, height)))
        for (const [column, weight] of columns) {
          if (row < 0 || row >= height || column < 0 || column >= width) continue;
          for (let k = 0; k < c; k++) {
            const channel = image * c + k;
            data[channel * points + p]! += rowWeight * weight * (x.data[channel * plane + row * width + column] as number);
          }
        }
    }
  return { dims, data };
}

/** Places [N, P] of one axis as nodes, and d(place)/d(grid). */
function placeNodes(b: Builder, { padding_mode, align_corners }: GridAttributes, value: string, size: number): { readonly at: string; readonly slope: string } {
  const [factor, offset] = unnormalize(align_corners === 1, size);
  const add = (v: string, by: number) => b.op('Add', [v, b.constant(by)]);
  const raw = add(scaled(b, value, factor), offset);
  if (padding_mode === 'zeros') return { at: raw, slope: b.constant(factor) };
  /** Held inside the image; outside, the place no longer moves. */
  const held = (v: string, slope: string) => {
    const inside = asMask(b, b.op('And', [b.op('Greater', [v, b.constant(0)]), b.op('Less', [v, b.constant(size - 1)])]));
    return { at: b.op('Clip', [v, b.constant(0), b.constant(size - 1)]), slope: b.op('Mul', [slope, inside]) };
  };
  if (padding_mode === 'border') return held(raw, b.constant(factor));
  const [low, high] = turns(align_corners === 1, size);
  const span = high - low;
  if (span === 0) return held(scaled(b, raw, 0), b.constant(0));
  const from = add(raw, -low);
  const far = b.op('Abs', [from]);
  const rest = b.op('Sub', [far, scaled(b, b.op('Floor', [scaled(b, far, 1 / (2 * span))]), 2 * span)]);
  const back = b.op('Greater', [rest, b.constant(span)]);
  const turned = b.op('Where', [back, b.op('Sub', [b.constant(2 * span), rest]), rest]);
  const sign = b.op('Mul', [b.op('Sign', [from]), b.op('Where', [back, b.constant(-factor), b.constant(factor)])]);
  return held(add(turned, low), sign);
}

interface Axis {
  readonly index: string;
  readonly weight: string;
  /** d(weight)/d(place). */
  readonly slope: number;
}
/** The taps of an axis as nodes [N, P]: indices as floats, perhaps outside the image. */
function axisTaps(b: Builder, mode: 'linear' | 'nearest', at: string): readonly Axis[] {
  if (mode === 'nearest') return [{ index: b.op('Round', [at]), weight: b.constant(1), slope: 0 }];
  const low = b.op('Floor', [at]);
  const part = b.op('Sub', [at, low]);
  return [
    { index: low, weight: b.op('Sub', [b.constant(1), part]), slope: -1 },
    { index: b.op('Add', [low, b.constant(1)]), weight: part, slope: 1 },
  ];
}
const sum = (b: Builder, values: readonly string[]): string => (values.length === 1 ? (values[0] as string) : b.op('Sum', values));

/** dX and d(grid), corner by corner: indices of corners outside are held at the edge and their weight is 0. */
function sampleGradient(bound: Bound<GridAttributes>, b: Builder, dy: string, wanted: readonly boolean[]): readonly (string | undefined)[] {
  const [n = 0, c = 0, height = 0, width = 0] = staticDims(bound, bound.inputs[0]);
  const grid = staticDims(bound, bound.inputs[1]);
  const points = (grid[1] as number) * (grid[2] as number);
  const mode = modeOf(bound);
  const shaped = (v: string, dims: readonly number[]) => b.op('Reshape', [v, b.indices(dims)]);
  const coordinate = (k: number) => shaped(b.op('Gather', [bound.node.inputs[1] as string, b.indices([k], [])], { axis: int(3) }), [n, points]);
  const [x, y] = [placeNodes(b, bound.attributes, coordinate(0), width), placeNodes(b, bound.attributes, coordinate(1), height)];
  const inside = (v: string, size: number) => asMask(b, b.op('And', [b.op('GreaterOrEqual', [v, b.constant(0)]), b.op('LessOrEqual', [v, b.constant(size - 1)])]));
  const held = (v: string, size: number) => b.op('Clip', [v, b.constant(0), b.constant(size - 1)]);
  const [image, upward] = [shaped(bound.node.inputs[0] as string, [n, c, height * width]), shaped(dy, [n, c, points])];
  const [images, columns, rows]: [string[], string[], string[]] = [[], [], []];
  const mul = (...values: readonly string[]) => values.reduce((left, right) => b.op('Mul', [left, right]));
  for (const row of axisTaps(b, mode, y.at))
    for (const column of axisTaps(b, mode, x.at)) {
      const place = b.op('Add', [scaled(b, held(row.index, height), width), held(column.index, width)]);
      const index = b.op('Expand', [shaped(b.op('Cast', [place], { to: int(7) }), [n, 1, points]), b.indices([n, c, points])]);
      const mask = b.op('Mul', [inside(row.index, height), inside(column.index, width)]);
      if (wanted[0]) images.push(scatterAdd(b, [n, c, height * width], index, mul(upward, shaped(mul(mask, row.weight, column.weight), [n, 1, points])), 2));
      if (!wanted[1] || mode === 'nearest') continue;
      const felt = mul(b.op('ReduceSum', [mul(upward, b.op('GatherElements', [image, index], { axis: int(2) })), b.indices([1])], { keepdims: int(0) }), mask);
      columns.push(mul(felt, row.weight, b.constant(column.slope)));
      rows.push(mul(felt, column.weight, b.constant(row.slope)));
    }
  const moved = () => [mul(sum(b, columns), x.slope), mul(sum(b, rows), y.slope)].map(v => shaped(v, [...grid.slice(0, 3), 1]));
  // The nearest pixel stays the nearest: its places have no gradient.
  const still = () => b.op('Expand', [b.constant(0), b.indices(grid)]);
  return [
    wanted[0] ? shaped(sum(b, images), [n, c, height, width]) : undefined,
    wanted[1] ? (mode === 'nearest' ? still() : b.op('Concat', moved(), { axis: int(3) })) : undefined,
  ];
}

const gridSample = row<GridAttributes>({
  type: 'GridSample',
  opsets: [16, 99],
  attributes,
  shape: bound => [{ dataType: typeAt(bound, 0).dataType, dims: sampledDims(bound, dimsAt(bound, 0), dimsAt(bound, 1)) }],
  reference: (bound, inputs) => [sample(bound, valueAt(bound, inputs, 0), valueAt(bound, inputs, 1))],
  gradient: ({ bound, builder, outputGradients, wanted }) => {
    const dy = outputGradients[0];
    return dy === undefined ? [] : sampleGradient(bound, builder, dy, wanted);
  },
  ties: () => [tie(['in', 0], 0, ['out', 0], 0), tie(['in', 0], 1, ['out', 0], 1)],
  macs: (_bound, [y]) => 4 * sizeOf((y?.dims ?? []).map(dim => (typeof dim === 'number' ? dim : 1))),
});

export const gridSampling: readonly Operator[] = [gridSample];
