import { type Attribute, type DataType, float, int, ints, sizeOf, text } from '../../src/graph/ir.ts';

/** A repeatable stream of random numbers, so that a failing case can be named by its seed. */
export class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = (seed | 0) ^ 0x9e3779b9;
  }
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }
  int(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }
  pick<T>(values: readonly T[]): T {
    return values[this.int(0, values.length - 1)] as T;
  }
  shuffled<T>(values: readonly T[]): T[] {
    const out = [...values];
    for (let i = out.length - 1; i > 0; i--) {
      const k = this.int(0, i);
      [out[i], out[k]] = [out[k] as T, out[i] as T];
    }
    return out;
  }
}

/** Weights of a loss that sums an output of `dims` up. */
export function lossWeights(dims: readonly number[], seed: number): Float32Array {
  const r = new Random(seed ^ 0x5bd1e995);
  return Float32Array.from({ length: sizeOf(dims) }, () => r.next() * 2 - 1);
}

export interface Operand {
  readonly dataType: DataType;
  readonly dims: readonly number[];
  readonly data: readonly number[];
  /** Given as an initializer, as shapes and axes must be. */
  readonly constant?: boolean;
  /** Its gradient is checked. */
  readonly smooth?: boolean;
}
export interface Case {
  readonly type: string;
  readonly domain?: string;
  readonly attributes?: Readonly<Record<string, Attribute>>;
  readonly inputs: readonly (Operand | undefined)[];
  readonly outputs?: number;
  /** Opset of the graph around it; default 17. */
  readonly opset?: number;
  /** Some operands are equal where that matters: finite differences do not judge, engines do. */
  readonly tied?: boolean;
}

/** Distinct floats between low and high, at least 1e-3 away from each other and from the kinks, exact in float32. */
export function spread(r: Random, dims: readonly number[], low = -2, high = 2, kinks: readonly number[] = [0]): Operand {
  const n = sizeOf(dims);
  const step = (high - low) / Math.max(n, 1);
  const data = r.shuffled(Array.from({ length: n }, (_, k) => low + (k + 0.2 + 0.6 * r.next()) * step)).map(v => {
    const near = kinks.find(kink => Math.abs(v - kink) < 0.002);
    return Math.fround(near === undefined ? v : near + (v >= near ? 0.0031 : -0.0031));
  });
  return { dataType: 'float32', dims, data, smooth: true };
}
export const whole = (data: readonly number[], dims: readonly number[] = [data.length]): Operand => ({ dataType: 'int64', dims, data, constant: true });
export const floats = (data: readonly number[], dims: readonly number[] = [data.length]): Operand => ({ dataType: 'float32', dims, data, constant: true });
const fixed = (operand: Operand): Operand => ({ ...operand, smooth: false, constant: true });
const bits = (r: Random, dims: readonly number[]): Operand => ({ dataType: 'bool', dims, data: Array.from({ length: sizeOf(dims) }, () => r.int(0, 1)) });
const shape = (r: Random, rank = r.int(1, 4), high = 4): number[] => Array.from({ length: rank }, () => r.int(1, high));
/** A shape that broadcasts into `dims`. */
const narrower = (r: Random, dims: readonly number[]): number[] => dims.slice(r.int(0, dims.length)).map(dim => (r.next() < 0.4 ? 1 : dim));

const unary =
  (type: string, low = -2, high = 2, kinks: readonly number[] = [0], attributes?: Case['attributes']) =>
  (r: Random): Case => ({ type, inputs: [spread(r, shape(r), low, high, kinks)], ...(attributes ? { attributes } : {}) });
const binary =
  (type: string, low = -2, high = 2) =>
  (r: Random): Case => {
    const dims = shape(r);
    const other = narrower(r, dims);
    const [a, b] = r.next() < 0.5 ? [dims, other] : [other, dims];
    return { type, inputs: [spread(r, a, low, high), spread(r, b, low, high)] };
  };
