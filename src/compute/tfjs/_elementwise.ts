import { floatOf, intOf, intsOf } from '../../graph/ir.ts';
import { type Call, type Kernel, listOf, shapeOf, type Tf, type TfTensor } from './_api.ts';

type Fn1 = (tf: Tf, x: TfTensor, call: Call) => TfTensor;
const one =
  (f: Fn1): Kernel =>
  call =>
    f(call.tf, call.x[0] as TfTensor, call);
const two =
  (f: (tf: Tf, a: TfTensor, b: TfTensor) => TfTensor): Kernel =>
  ({ tf, x: [a, b] }) =>
    f(tf, a as TfTensor, b as TfTensor);
/** Any number of operands, two at a time. */
const many =
  (f: (tf: Tf, a: TfTensor, b: TfTensor) => TfTensor): Kernel =>
  ({ tf, x }) =>
    x.length === 1 ? (x[0] as TfTensor).clone() : x.reduce((a, b) => f(tf, a, b));

const hardSigmoid = (tf: Tf, x: TfTensor, alpha: number, beta: number) => tf.clipByValue(tf.add(tf.mul(x, tf.scalar(alpha)), tf.scalar(beta)), 0, 1);

const activations: Readonly<Record<string, Kernel>> = {
  Relu: one((tf, x) => tf.relu(x)),
  LeakyRelu: one((tf, x, { bound }) => tf.leakyRelu(x, floatOf(bound.node, 'alpha', 0.01))),
  Elu: call => (floatOf(call.bound.node, 'alpha', 1) === 1 ? call.tf.elu(call.x[0] as TfTensor) : undefined),
  Sigmoid: one((tf, x) => tf.sigmoid(x)),
  HardSigmoid: one((tf, x, { bound }) => hardSigmoid(tf, x, floatOf(bound.node, 'alpha', 0.2), floatOf(bound.node, 'beta', 0.5))),
  HardSwish: one((tf, x) => tf.mul(x, hardSigmoid(tf, x, 1 / 6, 0.5))),
  Softplus: one((tf, x) => tf.softplus(x)),
  Tanh: one((tf, x) => tf.tanh(x)),
  PRelu: two((tf, x, slope) => tf.prelu(x, slope)),
  Clip: ({ tf, x, bound }) => {
    // A bound that is no constant is rare enough for the reference.
    const edge = (k: number, name: string, none: number) => (x[k] === undefined ? floatOf(bound.node, name, none) : bound.constants[k]?.data[0]);
    const [low, high] = [edge(1, 'min', Number.NEGATIVE_INFINITY), edge(2, 'max', Number.POSITIVE_INFINITY)];
    return low === undefined || high === undefined ? undefined : tf.clipByValue(x[0] as TfTensor, Number(low), Number(high));
  },
  ReluGrad: two((tf, dy, y) => tf.mul(dy, tf.cast(tf.greater(y, tf.scalar(0)), 'float32'))),
};

const arithmetic: Readonly<Record<string, Kernel>> = {
  Exp: one((tf, x) => tf.exp(x)),
  Log: one((tf, x) => tf.log(x)),
  Sqrt: one((tf, x) => tf.sqrt(x)),
  Reciprocal: one((tf, x) => tf.reciprocal(x)),
  Neg: one((tf, x) => tf.neg(x)),
  Abs: one((tf, x) => tf.abs(x)),
  Erf: one((tf, x) => tf.erf(x)),
  Sin: one((tf, x) => tf.sin(x)),
  Cos: one((tf, x) => tf.cos(x)),
  Sign: one((tf, x) => tf.sign(x)),
  Floor: one((tf, x) => tf.floor(x)),
  Ceil: one((tf, x) => tf.ceil(x)),
  Round: one((tf, x) => tf.round(x)),
  Identity: one((_, x) => x.clone()),
  Add: two((tf, a, b) => tf.add(a, b)),
  Sub: two((tf, a, b) => tf.sub(a, b)),
  Mul: two((tf, a, b) => tf.mul(a, b)),
  Div: ({ tf, x: [a, b] }) => (a?.dtype === 'float32' ? tf.div(a, b as TfTensor) : undefined),
  Pow: two((tf, a, b) => tf.pow(a, b)),
  Sum: many((tf, a, b) => tf.add(a, b)),
  Max: many((tf, a, b) => tf.maximum(a, b)),
  Min: many((tf, a, b) => tf.minimum(a, b)),
  Mean: call => call.tf.div(many((tf, a, b) => tf.add(a, b))(call) as TfTensor, call.tf.scalar(call.x.length)),
};

