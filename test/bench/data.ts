// Our data loading against torchvision's DataLoader, epoch by epoch in one run, and what it costs a training.
// Run: npm run bench:data -- [loaders | training] [--rounds N] [--python FILE] [--data FOLDER]. Debian's torchvision comes with: apt-get install python3-torchvision
// Judge by the CPU time where the machine is shared: it counts all threads and worker processes.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { openLoader } from '../../src/data/batches.ts';
import { openDetectnet } from '../../src/tasks/detectnet.ts';
import { fit, type TrainBatch } from '../../src/train/fit.ts';
import { buildNetwork } from '../../src/zoo/network.ts';
import { kittiLoader, loaderWorkers } from './_data-case.ts';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '7' },
    python: { type: 'string', default: '/usr/bin/python3' },
    data: { type: 'string', default: '../shared/data/datasets/kitti101' },
  },
});
const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
const median = (list: readonly number[]): number => list.toSorted((a, b) => a - b)[list.length >> 1] ?? Number.NaN;
const [rounds, batch, repeats] = [Number(options.rounds), 8, 2];

interface Epoch {
  readonly ms: number;
  readonly cpuMs: number;
  readonly images: number;
}
/** A process that reads one epoch whenever it is told to. */
class Runner {
  readonly label: string;
  readonly epochs: Epoch[] = [];
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  constructor(label: string, command: string, words: readonly string[]) {
    this.label = label;
    this.#child = spawn(command, words, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface({ input: this.#child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  }
  async answer(): Promise<Record<string, unknown>> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`${this.label} ended early.`);
    return JSON.parse(value) as Record<string, unknown>;
  }
  async epoch(counts: boolean): Promise<void> {
    this.#child.stdin?.write('epoch\n');
    const epoch = (await this.answer()) as unknown as Epoch;
    if (counts) this.epochs.push(epoch);
  }
  end(): void {
    this.#child.stdin?.end('end\n');
  }
}

async function compareLoaders(root: string, imageDir: string): Promise<void> {
  const ours = (label: string, cacheMiB: number) => new Runner(label, process.execPath, [here('_data-ours.ts'), root, imageDir, String(batch), String(repeats), String(cacheMiB)]);
  const torch = spawnSync(options.python, ['-c', 'import torchvision']).status === 0 ? ['pil', 'tensor'] : [];
  if (torch.length === 0) console.warn(`SKIPPED: ${options.python} has no torchvision. Install it with: apt-get install python3-torchvision`);
  const rivals = torch.map(
    mode =>
      new Runner(`torchvision, ${mode} transforms`, options.python, [here('data-torch.py'), join(root, imageDir), mode, String(batch), String(loaderWorkers), String(repeats)]),
  );
  const runners = [ours('edgeforge, no cache', 0), ours('edgeforge, cached', 512), ...rivals];
  try {
    const versions = [];
    for (const runner of runners) versions.push((await runner.answer()).version);
    for (let round = 0; round <= rounds; round++) for (const runner of runners) await runner.epoch(round > 0);
    console.log(`\n${imageDir}: ${rounds} epochs of ${runners[0]?.epochs[0]?.images} images, in turn, ${loaderWorkers} workers, batch ${batch}, 640×192 bilinear, flip, colour`);
    console.log('                                  median img/s  (least – most)   CPU-ms per image (least)');
    for (const [at, { label, epochs }] of runners.entries()) {
      const rates = epochs.map(({ ms, images }) => (1000 * images) / ms);
      const cpu = Math.min(...epochs.map(({ cpuMs, images }) => cpuMs / images));
      console.log(
        `  ${label.padEnd(30)}${median(rates).toFixed(0).padStart(14)}  (${Math.min(...rates).toFixed(0)} – ${Math.max(...rates).toFixed(0)})${cpu.toFixed(2).padStart(16)}   ${at > 1 ? versions[at] : ''}`,
      );
    }
    sayRatios(runners[0] as Runner, rivals);
  } finally {
    for (const runner of runners) runner.end();
  }
}