const several =
  (type: string) =>
  (r: Random): Case => {
    const dims = shape(r);
    const all = [dims, narrower(r, dims), narrower(r, dims)];
    const n = sizeOf(dims);
    // Residues keep the operands apart from each other wherever they meet.
    return {
      type,
      inputs: all.map((d, k) => {
        const o = spread(r, d, -2, 2, []);
        return { ...o, data: o.data.map(v => Math.fround(Math.round(v * 50) / 50 + k * 0.005 + n * 0)) };
      }),
    };
  };
const compare =
  (type: string) =>
  (r: Random): Case => {
    const dims = shape(r);
    return { type, inputs: [spread(r, dims), spread(r, narrower(r, dims))].map(o => ({ ...o, smooth: false, data: o.data.map(v => Math.round(v)) })) };
  };
const logical =
  (type: string) =>
  (r: Random): Case => {
    const dims = shape(r);
    return { type, inputs: [bits(r, dims), bits(r, narrower(r, dims))] };
  };

/** A quarter of the cases with values that repeat, so that maxima tie. */
function perhapsTied(r: Random, c: Case): Case {
  if (r.next() < 0.75) return c;
  return { ...c, tied: true, inputs: c.inputs.map(o => (o?.smooth ? { ...o, data: o.data.map(v => Math.round(v)) } : o)) };
}

