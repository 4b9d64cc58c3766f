// Our training step against PyTorch's, step by step in one run. Run: npm run bench:train -- [case …] [--full] [--minutes N] [--python FILE] [--threads N]
// Debian's PyTorch comes with: apt-get install python3-torch. A current one beside it: python3 -m venv V && V/bin/pip install torch, then --python /usr/bin/python3 --python V/bin/python. Judge by the CPU time where the machine is shared: it counts all threads.
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openSession } from '../../src/compute/session.ts';
import { writeOnnx } from '../../src/formats/onnx.ts';
import { Builder } from '../../src/graph/builder.ts';
import { costOf } from '../../src/graph/cost.ts';
import { f32, ints, type Tensor } from '../../src/graph/ir.ts';
import { learningRate, trainCases } from './_train-cases.ts';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    full: { type: 'boolean', default: false },
    /** Wall time of all cases together. */
    minutes: { type: 'string', default: '16' },
    python: { type: 'string', multiple: true, default: ['/usr/bin/python3'] },
    threads: { type: 'string', default: '2' },
  },
});
const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
const pythons = options.python.filter(python => {
  const found = spawnSync(python, ['-c', 'import torch']).status === 0;
  if (!found) console.warn(`SKIPPED: ${python} has no torch. Install it with: apt-get install python3-torch`);
  return found;
});
const names = positionals.length > 0 ? positionals : Object.keys(trainCases).filter(name => options.full || !trainCases[name]?.full);

interface StepTime {
  readonly ms: number;
  readonly cpuMs: number;
  readonly loss: number;
}
/** A process that takes one training step whenever it is told to. */
class Runner {
  readonly label: string;
  readonly steps: StepTime[] = [];
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  version = '';
  peakMiB = 0;
  constructor(label: string, command: string, words: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.label = label;
    this.#child = spawn(command, words, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...env } });
    this.#lines = createInterface({ input: this.#child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  }
  async #answer<T>(): Promise<T> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`${this.label} ended early.`);
    return JSON.parse(value) as T;
  }
  async ready(): Promise<void> {
    this.version = (await this.#answer<{ version: string }>()).version;
  }
  async step(counts: boolean): Promise<void> {
    this.#child.stdin?.write('step\n');
    const time = await this.#answer<StepTime>();
    if (counts) this.steps.push(time);
  }
  async end(): Promise<void> {
    this.#child.stdin?.write('end\n');
    this.peakMiB = (await this.#answer<{ peakMiB: number }>()).peakMiB;
  }
  kill(): void {
    this.#child.kill();
  }
}

/** What train-torch.py reads: nodes, weights and one batch as raw files. */
function writeJob(name: string, folder: string): void {
  const each = trainCases[name]!;
  const { network, task, images, annotations } = each.open();
  let files = 0;
  const save = (of: string, tensor: Tensor) => {
    const file = `tensor-${++files}.bin`;
    writeFileSync(join(folder, file), new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength));
    return { name: of, dims: tensor.dims, file };
  };
  const batch = [...new Map([[network.info.input, images], ...task.encode(annotations), ...task.lossWeights()])].map(([of, tensor]) => save(of, tensor));
  const nodes = network.graph.nodes.map(node => ({ ...node, attributes: Object.fromEntries(Object.entries(node.attributes).map(([key, { value }]) => [key, value])) }));
  const weights = [...network.graph.initializers].filter(([, tensor]) => tensor.dataType === 'float32').map(([of, tensor]) => save(of, tensor));
  const { trainable, info } = network;
  const job = { task: task.name, labels: info.labels, nodes, weights, trainable, batch, optimizer: each.optimizer, learningRate, threads: Number(options.threads) };
  writeFileSync(join(folder, 'job.json'), JSON.stringify(job));
}

const passive = { OMP_WAIT_POLICY: 'PASSIVE' };
/** Keeps the pages of large tensors instead of giving them back and faulting them in again: a tuned PyTorch is 1.4–2.6 times as fast here as a stock one. */
const malloc = { MALLOC_MMAP_MAX_: '0', MALLOC_TRIM_THRESHOLD_: '20000000000', MALLOC_TOP_PAD_: '268435456' };

function openRunners(name: string, folder: string): Runner[] {
  const torch = pythons.flatMap((python, at) =>
    (['contiguous', 'channels_last'] as const).flatMap(layout =>
      ([true, false] as const).map(
        tuned =>
          new Runner(`torch${at === 0 ? '' : ` ${at + 1}`} ${tuned ? 'tuned' : 'stock'} ${layout}`, python, [here('train-torch.py'), folder, layout], {
            ...passive,
            ...(tuned ? malloc : {}),
          }),
      ),
    ),
  );
  return [new Runner('edgeforge', process.execPath, [here('_train-ours.ts'), name, 'steps', options.threads]), ...torch];
}

const median = (list: readonly number[]): number => list.toSorted((a, b) => a - b)[list.length >> 1] ?? Number.NaN;
const best = (runners: readonly Runner[], of: (runner: Runner) => number): number => Math.min(...runners.map(of));
const wallOf = (runner: Runner): number => median(runner.steps.map(step => step.ms));
const cpuOf = (runner: Runner): number => Math.min(...runner.steps.map(step => step.cpuMs));

/** 10⁹ floating-point operations per CPU second of onnxruntime's own convolution (64 channels, 56×56, batch 8) at this moment. */
async function convolutionRate(): Promise<number> {
  const b = new Builder('rate');
  const x = b.input('x', 'float32', [8, 64, 56, 56]);
  const w = b.weight('w', f32([64, 64, 3, 3], new Float32Array(64 * 64 * 9).fill(0.01)));
  b.op('Conv', [x, w], { kernel_shape: ints([3, 3]), pads: ints([1, 1, 1, 1]) }, { output: 'y' });
  b.output('y', 'float32', [8, 64, 56, 56]);
  const session = await openSession(writeOnnx(b.graph()), { threads: 1 });
  const feeds = new Map([['x', f32([8, 64, 56, 56], new Float32Array(8 * 64 * 56 * 56).fill(0.5))]]);
  let shortest = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 12; round++) {
    const from = process.cpuUsage();
    await session.run(feeds);
    const used = process.cpuUsage(from);
    shortest = Math.min(shortest, used.user + used.system);
  }
  await session.close();
  return (2 * 8 * 64 * 64 * 9 * 56 * 56) / (shortest * 1e3);
}