function sayRatios(ours: Runner, rivals: readonly Runner[]): void {
  if (rivals.length === 0) return;
  const wall = ({ epochs }: Runner) => median(epochs.map(({ ms }) => ms));
  const cpu = ({ epochs }: Runner) => Math.min(...epochs.map(({ cpuMs }) => cpuMs));
  const ratio = (of: (runner: Runner) => number) => (Math.min(...rivals.map(of)) / of(ours)).toFixed(2);
  console.log(`  without a cache as fast as the better torchvision: ${ratio(wall)}× by median time, ${ratio(cpu)}× by least CPU time`);
}

/** One training whose epochs take their batches in turn from memory, from a loader without a cache, and from one that keeps decoded images. */
async function compareTraining(root: string): Promise<void> {
  const [batch, steps] = [4, 12];
  const base = await kittiLoader(root, { imageDir: 'image_2', batch, repeats: 1 });
  const data = { ...base, manifest: { ...base.manifest, samples: base.manifest.samples.slice(0, batch * steps) } };
  await using plain = openLoader(data);
  await using cached = openLoader({ ...data, cacheBytes: 2 ** 29 });
  const kept: TrainBatch[] = [];
  for await (const each of cached.epoch(1)) kept.push(each);
  async function* memory() {
    yield* kept;
  }
  const sources = [memory, (epoch: number) => plain.epoch(epoch), (epoch: number) => cached.epoch(epoch)];
  const labels = ['car', 'pedestrian', 'cyclist'];
  const folder = mkdtempSync(join(tmpdir(), 'edgeforge-bench-'));
  const times: number[][] = [[], [], []];
  try {
    await fit({
      network: buildNetwork({ architecture: 'detectnet_v2_resnet18', labels, height: 192, width: 640 }),
      task: openDetectnet({ labels, width: 640, height: 192 }),
      batches: epoch => sources[epoch % 3]!(epoch),
      stepsPerEpoch: steps,
      epochs: 2 + 3 * Math.ceil(rounds / 2),
      batch,
      optimizer: { kind: 'adam' },
      schedule: { kind: 'soft-start-annealing', minimum: 1e-6, maximum: 1e-4, softStart: 0.1, annealing: 0.7 },
      folder,
      onEpoch: ({ epoch, milliseconds }) => {
        if (epoch >= 3) times[epoch % 3]?.push(milliseconds / steps);
      },
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  console.log(`\nDetectNet_v2-ResNet18 640×192, batch ${batch}: epochs of ${steps} steps, their data in turn from`);
  const all = median(times[0] as number[]);
  for (const [at, name] of ['memory', 'the loader', 'the loader, images kept decoded'].entries()) {
    const own = times[at] as number[];
    console.log(
      `  ${name.padEnd(34)}${median(own).toFixed(0).padStart(6)} ms per step (n ${own.length}, ${Math.min(...own).toFixed(0)} – ${Math.max(...own).toFixed(0)})   ${(all / median(own)).toFixed(2)}× of memory's speed`,
    );
  }
}

/** The same dataset with its images as PNG. */
async function asPng(root: string, to: string): Promise<void> {
  mkdirSync(join(to, 'png'));
  symlinkSync(join(root, 'label_2'), join(to, 'label_2'));
  for (const name of readdirSync(join(root, 'image_2')))
    await sharp(join(root, 'image_2', name))
      .png()
      .toFile(join(to, 'png', name.replace(/\.\w+$/, '.png')));
}

const root = resolve(options.data);
if (!existsSync(root)) {
  console.warn(`SKIPPED: there are no KITTI images in ${root}; name a folder with image_2/ and label_2/: --data FOLDER`);
} else {
  const scratch = mkdtempSync(join(tmpdir(), 'edgeforge-bench-'));
  try {
    if (positionals[0] !== 'training') {
      await compareLoaders(root, 'image_2');
      await asPng(root, scratch);
      await compareLoaders(scratch, 'png');
    }
    if (positionals[0] !== 'loaders') await compareTraining(root);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
