import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { lowerStd } from '../../src/compute/lowerings/std.ts';
import { openSession, type Session } from '../../src/compute/session.ts';
import { readOnnx, writeOnnx } from '../../src/formats/onnx.ts';
import { Builder } from '../../src/graph/builder.ts';
import { atOpset17 } from '../../src/graph/clean.ts';
import { differentiate } from '../../src/graph/differentiate.ts';
import type { Graph, Tensor, TensorType } from '../../src/graph/ir.ts';
import { inferShapes } from '../../src/graph/shapes.ts';
import { hasShared, shared } from '../shared.ts';
import { noise } from './_numbers.ts';

/** Networks that nobody here made; `size` where the graph allows another than its own. */
const files: readonly { readonly file: string; readonly size?: number }[] = [
  { file: 'nanodet_m.onnx' },
  { file: 'FastestDet.onnx' },
  { file: 'mobilenet_v1_0.25_224_keras.onnx', size: 96 },
  { file: 'mobilenet_v1_1.0_224_dequantized.onnx' },
  { file: 'mobilenet_v2_1.0_224_dequantized.onnx' },
  { file: 'resnet20_cifar10.onnx' },
];
const images = 1;

/** What learns: the float operands of whatever multiplies or adds them. */
const learns = new Set(['Conv', 'ConvTranspose', 'Gemm', 'MatMul', 'BatchNormalization', 'Mul', 'Add', 'PRelu']);

interface Imported {
  /** The network with its weights as inputs. */
  readonly forward: Graph;
  readonly weights: ReadonlyMap<string, Tensor>;
}
function load(file: string, size: number | undefined): Imported {
  const graph = atOpset17(readOnnx(readFileSync(shared('models', file))));
  const [input] = graph.inputs;
  const dims = (input?.type.dims ?? []).map((dim, axis) => (axis === 0 ? images : axis > 1 && size !== undefined ? size : dim));
  const sized = { ...graph, inputs: [{ name: input?.name ?? '', type: { dataType: 'float32' as const, dims } }] };
  const types = inferShapes(sized);
  const weights = new Map<string, Tensor>();
  for (const node of graph.nodes)
    for (const name of learns.has(node.type) ? node.inputs.slice(0, node.type === 'BatchNormalization' ? 3 : undefined) : []) {
      const tensor = graph.initializers.get(name);
      if (tensor?.dataType === 'float32') weights.set(name, tensor);
    }
  return {
    weights,
    forward: {
      ...sized,
      initializers: new Map([...graph.initializers].filter(([name]) => !weights.has(name))),
      inputs: [...sized.inputs, ...[...weights].map(([name, { dataType, dims: own }]) => ({ name, type: { dataType, dims: own } }))],
      outputs: graph.outputs.map(({ name }) => ({ name, type: types.get(name) as TensorType })),
    },
  };
}

/** Σ of the squares of all outputs. */
function withSquares(graph: Graph): Graph {
  const b = Builder.from(graph);
  const squares = graph.outputs.map(({ name }) => b.op('ReduceSum', [b.op('Mul', [name, name])], { keepdims: { type: 'int', value: 0 } }));
  b.op('Sum', squares, {}, { output: 'squares' });
  return b.graph();
}
async function open(graph: Graph): Promise<Session> {
  return openSession(writeOnnx(lowerStd(graph).graph), { threads: 1 });
}
const rms = (data: Float32Array): number => Math.sqrt(data.reduce((sum, v) => sum + v * v, 0) / data.length);

/**
 * Along each weight in turn, in the direction of its gradient's signs, onnxruntime's own float32 forward must change as the gradient says. The loss moves
 * by 2 ‰, and where a bend of a ReLU or pool lies within that, by 0.1 ‰, still above float32's noise.
 */
async function worstAlong({ forward, weights }: Imported): Promise<{ readonly worst: number; readonly where: string; readonly checked: number }> {
  const { graph, gradients } = differentiate(withSquares(forward), { loss: 'squares', wrt: [...weights.keys()] });
  const types = inferShapes(graph);
  const [input] = forward.inputs;
  const feeds = new Map<string, Tensor>([...weights, [input?.name ?? '', noise(input?.type.dims as number[], 5)]]);
  const backward = await open({ ...graph, outputs: [...gradients.values()].map(name => ({ name, type: types.get(name) as TensorType })) });
  const found = await backward.run(feeds);
  await backward.close();
  const session = await open(forward);
  const lossWith = async (name: string, data: Float32Array): Promise<number> => {
    const outputs = await session.run(new Map([...feeds, [name, { ...(weights.get(name) as Tensor), data }]]));
    return [...outputs.values()].reduce((sum, { data: y }) => (y as Float32Array).reduce((all, v) => all + v * v, sum), 0);
  };
  const names = [...weights.keys()];
  const still = await lossWith(names[0] as string, weights.get(names[0] as string)?.data as Float32Array);
  const every = Math.max(1, Math.floor(names.length / 12));
  const result = { worst: 0, where: '', checked: 0 };
  for (const name of names.filter((_, k) => k % every === 0)) {
    const [w, g] = [weights.get(name)?.data as Float32Array, found.get(gradients.get(name) as string)?.data as Float32Array];
    const slope = g.reduce((sum, v) => sum + Math.abs(v), 0);
    // A bias ahead of a dead unit, or a weight the outputs do not feel.
    if (slope * Math.max(rms(w), 1e-6) < 1e-6 * still) continue;
    const w0 = rms(w);
    const errorAt = async (share: number): Promise<number> => {
      const step = Math.min((share * still) / slope, 0.02 * Math.max(w0, 1e-2));
      const moved = (by: number) => w.map((v, i) => v + by * Math.sign(g[i] as number));
      const numeric = ((await lossWith(name, moved(step))) - (await lossWith(name, moved(-step)))) / (2 * step);
      return Math.abs(numeric - slope) / slope;
    };
    const coarse = await errorAt(0.002);
    const error = coarse < 0.01 ? coarse : Math.min(coarse, await errorAt(0.0001));
    if (error > result.worst) Object.assign(result, { worst: error, where: name });
    result.checked++;
  }
  await session.close();
  return result;
}

describe.skipIf(!hasShared)('networks of others differentiate end to end', () => {
  it.each(files)('$file', { timeout: 120_000 }, async ({ file, size }) => {
    const { worst, where, checked } = await worstAlong(load(file, size));
    if (process.env.SHOW) console.log(file, worst, where, checked);
    expect(checked).toBeGreaterThan(9);
    expect(worst, `${where} of ${file}`).toBeLessThan(0.01);
  });
});
