// Our training steps of one case, one per line on the input; with `profile`, a few steps and the time of each operator instead. Run by train.ts.
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { compileTrainStep } from '../../src/train/step.ts';
import { learningRate, trainCases } from './_train-cases.ts';

const [name = '', mode = 'steps', threads = '2', prefix = ''] = process.argv.slice(2);
const each = trainCases[name];
if (!each) throw new Error(`There is no case ${name}.`);
const { network, task, images, annotations } = each.open();
const settings = { batch: each.batch, optimizer: { kind: each.optimizer }, threads: Number(threads), ...(mode === 'profile' ? { profile: prefix } : {}) } as const;
const step = await compileTrainStep(network, task, settings);
const feeds = { images, targets: task.encode(annotations), lossWeights: task.lossWeights(), learningRate };
const say = (value: object) => process.stdout.write(`${JSON.stringify(value)}\n`);

if (mode === 'profile') {
  for (let t = 1; t <= 5; t++) await step.run({ ...feeds, t });
  await step.close();
  say(operatorTable());
} else {
  say({ version: `${step.lowering} lowering` });
  let t = 0;
  for await (const line of createInterface({ input: process.stdin })) {
    if (line.trim() !== 'step') break;
    const [wall, cpu] = [performance.now(), process.cpuUsage()];
    const { loss } = await step.run({ ...feeds, t: ++t });
    const used = process.cpuUsage(cpu);
    say({ ms: performance.now() - wall, cpuMs: (used.user + used.system) / 1e3, loss });
  }
  await step.close();
  say({ peakMiB: process.resourceUsage().maxRSS / 1024 });
}

/** Sum over the nodes of each operator of the shortest time that the node took, in ms, largest first. */
function operatorTable(): { operators: (readonly [string, { ms: number; nodes: number }])[] } {
  const file = readdirSync(dirname(prefix)).find(entry => join(dirname(prefix), entry).startsWith(prefix));
  if (file === undefined) throw new Error('onnxruntime wrote no profile.');
  const events = JSON.parse(readFileSync(join(dirname(prefix), file), 'utf8')) as { cat: string; name: string; dur: number; args: { op_name?: string } }[];
  rmSync(join(dirname(prefix), file));
  const shortest = new Map<string, { operator: string; ms: number }>();
  for (const { cat, name: node, dur, args } of events) {
    if (cat !== 'Node' || !node.endsWith('_kernel_time')) continue;
    shortest.set(node, { operator: args.op_name ?? '?', ms: Math.min(dur / 1000, shortest.get(node)?.ms ?? Number.POSITIVE_INFINITY) });
  }
  const sums = new Map<string, { ms: number; nodes: number }>();
  for (const { operator, ms } of shortest.values()) {
    const sum = sums.get(operator) ?? { ms: 0, nodes: 0 };
    sums.set(operator, { ms: sum.ms + ms, nodes: sum.nodes + 1 });
  }
  return { operators: [...sums].sort((a, b) => b[1].ms - a[1].ms) };
}