async function bench(name: string, until: number): Promise<void> {
  const each = trainCases[name];
  if (!each) throw new Error(`There is no case "${name}"; there are ${Object.keys(trainCases).join(', ')}.`);
  const folder = mkdtempSync(join(tmpdir(), 'edgeforge-bench-'));
  writeJob(name, folder);
  const runners = openRunners(name, folder);
  try {
    for (const runner of runners) await runner.ready();
    for (let round = 0; round < 42 && (round < 5 || performance.now() < until); round++) {
      for (const runner of runners) await runner.step(round >= 2);
    }
    for (const runner of runners) await runner.end();
    const { operators } = profile(name, folder);
    report(each.title, runners);
    await table(name, operators);
  } finally {
    for (const runner of runners) runner.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}
type Operators = readonly (readonly [string, { readonly ms: number; readonly nodes: number }])[];
function profile(name: string, folder: string): { readonly operators: Operators } {
  mkdirSync(join(folder, 'profile'));
  const words = [here('_train-ours.ts'), name, 'profile', '1', join(folder, 'profile', 'p')];
  return JSON.parse(execFileSync(process.execPath, words, { encoding: 'utf8', maxBuffer: 2 ** 24, stdio: ['ignore', 'pipe', 'inherit'] })) as { operators: Operators };
}

function report(title: string, runners: readonly Runner[]): void {
  const [ours, ...torch] = runners as [Runner, ...Runner[]];
  console.log(`\n${title}: ${ours.steps.length} steps each, in turn`);
  console.log('                                   median ms   least CPU-ms   peak MiB   loss');
  for (const runner of runners) {
    const cells = [wallOf(runner).toFixed(0).padStart(9), cpuOf(runner).toFixed(0).padStart(12), runner.peakMiB.toFixed(0).padStart(10)];
    console.log(`  ${runner.label.padEnd(32)}${cells.join('   ')}   ${runner.steps.at(-1)?.loss.toFixed(4)}  (${runner.version})`);
  }
  // Each PyTorch for itself: the goals are against Debian's.
  for (const of of new Set(torch.map(({ label }) => label.replace(/ (contiguous|channels_last)$/, '')))) {
    const rivals = torch.filter(({ label }) => label.startsWith(of));
    const memory = ours.peakMiB / rivals.toSorted((a, b) => wallOf(a) - wallOf(b))[0]!.peakMiB;
    const ratios = `${(best(rivals, wallOf) / wallOf(ours)).toFixed(2)}× by median time, ${(best(rivals, cpuOf) / cpuOf(ours)).toFixed(2)}× by least CPU time`;
    console.log(`  as fast as ${of} (${rivals[0]?.version}) at its best: ${ratios}; memory ${memory.toFixed(2)}×`);
  }
}

/** Where the time goes, and the least it could be: forward, dX and dW (no dX of the first layer) at the rate of one convolution. */
async function table(name: string, operators: Operators): Promise<void> {
  const each = trainCases[name]!;
  const { nodes } = costOf(each.open().network.graph);
  const macs = nodes.reduce((sum, node) => sum + node.macs, 0);
  const first = nodes.find(node => node.type === 'Conv')?.macs ?? 0;
  const rate = await convolutionRate();
  const floor = (2 * each.batch * (3 * macs - first)) / (rate * 1e6);
  const total = operators.reduce((sum, [, { ms }]) => sum + ms, 0);
  console.log(`  one thread, sum of each node's least time: ${total.toFixed(0)} ms; the products alone at ${rate.toFixed(0)} GFLOP/s: ${floor.toFixed(0)} ms`);
  for (const [operator, { ms, nodes: count }] of operators.slice(0, 14))
    console.log(`    ${operator.padEnd(20)}${ms.toFixed(1).padStart(8)} ms  ${String(count).padStart(4)} nodes`);
}

const share = (Number(options.minutes) * 60_000) / names.length;
for (const name of names) await bench(name, performance.now() + share);