/** Strides, pads and dilations that leave at least one output place. */
function window(
  r: Random,
  spatial: readonly number[],
  kernel: readonly number[],
  { pool, dilated }: { readonly pool: boolean; readonly dilated: boolean },
): Record<string, Attribute> {
  // onnxruntime refuses a pool that pads to SAME while it steps over places.
  const mode = r.int(0, 5);
  const attributes: Record<string, Attribute> = { strides: ints(spatial.map((_, a) => r.int(1, pool && mode < 2 ? (kernel[a] as number) : 3))) };
  if (mode === 0) return { ...attributes, auto_pad: text('SAME_UPPER') };
  if (mode === 1) return { ...attributes, auto_pad: text('SAME_LOWER') };
  const dilations = spatial.map((size, a) => (size >= ((kernel[a] as number) - 1) * 2 + 1 ? r.int(1, 2) : 1));
  const pads = (): number[] => spatial.map((_, a) => r.int(0, Math.max(0, (kernel[a] as number) - 1)));
  if (dilated) attributes.dilations = ints(dilations);
  if (mode === 2) return { ...attributes, auto_pad: text('VALID') };
  if (mode > 3) attributes.pads = ints([...pads(), ...pads()]);
  return attributes;
}
const conv = (r: Random): Case => {
  const rank = r.pick([1, 2, 2, 2, 3]);
  const group = r.pick([1, 1, 2, 3]);
  const perGroup = r.int(1, 2);
  const depthwise = r.next() < 0.3;
  const inPer = depthwise ? 1 : r.int(1, 2);
  const kernel = Array.from({ length: rank }, () => r.int(1, 3));
  const spatial = kernel.map(k => k + r.int(0, 4));
  const w = [group * perGroup, inPer, ...kernel];
  return {
    type: 'Conv',
    attributes: { group: int(group), ...(r.next() < 0.5 ? { kernel_shape: ints(kernel) } : {}), ...window(r, spatial, kernel, { pool: false, dilated: true }) },
    inputs: [spread(r, [r.int(1, 2), group * inPer, ...spatial]), spread(r, w), ...(r.next() < 0.5 ? [spread(r, [group * perGroup])] : [])],
  };
};
const convTranspose = (r: Random): Case => {
  const rank = r.pick([1, 2, 2, 2, 3]);
  const axes = Array.from({ length: rank }, (_, axis) => axis);
  const group = r.pick([1, 1, 2, 3]);
  const kernel = axes.map(() => r.int(1, 3));
  const strides = axes.map(() => r.int(1, 3));
  const dilations = axes.map(() => r.int(1, 2));
  const spatial = axes.map(() => r.int(2, 4));
  const reach = kernel.map((k, a) => (k - 1) * (dilations[a] as number));
  const pads = () => reach.map(most => r.int(0, Math.min(1, most)));
  const output = { output_padding: ints(strides.map(s => r.int(0, s - 1))), pads: ints([...pads(), ...pads()]) };
  const wanted = { output_shape: ints(spatial.map((size, a) => (size - 1) * (strides[a] as number) + 1 + r.int(0, reach[a] as number))) };
  const padding: readonly Record<string, Attribute>[] = [
    output,
    output,
    output,
    wanted,
    { auto_pad: text('VALID') },
    { auto_pad: text('SAME_UPPER') },
    { auto_pad: text('SAME_LOWER') },
  ];
  const out = r.int(1, 2);
  return {
    type: 'ConvTranspose',
    attributes: { group: int(group), kernel_shape: ints(kernel), strides: ints(strides), dilations: ints(dilations), ...r.pick(padding) },
    inputs: [spread(r, [r.int(1, 2), group * r.int(1, 2), ...spatial]), undefined, ...(r.next() < 0.5 ? [spread(r, [group * out])] : [])].map((o, k, all) =>
      k === 1 ? spread(r, [all[0]?.dims[1] ?? 1, out, ...kernel]) : o,
    ),
  };
};
const pool =
  (type: 'MaxPool' | 'AveragePool') =>
  (r: Random): Case => {
    const rank = r.pick([1, 2, 2, 2, 3]);
    const kernel = Array.from({ length: rank }, () => r.int(1, 3));
    const spatial = kernel.map(k => k + r.int(0, 4));
    const dilated = type === 'MaxPool' && r.next() < 0.5;
    const attributes: Record<string, Attribute> = { kernel_shape: ints(kernel), ...window(r, spatial, kernel, { pool: true, dilated }) };
    const included = type === 'AveragePool' ? r.int(0, 1) : 0;
    // onnxruntime's shape inference counts windows that begin in the padding, its kernels do not; averages that count padding, and far taps, cannot be told without ceil_mode.
    const numbers = (name: string) => (attributes[name]?.type === 'ints' ? attributes[name].value : []);
    const open = numbers('pads').some(p => p > 0) || numbers('strides').some((s, a) => s > (kernel[a] as number));
    const ceil = attributes.auto_pad || attributes.dilations || (included && open) ? {} : { ceil_mode: int(r.int(0, 1)) };
    const more: Record<string, Attribute> = type === 'AveragePool' ? { count_include_pad: int(included), ...ceil } : ceil;
    const c: Case = { type, attributes: { ...attributes, ...more }, inputs: [spread(r, [r.int(1, 2), r.int(1, 3), ...spatial])] };
    return type === 'MaxPool' ? perhapsTied(r, c) : c;
  };
const norm =
  (type: string, domain = '') =>
  (r: Random): Case => {
    const c = r.int(1, 3);
    const x = spread(r, [r.int(2, 3), c, ...shape(r, r.int(0, 2), 3)]);
    const per = () => spread(r, [c], 0.5, 1.5);
    const positive = { ...per(), smooth: false };
    const training = type === 'BatchNormalization' && r.next() < 0.3 ? { training_mode: int(1), momentum: float(0.75) } : undefined;
    return domain === 'edge'
      ? { type, domain, outputs: 3, attributes: { epsilon: float(1e-3) }, inputs: [x, per(), spread(r, [c])] }
      : {
          type,
          attributes: { epsilon: float(1e-3), ...training },
          ...(training ? { outputs: 3 } : {}),
          inputs:
            type === 'InstanceNormalization'
              ? [spread(r, [r.int(1, 2), c, r.int(2, 4), ...shape(r, r.int(0, 1), 3)]), per(), spread(r, [c])]
              : [x, per(), spread(r, [c]), { ...spread(r, [c]), smooth: false }, positive],
        };
  };
