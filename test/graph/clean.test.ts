import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { EdgeError } from '../../src/core/errors.ts';
import { readOnnx } from '../../src/formats/onnx.ts';
import { Builder } from '../../src/graph/builder.ts';
import { atOpset17, bindBatch, cutAt, freeBatch, removeUnused, renameValues } from '../../src/graph/clean.ts';
import { costOf } from '../../src/graph/cost.ts';
import { evaluate } from '../../src/graph/evaluate.ts';
import { type F64Tensor, f32, float, type Graph, int, ints, type Node, sizeOf, text } from '../../src/graph/ir.ts';
import { inferShapes } from '../../src/graph/shapes.ts';
import { hasShared, shared } from '../shared.ts';
import { Random } from './_cases.ts';
import { distance, runOnnxruntime } from './_onnxruntime.ts';

const models = hasShared ? readdirSync(shared('models')).filter(name => name.endsWith('.onnx')) : [];
const load = (file: string): Graph => readOnnx(readFileSync(shared('models', file)));
const random = (graph: Graph, n?: number): Map<string, F64Tensor> => {
  const r = new Random(4);
  return new Map(
    graph.inputs.map(({ name, type }) => {
      const dims = type.dims.map((d, a) => (a === 0 && n !== undefined ? n : (d as number)));
      return [name, { dims, data: Float64Array.from({ length: sizeOf(dims) }, () => Math.fround(r.next() * 2 - 1)) }];
    }),
  );
};
const chain = (): Graph => {
  const b = new Builder('chain');
  b.input('x', 'float32', [1, 4]);
  b.op('Relu', ['x'], {}, { output: 'a' });
  b.op('Add', ['a', b.weight('w', f32([4], [1, 2, 3, 4]))], {}, { output: 'b' });
  b.op('Mul', ['b', b.weight('v', f32([1], [2]))], {}, { output: 'y' });
  b.op('Neg', ['a'], {}, { output: 'dead' });
  b.output('y', 'float32', [1, 4]);
  return b.graph();
};

describe('cleaning', () => {
  it('drops what no output needs, cuts at a value, renames', () => {
    expect(removeUnused(chain()).nodes.map(n => n.type)).toEqual(['Relu', 'Add', 'Mul']);
    const cut = cutAt(chain(), 'b');
    expect([cut.nodes.length, [...cut.initializers.keys()], cut.outputs]).toEqual([2, ['w'], [{ name: 'b', type: { dataType: 'float32', dims: [1, 4] } }]]);
    expect(() => cutAt(chain(), 'B')).toThrow(EdgeError);
    const renamed = renameValues(
      chain(),
      new Map([
        ['y', 'output'],
        ['w', 'bias'],
      ]),
    );
    expect([renamed.outputs[0]?.name, renamed.nodes[1]?.inputs, renamed.initializers.has('bias')]).toEqual(['output', ['a', 'bias'], true]);
    expect(() => renameValues(chain(), new Map([['y', 'b']]))).toThrow(EdgeError);
  });

  it('says which node an unknown operator is', () => {
    const graph = chain();
    const odd = { ...graph, nodes: graph.nodes.map((n): Node => (n.type === 'Add' ? { ...n, type: 'Magic', name: 'the-odd-one' } : n)) };
    expect(() => inferShapes(odd)).toThrow(expect.objectContaining({ code: 'operator-unsupported', message: expect.stringContaining('the-odd-one') }));
    expect(cutAt(odd, 'a').nodes).toHaveLength(1);
  });
});

