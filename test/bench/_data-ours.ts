// Our loader, one epoch whenever the input says so. Run by data.ts.
import { createInterface } from 'node:readline';
import { openLoader } from '../../src/data/batches.ts';
import { kittiLoader } from './_data-case.ts';

const [root = '', imageDir = '', batch = '8', repeats = '1', cacheMiB = '0'] = process.argv.slice(2);
const options = await kittiLoader(root, { imageDir, batch: Number(batch), repeats: Number(repeats) });
const loader = openLoader({ ...options, last: 'pad', cacheBytes: Number(cacheMiB) * 2 ** 20 });
const say = (value: object) => process.stdout.write(`${JSON.stringify(value)}\n`);
say({ version: 'edgeforge' });
let epoch = 0;
for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim() !== 'epoch') break;
  const [wall, cpu] = [performance.now(), process.cpuUsage()];
  let images = 0;
  for await (const { n, release } of loader.epoch(++epoch)) {
    images += n;
    release(); // as a training does
  }
  const used = process.cpuUsage(cpu);
  say({ ms: performance.now() - wall, cpuMs: (used.user + used.system) / 1e3, images });
}
await loader.close();
