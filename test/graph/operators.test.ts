import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { lowerStd } from '../../src/compute/lowerings/std.ts';
import { Builder } from '../../src/graph/builder.ts';
import { differentiate } from '../../src/graph/differentiate.ts';
import { evaluate } from '../../src/graph/evaluate.ts';
import type { F64Tensor, Graph, TensorType } from '../../src/graph/ir.ts';
import { operatorOf, operators } from '../../src/graph/ops/table.ts';
import { inferShapes } from '../../src/graph/shapes.ts';
import { type Case, cases, lossWeights, Random } from './_cases.ts';
import { distance, runOnnxruntime } from './_onnxruntime.ts';
import { type Single, single } from './_single.ts';

const seeds = (runs: number) => ({ numRuns: runs, seed: 20261124 });
const rowOf = (c: Case) => operatorOf({ type: c.type, domain: c.domain ?? '' }, c.opset ?? 17);
const sample = (name: string, seed: number): Case => (cases[name] as (r: Random) => Case)(new Random(seed));

describe('every operator row', () => {
  it('has a case here, or is an internal gradient', () => {
    const covered = new Set(Object.keys(cases));
    const open = operators.filter(o => !covered.has(o.type) && !covered.has(`${o.domain}:${o.type}`)).map(o => `${o.domain}:${o.type}`);
    expect(open.sort()).toEqual([
      ':Constant',
      'edge:AveragePoolGrad',
      'edge:BatchNormGrad',
      'edge:ConvGradInput',
      'edge:ConvGradWeight',
      'edge:FakeQuantize',
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
  const builder = Builder.from(graph);
  const parts = graph.outputs
    .filter(o => o.type.dataType === 'float32')
    .map(({ name, type }, k) => {
      const dims = type.dims as number[];
      return builder.op('ReduceSum', [builder.op('Mul', [name, builder.constant(lossWeights(dims, seed + k), dims)])], { keepdims: { type: 'int', value: 0 } });
    });
  builder.op('Sum', parts.length > 0 ? parts : [builder.constant(0)], {}, { output: 'loss' });
  return builder.graph();
}
const lossAt = (graph: Graph, feeds: ReadonlyMap<string, F64Tensor>): number => evaluate(graph, feeds, ['loss']).get('loss')?.data[0] as number;

interface Differentiable extends Single {
  readonly loss: Graph;
  readonly full: Graph;
  readonly gradients: ReadonlyMap<string, string>;
}
/** A case with its loss and gradients, where any operand has one. */
function differentiable(name: string, seed: number): Differentiable | undefined {
  const one = single(sample(name, seed));
  if (one.smooth.length === 0) return undefined;
  // Batch statistics and dropout masks are outputs that carry no gradient of their own.
  const loss = withLoss(/BatchNorm|Dropout/.test(name) ? { ...one, graph: { ...one.graph, outputs: one.graph.outputs.slice(0, 1) } } : one, seed);
  const { graph, gradients } = differentiate(loss, { loss: 'loss', wrt: one.smooth });
  return { ...one, loss, full: graph, gradients };
}
const differentiated = Object.keys(cases).filter(name => typeof rowOf(sample(name, 1))?.gradient === 'function');

describe('gradients', () => {
  it('exist for all rows but these, and each is asked for here', () => {
    const without = operators.filter(o => o.domain === '' && o.gradient === 'missing').map(o => o.type);
    expect(without.sort()).toEqual(['CumSum', 'DequantizeLinear', 'QuantizeLinear']);
    const asked = differentiated.filter(name => Array.from({ length: 9 }, (_, k) => sample(name, k)).some(c => c.inputs.some(o => o?.smooth)));
    const rules = operators.filter(o => typeof o.gradient === 'function').map(o => (o.domain === '' ? o.type : `${o.domain}:${o.type}`));
    // A straight-through estimate is no derivative: test/compress/qat.test.ts says what it is.
    expect([...asked, 'edge:FakeQuantize'].sort()).toEqual(rules.sort());
  });
});

describe('gradients against finite differences of the reference', () => {
  for (const name of differentiated)
    it(name, () => {
      fc.assert(
        fc.property(fc.integer(), seed => {
          const one = sample(name, seed).tied ? undefined : differentiable(name, seed);
          if (one === undefined) return;
          const values = evaluate(one.full, one.feeds);
          const r = new Random(seed);
          for (const input of one.smooth) {
            const analytic = values.get(one.gradients.get(input) as string) as F64Tensor;
            const at = one.feeds.get(input) as F64Tensor;
            expect(analytic.dims).toEqual(at.dims);
            for (let k = 0; k < Math.min(6, at.data.length); k++) {
              const i = r.int(0, at.data.length - 1);
              const moved = (by: number) => lossAt(one.loss, new Map([...one.feeds, [input, { dims: at.dims, data: at.data.map((v, j) => (j === i ? v + by : v)) }]]));
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
});

describe('the reference and its gradients against onnxruntime', () => {
  for (const name of Object.keys(cases))
    it(name, async () => {
      const seen = new Random(7);
      for (let k = 0; k < 8; k++) {
        const seed = seen.int(0, 1 << 30);
        const c = sample(name, seed);
        const said = `${name} seed ${seed} ${JSON.stringify(c.attributes)}`;
        const one = differentiated.includes(name) ? differentiable(name, seed) : undefined;
        const { graph, feeds } = single(c);
        if (one === undefined || c.opset !== undefined) await agrees(graph, feeds, said);
        if (one === undefined) continue;
        const types = inferShapes(one.full);
        const gradients = [...one.gradients.values()].map(value => ({ name: value, type: types.get(value) as TensorType }));
        await agrees({ ...one.full, outputs: [...graph.outputs, ...gradients] }, feeds, said);
      }
    });
});

async function agrees(graph: Graph, feeds: ReadonlyMap<string, F64Tensor>, said: string): Promise<void> {
  const ours = evaluate(graph, feeds);
  const theirs = await runOnnxruntime(lowerStd(graph).graph, feeds, graph.inputs);
  for (const { name } of graph.outputs) expect(distance(ours.get(name) as F64Tensor, theirs.get(name) as F64Tensor), `${said} ${name}`).toBeLessThan(1e-4);
}
