import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { computeDistance } from '../../src/train/open-graph.ts';
import { apart, curveCases, curveOf } from './_curves.ts';

// Started with the environment that leads Vulkan to SwiftShader; prints one line of JSON per case. The second case runs in a thread, as trainings do.
const [folder = '.'] = process.argv.slice(2);

interface ProfileEvent {
  readonly cat: string;
  readonly name: string;
  readonly args?: { readonly provider?: string; readonly op_name?: string };
}
const kernels = (prefix: string): { readonly gpu: number; readonly elsewhere: string[] } => {
  const file = readdirSync(folder).find(name => name.startsWith(prefix)) ?? '';
  const events = (JSON.parse(readFileSync(join(folder, file), 'utf8')) as ProfileEvent[]).filter(({ cat, name }) => cat === 'Node' && name.endsWith('_kernel_time'));
  const elsewhere = events.filter(({ args }) => !args?.provider?.startsWith('WebGpu')).map(({ args }) => args?.op_name ?? '?');
  return { gpu: events.length - elsewhere.length, elsewhere: [...new Set(elsewhere)] };
};

console.log(JSON.stringify({ selfTest: await computeDistance('onnxruntime-webgpu') }));
for (const [at, each] of curveCases.entries()) {
  const truth = await curveOf(each, { lowering: 'std' });
  const curve = await curveOf(each, { compute: 'onnxruntime-webgpu', thread: at === 1, profile: join(folder, `case${at}`) });
  console.log(JSON.stringify({ name: each.name, curve: curve.losses, ...apart(curve, truth), ...kernels(`case${at}`) }));
}
