// What pruning costs: the pruned and retrained network, without and with the unpruned one as its teacher, against the unpruned one given the same extra epochs,
// on the same images, over several seeds.
// npm run bench:pruning -- [seeds] [training epochs] [retraining epochs] [keepMacs] [teacher's weight]
import { cp, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inPackage } from '../../src/core/package-root.ts';
import { meanAndSd, runProject } from './_project-run.ts';

const [seeds = 3, epochs = 10, more = 6, keepMacs = 0.5, teacher = 0.5] = process.argv.slice(2).map(Number);
const folder = await mkdtemp(join(tmpdir(), 'edgeforge-pruning-'));
await cp(inPackage('src', 'pipeline', 'templates', 'scenes'), folder, { recursive: true });
const template = {
  project: await readFile(join(folder, 'edgeforge.yaml'), 'utf8'),
  train: await readFile(join(folder, 'specs/train.txt'), 'utf8'),
  retrain: await readFile(join(folder, 'specs/retrain.txt'), 'utf8'),
};

/** Runs the project as it stands up to the retrained network's score; returns that score and what was logged of the pruning. */
async function score(prune: string, seed: number, distill = ''): Promise<{ readonly value: number; readonly n: number; readonly macs: string }> {
  const retrain = `retrain: { spec: specs/retrain.txt${distill} }`;
  const project = template.project.replace(/^prune:.*$/m, `prune: ${prune}`).replace(/^retrain:.*$/m, retrain);
  await writeFile(join(folder, 'edgeforge.yaml'), project.replace(/^devices:[\s\S]*$/m, 'devices: {}\n'));
  const spec = (text: string, count: number) => text.replace(/^random_seed:.*$/m, `random_seed: ${seed}`).replace(/num_epochs: \d+/, `num_epochs: ${count}`);
  await writeFile(join(folder, 'specs/train.txt'), spec(template.train, epochs));
  await writeFile(join(folder, 'specs/retrain.txt'), spec(template.retrain, more));
  const { events } = await runProject(folder, 'evaluate retrained');
  const logged = (step: string) =>
    events.findLast(event => event.type === 'step-log' && event.step === step && event.message.match(/mAP|MACs/)) as { readonly message: string } | undefined;
  const said = logged('evaluate retrained')?.message.match(/([\d.]+) on (\d+) images/);
  if (!said) throw new Error(JSON.stringify(events.at(-1)));
  return { value: Number(said[1]), n: Number(said[2]), macs: logged('prune')?.message ?? 'cached' };
}

const rows: { readonly pruned: number; readonly taught: number; readonly control: number }[] = [];
for (let seed = 1; seed <= seeds; seed++) {
  const pruned = await score(`{keepMacs: ${keepMacs}}`, seed);
  const taught = await score(`{keepMacs: ${keepMacs}}`, seed, `, distill: {weight: ${teacher}}`);
  const control = await score('{threshold: 0}', seed);
  rows.push({ pruned: pruned.value, taught: taught.value, control: control.value });
  console.log(
    `seed ${seed}: ${pruned.macs}; pruned ${pruned.value.toFixed(4)}, with the teacher ${taught.value.toFixed(4)}, unpruned with the same ${more} extra epochs ${control.value.toFixed(4)} (n ${pruned.n} images)`,
  );
}
for (const [name, arm] of [
  ['pruned', 'pruned'],
  [`pruned, a teacher of weight ${teacher}`, 'taught'],
] as const) {
  const losses = rows.map(row => 100 * (row.control - row[arm]));
  const { mean, sd } = meanAndSd(losses);
  console.log(`${name}: mean loss ${mean.toFixed(2)} points over ${losses.length} seeds (sd ${sd.toFixed(2)})`);
}
console.log(`${epochs} + ${more} epochs; project: ${folder}`);
