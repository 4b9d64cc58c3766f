import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readOnnx } from '../../src/formats/onnx.ts';
import { Builder } from '../../src/graph/builder.ts';
import { evaluate } from '../../src/graph/evaluate.ts';
import { foldBatchNorm, foldConstants } from '../../src/graph/fold.ts';
import { type F64Tensor, f32, float, type Graph, int, sizeOf } from '../../src/graph/ir.ts';
import { hasShared, shared } from '../shared.ts';
import { Random, spread } from './_cases.ts';
import { distance, runOnnxruntime } from './_onnxruntime.ts';

const r = new Random(11);
const tensor = (dims: readonly number[], low = -1, high = 1) => f32(dims, spread(r, dims, low, high).data);
const feedsOf = (graph: Graph): Map<string, F64Tensor> =>
  new Map(
    graph.inputs.map(({ name, type }) => [
      name,
      {
        dims: type.dims.map(d => (typeof d === 'number' ? d : 2)),
        data: Float64Array.from(
          spread(
            r,
            type.dims.map(d => (typeof d === 'number' ? d : 2)),
          ).data,
        ),
      },
    ]),
  );
const same = (a: Graph, b: Graph, tolerance = 1e-5): void => {
  const feeds = feedsOf(a);
  const [left, right] = [evaluate(a, feeds), evaluate(b, feeds)];
  for (const { name } of a.outputs) expect(distance(right.get(name) as F64Tensor, left.get(name) as F64Tensor)).toBeLessThan(tolerance);
};
const norm = (b: Builder, x: string, c: number, name: string): string =>
  b.op(
    'BatchNormalization',
    [x, b.weight(`${name}.g`, tensor([c], 0.5, 1.5)), b.weight(`${name}.b`, tensor([c])), b.weight(`${name}.m`, tensor([c])), b.weight(`${name}.v`, tensor([c], 0.5, 1.5))],
    { epsilon: float(1e-3) },
    { name },
  );

