import { z } from 'zod';
import type { Builder } from '../builder.ts';
import { type Dim, type F64Tensor, float, int, ints, sizeOf } from '../ir.ts';
import type { Bound, Operator, Tie } from '../operator.ts';
import { broadcastDims, broadcastStrides, offsets, transpose } from './_array.ts';
import { atOne, dimsAt, reduceTo, row, scaled, tie, typeAt, valueAt, wrong } from './_row.ts';

/** c[m,n] += Σk a[m,k]·b[k,n] at given places. */
function multiply(a: Float64Array, aAt: number, b: Float64Array, bAt: number, c: Float64Array, cAt: number, m: number, k: number, n: number): void {
  for (let i = 0; i < m; i++)
    for (let p = 0; p < k; p++) {
      const left = a[aAt + i * k + p] as number;
      for (let j = 0; j < n; j++) c[cAt + i * n + j]! += left * (b[bAt + p * n + j] as number);
    }
}

const gemmAttributes = z.object({ alpha: z.number().default(1), beta: z.number().default(1), transA: z.number().default(0), transB: z.number().default(0) });
type GemmAttributes = z.infer<typeof gemmAttributes>;
function gemmDims(bound: Bound<GemmAttributes>, a: readonly Dim[], b: readonly Dim[]): { readonly m: Dim; readonly k: Dim; readonly n: Dim } {
  if (a.length !== 2 || b.length !== 2) throw wrong(bound, `[${a}] and [${b}] are no matrices`);
  const [m, k] = (bound.attributes.transA ? [a[1], a[0]] : a) as [Dim, Dim];
  const [kb, n] = (bound.attributes.transB ? [b[1], b[0]] : b) as [Dim, Dim];
  if (k !== kb && typeof k === 'number' && typeof kb === 'number') throw wrong(bound, `[${a}] and [${b}] do not fit`);
  return { m, k, n };
}
const gemm = row<GemmAttributes>({
  type: 'Gemm',
  attributes: gemmAttributes,
  shape: bound => {
    const { m, n } = gemmDims(bound, dimsAt(bound, 0), dimsAt(bound, 1));
    return [{ dataType: typeAt(bound, 0).dataType, dims: [m, n] }];
  },
  reference: (bound, inputs) => {
    const { alpha, beta, transA, transB } = bound.attributes;
    const [a, b] = [valueAt(bound, inputs, 0), valueAt(bound, inputs, 1)];
    const { m, k, n } = gemmDims(bound, a.dims, b.dims) as { m: number; k: number; n: number };
    const data = new Float64Array(m * n);
    multiply((transA ? transpose(a, [1, 0]) : a).data, 0, (transB ? transpose(b, [1, 0]) : b).data, 0, data, 0, m, k, n);
    const c = inputs[2];
    const at = c ? offsets([m, n], broadcastStrides(c.dims, [m, n])) : undefined;
    return [{ dims: [m, n], data: data.map((v, i) => alpha * v + (c && at ? beta * (c.data[at[i] as number] as number) : 0)) }];
  },
  gradient: ({ bound, builder, outputs, outputGradients, wanted }) => {
    const dy = outputGradients[0];
    const out = outputs[0]?.dims;
    if (dy === undefined || out === undefined) return [];
    const [a, b] = bound.node.inputs as [string, string];
    const { alpha, beta, transA, transB } = bound.attributes;
    const product = (left: string, right: string, tA: number, tB: number) => builder.op('Gemm', [left, right], { alpha: float(alpha), transA: int(tA), transB: int(tB) });
    const dc = () => reduceTo(builder, dy, out, dimsAt(bound, 2));
    return [
      wanted[0] ? (transA ? product(b, dy, transB, 1) : product(dy, b, 0, 1 - transB)) : undefined,
      wanted[1] ? (transB ? product(dy, a, 1, transA) : product(a, dy, 1 - transA, 0)) : undefined,
      wanted[2] ? (beta === 1 ? dc() : scaled(builder, dc(), beta)) : undefined,
    ];
  },
  ties: bound => {
    const { transA, transB } = bound.attributes;
    const bias = bound.inputs[2]?.dims ?? [];
    const out = gemmDims(bound, dimsAt(bound, 0), dimsAt(bound, 1));
    return [
      tie(['in', 0], transA ? 1 : 0, ['out', 0], 0),
      tie(['in', 0], transA ? 0 : 1, ['in', 1], transB ? 1 : 0),
      tie(['in', 1], transB ? 0 : 1, ['out', 0], 1),
      ...(bias.length > 0 && bias[bias.length - 1] === out.n ? [tie(['in', 2], bias.length - 1, ['out', 0], 1)] : []),
    ];
  },
  quantize: { kind: 'weighted', weightInput: 1, weightAxis: 0 },
  macs: (bound, [y]) => sizeOf(atOne(y?.dims ?? [])) * (atOne(dimsAt(bound, 0))[bound.attributes.transA ? 0 : 1] ?? 1),
});

