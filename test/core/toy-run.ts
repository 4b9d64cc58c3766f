import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { defineStep, Recipe } from '../../src/core/recipe.ts';
import { runRecipe } from '../../src/core/run.ts';
import { hostRun, ownRunFolder } from '../../src/core/run-folder.ts';
import { Store } from '../../src/core/store.ts';
import { tally } from './toy-build.ts';

// The module of a run's process, in every mood a test needs. argv: mood, store root, file that counts runs.
const [mood = '', root = '', count = ''] = process.argv.slice(2);

const train = defineStep({
  name: 'train',
  config: z.object({ epochs: z.number() }),
  inputs: {},
  outputs: { network: 'network' },
  async run({ config, outputs, scratch, signal, progress }) {
    await tally(count, 'train');
    const checkpoint = join(scratch, 'checkpoint');
    let epoch = existsSync(checkpoint) ? Number(await readFile(checkpoint, 'utf8')) : 0;
    progress(epoch, config.epochs);
    while (epoch < config.epochs) {
      signal.throwIfAborted();
      await writeFile(checkpoint, `${++epoch}`);
      await tally(count, `epoch ${epoch}`);
      progress(epoch, config.epochs, { loss: 1 / epoch });
      if (mood === 'slow' || (mood === 'hang' && epoch === 2)) await new Promise(done => setTimeout(done, mood === 'slow' ? 30 : 60_000));
    }
    await writeFile(outputs.network, `trained ${config.epochs}`);
  },
});
const other = defineStep({
  name: 'other',
  config: z.object({ index: z.number() }),
  inputs: { network: 'network' },
  outputs: { onnx: 'onnx' },
  async run({ config, inputs, outputs }) {
    await tally(count, `other ${config.index}`);
    await writeFile(outputs.onnx, `${await readFile(inputs.network, 'utf8')} ${config.index}`);
  },
});

const folder = process.env.EDGEFORGE_RUN_FOLDER === undefined ? dirname(count) : ownRunFolder();
const exitCode = await hostRun(
  folder,
  async ({ run, command, emit, signal }) => {
    if (mood === 'throw') throw new Error('the project file is upside down');
    if (mood === 'exit') process.exit(7);
    if (mood === 'deaf') await new Promise(done => setTimeout(done, 60_000));
    const recipe = new Recipe();
    const { network } = recipe.add(train, { config: { epochs: mood === 'slow' ? 20 : 4 }, inputs: {} });
    for (let index = 0; index < 5; index++) recipe.add(other, { id: `other ${index}`, config: { index }, inputs: { network } });
    return runRecipe(recipe, { store: new Store(root), emit, signal, run, command });
  },
  { graceMs: 300 },
);
process.exit(exitCode);
