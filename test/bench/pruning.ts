// What pruning costs: the pruned and retrained network against the unpruned one given the same extra epochs, on the same images, over several seeds.
// npm run bench:pruning -- [seeds] [training epochs] [retraining epochs] [keepMacs]
import { cp, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunEvent } from '../../src/core/events.ts';
import { inPackage, siblingModule } from '../../src/core/package-root.ts';
import { startRun, tailRun } from '../../src/core/run-folder.ts';

const [seeds = 3, epochs = 10, more = 6, keepMacs = 0.5] = process.argv.slice(2).map(Number);
const folder = await mkdtemp(join(tmpdir(), 'edgeforge-pruning-'));
await cp(inPackage('src', 'pipeline', 'templates', 'scenes'), folder, { recursive: true });
const template = {
  project: await readFile(join(folder, 'edgeforge.yaml'), 'utf8'),
  train: await readFile(join(folder, 'specs/train.txt'), 'utf8'),
  retrain: await readFile(join(folder, 'specs/retrain.txt'), 'utf8'),
};

/** Runs the project as it stands up to the retrained network's score; returns that score and what was logged of the pruning. */
async function score(prune: string, seed: number): Promise<{ readonly value: number; readonly n: number; readonly macs: string }> {
  await writeFile(join(folder, 'edgeforge.yaml'), template.project.replace(/^prune:.*$/m, `prune: ${prune}`).replace(/^devices:[\s\S]*$/m, 'devices: {}\n'));
  const spec = (text: string, count: number) => text.replace(/^random_seed:.*$/m, `random_seed: ${seed}`).replace(/num_epochs: \d+/, `num_epochs: ${count}`);
  await writeFile(join(folder, 'specs/train.txt'), spec(template.train, epochs));
  await writeFile(join(folder, 'specs/retrain.txt'), spec(template.retrain, more));
  const request = { project: folder, steps: ['evaluate retrained'] };
  const run = await startRun({
    root: join(folder, '.edgeforge'),
    moduleFile: siblingModule(import.meta.url, '../../src/pipeline/run-main'),
    args: [JSON.stringify(request)],
    cwd: folder,
  });
  const events: RunEvent[] = [];
  for await (const event of tailRun(run.folder)) events.push(event);
  const logged = (step: string) =>
    events.findLast(event => event.type === 'step-log' && event.step === step && event.message.match(/mAP|MACs/)) as { readonly message: string } | undefined;
  const said = logged('evaluate retrained')?.message.match(/([\d.]+) on (\d+) images/);
  if (!said) throw new Error(JSON.stringify(events.at(-1)));
  return { value: Number(said[1]), n: Number(said[2]), macs: logged('prune')?.message ?? 'cached' };
}

const rows: { seed: number; pruned: number; control: number; loss: number }[] = [];
for (let seed = 1; seed <= seeds; seed++) {
  const pruned = await score(`{keepMacs: ${keepMacs}}`, seed);
  const control = await score('{threshold: 0}', seed);
  rows.push({ seed, pruned: pruned.value, control: control.value, loss: 100 * (control.value - pruned.value) });
  console.log(
    `seed ${seed}: ${pruned.macs}; pruned ${pruned.value.toFixed(4)}, unpruned with the same ${more} extra epochs ${control.value.toFixed(4)}, loss ${rows.at(-1)?.loss.toFixed(2)} points (n ${pruned.n} images)`,
  );
}
const mean = rows.reduce((sum, row) => sum + row.loss, 0) / rows.length;
const sd = Math.sqrt(rows.reduce((sum, row) => sum + (row.loss - mean) ** 2, 0) / Math.max(1, rows.length - 1));
console.log(`mean loss ${mean.toFixed(2)} points over ${rows.length} seeds (sd ${sd.toFixed(2)}); ${epochs} + ${more} epochs; project: ${folder}`);
