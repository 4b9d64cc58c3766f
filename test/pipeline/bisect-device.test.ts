import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { servedFolder } from '../../src/deploy/serve.ts';
import type { DeviceBisection } from '../../src/pipeline/bisect/bisect-device.ts';
import { cli } from '../ui/_cli.ts';
import { TinyProject } from './_tiny-project.ts';

// A trained network on the embedded device: host, engines and emulated DeepStream over the same validation images.
let project: TinyProject;
const limitMs = 240_000;

beforeAll(async () => {
  project = new TinyProject({ epochs: 12 });
  process.env.EDGEFORGE_CONFIG = project.path('config');
  project.edit('edgeforge.yaml', text =>
    text
      .replace(/^prune:.*\n/m, '')
      .replace(/^retrain:.*\n/m, '')
      .replace(/ {2}bench-b.*\n/, '')
      .replace('coverageBias: -4', 'coverageBias: -2')
      .replace('train: 16', 'train: 64'),
  );
  const { exitCode, failed } = await project.run({ steps: ['package', 'build'] });
  expect([exitCode, [...failed]]).toEqual([0, []]);
}, limitMs);
afterAll(async () => {
  delete process.env.EDGEFORGE_CONFIG;
  await project[Symbol.asyncDispose]();
});

const bisect = async (...words: string[]) => {
  const { code, out } = await cli('bisect', 'bench-a', '--project', project.folder, '--images', '6', '--share', '0.25', '--json', ...words);
  return { code, result: JSON.parse(out) as DeviceBisection };
};
/** The exported config with another value. */
async function changed(from: RegExp, to: string): Promise<string> {
  const folder = project.path('configs');
  cpSync(await project.outputPath('package', 'bundle'), folder, { recursive: true });
  const text = readFileSync(join(folder, 'nvinfer_fp16.txt'), 'utf8').replace('network-mode=2', 'network-mode=0');
  expect(text).toMatch(from);
  const file = join(folder, 'changed.txt');
  rmSync(file, { force: true });
  writeFileSync(file, text.replace(from, to));
  return file;
}

test('the engines that are compared stand among the project’s artifacts', async () => {
  const { out } = await cli('artifacts', '--project', project.folder);
  for (const precision of ['fp32', 'int8']) expect(out).toContain(`bench-a: bench-a-${precision}-`);
});
test('as exported nothing changes beyond a weak network’s noise', { timeout: limitMs }, async () => {
  const { code, result } = await bisect();
  expect(result.stages.map(({ name, precision, grade }) => [name, precision, grade])).toEqual([
    ['host', undefined, 'measured'],
    ['engine', 'fp32', 'measured'],
    ['engine', 'int8', 'measured'],
    ['deepstream', 'int8', 'emulated'],
  ]);
  expect(result.stages[0]?.answers).toBeGreaterThan(10);
  expect([code, result.changes]).toEqual([0, []]);
});
test('a config that scales wrongly is named, on the engine it asks for', { timeout: limitMs }, async () => {
  const { code, result } = await bisect('--config', await changed(/net-scale-factor=.*/, 'net-scale-factor=1'));
  expect(code).toBe(1);
  expect(result.changes).toMatchObject([{ stage: { name: 'deepstream', precision: 'fp32' }, causes: [{ cause: 'scale' }] }]);
  const { code: same, out } = await cli('bisect', 'bench-a', '--project', project.folder, '--images', '6', '--share', '0.25', '--config', project.path('configs', 'changed.txt'));
  expect(same).toBe(1);
  expect(out).toMatch(/First change: DeepStream 6.3, fp32 .*\n {2}scale: net-scale-factor is 1; the network wants 0.0039/);
});
test('files of a real run stand in for the emulated stage, from the device too; too few are refused', { timeout: limitMs }, async () => {
  const folder = project.path('kitti');
  mkdirSync(folder);
  for (let i = 0; i < 6; i++) writeFileSync(join(folder, `00_000_00000${i}.txt`), i === 0 ? 'car 0.0 0 0.0 1.0 2.0 9.0 9.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.900000\n' : '');
  const { code, result } = await bisect('--kitti', folder, '--precision', 'fp32');
  expect(code).toBe(1);
  expect(result.stages.at(-1)).toMatchObject({ name: 'deepstream', precision: 'fp32', grade: 'measured', answers: 1 });
  expect(result.notes).toHaveLength(1);
  expect(result.notes.join()).toContain('The emulated stage differs from the files of the device');
  expect(result.changes[0]?.causes).toMatchObject([{ cause: 'outside the config' }]);
  cpSync(folder, `${servedFolder(project.folder, 'bench-a')}/home/.edgeforge/kitti`, { recursive: true });
  rmSync(folder, { recursive: true });
  expect((await bisect('--kitti', 'kitti', '--precision', 'fp32')).result.stages.at(-1)).toMatchObject({ answers: 1 });
  const { code: refused, err } = await cli('bisect', 'bench-a', '--project', project.folder, '--images', '8', '--kitti', 'kitti');
  expect([refused, err]).toEqual([1, expect.stringContaining('6 label files for 8 frames')]);
});
