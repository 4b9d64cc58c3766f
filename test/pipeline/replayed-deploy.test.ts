import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Passport } from '../../src/deploy/device.ts';
import { releaseManifestSchema } from '../../src/deploy/release-manifest.ts';
import { iniValue, parseIni } from '../../src/formats/ini.ts';
import { parseReport } from '../../src/formats/report.ts';
import type { DeviceBisection } from '../../src/pipeline/bisect/bisect-device.ts';
import type { AppMeasurement, StreamSearch } from '../../src/pipeline/deepstream-run.ts';
import { cli } from '../ui/_cli.ts';
import { replayedProject } from './_replayed-project.ts';
import type { TinyProject } from './_tiny-project.ts';

// The whole line against replayed boards, JetPack 4.6 to 7.0 and a T4: facts, refusals, push, build, benchmark, accuracy and report. Nothing there is measured, and the reports say so.
const boards = {
  'xavier-nx': ['xavierNx', '8.2.1', '4.6.1'],
  'orin-nx': ['orinNx', '8.5.2', '5.1.1'],
  'orin-nano': ['orinNano', '10.3.0', '6.2'],
  thor: ['thor', '10.13.3', '7.0'],
  t4: ['t4', '8.6.1', undefined],
} as const;
const limitMs = 280_000;
let scene: Awaited<ReturnType<typeof replayedProject>>;
let project: TinyProject;

beforeAll(async () => {
  // The T4 has no Python module: its images go through one process each.
  const cast = Object.entries(boards).map(([name, [board]]) => [name, { board, python: board !== 't4' }] as const);
  scene = await replayedProject({ ...Object.fromEntries(cast), nano: { board: 'nano', python: true } });
  project = scene.project;
}, limitMs);
afterAll(() => scene[Symbol.asyncDispose]());

test('the host’s part', { timeout: limitMs }, async () => {
  const { exitCode, failed } = await project.run({ devices: [] });
  expect([...failed]).toEqual([]);
  expect(exitCode).toBe(0);
});

test.each(Object.entries(boards))('%s', { timeout: limitMs }, async (name, [, tensorrt, jetpack]) => {
  const { exitCode, failed, ran } = await project.run({ devices: [name] });
  expect([...failed]).toEqual([]);
  expect(exitCode).toBe(0);
  expect([...ran.keys()]).toEqual(expect.arrayContaining([`build ${name} int8`, `benchmark ${name}`, `infer ${name} fp32`, `report ${name}`]));
  const report = parseReport(readFileSync(join(await project.outputPath(`report ${name}`, 'report'), 'report.json'), 'utf8'));
  expect(report.device).toMatchObject({ emulated: true, tensorrt, runtime: `tensorrt ${tensorrt}`, ...(jetpack ? { jetpack } : {}) });
  expect(report.results.map(row => row.precision)).toEqual(['fp32', 'int8']);
  for (const row of report.results) {
    expect(row.evidence).toMatchObject({ grade: 'emulated', runtime: `tensorrt ${tensorrt}` });
    expect(row.accuracy?.n).toBeGreaterThan(0);
  }
  // Some kinds have figures of others beside them; they are never this report's own.
  expect((report.published ?? []).map(({ grade }) => grade)).toEqual(['xavier-nx', 't4'].includes(name) ? ['published', 'published', 'published'] : []);
  const passport = JSON.parse((await project.output(`build ${name} int8`, 'engine')).toString()) as Passport;
  expect(passport).toMatchObject({ emulated: true, tensorrt, precision: 'int8', layers: { int8: expect.any(Number) } });
  expect(passport.words.find(word => word.startsWith('--calib='))).toMatch(/^--calib=store\/[0-9a-f]{64}$/);
  expect(report.notes?.join('\n')).toMatch(/\d+ of \d+ layers run in INT8 \(\d+ %\)/);
  const current = join(scene.boards.get(name)!.home, '.edgeforge', 'current');
  const manifest = releaseManifestSchema.parse(JSON.parse(readFileSync(join(current, 'manifest.json'), 'utf8')));
  expect(manifest).toMatchObject({ gate: 'unjudged', device: name, engines: [{ passport: { tensorrt } }, { passport: { tensorrt, emulated: true } }] });
  execFileSync('sha256sum', ['-c', '--quiet', 'SHA256SUMS'], { cwd: current });
  // What deepstream-app starts with names files that lie beside it, the very engine that was measured among them.
  const app = parseIni(readFileSync(join(current, manifest.app as string), 'utf8'));
  const nvinfer = parseIni(readFileSync(join(current, iniValue(app, 'primary-gie', 'config-file') as string), 'utf8'));
  for (const key of ['model-engine-file', 'labelfile-path']) expect(existsSync(join(current, iniValue(nvinfer, 'property', key) as string))).toBe(true);
  expect(manifest.engines.find(({ passport }) => passport.precision === manifest.precision)?.file).toBe(iniValue(nvinfer, 'property', 'model-engine-file'));
});