const reduction =
  (type: string, low = -2) =>
  (r: Random): Case => {
    const dims = shape(r, r.int(1, 4), 3);
    const axes = r.shuffled(dims.map((_, a) => a)).slice(0, r.int(1, dims.length));
    const stated = axes.map(a => (r.next() < 0.3 ? a - dims.length : a));
    const keep = { keepdims: int(r.int(0, 1)) };
    const x = spread(r, dims, low, 2);
    return type === 'ReduceSum' ? { type, attributes: keep, inputs: [x, whole(stated)] } : { type, attributes: { ...keep, axes: ints(stated) }, inputs: [x] };
  };
const soft =
  (type: string) =>
  (r: Random): Case => {
    const dims = shape(r);
    return { type, attributes: { axis: int(r.int(-dims.length, dims.length - 1)) }, inputs: [spread(r, dims)] };
  };
const gemm = (r: Random): Case => {
  const [m, k, n] = [r.int(1, 4), r.int(1, 4), r.int(1, 4)];
  const [tA, tB] = [r.int(0, 1), r.int(0, 1)];
  const c = r.pick([undefined, [n], [1, n], [m, n], [m, 1], []]);
  return {
    type: 'Gemm',
    attributes: { transA: int(tA), transB: int(tB), alpha: float(r.pick([1, 0.5])), beta: float(r.pick([1, 2])) },
    inputs: [spread(r, tA ? [k, m] : [m, k]), spread(r, tB ? [n, k] : [k, n]), ...(c ? [spread(r, c)] : [])],
  };
};
const matMul = (r: Random): Case => {
  const [m, k, n] = [r.int(1, 3), r.int(1, 3), r.int(1, 3)];
  const batch = shape(r, r.int(0, 2), 3);
  const a = r.next() < 0.15 ? [k] : [...(r.next() < 0.5 ? narrower(r, batch) : batch), m, k];
  const b = r.next() < 0.15 ? [k] : [...batch, k, n];
  return { type: 'MatMul', inputs: [spread(r, a), spread(r, b)] };
};
const concat = (r: Random): Case => {
  const dims = shape(r);
  const axis = r.int(0, dims.length - 1);
  const count = r.int(1, 3);
  return {
    type: 'Concat',
    attributes: { axis: int(axis) },
    inputs: Array.from({ length: count }, () =>
      spread(
        r,
        dims.map((d, a) => (a === axis ? r.int(1, 3) : d)),
      ),
    ),
  };
};
const split = (r: Random): Case => {
  const dims = shape(r);
  const axis = r.int(0, dims.length - 1);
  const sizes = Array.from({ length: r.int(1, 3) }, () => r.int(1, 2));
  return {
    type: 'Split',
    outputs: sizes.length,
    attributes: { axis: int(axis) },
    inputs: [
      spread(
        r,
        dims.map((d, a) => (a === axis ? sizes.reduce((x, y) => x + y, 0) : d)),
      ),
      whole(sizes),
    ],
  };
};
const slice = (r: Random): Case => {
  const dims = shape(r, r.int(1, 3), 6);
  const axes = r.shuffled(dims.map((_, a) => a)).slice(0, r.int(1, dims.length));
  const steps = axes.map(() => r.pick([1, 1, 2, 3, -1, -2]));
  const starts = axes.map((a, k) => ((steps[k] as number) > 0 ? r.int(0, (dims[a] as number) - 1) : r.int(0, dims[a] as number)));
  const ends = axes.map((a, k) => ((steps[k] as number) > 0 ? r.pick([dims[a] as number, 1000, 2 ** 31 - 1]) : -1000));
  return { type: 'Slice', inputs: [spread(r, dims), whole(starts), whole(ends), whole(axes), whole(steps)] };
};
const pad = (r: Random): Case => {
  const dims = shape(r, r.int(1, 3));
  const mode = r.pick(['constant', 'constant', 'edge', 'reflect']);
  const side = () => dims.map(d => r.int(0, mode === 'reflect' ? d - 1 : 2));
  return {
    type: 'Pad',
    attributes: { mode: text(mode) },
    inputs: [spread(r, dims), whole([...side(), ...side()]), ...(mode === 'constant' ? [floats([0.5], [])] : [])],
  };
};
const resize = (r: Random): Case => {
  const mode = r.pick(['nearest', 'linear', 'linear']);
  const coordinates = r.pick(['half_pixel', 'asymmetric', 'align_corners', 'pytorch_half_pixel']);
  const dims = [r.int(1, 2), r.int(1, 2), r.int(1, 4), r.int(1, 4)];
  const attributes = {
    mode: text(mode),
    coordinate_transformation_mode: text(coordinates),
    ...(mode === 'nearest' ? { nearest_mode: text(r.pick(['floor', 'round_prefer_floor', 'ceil'])) } : {}),
  };
  const bySize = r.next() < 0.5;
  const scales = [1, 1, r.pick([1, 2, 1.5]), r.pick([2, 3, 0.5])].map((s, a) => (Math.floor((dims[a] as number) * s) < 1 ? 1 : s));
  return {
    type: 'Resize',
    attributes,
    inputs: bySize ? [spread(r, dims), undefined, undefined, whole(dims.map((d, a) => (a < 2 ? d : r.int(1, 7))))] : [spread(r, dims), undefined, floats(scales)],
  };
};
const gather = (r: Random): Case => {
  const dims = shape(r);
  const axis = r.int(0, dims.length - 1);
  const index = shape(r, r.int(0, 2), 3);
  const size = dims[axis] as number;
  return {
    type: 'Gather',
    attributes: { axis: int(axis) },
    inputs: [
      spread(r, dims),
      r.pick([whole, fed])(
        Array.from({ length: sizeOf(index) }, () => r.int(-size, size - 1)),
        index,
      ),
    ],
  };
};
/** Indices that the graph computes (or is fed), unlike `whole`. */
const fed = (data: readonly number[], dims: readonly number[]): Operand => ({ dataType: 'int64', dims, data });
const elements =
  (type: 'GatherElements' | 'ScatterElements') =>
  (r: Random): Case => {
    const dims = shape(r, r.int(1, 3));
    const axis = r.int(0, dims.length - 1);
    const size = dims[axis] as number;
    // Without reduction an index may come once only, or which update wins is open.
    const add = r.next() < 0.7;
    const along = type === 'GatherElements' || add ? r.int(1, 4) : 1;
    const index = dims.map((dim, a) => (a === axis ? along : r.int(1, dim)));
    const at = fed(
      Array.from({ length: sizeOf(index) }, () => r.int(-size, size - 1)),
      index,
    );
    if (type === 'GatherElements') return { type, attributes: { axis: int(axis) }, inputs: [spread(r, dims), at] };
    return { type, attributes: { axis: int(axis), ...(add ? { reduction: text('add') } : {}) }, inputs: [spread(r, dims), at, spread(r, index)] };
  };
