import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Builder } from '../../src/graph/builder.ts';
import { differentiate } from '../../src/graph/differentiate.ts';
import { evaluate } from '../../src/graph/evaluate.ts';
import { operatorOf } from '../../src/graph/ops/table.ts';
import { type Case, cases, lossWeights, Random } from './_cases.ts';
import { single } from './_single.ts';

const python = '/usr/bin/python3';
const hasTorch = spawnSync(python, ['-c', 'import torch']).status === 0;
if (!hasTorch) console.warn(`SKIPPED: PyTorch as the judge of operators, because ${python} has no torch. Install it with: apt-get install python3-torch`);

/** Rows that PyTorch has no counterpart for: a mask by our own rule. */
const ours = ['edge:DropoutTrain'];
const names = Object.keys(cases).filter(name => {
  const c = (cases[name] as (r: Random) => Case)(new Random(1));
  return !ours.includes(name) && typeof operatorOf({ type: c.type, domain: c.domain ?? '' }, c.opset ?? 17)?.gradient === 'function';
});
const perOperator = 12;

interface Verdict {
  readonly outputs: readonly (readonly number[])[];
  readonly gradients: readonly (readonly number[])[];
}
/** Our outputs and gradients of Σ output·weights, and the case as the judge reads it. */
function judged(name: string, seed: number) {
  const c = (cases[name] as (r: Random) => Case)(new Random(seed));
  const { graph, feeds, smooth } = single(c);
  // Batch statistics are outputs that carry no gradient of their own.
  const outputs = name.includes('BatchNorm') ? graph.outputs.slice(0, 1) : graph.outputs;
  const weights = outputs.map(({ type }, k) => lossWeights(type.dims as number[], seed + k));
  const b = Builder.from(graph);
  const parts = outputs.map(({ name: output, type }, k) =>
    b.op('ReduceSum', [b.op('Mul', [output, b.constant(weights[k] as Float32Array, type.dims as number[])])], { keepdims: { type: 'int', value: 0 } }),
  );
  b.op('Sum', parts, {}, { output: 'loss' });
  const { graph: full, gradients } = differentiate(b.graph(), { loss: 'loss', wrt: smooth });
  const values = evaluate(full, feeds);
  const data = (value: string) => Array.from(values.get(value)?.data ?? []);
  return {
    own: { outputs: outputs.map(o => data(o.name)), gradients: smooth.map(input => data(gradients.get(input) as string)) },
    task: {
      type: c.type,
      attributes: Object.fromEntries(Object.entries(c.attributes ?? {}).map(([key, attribute]) => [key, attribute.value])),
      inputs: c.inputs.map(o => o && { dataType: o.dataType, dims: o.dims, data: o.data, smooth: o.smooth === true && o.constant !== true }),
      weights: weights.map(w => Array.from(w)),
    },
  };
}
function farthest(a: readonly (readonly number[])[], b: readonly (readonly number[])[]): number {
  if (a.map(x => x.length).join() !== b.map(x => x.length).join()) return Number.POSITIVE_INFINITY;
  return Math.max(0, ...a.flatMap((x, k) => x.map((v, i) => Math.abs(v - (b[k]?.[i] as number)) / Math.max(1, Math.abs(v)))));
}

describe.skipIf(!hasTorch)('operators against PyTorch’s autograd, both in float64', () => {
  let root: string;
  const found = new Map<string, { readonly seed: number; readonly own: Verdict; readonly theirs: Verdict | null }[]>();
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'edgeforge-operators-'));
    const r = new Random(20261124);
    const all = names.flatMap(name =>
      Array.from({ length: perOperator }, () => r.int(0, 1 << 30))
        .filter(seed => single((cases[name] as (r: Random) => Case)(new Random(seed))).smooth.length > 0)
        .map(seed => ({ name, seed, ...judged(name, seed) })),
    );
    writeFileSync(join(root, 'cases.json'), JSON.stringify(all.map(each => each.task)));
    execFileSync(python, [fileURLToPath(new URL('pytorch-operators.py', import.meta.url)), join(root, 'cases.json'), join(root, 'verdicts.json')], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const verdicts = JSON.parse(readFileSync(join(root, 'verdicts.json'), 'utf8')) as (Verdict | null)[];
    all.forEach(({ name, seed, own }, k) => {
      found.set(name, [...(found.get(name) ?? []), { seed, own, theirs: verdicts[k] ?? null }]);
    });
  }, 120_000);
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  it.each(names)('%s', name => {
    const each = (found.get(name) ?? []).flatMap(({ seed, own, theirs }) => (theirs === null ? [] : [{ seed, own, theirs }]));
    expect(each.length, 'cases that PyTorch knows').toBeGreaterThan(0);
    for (const { seed, own, theirs } of each) {
      expect(farthest(own.outputs, theirs.outputs), `${name} seed ${seed}, output`).toBeLessThan(1e-6);
      expect(farthest(own.gradients, theirs.gradients), `${name} seed ${seed}, gradient`).toBeLessThan(1e-6);
    }
  });
});