const logic: Readonly<Record<string, Kernel>> = {
  Equal: two((tf, a, b) => tf.equal(a, b)),
  Greater: two((tf, a, b) => tf.greater(a, b)),
  GreaterOrEqual: two((tf, a, b) => tf.greaterEqual(a, b)),
  Less: two((tf, a, b) => tf.less(a, b)),
  LessOrEqual: two((tf, a, b) => tf.lessEqual(a, b)),
  And: two((tf, a, b) => tf.logicalAnd(a, b)),
  Or: two((tf, a, b) => tf.logicalOr(a, b)),
  Xor: two((tf, a, b) => tf.logicalXor(a, b)),
  Not: one((tf, x) => tf.logicalNot(x)),
  Where: ({ tf, x, dims: [dims = []] }) => {
    const [c, a, b] = x.map(value => tf.broadcastTo(value, dims)) as [TfTensor, TfTensor, TfTensor];
    return tf.where(c, a, b);
  },
  Cast: call => {
    const type = castTypes[intOf(call.bound.node, 'to', 0)];
    return type === undefined ? undefined : call.tf.cast(call.x[0] as TfTensor, type);
  },
};
/** ONNX's numbers of element types. */
const castTypes: Readonly<Record<number, 'float32' | 'int32' | 'bool'>> = { 1: 'float32', 6: 'int32', 7: 'int32', 9: 'bool' };

/** Axes of a reduction, all where none is stated. */
function axesOf(call: Call): readonly number[] {
  const rank = shapeOf(call, 0).length;
  const stated = listOf(call, 1, 'axes');
  return stated !== undefined && stated.length > 0 ? stated.map(axis => (axis < 0 ? axis + rank : axis)) : Array.from({ length: rank }, (_, axis) => axis);
}
const reduced =
  (f: (tf: Tf, x: TfTensor, axes: readonly number[], keep: boolean) => TfTensor): Kernel =>
  call => {
    const { node } = call.bound;
    const none = (listOf(call, 1, 'axes') ?? []).length === 0 && intOf(node, 'noop_with_empty_axes', 0) === 1;
    return none ? undefined : f(call.tf, call.x[0] as TfTensor, axesOf(call), intOf(node, 'keepdims', 1) === 1);
  };
const square = (tf: Tf, x: TfTensor) => tf.mul(x, x);

const softened = (call: Call): { readonly x: TfTensor; readonly axis: number } => {
  const rank = shapeOf(call, 0).length;
  const axis = intOf(call.bound.node, 'axis', -1);
  const x = call.x[0] as TfTensor;
  const at = axis < 0 ? axis + rank : axis;
  return { x: call.tf.sub(x, call.tf.max(x, [at], true)), axis: at };
};
const reductions: Readonly<Record<string, Kernel>> = {
  ReduceSum: reduced((tf, x, axes, keep) => tf.sum(x, axes, keep)),
  ReduceMean: reduced((tf, x, axes, keep) => tf.mean(x, axes, keep)),
  ReduceMax: reduced((tf, x, axes, keep) => tf.max(x, axes, keep)),
  ReduceMin: reduced((tf, x, axes, keep) => tf.min(x, axes, keep)),
  ReduceProd: reduced((tf, x, axes, keep) => tf.prod(x, axes, keep)),
  ReduceL1: reduced((tf, x, axes, keep) => tf.sum(tf.abs(x), axes, keep)),
  ReduceL2: reduced((tf, x, axes, keep) => tf.sqrt(tf.sum(square(tf, x), axes, keep))),
  ReduceSumSquare: reduced((tf, x, axes, keep) => tf.sum(square(tf, x), axes, keep)),
  GlobalAveragePool: one((tf, x, call) =>
    tf.mean(
      x,
      shapeOf(call, 0).flatMap((_, axis) => (axis > 1 ? [axis] : [])),
      true,
    ),
  ),
  Softmax: call => {
    const { x, axis } = softened(call);
    const e = call.tf.exp(x);
    return call.tf.div(e, call.tf.sum(e, [axis], true));
  },
  LogSoftmax: call => {
    const { x, axis } = softened(call);
    return call.tf.sub(x, call.tf.log(call.tf.sum(call.tf.exp(x), [axis], true)));
  },
};

