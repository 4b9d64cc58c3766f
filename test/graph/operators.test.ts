import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Builder } from '../../src/graph/builder.ts';
import { differentiate } from '../../src/graph/differentiate.ts';
import { evaluate } from '../../src/graph/evaluate.ts';
import { type F64Tensor, type Graph, sizeOf } from '../../src/graph/ir.ts';
import { operatorOf, operators } from '../../src/graph/ops/table.ts';
import { inferShapes } from '../../src/graph/shapes.ts';
import { type Case, cases, Random } from './_cases.ts';
import { distance, runOnnxruntime } from './_onnxruntime.ts';
import { type Single, single } from './_single.ts';

const seeds = (runs: number) => ({ numRuns: runs, seed: 20261124 });
const rowOf = (c: Case) => operatorOf({ type: c.type, domain: c.domain ?? '' }, 17);
const sample = (name: string, seed: number): Case => (cases[name] as (r: Random) => Case)(new Random(seed));

describe('every operator row', () => {
  it('has a case here, or is an internal gradient', () => {
    const covered = new Set(Object.keys(cases));
    const open = operators.filter(o => !covered.has(o.type) && !covered.has(`${o.domain}:${o.type}`)).map(o => `${o.domain}:${o.type}`);
    expect(open.sort()).toEqual([
      ':Constant',
      ':Upsample',
      'edge:AveragePoolGrad',
      'edge:BatchNormGrad',
      'edge:ConvGradInput',
      'edge:ConvGradWeight',
      'edge:MaxPoolGrad',
      'edge:ReluGrad',
    ]);
  });

  for (const name of Object.keys(cases)) {
    it(`${name}: inferred shapes are the evaluated ones`, () => {
      fc.assert(
        fc.property(fc.integer(), seed => {
          const { graph, feeds } = single(sample(name, seed));
          const values = evaluate(graph, feeds);
          for (const [value, type] of inferShapes(graph)) expect([value, ...(values.get(value)?.dims ?? [])]).toEqual([value, ...type.dims]);
        }),
        seeds(20),
      );
    });
  }
});

/** out·R summed, for random R: the loss whose gradient is asked. */
function withLoss({ graph }: Single, seed: number): Graph {
  const r = new Random(seed ^ 0x5bd1e995);
  const builder = Builder.from(graph);
  const parts = graph.outputs
    .filter(o => o.type.dataType === 'float32')
    .map(({ name, type }) => {
      const dims = type.dims as number[];
      const weights = builder.constant(
        Float32Array.from({ length: sizeOf(dims) }, () => r.next() * 2 - 1),
        dims,
      );
      return builder.op('ReduceSum', [builder.op('Mul', [name, weights])], { keepdims: { type: 'int', value: 0 } });
    });
  builder.op('Sum', parts.length > 0 ? parts : [builder.constant(0)], {}, { output: 'loss' });
  return builder.graph();
}
const lossAt = (graph: Graph, feeds: ReadonlyMap<string, F64Tensor>): number => evaluate(graph, feeds, ['loss']).get('loss')?.data[0] as number;

describe('gradients against finite differences of the reference', () => {
  for (const name of Object.keys(cases)) {
    const first = sample(name, 1);
    const gradient = rowOf(first)?.gradient;
    if (gradient === 'stop' || gradient === 'missing' || Array.from({ length: 9 }, (_, k) => sample(name, k)).every(c => single(c).smooth.length === 0)) continue;
    it(name, () => {
      fc.assert(
        fc.property(fc.integer(), seed => {
          const one = single(sample(name, seed));
          // BatchNormTrain's statistics are outputs that carry no gradient of their own.
          const graph = withLoss(name.startsWith('edge:') ? { ...one, graph: { ...one.graph, outputs: one.graph.outputs.slice(0, 1) } } : one, seed);
          if (one.smooth.length === 0) return;
          const { graph: full, gradients } = differentiate(graph, { loss: 'loss', wrt: one.smooth });
          const values = evaluate(full, one.feeds);
          const r = new Random(seed);
          for (const input of one.smooth) {
            const analytic = values.get(gradients.get(input) as string) as F64Tensor;
            const at = one.feeds.get(input) as F64Tensor;
            expect(analytic.dims).toEqual(at.dims);
            for (let k = 0; k < Math.min(6, at.data.length); k++) {
              const i = r.int(0, at.data.length - 1);
              const moved = (by: number) => lossAt(graph, new Map([...one.feeds, [input, { dims: at.dims, data: at.data.map((v, j) => (j === i ? v + by : v)) }]]));
              const h = 1e-4;
              // Fourth-order differences: the error is h⁴ times the fifth derivative.
              const numeric = (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h);
              const got = analytic.data[i] as number;
              expect(Math.abs(got - numeric), `${name} seed ${seed} ${input}[${i}]: ${got} against ${numeric}`).toBeLessThanOrEqual(1e-5 * Math.max(1, Math.abs(numeric)));
            }
          }
        }),
        seeds(12),
      );
    });
  }
});

describe('the reference against onnxruntime', () => {
  for (const name of Object.keys(cases).filter(n => !n.startsWith('edge:'))) {
    it(name, async () => {
      const seen = new Random(7);
      for (let k = 0; k < 8; k++) {
        const seed = seen.int(0, 1 << 30);
        const { graph, feeds } = single(sample(name, seed));
        const ours = evaluate(graph, feeds);
        const theirs = await runOnnxruntime(graph, feeds, graph.inputs);
        for (const { name: output } of graph.outputs)
          expect(
            distance(ours.get(output) as F64Tensor, theirs.get(output) as F64Tensor),
            `${name} seed ${seed} ${output} ${JSON.stringify(sample(name, seed).attributes)}`,
          ).toBeLessThan(1e-4);
      }
    });
  }
});
