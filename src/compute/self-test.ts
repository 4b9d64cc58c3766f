import { Builder } from '../graph/builder.ts';
import { float, type Graph, ints, sizeOf, type Tensor } from '../graph/ir.ts';
import { lowerNchwc } from './lowerings/nchwc.ts';
import { lowerStd } from './lowerings/std.ts';
import { openSession } from './session.ts';

/** ONNX bytes of a graph: `writeOnnx` of the formats room, which this room may not import. */
export type Encode = (graph: Graph) => Uint8Array;

export interface NchwcVerdict {
  readonly usable: boolean;
  /** Channels per block that onnxruntime uses on this processor. */
  readonly block: number;
  /** Why not, or how close it came. */
  readonly note: string;
}

const probed: { block?: Promise<number>; verdict?: Promise<NchwcVerdict> } = {};
/** Channels per block of onnxruntime's blocked kernels here: 16 with AVX-512, else 8. Throws where the internal domain is gone. */
export function blockSize(encode: Encode): Promise<number> {
  probed.block ??= probe(encode);
  return probed.block;
}
async function probe(encode: Encode): Promise<number> {
  const builder = new Builder('probe');
  const channels = 32;
  builder.input('x', 'float32', [1, channels, 1, 2]);
  builder.op('ReorderInput', ['x'], {}, { domain: 'com.microsoft.nchwc', output: 'y' });
  builder.output('y', 'float32', [1, channels, 1, 2]);
  const session = await openSession(encode(builder.graph()), { threads: 1 });
  const counted = Float32Array.from({ length: 2 * channels }, (_, at) => at);
  const y = (await session.run(new Map([['x', { dataType: 'float32', dims: [1, channels, 1, 2], data: counted }]]))).get('y');
  await session.close();
  // Element 1 is pixel 1 of channel 0, and it lies right behind the first block.
  return Array.from(y?.data as Float32Array).indexOf(1);
}

/**
 * Runs a small training graph through `nchwc` and `std` and compares: the fast path rests on an internal domain of onnxruntime, so it is checked once
 * per process before it is trusted, and `std` takes over with a note where it fails.
 */
export function selfTestNchwc(encode: Encode): Promise<NchwcVerdict> {
  probed.verdict ??= compare(encode).catch((error: Error) => ({
    usable: false,
    block: 0,
    note: `The fast kernels do not run here (${error.message}); training uses the portable ones.`,
  }));
  return probed.verdict;
}

/** How far another way to compute lies from `std` on the CPU over that same small graph: the worst relative L2 distance of an output. */
export async function distanceFromStd(encode: Encode, run: (graph: Graph, feeds: ReadonlyMap<string, Tensor>) => Promise<ReadonlyMap<string, Tensor>>): Promise<number> {
  const graph = smallTraining();
  const feeds = new Map(graph.inputs.map(({ name, type }, seed) => [name, noise(type.dims as readonly number[], seed)]));
  const session = await openSession(encode(lowerStd(graph).graph), { threads: 1 });
  const truth = await session.run(feeds);
  await session.close();
  const results = await run(graph, feeds);
  return Math.max(...graph.outputs.map(({ name }) => distance(truth.get(name), results.get(name))));
}

async function compare(encode: Encode): Promise<NchwcVerdict> {
  const block = await blockSize(encode);
  if (block !== 8 && block !== 16) return { usable: false, block, note: `The blocks of the fast kernels have an unknown size (${block}); training uses the portable ones.` };
  const worst = await distanceFromStd(encode, async (graph, feeds) => {
    const session = await openSession(encode(lowerNchwc(graph, { block }).graph), { threads: 1 });
    const results = await session.run(feeds);
    await session.close();
    return results;
  });
  const usable = worst < 1e-3;
  const note = usable
    ? `Fast kernels with blocks of ${block}, ${worst.toExponential(1)} from the portable ones.`
    : `The fast kernels differ by ${worst} here; training uses the portable ones.`;
  return { usable, block, note };
}

/** Two convolutions (the second strided, with channels that fill no block) with a batch norm and ReLU between, a max pool beside the second, and all their gradients. */
function smallTraining(): Graph {
  const b = new Builder('self-test');
  b.input('x', 'float32', [2, 3, 8, 8]);
  b.input('w1', 'float32', [24, 3, 3, 3]);
  b.input('gamma', 'float32', [24]);
  b.input('beta', 'float32', [24]);
  b.input('w2', 'float32', [40, 24, 3, 3]);
  const same = { kernel_shape: ints([3, 3]), pads: ints([1, 1, 1, 1]) };
  const strided = { ...same, strides: ints([2, 2]) };
  const c1 = b.op('Conv', ['x', 'w1'], same);
  const edge = { domain: 'edge' };
  const [n1 = '', mean = '', variance = ''] = b.ops('BatchNormTrain', [c1, 'gamma', 'beta'], { epsilon: float(1e-5) }, { ...edge, outputs: 3 });
  const r1 = b.op('Relu', [n1]);
  const y = b.op('Conv', [r1, 'w2'], strided, { output: 'y' });
  b.op('ConvGradWeight', [r1, y], { ...strided, weight_shape: ints([40, 24, 3, 3]) }, { ...edge, output: 'dw2' });
  const p = b.op('MaxPool', [r1], strided);
  const dP = b.op('MaxPoolGrad', [p, r1, p], strided, edge);
  const dR = b.op('Add', [dP, b.op('ConvGradInput', [y, 'w2'], { ...strided, input_shape: ints([2, 24, 8, 8]) }, edge)]);
  const dN = b.op('ReluGrad', [dR, r1], {}, edge);
  const [dC = ''] = b.ops('BatchNormGrad', [dN, c1, 'gamma', mean, variance], { epsilon: float(1e-5) }, { ...edge, outputs: ['dc', 'dgamma', 'dbeta'] });
  b.op('ConvGradWeight', ['x', dC], { ...same, weight_shape: ints([24, 3, 3, 3]) }, { ...edge, output: 'dw1' });
  b.output('y', 'float32', [2, 40, 4, 4]);
  b.output('dw2', 'float32', [40, 24, 3, 3]);
  b.output('dw1', 'float32', [24, 3, 3, 3]);
  b.output('dgamma', 'float32', [24]);
  b.output('dbeta', 'float32', [24]);
  return b.graph();
}

function noise(dims: readonly number[], seed: number): Tensor {
  const data = Float32Array.from({ length: sizeOf(dims) }, (_, at) => Math.sin(at * 12.9898 + seed * 78.233 + at * at * 0.37));
  return { dataType: 'float32', dims, data };
}

/** Relative L2 distance. */
function distance(a: Tensor | undefined, b: Tensor | undefined): number {
  if (!a || !b || a.data.length !== b.data.length) return Number.POSITIVE_INFINITY;
  let [difference, size] = [0, 0];
  for (let at = 0; at < a.data.length; at++) {
    const [p, q] = [Number(a.data[at]), Number(b.data[at])];
    difference += (p - q) ** 2;
    size += p * p;
  }
  return Math.sqrt(difference / Math.max(size, 1e-30));
}
