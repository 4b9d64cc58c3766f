import { z } from 'zod';
import { type Dim, sizeOf, type Tensor } from '../ir.ts';
import { roundEven, toF64 } from '../numbers.ts';
import type { Bound, Operator } from '../operator.ts';
import { along, alongGradient } from './_along.ts';
import { dimListAt, dimsAt, isStatic, list, row, sameAxes, staticDims, typeAt, valueAt, wrong } from './_row.ts';

const attributes = z.object({
  mode: z.string().default('nearest'),
  coordinate_transformation_mode: z.string().default('half_pixel'),
  nearest_mode: z.string().default('round_prefer_floor'),
  cubic_coeff_a: z.number().default(-0.75),
  scales: list.optional(),
  keep_aspect_ratio_policy: z.string().default('stretch'),
  antialias: z.number().default(0),
});
type ResizeAttributes = z.infer<typeof attributes>;

interface Scaling {
  readonly out: readonly Dim[];
  readonly scales: readonly number[];
}
const floatsAt = (bound: Bound<unknown>, index: number): readonly number[] | undefined => {
  const constant = bound.constants[index];
  return constant === undefined ? undefined : [...toF64(constant as Tensor).data];
};
/** Where scales and sizes lie changed with the opsets: Upsample (attribute, then input 1), Resize 10 (input 1), Resize 11 (inputs 2 and 3). */
function scalingOf(bound: Bound<ResizeAttributes>): Scaling {
  const dims = dimsAt(bound, 0);
  const old = bound.node.type === 'Upsample' || bound.opset < 11;
  const scales = old ? (floatsAt(bound, 1) ?? bound.attributes.scales) : floatsAt(bound, 2);
  if (scales !== undefined && scales.length > 0) {
    if (scales.length !== dims.length || scales.some(s => !(s > 0))) throw wrong(bound, `scales [${scales}] do not fit [${dims}]`);
    return {
      out: dims.map((dim, axis) => (typeof dim === 'number' ? Math.floor(dim * (scales[axis] as number)) : scales[axis] === 1 ? dim : `floor(${dim}*${scales[axis]})`)),
      scales,
    };
  }
  const sizes = old ? undefined : dimListAt(bound, 3);
  if (sizes === undefined || sizes.length !== dims.length) throw wrong(bound, 'neither scales nor sizes are known constants');
  return { out: sizes, scales: sizes.map((size, axis) => (size === dims[axis] ? 1 : typeof size === 'number' && typeof dims[axis] === 'number' ? size / dims[axis] : Number.NaN)) };
}

/** The place in the input that output place i of an axis reads. */
function source(mode: string, i: number, scale: number, inSize: number, outSize: number): number {
  switch (mode) {
    case 'asymmetric':
      return i / scale;
    case 'align_corners':
      return outSize === 1 ? 0 : (i * (inSize - 1)) / (outSize - 1);
    case 'pytorch_half_pixel':
      return outSize === 1 ? 0 : (i + 0.5) / scale - 0.5;
    default:
      return (i + 0.5) / scale - 0.5;
  }
}
const nearest: Readonly<Record<string, (x: number) => number>> = {
  round_prefer_floor: x => Math.ceil(x - 0.5),
  round_prefer_ceil: x => Math.floor(x + 0.5),
  floor: Math.floor,
  ceil: Math.ceil,
};

/** One axis' resampling as a matrix [out, in]: every mode here is linear in the input. */
function axisMatrix(bound: Bound<ResizeAttributes>, inSize: number, outSize: number, scale: number): Float64Array {
  const { nearest_mode, coordinate_transformation_mode, cubic_coeff_a: a, antialias } = bound.attributes;
  const upsample = bound.node.type === 'Upsample' || bound.opset < 11;
  const mode = upsample ? 'asymmetric' : coordinate_transformation_mode;
  const rounding = upsample ? 'floor' : nearest_mode;
  if (mode === 'tf_crop_and_resize' || antialias === 1) throw wrong(bound, 'crops or antialiases, which edgeforge does not', 'operator-unsupported');
  const matrix = new Float64Array(outSize * inSize);
  const put = (i: number, at: number, weight: number) => {
    matrix[i * inSize + Math.min(inSize - 1, Math.max(0, at))]! += weight;
  };
  for (let i = 0; i < outSize; i++) {
    const x = source(mode, i, scale, inSize, outSize);
    // 1e-9: a quotient such as 0.9999999999 is a 1.
    if (bound.attributes.mode === 'nearest') put(i, (nearest[rounding] ?? roundEven)(Math.abs(x - Math.round(x)) < 1e-9 ? Math.round(x) : x), 1);
    else if (bound.attributes.mode === 'linear' || bound.attributes.mode === 'bilinear') {
      const inside = Math.min(inSize - 1, Math.max(0, x));
      const low = Math.floor(inside);
      put(i, low, 1 - (inside - low));
      put(i, low + 1, inside - low);
    } else if (bound.attributes.mode === 'cubic') {
      const low = Math.floor(x);
      for (let k = -1; k <= 2; k++) {
        const d = Math.abs(x - low - k);
        put(i, low + k, d <= 1 ? (a + 2) * d ** 3 - (a + 3) * d ** 2 + 1 : d < 2 ? a * d ** 3 - 5 * a * d ** 2 + 8 * a * d - 4 * a : 0);
      }
    } else throw wrong(bound, `the mode "${bound.attributes.mode}" is not known`, 'operator-unsupported');
  }
  return matrix;
}

const changed = (bound: Bound<ResizeAttributes>): readonly number[] => scalingOf(bound).scales.flatMap((scale, axis) => (scale === 1 ? [] : [axis]));

const resizing = (type: 'Resize' | 'Upsample'): Operator =>
  row<ResizeAttributes>({
    type,
    attributes,
    shape: bound => [{ dataType: typeAt(bound, 0).dataType, dims: scalingOf(bound).out }],
    reference: (bound, inputs) => {
      const { out, scales } = scalingOf(bound);
      return [
        changed(bound).reduce(
          (x, axis) => along(x, axis, axisMatrix(bound, x.dims[axis] as number, out[axis] as number, scales[axis] as number), out[axis] as number),
          valueAt(bound, inputs, 0),
        ),
      ];
    },
    gradient: ({ bound, builder, outputs, outputGradients }) => {
      const dy = outputGradients[0];
      if (dy === undefined) return [];
      const { scales } = scalingOf(bound);
      const from = staticDims(bound, bound.inputs[0]);
      const to = staticDims(bound, outputs[0]);
      return [
        changed(bound).reduce((gradient, axis) => {
          const [inSize, outSize] = [from[axis] as number, to[axis] as number];
          return alongGradient(builder, gradient, { rank: from.length, axis, matrix: axisMatrix(bound, inSize, outSize, scales[axis] as number), inSize, outSize });
        }, dy),
      ];
    },
    ties: bound => sameAxes(dimsAt(bound, 0).length, 0, changed(bound)),
    quantize: { kind: 'passes' },
    macs: (bound, [y]) => (isStatic(y?.dims ?? []) && bound.attributes.mode !== 'nearest' ? 4 * sizeOf((y?.dims ?? []) as number[]) : 0),
  });

export const resize: readonly Operator[] = [resizing('Resize'), resizing('Upsample')];