const gridSample = (r: Random): Case => {
  const [n, h, w] = [r.int(1, 2), r.int(1, 4), r.int(1, 4)];
  const grid = [n, r.int(1, 3), r.int(1, 3), 2];
  const aligned = r.int(0, 1);
  const mode = r.pick(['bilinear', 'bilinear', 'nearest']);
  // Each coordinate lies 0.05 … 0.45 pixels behind the middle or the edge of a pixel, as far as 1½ pixels outside.
  const places = Array.from({ length: sizeOf(grid) }, (_, k) => {
    const size = k % 2 === 0 ? w : h;
    const at = r.int(-3, 2 * size) / 2 + 0.05 + 0.4 * r.next();
    return Math.fround(aligned ? (2 * at) / Math.max(1, size - 1) - 1 : (2 * at + 1) / size - 1);
  });
  return {
    type: 'GridSample',
    attributes: { mode: text(mode), padding_mode: text(r.pick(['zeros', 'border', 'reflection'])), align_corners: int(aligned) },
    inputs: [spread(r, [n, r.int(1, 2), h, w]), { dataType: 'float32', dims: grid, data: places, smooth: true }],
  };
};
const upsample = (r: Random): Case => {
  const rank = r.int(3, 4);
  return {
    type: 'Upsample',
    opset: 9,
    attributes: { mode: text(rank === 4 ? r.pick(['nearest', 'linear']) : 'nearest') },
    inputs: [spread(r, [1, r.int(1, 2), r.int(1, 3), r.int(1, 3)].slice(0, rank)), floats([1, 1, r.int(1, 3), r.pick([1, 2, 2.5])].slice(0, rank))],
  };
};
const reshape = (r: Random): Case => {
  const dims = shape(r);
  const kind = r.int(0, 2);
  const target = kind === 0 ? [-1] : kind === 1 ? [0, -1] : [...dims.slice(0, -1).map(() => 0), -1, 1];
  return { type: 'Reshape', inputs: [spread(r, dims), whole(target)] };
};
const transposed = (r: Random): Case => {
  const dims = shape(r);
  return { type: 'Transpose', attributes: { perm: ints(r.shuffled(dims.map((_, a) => a))) }, inputs: [spread(r, dims)] };
};
const unsqueeze = (r: Random): Case => {
  const dims = shape(r, r.int(0, 3));
  return { type: 'Unsqueeze', inputs: [spread(r, dims), whole(r.pick([[0], [-1], [0, 2]].slice(0, dims.length > 0 ? 3 : 2)))] };
};
const squeeze = (r: Random): Case => {
  const dims = shape(r);
  const at = r.int(0, dims.length);
  return { type: 'Squeeze', inputs: [spread(r, [...dims.slice(0, at), 1, ...dims.slice(at)]), whole([at])] };
};
const expand = (r: Random): Case => {
  const dims = shape(r);
  return { type: 'Expand', inputs: [spread(r, narrower(r, dims)), whole(dims)] };
};
const tile = (r: Random): Case => {
  const dims = shape(r);
  return { type: 'Tile', inputs: [spread(r, dims), whole(dims.map(() => r.int(1, 3)))] };
};
const where = (r: Random): Case => {
  const dims = shape(r);
  return { type: 'Where', inputs: [bits(r, narrower(r, dims)), spread(r, dims), spread(r, narrower(r, dims))] };
};
const prelu = (r: Random): Case => {
  const dims = shape(r, 4, 3);
  return { type: 'PRelu', inputs: [spread(r, dims), spread(r, r.pick([[1], [dims[1] as number, 1, 1], dims.slice(1)]))] };
};
const flatten = (r: Random): Case => {
  const dims = shape(r);
  return { type: 'Flatten', attributes: { axis: int(r.int(-dims.length, dims.length)) }, inputs: [spread(r, dims)] };
};
const globalPool =
  (type: string) =>
  (r: Random): Case => {
    const c: Case = { type, inputs: [spread(r, shape(r, r.int(3, 5), 3))] };
    return type === 'GlobalMaxPool' ? perhapsTied(r, c) : c;
  };
