import { describe, expect, it } from 'vitest';
import { Builder } from '../../src/graph/builder.ts';
import { differentiate } from '../../src/graph/differentiate.ts';
import { evaluate } from '../../src/graph/evaluate.ts';
import { type Attributes, type F64Tensor, f32, float, type Graph, int, ints } from '../../src/graph/ir.ts';
import type { Tie } from '../../src/graph/operator.ts';
import { infer, inferShapes } from '../../src/graph/shapes.ts';
import { toTrainingForm } from '../../src/graph/training-form.ts';
import { atOpset17 } from '../../src/graph/upgrade.ts';
import { Random, spread } from './_cases.ts';

const r = new Random(21);
const tensor = (dims: readonly number[], low = -1, high = 1) => f32(dims, spread(r, dims, low, high).data);

/** A residual network with shared values, both norms kinds, pooling and a classifier. */
function residual(): Graph {
  const b = new Builder('residual');
  b.input('x', 'float32', [2, 3, 6, 6]);
  const norm = (x: string, c: number, name: string) =>
    b.op(
      'BatchNormalization',
      [x, b.weight(`${name}.g`, tensor([c], 0.5, 1.5)), b.weight(`${name}.b`, tensor([c])), b.weight(`${name}.m`, tensor([c])), b.weight(`${name}.v`, tensor([c], 0.5, 1.5))],
      { epsilon: float(1e-3), momentum: float(0.99) },
      { name },
    );
  const stem = b.op('Relu', [norm(b.op('Conv', ['x', b.weight('w1', tensor([4, 3, 3, 3]))], { pads: ints([1, 1, 1, 1]) }), 4, 'bn1')]);
  const branch = norm(b.op('Conv', [stem, b.weight('w2', tensor([4, 4, 3, 3]))], { pads: ints([1, 1, 1, 1]) }), 4, 'bn2');
  const joined = b.op('Relu', [b.op('Add', [branch, stem])]);
  const flat = b.op('Flatten', [b.op('GlobalAveragePool', [b.op('MaxPool', [joined], { kernel_shape: ints([2, 2]), strides: ints([2, 2]) })])]);
  const logits = b.op('Gemm', [flat, b.weight('fc', tensor([3, 4])), b.weight('fcb', tensor([3]))], { transB: int(1) });
  const picked = b.op('Mul', [b.op('LogSoftmax', [logits]), b.constant([1, 0, 0, 0, 0, 1], [2, 3])]);
  b.op('Neg', [b.op('ReduceMean', [picked], { keepdims: int(0) })], {}, { output: 'loss' });
  b.output('loss', 'float32', []);
  return b.graph();
}

