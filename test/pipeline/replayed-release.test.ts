import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readsOf } from '../../src/core/recipe.ts';
import { serviceName } from '../../src/deploy/app-unit.ts';
import { appSchema } from '../../src/deploy/definition.ts';
import type { DevicePlan } from '../../src/pipeline/deploy-plan.ts';
import { reasonOf } from '../../src/pipeline/deploy-plan.ts';
import { DevicePool } from '../../src/pipeline/device-pool.ts';
import { appTextOf, chosenEngine, gateOf, type ReleasedEngine } from '../../src/pipeline/release-content.ts';
import { projectOf, requestedRecipe } from '../../src/pipeline/requested.ts';
import { cli } from '../ui/_cli.ts';
import { replayedProject } from './_replayed-project.ts';
import type { TinyProject } from './_tiny-project.ts';

// A deploy as its user sees it on two replayed boards and one that is not there: the plan before, releases and service after, and the way back.
const limitMs = 280_000;
let scene: Awaited<ReturnType<typeof replayedProject>>;
let project: TinyProject;
const nano = () => scene.boards.get('orin-nano')!;
const edgeforge = (...words: string[]) => cli(...words, '--project', project.folder);
const planned = async (...devices: string[]) => {
  const { code, out } = await edgeforge('deploy', ...devices, '--plan', '--json');
  expect(code).toBe(0);
  return JSON.parse(out) as { readonly devices: readonly DevicePlan[]; readonly steps: readonly { readonly step: string; readonly status: string }[] };
};
const everything = () => (existsSync(nano().remote()) ? readdirSync(nano().remote(), { recursive: true }).sort() : []);
const current = () => JSON.parse(readFileSync(nano().remote('current', 'manifest.json'), 'utf8')) as { readonly id: string };

beforeAll(async () => {
  scene = await replayedProject({ 'orin-nano': { board: 'orinNano' }, t4: { board: 't4' } }, ['  dead: { ssh: "edge@127.0.0.1:1" }']);
  project = scene.project;
}, limitMs);
afterAll(() => scene[Symbol.asyncDispose]());

test('a plan before anything was trained says what it cannot know', { timeout: limitMs }, async () => {
  const { devices } = await planned('orin-nano');
  expect(devices[0]).toMatchObject({ device: 'orin-nano', release: { changes: true, because: 'the first release' }, configs: [], services: [] });
  expect(devices[0]?.unknown.join('\n')).toMatch(/the models and what they change, before export has run/);
  expect(devices[0]?.builds.map(({ precision }) => precision)).toEqual(['fp32', 'int8']);
});

test('the plan names files with their bytes, builds with reason and forecast, configs; nothing is written on the device', { timeout: limitMs }, async () => {
  expect((await project.run({ devices: [] })).exitCode).toBe(0);
  const before = everything();
  const { devices } = await planned('orin-nano');
  const [plan] = devices;
  expect(everything()).toEqual(before);
  expect(plan?.unknown).toEqual([]);
  expect(plan?.pushes.map(({ name }) => name)).toEqual(expect.arrayContaining(['model for fp32', 'model for int8', 'calibration cache', 'validation tensors']));
  for (const { bytes, send } of plan?.pushes ?? []) expect([send, bytes > 0]).toEqual([bytes, true]);
  for (const build of plan?.builds ?? []) expect(build).toMatchObject({ reason: 'new on this device', forecast: { peakMB: expect.any(Number), diskMB: expect.any(Number) } });
  expect(plan?.configs).toEqual(expect.arrayContaining(['labels.txt: new', 'nvinfer_int8.txt: new']));
  const text = (await edgeforge('deploy', 'orin-nano', '--plan')).out;
  expect(text).toMatch(/orin-nano: release none → a new one[\s\S]*push {5}model for int8: [\d.]+ MB[\s\S]*build {4}int8: new on this device; no earlier build tells how long/);
});

test('several devices at once: what fails is a row and the exit code, never the end of the others', { timeout: limitMs }, async () => {
  const { code, out } = await edgeforge('deploy', 'orin-nano', 'dead', 't4');
  expect(code).toBe(3);
  const table = out.slice(out.lastIndexOf('\ndevice '));
  for (const name of ['orin-nano', 't4']) for (const precision of ['FP32', 'INT8']) expect(table).toMatch(new RegExp(`^${name} +current +${precision} .* emulated$`, 'm'));
  expect(table).toMatch(/^dead +FAILED .*127\.0\.0\.1/m);
  expect(everything()).toContain('current');
});

test('again: the plan finds nothing to do', { timeout: limitMs }, async () => {
  const { devices } = await planned('orin-nano');
  expect(devices[0]).toMatchObject({ pushes: [], builds: [], configs: [], services: [], unknown: [], release: { current: current().id, next: current().id, changes: false } });
  expect((await edgeforge('deploy', 'orin-nano', '--plan')).out).toContain('nothing changes there');
});

