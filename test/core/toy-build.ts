import { appendFile, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { EdgeError } from '../../src/core/errors.ts';
import type { UntimedEvent } from '../../src/core/events.ts';
import { defineStep, Recipe } from '../../src/core/recipe.ts';
import { type RunOutcome, runRecipe } from '../../src/core/run.ts';
import { Store } from '../../src/core/store.ts';

// A build with the real shapes and stand-in work: every run of a step is a line in `ran`.
export const newRoot = (): Promise<string> => mkdtemp(join(tmpdir(), 'edgeforge-core-'));
export const text = (path: string): Promise<string> => readFile(path, 'utf8');

/** A stand-in board: may be away, and remembers which engines lie on it. */
export interface Board {
  reachable: boolean;
  readonly engines: Set<string>;
}

export interface ToySettings {
  seed?: number;
  epochs?: number;
  threshold?: number;
  devices?: string[];
  address?: string;
}

export class Toy {
  readonly ran: string[] = [];
  readonly boards = new Map<string, Board>();
  readonly during: { busy: number; most: number } = { busy: 0, most: 0 };
  trainHook: ((context: { scratch: string; signal: AbortSignal }) => Promise<void>) | undefined;

  board(id: string): Board {
    const board = this.boards.get(id) ?? { reachable: true, engines: new Set<string>() };
    this.boards.set(id, board);
    return board;
  }

  recipe({ seed = 1, epochs = 2, threshold = 0.1, devices = [], address = 'a' }: ToySettings = {}): Recipe {
    const recipe = new Recipe();
    const steps = toySteps(this);
    const { dataset } = recipe.add(steps.importDataset, { config: { seed }, inputs: {} });
    const { network } = recipe.add(steps.train, { config: { epochs }, inputs: { dataset } });
    const pruned = recipe.add(steps.prune, { config: { threshold }, inputs: { network } });
    const { onnx } = recipe.add(steps.exportOnnx, { config: {}, inputs: { network: pruned.network } });
    const scores = devices.map(device => {
      const { engine } = recipe.add(steps.buildEngine, { id: `engine ${device}`, config: { device, address }, inputs: { onnx } });
      return recipe.add(steps.measure, { id: `measure ${device}`, config: { device }, inputs: { engine } }).measurement;
    });
    if (scores.length > 0) recipe.add(steps.report, { config: {}, inputs: { scores } });
    return recipe;
  }

  async run(
    store: Store,
    settings: ToySettings = {},
    options: { signal?: AbortSignal; only?: string[] } = {},
  ): Promise<RunOutcome & { events: UntimedEvent[]; counted: string[] }> {
    const events: UntimedEvent[] = [];
    const before = this.ran.length;
    const outcome = await runRecipe(this.recipe(settings), {
      store,
      emit: event => void events.push(event),
      signal: options.signal ?? new AbortController().signal,
      only: options.only,
    });
    return { ...outcome, events, counted: this.ran.slice(before) };
  }
}

export function toySteps(toy: Toy) {
  const count = (step: string) => void toy.ran.push(step);
  const away = (device: string) => new EdgeError('device-unreachable', `${device} does not answer.`, { hint: `Check its cable, then run: edgeforge doctor ${device}` });
  const importDataset = defineStep({
    name: 'import-dataset',
    version: 1,
    config: z.object({ seed: z.number() }),
    inputs: {},
    outputs: { dataset: 'dataset' },
    async run({ step, config, outputs }) {
      count(step);
      await mkdir(join(outputs.dataset, 'images'), { recursive: true });
      await writeFile(join(outputs.dataset, 'images', '1.txt'), `image ${config.seed}`);
      await writeFile(join(outputs.dataset, 'list.txt'), '1.txt');
    },
  });
  const train = defineStep({
    name: 'train',
    version: 1,
    config: z.object({ epochs: z.number().int() }),
    inputs: { dataset: 'dataset' },
    outputs: { network: 'network' },
    exclusive: () => ['cpu'],
    async run({ step, config, inputs, outputs, scratch, signal, progress, note }) {
      count(step);
      await toy.trainHook?.({ scratch, signal });
      for (let epoch = 1; epoch <= config.epochs; epoch++) progress(epoch, config.epochs, { loss: 1 / epoch }, 'epoch');
      note('the spec asks for 120 epochs');
      await writeFile(outputs.network, `network of ${await text(join(inputs.dataset, 'images', '1.txt'))}, ${config.epochs} epochs`);
    },
  });
  const prune = defineStep({
    name: 'prune',
    config: z.object({ threshold: z.number() }),
    inputs: { network: 'network', ranges: 'ranges?' },
    outputs: { network: 'network' },
    async run({ step, config, inputs, outputs }) {
      count(step);
      // Under 0.5 nothing goes, so two thresholds may give equal bytes.
      await writeFile(outputs.network, `${await text(inputs.network)}${config.threshold < 0.5 ? '' : ', pruned'}`);
    },
  });
  const exportOnnx = defineStep({
    name: 'export-onnx',
    config: z.object({}),
    inputs: { network: 'network' },
    outputs: { onnx: 'onnx' },
    async run({ step, inputs, outputs }) {
      count(step);
      await writeFile(outputs.onnx, await text(inputs.network));
    },
  });
  const buildEngine = defineStep({
    name: 'build-engine',
    config: z.object({ device: z.string(), address: z.string() }),
    identity: ({ device }) => ({ device }),
    inputs: { onnx: 'onnx' },
    outputs: { engine: 'passport' },
    exclusive: ({ device }) => [`device:${device}`],
    async recall({ config, outputs }) {
      const board = toy.board(config.device);
      if (!board.reachable) throw away(config.device);
      return board.engines.has(await text(outputs.engine)) ? 'valid' : 'gone';
    },
    async run({ step, config, digests, outputs }) {
      if (!toy.board(config.device).reachable) throw away(config.device);
      count(step);
      toy.during.most = Math.max(toy.during.most, ++toy.during.busy);
      await new Promise(done => setTimeout(done, 20));
      toy.during.busy--;
      const engine = `engine of ${digests.onnx} on ${config.device}`;
      toy.board(config.device).engines.add(engine);
      await writeFile(outputs.engine, engine);
    },
  });
  const measure = defineStep({
    name: 'measure',
    config: z.object({ device: z.string() }),
    inputs: { engine: 'passport' },
    outputs: { measurement: 'measurement' },
    exclusive: ({ device }) => [`device:${device}`],
    async run({ step, inputs, outputs }) {
      count(step);
      await writeFile(outputs.measurement, `speed of ${await text(inputs.engine)}`);
    },
  });
  const report = defineStep({
    name: 'report',
    config: z.object({}),
    inputs: { scores: 'measurement[]' },
    outputs: { report: 'report' },
    async run({ step, inputs, outputs }) {
      count(step);
      await writeFile(outputs.report, (await Promise.all(inputs.scores.map(text))).join('\n'));
    },
  });
  return { importDataset, train, prune, exportOnnx, buildEngine, measure, report };
}

/** A line appended to a file: counts runs across processes. */
export const tally = (path: string, line: string): Promise<void> => appendFile(path, `${line}\n`);
export const newStore = async (): Promise<Store> => new Store(await newRoot());