describe('differentiation', () => {
  const { graph, norms } = toTrainingForm(residual(), { frozenNorms: ['bn2'] });
  const feeds = new Map<string, F64Tensor>([['x', { dims: [2, 3, 6, 6], data: Float64Array.from(spread(r, [2, 3, 6, 6]).data) }]]);

  it('puts norms that learn into training form and leaves frozen ones', () => {
    expect(norms).toMatchObject([{ node: 'bn1', runningMean: 'bn1.m', runningVariance: 'bn1.v', count: 72 }]);
    expect(norms[0]?.momentum).toBeCloseTo(0.99, 6);
    expect(graph.nodes.filter(n => n.type === 'BatchNormalization').map(n => n.name)).toEqual(['bn2']);
    const values = evaluate(graph, feeds);
    expect(values.get(norms[0]?.mean as string)?.dims).toEqual([4]);
    expect(inferShapes(graph).get(norms[0]?.variance as string)?.dims).toEqual([4]);
  });

  it('agrees with finite differences through a whole network', () => {
    const wrt = ['w1', 'w2', 'fc', 'fcb', 'bn1.g', 'bn1.b', 'bn2.g', 'bn2.b', 'x'];
    const { graph: full, gradients } = differentiate(graph, { loss: 'loss', wrt });
    const values = evaluate(full, feeds);
    const lossWith = (name: string, i: number, by: number): number => {
      const fed = new Map(feeds);
      const initializers = new Map(graph.initializers);
      const weight = initializers.get(name);
      if (weight) initializers.set(name, { dims: weight.dims, dataType: 'float64', data: Float64Array.from(weight.data as Float32Array, (v, k) => (k === i ? v + by : v)) });
      else fed.set(name, { dims: (feeds.get(name) as F64Tensor).dims, data: (feeds.get(name) as F64Tensor).data.map((v, k) => (k === i ? v + by : v)) });
      return evaluate({ ...graph, initializers }, fed, ['loss']).get('loss')?.data[0] as number;
    };
    for (const name of wrt) {
      const analytic = values.get(gradients.get(name) as string) as F64Tensor;
      for (let k = 0; k < 4; k++) {
        const i = r.int(0, analytic.data.length - 1);
        const numeric = (lossWith(name, i, 1e-5) - lossWith(name, i, -1e-5)) / 2e-5;
        expect(Math.abs((analytic.data[i] as number) - numeric), `${name}[${i}]`).toBeLessThan(1e-5);
      }
    }
  });

  it('names the node without a gradient and the mend, and the weight that the loss does not see', () => {
    const b = new Builder();
    b.input('x', 'float32', [1, 2, 3]);
    b.weight('w', f32([1], [1]));
    b.weight('unused', f32([1], [1]));
    b.op(
      'ReduceSum',
      [b.op('CumSum', [b.op('Mul', ['x', 'w']), b.weight('axis', { dataType: 'int64', dims: [], data: BigInt64Array.of(1n) })], {}, { name: 'the-sum' })],
      { keepdims: int(0) },
      { output: 'loss' },
    );
    expect(() => differentiate(b.graph(), { loss: 'loss', wrt: ['w'] })).toThrow(
      expect.objectContaining({ code: 'gradient-missing', message: expect.stringContaining('the-sum'), hint: expect.stringContaining('Freeze the layers up to "the-sum"') }),
    );
    expect(() => differentiate(b.graph(), { loss: 'loss', wrt: ['unused'] })).toThrow(expect.objectContaining({ code: 'gradient-missing' }));
    expect(() => differentiate(b.graph(), { loss: 'x', wrt: ['w'] })).toThrow(expect.objectContaining({ code: 'graph-invalid' }));
  });
});

describe('what has no gradient', () => {
  /** x·w → an operator → Σ, and the running sum of another weight beside it. */
  const network = (type: string, attributes: Attributes, more: (b: Builder) => readonly string[]): Graph => {
    const b = new Builder();
    b.input('x', 'float32', [1, 1, 3, 3]);
    b.weight('below', f32([1], [2]));
    b.weight('above', f32([1], [3]));
    const middle = b.op(type, [b.op('Mul', ['x', 'below']), ...more(b)], attributes, { name: 'the-node' });
    b.op('ReduceSum', [b.op('Mul', [middle, 'above'])], { keepdims: int(0) }, { output: 'loss' });
    return b.graph();
  };
  it.each([
    ['CumSum', {}, (b: Builder) => [b.weight('axis', { dataType: 'int64', dims: [], data: BigInt64Array.of(2n) })]],
    ['GridSample', { mode: { type: 'string', value: 'bicubic' } }, (b: Builder) => [b.constant(new Float32Array(18), [1, 3, 3, 2])]],
  ] as const)('%s is named with its node and the way out, and that way is open', (type, attributes, more) => {
    const graph = network(type, attributes, more);
    expect(() => differentiate(graph, { loss: 'loss', wrt: ['below', 'above'] })).toThrow(
      expect.objectContaining({
        code: 'gradient-missing',
        message: expect.stringContaining('the-node'),
        hint: expect.stringMatching(/Freeze the layers up to "the-node" .*training\.freeze in edgeforge\.yaml/),
      }),
    );
    expect([...differentiate(graph, { loss: 'loss', wrt: ['above'] }).gradients.keys()]).toEqual(['above']);
  });
  it('names the node of an operator that nobody knows', () => {
    expect(() =>
      differentiate(
        network('Hardmax', {}, () => []),
        { loss: 'loss', wrt: ['above'] },
      ),
    ).toThrow(expect.objectContaining({ code: 'operator-unsupported', message: expect.stringContaining('the-node') }));
  });
});