test('another DeepStream on the board is another release, with its configs’ changes; a service follows the switches, back and forth', { timeout: limitMs }, async () => {
  const first = current().id;
  const calls = join(nano().home, 'calls');
  nano().program('systemctl', `echo "$*" >> ${calls}`);
  nano().program('loginctl', 'echo Linger=yes');
  nano().file('/opt/nvidia/deepstream/deepstream/version', 'Version: 9.0\n');
  const { devices } = await planned('orin-nano');
  expect(devices[0]?.pushes.map(({ send }) => send)).toEqual([0, 0, 0]);
  expect(devices[0]).toMatchObject({ builds: [], release: { current: first, changes: true, because: expect.stringContaining('deepstream 7.1 → 9.0') } });
  expect(devices[0]?.configs.join('\n')).toMatch(/nvinfer_int8\.txt: /);
  const deployed = await edgeforge('deploy', 'orin-nano', '--service');
  expect([deployed.code, deployed.out]).toEqual([0, expect.stringContaining(`${serviceName} is restarted`)]);
  const second = current().id;
  expect(second).not.toBe(first);
  expect(readFileSync(join(nano().home, '.config/systemd/user', serviceName), 'utf8')).toContain('-c deepstream_app.txt');
  expect(existsSync(nano().remote('current', 'deepstream_app.txt'))).toBe(true);
  const restarts = () => readFileSync(calls, 'utf8').split(`restart ${serviceName}`).length - 1;
  const started = restarts();
  const back = await edgeforge('rollback', 'orin-nano', '--json');
  expect([back.code, JSON.parse(back.out)]).toEqual([0, { device: 'orin-nano', from: second, to: first, notes: [`${serviceName} is restarted`] }]);
  expect([current().id, restarts()]).toEqual([first, started + 1]);
  const listed = await edgeforge('releases', 'orin-nano');
  expect(listed.out).toMatch(new RegExp(`previous +${second}[\\s\\S]*current +${first}`));
  // Sources of its own: another release again, whose application reads them.
  project.edit('edgeforge.yaml', text => text.replace(/(orin-nano: \{ )/, '$1service: { sources: ["rtsp://10.0.0.9/cam"], sink: rtsp }, '));
  expect((await planned('orin-nano')).devices[0]).toMatchObject({ builds: [], release: { current: first, changes: true, because: expect.stringContaining('app absent → ') } });
  project.edit('edgeforge.yaml', text => text.replace(/service: \{.*?\}, /, ''));
  // The project has not changed: a deploy makes its own release current again, and builds nothing for it.
  const again = await planned('orin-nano');
  expect(again.devices[0]).toMatchObject({ builds: [], services: [`${serviceName} restarts`], release: { current: first, next: second, changes: true } });
  expect((await edgeforge('deploy', 'orin-nano')).code).toBe(0);
  expect(current().id).toBe(second);
});

test('a missed gate keeps a release from becoming current, unless it is asked to', { timeout: limitMs }, async () => {
  for (const despiteGate of [false, true]) {
    const request = { project: project.folder, devices: ['orin-nano'], despiteGate };
    await using pool = new DevicePool(projectOf(request));
    const { recipe } = await requestedRecipe(request, { project: projectOf(request), pool, store: project.store });
    const reads = recipe.nodes.flatMap(node => (node.id === 'switch orin-nano' ? readsOf(node).map(artifact => artifact.node.id) : []));
    expect(reads).toEqual(['release orin-nano', ...(despiteGate ? [] : ['gate orin-nano'])]);
  }
  const engine = (precision: ReleasedEngine['precision']): ReleasedEngine => ({ precision, batch: 1, quantized: false, model: { digest: 'd' as never, bytes: 1 } });
  const engines = [engine('fp32'), engine('fp16'), engine('int8')];
  const row = (precision: string, rate: number, gate: string) => ({ precision, batch: 1, gate, throughput: { value: rate, unit: 'images/s' } }) as never;
  const rows = (int8: string, fp16 = 'pass') => ({ results: [row('fp32', 10, 'pass'), row('fp16', 19.9, fp16), row('int8', 20, int8)] });
  expect([chosenEngine(rows('fail'), engines).precision, gateOf(rows('fail'))]).toEqual(['fp16', 'fail']);
  // Within the noise of a measurement the more exact one.
  expect([chosenEngine(rows('pass'), engines).precision, gateOf(rows('pass'))]).toEqual(['fp16', 'pass']);
  expect([chosenEngine(rows('unjudged', 'fail'), engines).precision, gateOf(rows('unjudged'))]).toEqual(['int8', 'unjudged']);
  const files = [{ file: 'deepstream_app_int8.txt', text: 'the sample' }];
  const shown = { engines, files, deepstream: '7.1' } as const;
  expect([appTextOf(engine('int8'), shown), appTextOf(engine('fp16'), shown)]).toEqual(['the sample', undefined]);
  const app = appSchema.parse({ sources: ['rtsp://user:pw@10.0.0.9/cam;1'], sink: 'rtsp', tracker: true });
  expect(appTextOf(engine('int8'), { ...shown, app })).toMatch(/uri=rtsp:\/\/user:pw@10\.0\.0\.9\/cam;1\n[\s\S]*config-file=nvinfer_int8\.txt/);
  for (const source of ['/dev/video0', 'rtsp://a b', 'rtsp://a\nexec=1']) expect(appSchema.safeParse({ sources: [source] }).success).toBe(false);
  expect(reasonOf('identity.runtime tensorrt 8.5.2 → tensorrt 10.3.0, identity.l4t 35.3.1 → 36.4.0')).toBe('TensorRT changed: 8.5.2 → 10.3.0');
  expect([reasonOf('never ran'), reasonOf('input onnx changed'), reasonOf('device says the engine is gone')]).toEqual([
    'new on this device',
    'the model changed',
    'it is gone from the device',
  ]);
});