const toOutputShape: Kernel = ({ tf, x, dims }) => tf.reshape(x[0] as TfTensor, dims[0] ?? []);
const shapes: Readonly<Record<string, Kernel>> = {
  Reshape: toOutputShape,
  Flatten: toOutputShape,
  Squeeze: toOutputShape,
  Unsqueeze: toOutputShape,
  Expand: ({ tf, x, dims }) => tf.broadcastTo(x[0] as TfTensor, dims[0] ?? []),
  Transpose: call => {
    const rank = shapeOf(call, 0).length;
    return call.tf.transpose(call.x[0] as TfTensor, intsOf(call.bound.node, 'perm') ?? Array.from({ length: rank }, (_, at) => rank - 1 - at));
  },
  Concat: ({ tf, x, bound, dims: [dims = []] }) => {
    const axis = intOf(bound.node, 'axis', 1);
    return tf.concat(x, axis < 0 ? axis + dims.length : axis);
  },
  Split: ({ tf, x, bound, dims }) => {
    const axis = intOf(bound.node, 'axis', 0);
    const at = axis < 0 ? axis + (dims[0]?.length ?? 0) : axis;
    return tf.split(
      x[0] as TfTensor,
      dims.map(each => each[at] as number),
      at,
    );
  },
  Slice: call => {
    const own = shapeOf(call, 0);
    const [starts, ends] = [listOf(call, 1, 'starts'), listOf(call, 2, 'ends')];
    const axes = listOf(call, 3, 'axes') ?? starts?.map((_, at) => at);
    const steps = listOf(call, 4) ?? starts?.map(() => 1) ?? [];
    if (starts === undefined || ends === undefined || axes === undefined || steps.some(step => step < 1)) return undefined;
    const [begin, end, stride] = [own.map(() => 0), [...own], own.map(() => 1)];
    for (const [k, stated] of axes.entries()) {
      const axis = stated < 0 ? stated + own.length : stated;
      const size = own[axis] ?? 0;
      const clamp = (value = 0) => Math.min(size, Math.max(0, value < 0 ? value + size : value));
      [begin[axis], end[axis], stride[axis]] = [clamp(starts[k]), clamp(ends[k]), steps[k] ?? 1];
    }
    return call.tf.stridedSlice(call.x[0] as TfTensor, begin, end, stride);
  },
  Pad: call => {
    const pads = listOf(call, 1, 'pads');
    const { node, constants } = call.bound;
    const value = call.x[2] === undefined ? floatOf(node, 'value', 0) : constants[2]?.data[0];
    const mode = node.attributes.mode?.value ?? 'constant';
    const rank = shapeOf(call, 0).length;
    if (pads?.length !== 2 * rank || call.x[3] !== undefined || value === undefined || mode !== 'constant' || pads.some(pad => pad < 0)) return undefined;
    return call.tf.pad(
      call.x[0] as TfTensor,
      Array.from({ length: rank }, (_, axis): [number, number] => [pads[axis] ?? 0, pads[axis + rank] ?? 0]),
      Number(value),
    );
  },
  Gather: call => {
    const own = shapeOf(call, 0);
    const axis = intOf(call.bound.node, 'axis', 0);
    const at = axis < 0 ? axis + own.length : axis;
    const indices = call.bound.constants[1];
    if (indices === undefined || call.x[0]?.dtype === 'bool') return undefined;
    const wrapped = Int32Array.from(listOf(call, 1) ?? [], index => (index < 0 ? index + (own[at] ?? 0) : index));
    return call.tf.gather(call.x[0] as TfTensor, call.tf.tensor(wrapped, indices.dims, 'int32'), at);
  },
  MatMul: two((tf, a, b) => tf.matMul(a, b)),
  Gemm: ({ tf, x: [a, b, c], bound: { node } }) => {
    const scaled = (value: TfTensor, factor: number) => (factor === 1 ? value : tf.mul(value, tf.scalar(factor)));
    const product = scaled(tf.matMul(a as TfTensor, b as TfTensor, intOf(node, 'transA', 0) === 1, intOf(node, 'transB', 0) === 1), floatOf(node, 'alpha', 1));
    return c === undefined ? product : tf.add(product, scaled(c, floatOf(node, 'beta', 1)));
  },
};

/** Everything that no window slides in. */
export const plainKernels: Readonly<Record<string, Kernel>> = { ...activations, ...arithmetic, ...logic, ...reductions, ...shapes };