/** Operand dims with vectors made matrices, the broadcast batch, and the result's dims (numpy.matmul). */
function matmulDims(bound: Bound<unknown>, a: readonly Dim[], b: readonly Dim[]) {
  const left = a.length === 1 ? [1, ...a] : a;
  const right = b.length === 1 ? [...b, 1] : b;
  if (a.length === 0 || b.length === 0) throw wrong(bound, 'scalars have no matrix product');
  const [m, k] = left.slice(-2) as [Dim, Dim];
  const [kb, n] = right.slice(-2) as [Dim, Dim];
  if (k !== kb && typeof k === 'number' && typeof kb === 'number') throw wrong(bound, `[${a}] and [${b}] do not fit`);
  const batch = broadcastDims(bound, [left.slice(0, -2), right.slice(0, -2)]);
  return { left, right, batch, m, k, n, out: [...batch, ...(a.length === 1 ? [] : [m]), ...(b.length === 1 ? [] : [n])] };
}
function matmul(bound: Bound<unknown>, a: F64Tensor, b: F64Tensor): F64Tensor {
  const g = matmulDims(bound, a.dims, b.dims);
  const [m, k, n] = [g.m, g.k, g.n] as [number, number, number];
  const batch = g.batch as number[];
  const aAt = offsets(batch, broadcastStrides(g.left.slice(0, -2) as number[], batch));
  const bAt = offsets(batch, broadcastStrides(g.right.slice(0, -2) as number[], batch));
  const data = new Float64Array(sizeOf(batch) * m * n);
  for (let i = 0; i < aAt.length; i++) multiply(a.data, (aAt[i] as number) * m * k, b.data, (bAt[i] as number) * k * n, data, i * m * n, m, k, n);
  return { dims: g.out as number[], data };
}
const swapLast = (builder: Builder, value: string, rank: number): string =>
  builder.op('Transpose', [value], { perm: ints([...Array.from({ length: rank - 2 }, (_, axis) => axis), rank - 1, rank - 2]) });

const matMul = row({
  type: 'MatMul',
  shape: bound => [{ dataType: typeAt(bound, 0).dataType, dims: matmulDims(bound, dimsAt(bound, 0), dimsAt(bound, 1)).out }],
  reference: (bound, inputs) => [matmul(bound, valueAt(bound, inputs, 0), valueAt(bound, inputs, 1))],
  gradient: ({ bound, builder, outputGradients, wanted }) => {
    const given = outputGradients[0];
    if (given === undefined) return [];
    const [a, b] = bound.node.inputs as [string, string];
    const [aDims, bDims] = [dimsAt(bound, 0), dimsAt(bound, 1)];
    const g = matmulDims(bound, aDims, bDims);
    // Vectors become matrices for the products, and vectors again at the end.
    const rowAxis = aDims.length === 1 ? [g.batch.length] : [];
    const columnAxis = bDims.length === 1 ? [g.batch.length + 1] : [];
    const widen = (value: string, axes: readonly number[]) => (axes.length === 0 ? value : builder.op('Unsqueeze', [value, builder.indices(axes)]));
    const narrow = (value: string, axes: readonly number[]) => (axes.length === 0 ? value : builder.op('Squeeze', [value, builder.indices(axes)]));
    const dy = widen(given, [...rowAxis, ...columnAxis]);
    const left = widen(a, aDims.length === 1 ? [0] : []);
    const right = widen(b, bDims.length === 1 ? [1] : []);
    const da = () => reduceTo(builder, builder.op('MatMul', [dy, swapLast(builder, right, g.right.length)]), [...g.batch, g.m, g.k], g.left);
    const db = () => reduceTo(builder, builder.op('MatMul', [swapLast(builder, left, g.left.length), dy]), [...g.batch, g.k, g.n], g.right);
    return [wanted[0] ? narrow(da(), aDims.length === 1 ? [0] : []) : undefined, wanted[1] ? narrow(db(), bDims.length === 1 ? [1] : []) : undefined];
  },
  ties: bound => {
    const [a, b] = [dimsAt(bound, 0), dimsAt(bound, 1)];
    const g = matmulDims(bound, a, b);
    const batch = (dims: readonly Dim[], k: number): Tie[] =>
      dims
        .slice(0, -2)
        .flatMap((dim, axis) => (dim === g.batch[axis + g.batch.length - dims.length + 2] ? [tie(['in', k], axis, ['out', 0], axis + g.batch.length - dims.length + 2)] : []));
    return [
      ...batch(a, 0),
      ...batch(b, 1),
      ...(a.length > 1 ? [tie(['in', 0], a.length - 2, ['out', 0], g.batch.length)] : []),
      tie(['in', 0], a.length - 1, ['in', 1], Math.max(0, b.length - 2)),
      ...(b.length > 1 ? [tie(['in', 1], b.length - 1, ['out', 0], g.out.length - 1)] : []),
    ];
  },
  quantize: { kind: 'weighted', weightInput: 1, weightAxis: 1 },
  macs: (bound, [y]) => sizeOf(atOne(y?.dims ?? [])) * (atOne(dimsAt(bound, 0)).at(-1) ?? 1),
});

export const matrix: readonly Operator[] = [gemm, matMul];