const quantize =
  (type: 'QuantizeLinear' | 'DequantizeLinear') =>
  (r: Random): Case => {
    const dims = shape(r, 3, 4);
    const perChannel = r.next() < 0.5;
    const axis = r.int(0, 2);
    const n = perChannel ? (dims[axis] as number) : 1;
    const zero: Operand = { dataType: r.pick(['int8', 'uint8'] as const), dims: perChannel ? [n] : [], data: Array.from({ length: n }, () => r.int(0, 3)), constant: true };
    const scale = floats(
      Array.from({ length: n }, () => 0.0625 * r.int(1, 4)),
      perChannel ? [n] : [],
    );
    const x =
      type === 'QuantizeLinear'
        ? { ...spread(r, dims, -20, 20), smooth: false }
        : { dataType: zero.dataType, dims, data: Array.from({ length: sizeOf(dims) }, () => r.int(0, 100)) };
    return { type, attributes: { axis: int(axis) }, inputs: [x, scale, zero] };
  };
const arg =
  (type: string) =>
  (r: Random): Case => {
    const dims = shape(r);
    return { type, attributes: { axis: int(r.int(0, dims.length - 1)), keepdims: int(r.int(0, 1)) }, inputs: [{ ...spread(r, dims), smooth: false }] };
  };
