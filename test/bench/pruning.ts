// What pruning costs on synthetic scenes: the pruned and retrained network, without and with the unpruned one as its teacher, against the unpruned one given the same
// extra epochs, on the same images, over several seeds.
// npm run bench:pruning -- [--seeds 1,2,3] [--epochs 10] [--more 6] [--keep 0.5] [--importance magnitude|energy] [--arms pruned,taught,control] [--teacher 0.5] [--features 0]
import { cp, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { inPackage } from '../../src/core/package-root.ts';
import { meanAndSd, runProject } from './_project-run.ts';

const { values: options } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1,2,3' },
    epochs: { type: 'string', default: '10' },
    more: { type: 'string', default: '6' },
    keep: { type: 'string', default: '0.5' },
    importance: { type: 'string', default: 'magnitude' },
    arms: { type: 'string', default: 'pruned,taught,control' },
    teacher: { type: 'string', default: '0.5' },
    features: { type: 'string', default: '0' },
  },
});
const smaller = `{ keepMacs: ${options.keep}, importance: ${options.importance} }`;
/** What edgeforge.yaml says of pruning and of the teacher. */
const arms = {
  pruned: { prune: smaller, distill: '' },
  taught: { prune: smaller, distill: `, distill: { weight: ${options.teacher}, features: ${options.features} }` },
  control: { prune: '{ threshold: 0 }', distill: '' },
} as const;
type Arm = keyof typeof arms;

const folder = await mkdtemp(join(tmpdir(), 'edgeforge-pruning-'));
await cp(inPackage('src', 'pipeline', 'templates', 'scenes'), folder, { recursive: true });
const template = {
  project: await readFile(join(folder, 'edgeforge.yaml'), 'utf8'),
  train: await readFile(join(folder, 'specs/train.txt'), 'utf8'),
  retrain: await readFile(join(folder, 'specs/retrain.txt'), 'utf8'),
};

/** Runs the project as it stands up to the retrained network's score; prints what was logged of it, and returns that score. */
async function score(arm: Arm, seed: number): Promise<number> {
  const { prune, distill } = arms[arm];
  const project = template.project.replace(/^prune:.*$/m, `prune: ${prune}`).replace(/^retrain:.*$/m, `retrain: { spec: specs/retrain.txt${distill} }`);
  await writeFile(join(folder, 'edgeforge.yaml'), project.replace(/^devices:[\s\S]*$/m, 'devices: {}\n'));
  const spec = (text: string, count: string) => text.replace(/^random_seed:.*$/m, `random_seed: ${seed}`).replace(/num_epochs: \d+/, `num_epochs: ${count}`);
  await writeFile(join(folder, 'specs/train.txt'), spec(template.train, options.epochs));
  await writeFile(join(folder, 'specs/retrain.txt'), spec(template.retrain, options.more));
  const { events } = await runProject(folder, 'evaluate retrained');
  const said = events.flatMap(event => (event.type === 'step-log' && /mAP|MACs/.test(event.message) ? [event] : []));
  for (const { step, message } of said) console.log(`    ${step}: ${message}`);
  const value = said.findLast(({ step }) => step === 'evaluate retrained')?.message.match(/([\d.]+) on (\d+) images/)?.[1];
  if (value === undefined) throw new Error(JSON.stringify(events.at(-1)));
  console.log(`  seed ${seed}, ${arm}: ${value}`);
  return Number(value);
}

const wanted = options.arms.split(',') as Arm[];
const rows: Partial<Record<Arm, number>>[] = [];
for (const seed of options.seeds.split(',').map(Number)) {
  const row: Partial<Record<Arm, number>> = {};
  for (const arm of wanted) row[arm] = await score(arm, seed);
  rows.push(row);
}
for (const arm of wanted) {
  const values = rows.map(row => row[arm] as number);
  const losses = rows.map((row, index) => 100 * ((row.control ?? Number.NaN) - (values[index] as number)));
  const [own, lost] = [meanAndSd(values), meanAndSd(losses)];
  const against =
    arm === 'control' || !wanted.includes('control')
      ? ''
      : `; ${lost.mean.toFixed(2)} points (sd ${lost.sd.toFixed(2)}) below the unpruned network with the same ${options.more} extra epochs`;
  console.log(`${arm}: mean mAP ${own.mean.toFixed(4)} over ${values.length} seeds (sd ${own.sd.toFixed(4)})${against}`);
}
console.log(`${options.epochs} + ${options.more} epochs; project: ${folder}`);