describe('folding', () => {
  it('multiplies norms and per-channel constants into what stands before them', () => {
    const b = new Builder();
    b.input('x', 'float32', ['N', 4, 6, 6]);
    const depthwise = norm(b, b.op('Conv', ['x', b.weight('dw', tensor([4, 1, 3, 3]))], { group: int(4) }), 4, 'n1');
    const up = norm(b, b.op('ConvTranspose', [b.op('Relu', [depthwise]), b.weight('up', tensor([4, 3, 2, 2])), b.weight('upb', tensor([3]))], {}), 3, 'n2');
    const conv = b.op('Conv', [up, b.weight('w', tensor([5, 3, 1, 1]))], {});
    const scaled = b.op('Add', [
      b.op('Mul', [b.constant(tensor([5, 1, 1]).data as Float32Array, [5, 1, 1]), conv]),
      b.constant(tensor([1, 5, 1, 1]).data as Float32Array, [1, 5, 1, 1]),
    ]);
    const flat = b.op('Flatten', [b.op('GlobalAveragePool', [norm(b, scaled, 5, 'n3')])]);
    norm(b, b.op('Gemm', [flat, b.weight('fc', tensor([5, 7])), b.weight('fcb', tensor([7]))], { transB: int(0) }), 7, 'n4');
    b.output(b.nodes.at(-1)?.outputs[0] as string, 'float32', ['N', 7]);
    const folded = foldBatchNorm(b.graph());
    expect(folded.nodes.map(n => n.type)).toEqual(['Conv', 'Relu', 'ConvTranspose', 'Conv', 'GlobalAveragePool', 'Flatten', 'Gemm']);
    expect(folded.initializers.has('w')).toBe(true);
    expect(folded.initializers.has('n1.g')).toBe(false);
    same(b.graph(), folded);
  });

  it('leaves a shared weight to its other reader, and a convolution that others read', () => {
    const b = new Builder();
    b.input('x', 'float32', [1, 2, 4, 4]);
    const w = b.weight('w', tensor([2, 2, 1, 1]));
    const once = norm(b, b.op('Conv', ['x', w], {}), 2, 'n1');
    const twice = b.op('Conv', [once, w], {});
    b.op('Add', [norm(b, twice, 2, 'n2'), twice], {}, { output: 'y' });
    b.output('y', 'float32', [1, 2, 4, 4]);
    const folded = foldBatchNorm(b.graph());
    expect(folded.nodes.map(n => n.type)).toEqual(['Conv', 'Conv', 'BatchNormalization', 'Add']);
    same(b.graph(), folded);
  });

  it('computes shape arithmetic, drops Identity and Dropout, keeps output names and Q/DQ', () => {
    const b = new Builder();
    b.input('x', 'float32', ['N', 2, 3, 3]);
    const shape = b.op('Shape', ['x']);
    const wide = b.op('Mul', [b.op('Gather', [shape, b.indices([2])]), b.op('Gather', [shape, b.indices([3])])]);
    const rows = b.op('Gather', [shape, b.indices([0])]);
    const target = b.op('Concat', [rows, b.indices([2]), wide], { axis: int(0) });
    const flat = b.op('Reshape', [b.op('Identity', ['x']), target]);
    const q = b.op('DequantizeLinear', [b.op('QuantizeLinear', [b.constant(tensor([2, 9]).data as Float32Array, [2, 9]), b.constant(0.1)]), b.constant(0.1)]);
    const added = b.op('Add', [flat, b.op('Mul', [q, b.op('Sqrt', [b.constant(4)])])]);
    b.op('Dropout', [added], {}, { output: 'y' });
    b.output('y', 'float32', ['N', 2, 9]);
    const folded = foldConstants(b.graph());
    const types = folded.nodes.map(n => n.type);
    expect(types).not.toContain('Dropout');
    expect(types).not.toContain('Sqrt');
    expect(types.filter(t => t.endsWith('Linear'))).toHaveLength(2);
    same(b.graph(), folded);
    const bound = foldConstants({ ...b.graph(), inputs: [{ name: 'x', type: { dataType: 'float32', dims: [1, 2, 3, 3] } }] });
    expect(bound.nodes.map(n => n.type).filter(t => t === 'Shape' || t === 'Gather' || t === 'Concat')).toEqual([]);
  });

  it('does not fold what would grow without bound', () => {
    const b = new Builder();
    b.op('Expand', [b.constant(1), b.indices([1 << 15, 1 << 15, 1 << 10])], {}, { output: 'big' });
    b.op('ReduceSum', ['big'], {}, { output: 'y' });
    b.output('y', 'float32', [1, 1, 1]);
    expect(foldConstants(b.graph()).nodes.map(n => n.type)).toContain('Expand');
    expect(() => evaluate(b.graph(), new Map())).toThrow(expect.objectContaining({ code: 'limit-exceeded' }));
  });
});

describe.skipIf(!hasShared)('folding real models', () => {
  for (const file of hasShared ? readdirSync(shared('models')).filter(name => name.endsWith('.onnx')) : [])
    it(`${file} keeps its outputs`, async () => {
      const graph = readOnnx(readFileSync(shared('models', file)));
      const folded = foldBatchNorm(foldConstants(graph));
      expect(folded.nodes.length).toBeLessThanOrEqual(graph.nodes.length);
      const random = new Random(2);
      const feeds = new Map(
        graph.inputs.map(({ name, type }) => [
          name,
          { dims: type.dims as number[], data: Float64Array.from({ length: sizeOf(type.dims as number[]) }, () => Math.fround(random.next() * 2 - 1)) },
        ]),
      );
      const before = await runOnnxruntime(graph, feeds, graph.inputs);
      const after = await runOnnxruntime(folded, feeds, graph.inputs);
      for (const [name, value] of before) expect(distance(after.get(name) as F64Tensor, value)).toBeLessThan(1e-4);
    });
});