const lrn = (r: Random): Case => ({
  type: 'LRN',
  attributes: { size: int(r.pick([1, 3, 5])), alpha: float(0.1) },
  inputs: [spread(r, [2, r.int(1, 6), 2, 2])],
});
const dropoutTrain = (r: Random): Case => ({
  type: 'DropoutTrain',
  domain: 'edge',
  outputs: 2,
  attributes: { ratio: float(r.pick([0, 0.25, 0.5])), seed: int(r.int(0, 2 ** 31 - 1)) },
  inputs: [spread(r, shape(r)), { dataType: 'int64', dims: [], data: [r.int(0, 1e6)] }],
});

/** For every operator row, random small cases. */
export const cases: Readonly<Record<string, (r: Random) => Case>> = {
  Conv: conv,
  ConvTranspose: convTranspose,
  MaxPool: pool('MaxPool'),
  AveragePool: pool('AveragePool'),
  GlobalAveragePool: globalPool('GlobalAveragePool'),
  GlobalMaxPool: globalPool('GlobalMaxPool'),
  BatchNormalization: norm('BatchNormalization'),
  InstanceNormalization: norm('InstanceNormalization'),
  'edge:BatchNormTrain': norm('BatchNormTrain', 'edge'),
  'edge:DropoutTrain': dropoutTrain,
  LRN: lrn,
  Relu: unary('Relu'),
  LeakyRelu: unary('LeakyRelu', -2, 2, [0], { alpha: float(0.125) }),
  Elu: unary('Elu'),
  Sigmoid: unary('Sigmoid', -6, 6),
  HardSigmoid: unary('HardSigmoid', -5, 5, [-2.5, 2.5]),
  HardSwish: unary('HardSwish', -5, 5, [-3, 3]),
  Mish: r => ({ ...unary('Mish', -4, 4)(r), opset: 18 }),
  Swish: r => ({ ...unary('Swish', -4, 4, [0], { alpha: float(r.pick([1, 0.5, 1.5])) })(r), opset: 24 }),
  Softplus: unary('Softplus'),
  Softsign: unary('Softsign'),
  Tanh: unary('Tanh'),
  Exp: unary('Exp'),
  Log: unary('Log', 0.3, 3),
  Sqrt: unary('Sqrt', 0.3, 3),
  Reciprocal: unary('Reciprocal', 0.5, 3),
  Neg: unary('Neg'),
  Abs: unary('Abs'),
  Erf: unary('Erf', -4, 4),
  Sin: unary('Sin'),
  Cos: unary('Cos'),
  Sign: r => {
    const c = unary('Sign')(r);
    return { ...c, inputs: c.inputs.map(o => o && { ...o, smooth: false }) };
  },
  Floor: r => {
    const c = unary('Floor', -5, 5)(r);
    return { ...c, inputs: c.inputs.map(o => o && { ...o, smooth: false }) };
  },
  Ceil: r => {
    const c = unary('Ceil', -5, 5)(r);
    return { ...c, inputs: c.inputs.map(o => o && { ...o, smooth: false }) };
  },
  Round: r => {
    const c = unary('Round', -5, 5)(r);
    return { ...c, inputs: c.inputs.map(o => o && { ...o, smooth: false, data: o.data.map(v => Math.round(v * 2) / 2) }) };
  },
  Clip: r => {
    const c = unary('Clip', -2, 2, [-1, 0.5])(r);
    const bound = (value: number): Operand => (r.next() < 0.5 ? floats([value], []) : { dataType: 'float32', dims: [], data: [value], smooth: true });
    return { ...c, inputs: [...c.inputs, bound(-1), bound(0.5)] };
  },
  PRelu: prelu,
  Softmax: soft('Softmax'),
  LogSoftmax: soft('LogSoftmax'),
  Add: binary('Add'),
  Sub: binary('Sub'),
  Mul: binary('Mul'),
  Div: binary('Div', 0.5, 2),
  Pow: binary('Pow', 0.5, 2),
  Max: r => perhapsTied(r, several('Max')(r)),
  Min: r => perhapsTied(r, several('Min')(r)),
  Sum: several('Sum'),
  Mean: several('Mean'),
  Equal: compare('Equal'),
  Greater: compare('Greater'),
  GreaterOrEqual: compare('GreaterOrEqual'),
  Less: compare('Less'),
  LessOrEqual: compare('LessOrEqual'),
  And: logical('And'),
  Or: logical('Or'),
  Xor: logical('Xor'),
  Not: r => ({ type: 'Not', inputs: [bits(r, shape(r))] }),
  Where: where,
  Gemm: gemm,
  MatMul: matMul,
  Reshape: reshape,
  Flatten: flatten,
  Squeeze: squeeze,
  Unsqueeze: unsqueeze,
  Identity: unary('Identity'),
  Dropout: unary('Dropout'),
  Transpose: transposed,
  Expand: expand,
  Tile: tile,
  Concat: concat,
  Split: split,
  Slice: slice,
  Pad: pad,
  Gather: gather,
  GatherElements: elements('GatherElements'),
  ScatterElements: elements('ScatterElements'),
  GridSample: gridSample,
  Resize: resize,
  Upsample: upsample,
  ReduceSum: reduction('ReduceSum'),
  ReduceMean: reduction('ReduceMean'),
  ReduceMax: r => perhapsTied(r, reduction('ReduceMax')(r)),
  ReduceMin: r => perhapsTied(r, reduction('ReduceMin')(r)),
  ReduceProd: reduction('ReduceProd', 0.5),
  ReduceL1: reduction('ReduceL1'),
  ReduceL2: reduction('ReduceL2'),
  ReduceSumSquare: reduction('ReduceSumSquare'),
  ReduceLogSum: reduction('ReduceLogSum', 0.3),
  ArgMax: arg('ArgMax'),
  ArgMin: arg('ArgMin'),
  QuantizeLinear: quantize('QuantizeLinear'),
  DequantizeLinear: quantize('DequantizeLinear'),
  Shape: r => ({ type: 'Shape', inputs: [{ ...spread(r, shape(r)), smooth: false }] }),
  Size: r => ({ type: 'Size', inputs: [{ ...spread(r, shape(r)), smooth: false }] }),
  Cast: r => {
    const to = r.pick([1, 1, 6, 7, 9]);
    return { type: 'Cast', attributes: { to: int(to) }, inputs: [{ ...spread(r, shape(r), -9, 9), smooth: to === 1 }] };
  },
  CumSum: r => ({
    type: 'CumSum',
    attributes: { reverse: int(r.int(0, 1)), exclusive: int(r.int(0, 1)) },
    inputs: [{ ...spread(r, [3, 4]), smooth: false }, fixed(whole([r.int(0, 1)], []))],
  }),
  Mod: r => ({ type: 'Mod', attributes: { fmod: int(1) }, inputs: [spread(r, [5], -9, 9), spread(r, [5], 1, 3)].map(o => ({ ...o, smooth: false })) }),
  ConstantOfShape: r => ({ type: 'ConstantOfShape', inputs: [whole(shape(r))] }),
  Range: r => ({ type: 'Range', inputs: [whole([r.int(0, 3)], []), whole([r.int(3, 9)], []), whole([r.int(1, 3)], [])] }),
};
