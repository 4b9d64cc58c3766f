import { beforeAll, describe, expect, it } from 'vitest';
import { computeFacts } from '../../src/compute/choose.ts';
import { computeDistance } from '../../src/train/open-graph.ts';
import { compileTrainStep } from '../../src/train/step.ts';
import { apart, type Curve, curveCases, curveOf } from './_curves.ts';
import { toyBatch, toyNetwork, toyTask } from './_toys.ts';

const hasTfjs = computeFacts().tfjs !== undefined;
if (!hasTfjs) console.warn('SKIPPED: tfjs, because none of its packages is installed. Install the development dependencies with: npm ci');

/** Everything that computes on any machine; the GPU providers run the last row's graph through kernels of their own. */
const ways = [
  { name: 'the fast kernels', options: { lowering: 'nchwc' }, losses: 1e-4 },
  { name: 'four steps per call, portable', options: { lowering: 'std', stepsPerCall: 4 }, losses: 1e-6 },
  { name: 'four steps per call, fast kernels', options: { lowering: 'nchwc', stepsPerCall: 4 }, losses: 1e-4 },
  { name: 'the graph of WebGPU and CUDA, four steps per call as CUDA takes them', options: { lowering: 'webgpu', stepsPerCall: 4 }, losses: 1e-5 },
  { name: 'tfjs', options: { compute: 'tfjs' }, losses: 1e-4 },
] as const;

describe.each(curveCases)('$name: one seed, one curve', each => {
  let truth: Curve;
  beforeAll(async () => {
    truth = await curveOf(each, { lowering: 'std' });
    expect(truth.losses.at(-1)).toBeLessThan(truth.losses[0] as number);
  });
  it.each(ways.filter(({ name }) => name !== 'tfjs' || hasTfjs))('$name', { timeout: 240_000 }, async ({ name, options, losses }) => {
    const distance = apart(await curveOf(each, options), truth);
    console.info(`${each.name}, ${name}: losses within ${distance.losses.toExponential(1)}, state within ${distance.state.toExponential(1)}`);
    expect(distance.losses).toBeLessThan(losses);
  });
});

describe('several steps per call', () => {
  it('end where single steps end, in a thread too, with a shorter last call', async () => {
    const run = async (stepsPerCall: number, thread: boolean) => {
      const task = toyTask();
      const step = await compileTrainStep(toyNetwork(), task, { batch: 4, optimizer: { kind: 'adam' }, lowering: 'std', threads: 1, stepsPerCall, thread });
      const feeds = Array.from({ length: 5 }, (_, at) => {
        const { images, annotations } = toyBatch(4, at);
        return { images, targets: task.encode(annotations), lossWeights: task.lossWeights(), t: at + 1, learningRate: 1e-3 };
      });
      const first = await step.runMany(feeds.slice(0, 3));
      const before = await step.state('before');
      const last = await step.runMany(feeds.slice(3));
      const [start, end] = [before, await step.state()];
      await step.close();
      return { results: [...first, ...last], start, end };
    };
    const single = await run(1, false);
    const looped = await run(3, true);
    expect(looped.results).toEqual(single.results);
    for (const [name, tensor] of single.end) expect(looped.end.get(name)?.data, name).toEqual(tensor.data);
    const initial = toyNetwork().graph.initializers.get('head/kernel')?.data;
    expect(looped.start.get('head/kernel')?.data, 'before: ahead of the call').toEqual(initial);
  });
});

it('a compute without its engine says what is missing', async () => {
  await expect(computeDistance('onnxruntime-cuda')).rejects.toMatchObject({ code: 'engine-missing', hint: expect.stringContaining('edgeforge doctor') });
});