describe('dropout in training form', () => {
  const dims = [8, 500];
  const build = (opset: number, ratio: number): Graph => {
    const b = new Builder('dropping', { '': opset });
    b.input('x', 'float32', dims);
    b.input('step', 'int64', []);
    const operands = (name: string) => (opset < 12 ? [name] : [name, b.constant(ratio)]);
    const attributes = opset < 12 ? { ratio: float(ratio) } : {};
    b.op('Dropout', operands(b.op('Dropout', operands('x'), attributes)), attributes, { output: 'y' });
    b.output('y', 'float32', dims);
    return b.graph();
  };
  const x = { dims, data: new Float64Array(4000).fill(1) };
  const drop = (graph: Graph, step: number): Float64Array => {
    const feeds = new Map<string, F64Tensor>([
      ['x', x],
      ['step', { dims: [], data: Float64Array.of(step) }],
    ]);
    return evaluate(graph, feeds).get('y')?.data as Float64Array;
  };
  const form = (seed: number, ratio = 0.25, opset = 17) => toTrainingForm(atOpset17(build(opset, ratio)), { frozenNorms: [], dropout: { seed, step: 'step' } }).graph;

  it('drops the stated share, scales the rest so that the mean stays, and says the same again', () => {
    const y = drop(form(7), 3);
    expect(new Set(y)).toEqual(new Set([0, (4 / 3) ** 2]));
    // Two dropouts keep 9/16; one standard deviation of the share is 0.008.
    expect(Math.abs(y.filter(v => v > 0).length / y.length - 9 / 16)).toBeLessThan(0.03);
    expect(drop(form(7), 3)).toEqual(y);
    expect(drop(form(7, 0.25, 10), 3)).toEqual(y);
  });
  it('drops others with another step, seed, element and node', () => {
    const kept = (seed: number, step: number) => drop(toTrainingForm(build(17, 0.5), { frozenNorms: [], dropout: { seed, step: 'step' } }).graph, step).map(v => (v > 0 ? 1 : 0));
    /** Correlation of two masks that each keep a quarter; its standard deviation is 0.016. */
    const alike = (a: Float64Array, b: Float64Array): number => a.reduce((sum, v, k) => sum + (v - 0.25) * ((b[k] as number) - 0.25), 0) / a.length / (0.25 * 0.75);
    const base = kept(1, 1);
    const shifted = (by: number) => base.map((_, k) => base[(k + by) % base.length] as number);
    for (const other of [kept(1, 2), kept(1, 1000), kept(2, 1), shifted(1), shifted(500)]) expect(Math.abs(alike(base, other))).toBeLessThan(0.06);
  });
  it('passes everything on where it is not wanted', () => {
    const { graph } = toTrainingForm(build(17, 0.5), { frozenNorms: [] });
    expect(drop(graph, 1)).toEqual(x.data);
  });
});

describe('newer opsets', () => {
  it('are told in opset 17 where they can be', () => {
    const said = (type: string, opset: number, attributes: Attributes = {}) => {
      const b = new Builder('newer', { '': opset });
      b.input('x', 'float32', [1, 1, 4, 4]);
      b.op(type, ['x'], attributes, { output: 'y', name: 'the-node' });
      b.output('y', 'float32', [1, 1, 4, 4]);
      return { own: b.graph(), told: atOpset17(b.graph()) };
    };
    const fed = new Map([['x', { dims: [1, 1, 4, 4], data: Float64Array.from({ length: 16 }, (_, k) => k / 3 - 2) }]]);
    for (const { own, told } of [said('Mish', 18), said('Swish', 24, { alpha: float(1.5) }), said('Swish', 24)]) {
      const [a, b] = [own, told].map(graph => evaluate(graph, fed).get('y')?.data as Float64Array) as [Float64Array, Float64Array];
      expect(Math.max(...a.map((v, k) => Math.abs(v - (b[k] as number))))).toBeLessThan(1e-12);
      expect(told.nodes.map(node => node.type)).not.toContain(own.nodes[0]?.type);
    }
    const dilated = { kernel_shape: ints([2, 2]), dilations: ints([2, 2]), pads: ints([1, 1, 1, 1]) };
    expect(() => said('AveragePool', 19, dilated)).toThrow(expect.objectContaining({ code: 'operator-unsupported', message: expect.stringContaining('the-node') }));
  });
});