test('deepstream-app with the deployed engine: rates per stream, and how many streams reach one', { timeout: limitMs }, async () => {
  const json = async <T>(...words: string[]) => JSON.parse((await cli('deepstream', 'run', 'orin-nx', '--project', project.folder, '--seconds', '3', '--json', ...words)).out) as T;
  const run = await json<AppMeasurement>('--streams', '2');
  expect(run).toMatchObject({ grade: 'emulated', deepstream: '6.2', precision: 'int8', batch: 1, sink: 'fake', notes: [] });
  // 2.3 ms an image, as this board replays INT8.
  for (const { mean } of run.streams) expect(mean).toBeCloseTo(219, -1);
  const found = await json<StreamSearch>('--search-streams', '100', '--most', '16');
  expect([found.best, found.trials.map(({ streams }) => streams)]).toEqual([4, [1, 2, 4, 8, 6, 5]]);
  const { code, err } = await cli('deepstream', 'run', 'orin-nx', '--project', project.folder, '--sink', 'display');
  expect([code, err]).toEqual([1, expect.stringContaining('no display')]);
});

test('bisect through replayed engines: their answers are never graded measured', { timeout: limitMs }, async () => {
  const { out } = await cli('bisect', 'orin-nx', '--project', project.folder, '--images', '4', '--json');
  const { stages, notes } = JSON.parse(out) as DeviceBisection;
  expect(stages.map(({ name, precision, grade }) => [name, precision, grade])).toEqual([
    ['host', undefined, 'measured'],
    ['engine', 'fp32', 'emulated'],
    ['engine', 'int8', 'emulated'],
    ['deepstream', 'int8', 'emulated'],
  ]);
  expect(notes.join()).not.toContain('was not run');
});

test('again, nothing is built or measured anew', async () => {
  const { exitCode, ran, sent } = await project.run({ devices: ['orin-nano'] });
  expect([exitCode, [...ran.keys()]]).toEqual([0, []]);
  expect(sent['orin-nano']).toBeLessThanOrEqual(4096);
});

test('scenarios: one engine per batch, a row per scenario', { timeout: limitMs }, async () => {
  project.edit('edgeforge.yaml', text => text.replace(/^benchmark: \{ /m, 'benchmark: { batch: [8], scenarios: [single_stream, offline, multi_stream], '));
  const { exitCode, failed } = await project.run({ devices: ['orin-nano'] });
  project.edit('edgeforge.yaml', text => text.replace('batch: [8], scenarios: [single_stream, offline, multi_stream], ', ''));
  expect([exitCode, [...failed]]).toEqual([0, []]);
  const report = parseReport(readFileSync(join(await project.outputPath('report orin-nano', 'report'), 'report.json'), 'utf8'));
  expect(report.results.map(({ precision, scenario, batch }) => `${precision} ${scenario} ${batch}`)).toEqual([
    'fp32 single_stream 1',
    'int8 single_stream 1',
    'fp32 offline 8',
    'fp32 multi_stream 8',
    'int8 offline 8',
    'int8 multi_stream 8',
  ]);
  expect(report.protocol.name).toMatch(/^quick \(indicative\), with its own warmUpMs/);
  for (const row of report.results) expect(row.accuracy?.n).toBeGreaterThan(0);
});

test('a Nano refuses INT8 with the measured reason, and before anything is pushed for it', { timeout: limitMs }, async () => {
  const { exitCode, failed, sent } = await project.run({ devices: ['nano'], steps: ['build nano int8'] });
  // Questions only: neither model nor cache.
  expect(sent.nano).toBeLessThan(16_000);
  expect(exitCode).not.toBe(0);
  expect(failed.get('build nano int8')).toMatchObject({ code: 'device-refused', message: expect.stringContaining('55.2 ms against 26.9 ms') });
});

test('what a board cannot be set to is refused before anything is pushed to it or built there', { timeout: limitMs }, async () => {
  project.edit('edgeforge.yaml', text => text.replace('  nano: { ', '  nano: { gpuMHz: 900, '));
  const { failed, sent } = await project.run({ devices: ['nano'], steps: ['build nano fp32'] });
  expect(failed.get('build nano fp32')).toMatchObject({ code: 'usage', message: expect.stringContaining('gpuMHz is for cards') });
  expect(sent.nano).toBeLessThan(16_000);
  project.edit('edgeforge.yaml', text => text.replace('gpuMHz: 900', 'powerMode: "7W"'));
  expect((await project.run({ devices: ['nano'], steps: ['build nano fp32'] })).failed.get('build nano fp32')).toMatchObject({
    code: 'usage',
    message: expect.stringContaining('7W'),
  });
});