describe.skipIf(!hasShared)('real models', () => {
  for (const file of models.filter(name => !name.includes('1.0_224'))) {
    it(`${file}: a free batch, and a batch of 3, give each image what it gets alone`, async () => {
      const graph = load(file);
      const free = freeBatch(graph);
      expect(free.inputs[0]?.type.dims[0]).toBe('N');
      expect(free.outputs.every(o => o.type.dims[0] === 'N')).toBe(true);
      expect(inferShapes(free, { N: 5 }).get(graph.outputs[0]?.name as string)?.dims[0]).toBe(5);
      const three = bindBatch(graph, 3);
      const feeds = random(graph, 3);
      const last = new Map([...feeds].map(([name, t]) => [name, { dims: [1, ...t.dims.slice(1)], data: t.data.slice((t.data.length / 3) * 2) }]));
      const [a, b, c] = [await runOnnxruntime(three, feeds, three.inputs), await runOnnxruntime(free, feeds, free.inputs), await runOnnxruntime(graph, last, graph.inputs)];
      for (const { name } of graph.outputs) {
        const [left, middle, right] = [a.get(name), b.get(name), c.get(name)] as [F64Tensor, F64Tensor, F64Tensor];
        expect(distance(middle, left)).toBeLessThan(1e-4);
        expect(distance({ dims: right.dims, data: left.data.slice((left.data.length / 3) * 2) }, right)).toBeLessThan(1e-4);
      }
    });
  }
  for (const file of models) {
    it(`${file}: in opset 17 it says the same, and its cost is known`, async () => {
      const graph = load(file);
      const modern = atOpset17(graph);
      expect(modern.opsets['']).toBe(17);
      const feeds = random(graph);
      const [before, after] = [await runOnnxruntime(graph, feeds, graph.inputs), await runOnnxruntime(modern, feeds, graph.inputs)];
      for (const [name, value] of before) expect(distance(after.get(name) as F64Tensor, value)).toBeLessThan(1e-5);
      expect(costOf(graph).macs).toBe(costOf(modern).macs);
    });
  }
  it('knows the published cost of MobileNetV1 and MobileNetV2', () => {
    const v1 = costOf(load('mobilenet_v1_1.0_224_dequantized.onnx'));
    expect(v1.macs / 1e6).toBeCloseTo(569, -1);
    expect(v1.parameters / 1e6).toBeCloseTo(4.2, 1);
    expect(costOf(load('mobilenet_v2_1.0_224_dequantized.onnx')).macs / 1e6).toBeCloseTo(300, -1);
  });
  it('the float64 reference runs a whole network as onnxruntime does', async () => {
    const graph = load('resnet20_cifar10.onnx');
    const feeds = random(graph);
    const theirs = await runOnnxruntime(graph, feeds, graph.inputs);
    const ours = evaluate(graph, feeds);
    for (const [name, value] of theirs) expect(distance(ours.get(name) as F64Tensor, value)).toBeLessThan(1e-4);
  });
});

describe('opset 17', () => {
  const old = (opset: number, type: string, inputs: readonly string[], attributes: Node['attributes'], more?: (b: Builder) => void): Graph => {
    const b = new Builder('old', { '': opset });
    b.input('x', 'float32', [2, 3, 4]);
    more?.(b);
    b.ops(type, inputs, attributes, { outputs: ['y'], name: 'n' });
    const graph = b.graph();
    return { ...graph, outputs: [{ name: 'y', type: inferShapes(graph).get('y') as { dataType: 'float32'; dims: number[] } }] };
  };
  const forms: Readonly<Record<string, () => Graph>> = {
    'Softmax 11 over several axes': () => old(11, 'Softmax', ['x'], { axis: int(1) }),
    'LogSoftmax 11 by default': () => old(11, 'LogSoftmax', ['x'], {}),
    'Softmax 9 over one axis': () => old(9, 'Softmax', ['x'], { axis: int(2) }),
    'Clip 6': () => old(9, 'Clip', ['x'], { min: float(-0.25) }),
    'Squeeze 11': () => old(11, 'Unsqueeze', ['x'], { axes: ints([0]) }),
    'ReduceSum 11': () => old(11, 'ReduceSum', ['x'], { axes: ints([1]), keepdims: int(0) }),
    'Slice 9': () => old(9, 'Slice', ['x'], { starts: ints([1]), ends: ints([2 ** 63]), axes: ints([2]) }),
    'Pad 10': () => old(10, 'Pad', ['x'], { pads: ints([0, 1, 0, 0, 0, 2]), value: float(3), mode: text('constant') }),
    'Upsample 9': () => old(9, 'Upsample', ['x', 'scales'], { mode: text('nearest') }, b => b.weight('scales', f32([3], [1, 2, 2]))),
    'Resize 10': () => old(10, 'Resize', ['x', 'scales'], { mode: text('linear') }, b => b.weight('scales', f32([3], [1, 1, 2]))),
    'ReduceMean 18': () => old(18, 'ReduceMean', ['x', 'axes'], {}, b => b.weight('axes', { dataType: 'int64', dims: [1], data: BigInt64Array.of(1n) })),
    'Dropout 11': () => old(11, 'Dropout', ['x'], { ratio: float(0.5) }),
  };
  for (const [name, make] of Object.entries(forms))
    it(`${name} keeps its meaning`, async () => {
      const graph = make();
      const modern = atOpset17(graph);
      const feeds = random(graph);
      const before = await runOnnxruntime(graph, feeds, graph.inputs);
      const after = await runOnnxruntime(modern, feeds, graph.inputs);
      const ours = evaluate(graph, feeds);
      expect(distance(after.get('y') as F64Tensor, before.get('y') as F64Tensor)).toBeLessThan(1e-6);
      expect(distance(ours.get('y') as F64Tensor, before.get('y') as F64Tensor)).toBeLessThan(1e-5);
    });
  it('names the node that cannot be told', () => {
    expect(() => atOpset17(old(6, 'Add', ['x', 'w'], { broadcast: int(1), axis: int(1) }, b => b.weight('w', f32([3, 1], [1, 2, 3]))))).toThrow(
      expect.objectContaining({ code: 'operator-unsupported', message: expect.stringContaining('"n"') }),
    );
  });
});