describe('ties of channels', () => {
  const tiesOf = (build: (b: Builder) => void): readonly Tie[] | { readonly locked: string } => {
    const b = new Builder();
    b.input('x', 'float32', ['N', 6, 4, 5]);
    b.input('z', 'float32', ['N', 2, 4, 5]);
    build(b);
    const last = infer(b.graph()).bound.at(-1);
    return last?.operator.ties(last.bound) as readonly Tie[] | { readonly locked: string };
  };
  const text = (ties: readonly Tie[] | { readonly locked: string }): string[] =>
    'locked' in ties
      ? ['locked']
      : ties.map(t => `${t.from.join('')}.${t.fromAxis}>${t.to.join('')}.${t.toAxis}${t.offset ? `+${t.offset}` : ''}${t.repeat !== 1 ? `×${t.repeat}` : ''}`);
  it('of convolutions: plain, depthwise with a multiplier, grouped', () => {
    expect(text(tiesOf(b => b.op('Conv', ['x', b.weight('w', tensor([8, 6, 1, 1])), b.weight('c', tensor([8]))])))).toEqual([
      'in0.0>out0.0',
      'in0.1>in1.1',
      'in1.0>out0.1',
      'in2.0>out0.1',
    ]);
    expect(text(tiesOf(b => b.op('Conv', ['x', b.weight('w', tensor([12, 1, 1, 1]))], { group: int(6) })))).toEqual(['in0.0>out0.0', 'in0.1>in1.0×2', 'in1.0>out0.1']);
    expect(text(tiesOf(b => b.op('Conv', ['x', b.weight('w', tensor([4, 3, 1, 1]))], { group: int(2) })))).toEqual(['locked']);
  });
  it('of joins, flattening, channel shuffle and broadcasting', () => {
    expect(text(tiesOf(b => b.op('Concat', ['x', 'z'], { axis: int(1) })))).toContain('in1.1>out0.1+6');
    expect(text(tiesOf(b => b.op('Flatten', ['x'])))).toEqual(['in0.0>out0.0', 'in0.1>out0.1×20']);
    expect(text(tiesOf(b => b.op('Reshape', ['x', b.indices([0, 6, -1])])))).toEqual(['in0.0>out0.0', 'in0.1>out0.1', 'in0.2>out0.2×5']);
    expect(text(tiesOf(b => b.op('Reshape', ['x', b.indices([0, 2, 3, 4, 5])])))).toEqual(['locked']);
    expect(text(tiesOf(b => b.op('Mul', ['x', b.weight('s', tensor([6, 1, 1]))])))).toEqual(['in0.0>out0.0', 'in0.1>out0.1', 'in0.2>out0.2', 'in0.3>out0.3', 'in1.0>out0.1']);
    expect(text(tiesOf(b => b.op('Transpose', ['x'], { perm: ints([0, 2, 3, 1]) })))).toContain('in0.1>out0.3');
    expect(text(tiesOf(b => b.op('Softmax', ['x'], { axis: int(1) })))).not.toContain('in0.1>out0.1');
    expect(text(tiesOf(b => b.op('ReduceMean', ['x'], { axes: ints([2, 3]), keepdims: int(0) })))).toEqual(['in0.0>out0.0', 'in0.1>out0.1']);
  });
});
