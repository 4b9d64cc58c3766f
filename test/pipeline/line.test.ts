import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Manifest } from '../../src/data/sample.ts';
import type { Passport } from '../../src/deploy/device.ts';
import { addDevice } from '../../src/deploy/registry.ts';
import { ensureServed, servedFolder, stopServed } from '../../src/deploy/serve.ts';
import { parseReport } from '../../src/formats/report.ts';
import { calibrateJob } from '../../src/pipeline/jobs/calibrate.ts';
import type { TrainingLog } from '../../src/pipeline/jobs/train.ts';
import type { Score } from '../../src/tasks/task.ts';
import { follow, TinyProject } from './_tiny-project.ts';

// One project lives through these tests in their order: each goes on where the one before left it.
let project: TinyProject;
const isOn = (device: string) => (step: string) => step.split(' ').includes(device);
let all: readonly string[] = [];
let hostSteps: readonly string[] = [];
const sorted = (names: Iterable<string>) => [...names].sort();
const stepsOn = (device: string) => all.filter(isOn(device));
const onDevice = (device: string, path: string) => `${servedFolder(project.folder, device)}/home/.edgeforge/${path}`;
const limitMs = 240_000;

beforeAll(async () => {
  project = new TinyProject();
  process.env.EDGEFORGE_CONFIG = project.path('config');
  ({ all } = await project.wires());
  hostSteps = all.filter(step => !isOn('bench-a')(step) && !isOn('bench-b')(step));
});
afterAll(async () => {
  delete process.env.EDGEFORGE_CONFIG;
  await project[Symbol.asyncDispose]();
});

describe('what runs, and what does not', () => {
  test('cold, without devices: each step exactly once', { timeout: limitMs }, async () => {
    const { exitCode, failed, ran, cached, events, steps } = await project.run({ devices: [] });
    expect([...failed]).toEqual([]);
    expect(exitCode).toBe(0);
    expect(steps).toEqual(expect.arrayContaining(['scenes', 'dataset', 'train', 'prune', 'retrain', 'evaluate retrained', 'export', 'calibrate', 'quantize', 'package']));
    expect(sorted(steps)).toEqual(sorted(hostSteps));
    expect(events.filter(event => event.type === 'step-started').length).toBe(hostSteps.length);
    expect(sorted(ran.keys())).toEqual(sorted(hostSteps));
    expect(new Set(ran.values())).toEqual(new Set(['never ran']));
    expect(cached).toEqual([]);
  });

  test('a retraining begins at the pruned network’s own score, and names its best and its last epoch', async () => {
    const read = async <T>(step: string, output: string) => JSON.parse((await project.output(step, output)).toString()) as T;
    const pruned = await read<Score>('evaluate pruned', 'score');
    const log = await read<TrainingLog>('retrain', 'log');
    expect(log.history[0]).toMatchObject({ epoch: 0, validation: { value: pruned.value, n: pruned.n, decisions: pruned.decisions } });
    expect(log.kept).toBe('best');
    expect(log.last).toEqual({ epoch: 1, value: log.history[1]!.validation!.value });
    expect((await project.output('retrain', 'network')).equals(await project.output('retrain', 'best'))).toBe(true);
  });

  test('calibration sees training images only', async () => {
    const train = await project.outputPath('dataset', 'train');
    const manifest = async (name: string) => JSON.parse((await project.output('dataset', name)).toString()) as Manifest;
    const [training, validating] = [await manifest('train'), await manifest('validation')];
    const validationDigests = new Set(validating.samples.map(sample => sample.digest));
    expect(validationDigests.size).toBe(8);
    const { images } = await calibrateJob(
      {
        plan: { input: { width: 96, height: 64 }, fit: 'stretch', filter: 'bilinear' },
        onnx: await project.outputPath('export', 'fp32'),
        train,
        images: await project.outputPath('scenes', 'images'),
        recipe: { algorithm: 'minmax', percentile: 0.9999, images: 6, selection: 'stratified', seed: 1, biasCorrection: true },
        output: project.path('ranges.json'),
      },
      { send: () => {}, signal: new AbortController().signal },
    );
    expect(images.length).toBe(6);
    for (const id of images) expect(validationDigests.has(training.samples.find(sample => sample.id === id)!.digest)).toBe(false);
    // The same ranges as the step's own: it calibrates on just these.
    expect(readFileSync(project.path('ranges.json'))).toEqual(await project.output('calibrate', 'ranges'));
  });

  test('deploying to one device runs its steps and no other', { timeout: limitMs }, async () => {
    const b = await project.run({ devices: ['bench-b'] });
    expect(b.exitCode).toBe(0);
    expect(sorted(b.ran.keys())).toEqual(sorted(stepsOn('bench-b')));
    expect(sorted(b.cached)).toEqual(sorted(hostSteps));
    const a = await project.run({ devices: ['bench-a'] });
    expect(a.exitCode).toBe(0);
    // Scoring is the host's work: equal outputs of two boards are scored once.
    expect(sorted(a.ran.keys())).toEqual(sorted(stepsOn('bench-a').filter(step => !step.startsWith('accuracy'))));
    expect(a.sent['bench-a']).toBeGreaterThan(1e6);
  });

  test('again: everything cached, at most 4 kB sent to each device', async () => {
    const again = await project.run();
    expect(again.exitCode).toBe(0);
    expect(sorted(again.cached)).toEqual(sorted(all));
    expect(again.ran.size).toBe(0);
    expect(sorted(Object.keys(again.sent))).toEqual(['bench-a', 'bench-b']);
    for (const bytes of Object.values(again.sent)) expect(bytes).toBeLessThanOrEqual(4096);
    expect((await project.plan()).steps.filter(step => step.status !== 'cached')).toEqual([]);
    console.info(`again, in this process: ${again.milliseconds.toFixed(0)} ms, ${Math.max(...Object.values(again.sent))} bytes sent to a device`);
    expect(again.milliseconds).toBeLessThan(5000);
  });

  test('again, as a process of its own: events, files for people, exit code', async () => {
    const startedAt = performance.now();
    const { folder } = await project.start();
    const events = await follow(folder);
    console.info(`again, as a process: ${(performance.now() - startedAt).toFixed(0)} ms`);
    expect(events.at(-1)).toMatchObject({ type: 'run-finished', ok: true, exitCode: 0, out: `${folder}/out` });
    expect(events.filter(event => event.type === 'step-finished' && event.outcome === 'ran')).toEqual([]);
    const out = project.path('.edgeforge', 'out');
    expect(sorted(readdirSync(out))).toEqual(['model', 'networks', 'report-bench-a', 'report-bench-b', 'tensorboard', 'tfrecords']);
    expect(sorted(readdirSync(`${out}/networks`))).toEqual(['retrain-best.onnx', 'retrain-last.onnx', 'train-best.onnx', 'train-last.onnx']);
    const report = parseReport(readFileSync(`${out}/report-bench-a/report.json`, 'utf8'));
    expect([report.baseline, report.results].map(rows => rows.map(row => row.precision))).toEqual([
      ['fp32', 'int8'],
      ['fp32', 'int8'],
    ]);
    // 8 images hold too few boxes to judge by, and the report says so.
    for (const row of report.results) expect(row).toMatchObject({ gate: 'unjudged', gateNote: expect.stringContaining('n too small to judge'), evidence: { grade: 'measured' } });
  });

  test('two equal boards are two devices: each has engines of its own', async () => {
    const passport = async (device: string) => JSON.parse((await project.output(`build ${device} pruned int8`, 'engine')).toString()) as Passport;
    const [a, b] = [await passport('bench-a'), await passport('bench-b')];
    expect(a.deviceId).not.toBe(b.deviceId);
    expect([a.modelDigest, a.runtime, a.engine.digest]).toEqual([b.modelDigest, b.runtime, b.engine.digest]);
    for (const [device, { engine }] of Object.entries({ 'bench-a': a, 'bench-b': b })) expect(existsSync(onDevice(device, engine.path))).toBe(true);
    // Where `device clean` and the count of what we occupy look.
    expect(a.engine.path).toMatch(/^engines\//);
  });
});

describe('what changes', () => {
  test('an engine deleted on its device is built again, and the reason is told', { timeout: limitMs }, async () => {
    const { engine } = JSON.parse((await project.output('build bench-b pruned int8', 'engine')).toString()) as Passport;
    rmSync(onDevice('bench-b', engine.path));
    const { exitCode, ran } = await project.run();
    expect(exitCode).toBe(0);
    expect(ran.get('build bench-b pruned int8')).toBe('device says the engine is gone');
    const others = [...ran.keys()].filter(step => step !== 'build bench-b pruned int8');
    // The same engine makes the same release, which is current already. A new engine is measured anew; the outputs of the old one need not be asked for where the new one is the same.
    expect(others.filter(step => !['infer bench-b pruned int8', 'benchmark bench-b', 'report bench-b', 'gate bench-b'].includes(step))).toEqual(['release bench-b']);
  });

  test('one setting: only what lies downstream, and why', { timeout: limitMs }, async () => {
    project.edit('edgeforge.yaml', text => text.replace('keepMacs: 0.5', 'keepMacs: 0.6'));
    const { steps } = await project.plan();
    const planned = steps.filter(step => step.status === 'run').map(step => step.step);
    const { downstream } = await project.wires('prune');
    expect(sorted(planned)).toEqual(sorted(downstream));
    expect(downstream).toEqual(expect.arrayContaining(['retrain', 'package', 'build bench-a pruned int8', 'report bench-b']));
    expect(downstream).not.toContain('build bench-a unpruned int8');
    expect(steps.find(step => step.step === 'prune')).toEqual({ step: 'prune', status: 'run', because: 'keepMacs 0.5 → 0.6' });
    expect(steps.find(step => step.step === 'retrain')?.because).toContain('input network, startScore may change; cut off if prune and evaluate pruned give equal bytes');

    const { exitCode, ran, cached } = await project.run({ devices: [] });
    expect(exitCode).toBe(0);
    expect(sorted(ran.keys())).toEqual(sorted(hostSteps.filter(step => downstream.includes(step))));
    expect(ran.get('prune')).toBe('keepMacs 0.5 → 0.6');
    expect(ran.get('retrain')).toBe('input network changed, input startScore changed');
    expect(sorted(cached)).toEqual(sorted(hostSteps.filter(step => !downstream.includes(step))));
  });

  test('equal bytes cut the rest off', async () => {
    // No filter lies between these two budgets: the same network comes out.
    project.edit('edgeforge.yaml', text => text.replace('keepMacs: 0.6', 'keepMacs: 0.6001'));
    const { exitCode, ran } = await project.run({ devices: [] });
    expect(exitCode).toBe(0);
    expect([...ran]).toEqual([['prune', 'keepMacs 0.6 → 0.6001']]);
  });

  test('a damaged object: its step runs again, and equal bytes end it there', { timeout: limitMs }, async () => {
    const path = await project.outputPath('calibrate', 'ranges');
    const sound = readFileSync(path);
    chmodSync(path, 0o644);
    writeFileSync(path, Buffer.from(sound).fill(0x20, 0, 20));
    const { exitCode, ran } = await project.run({ devices: [] });
    expect(exitCode).toBe(0);
    expect([...ran]).toEqual([['calibrate', 'output "ranges" was damaged in the store']]);
    expect(await project.output('calibrate', 'ranges')).toEqual(sound);
  });

  test('the old setting again: nothing is done twice', async () => {
    project.edit('edgeforge.yaml', text => text.replace('keepMacs: 0.6001', 'keepMacs: 0.5'));
    const { exitCode, ran } = await project.run();
    expect(exitCode).toBe(0);
    expect([...ran.keys()]).toEqual([]);
  });
});

describe('a device that is away', () => {
  test('planned as unknown with its last facts; exit code 3; the other device goes on; back again it is just done', { timeout: limitMs }, async () => {
    await stopServed(project.folder, 'bench-b');
    const viaSsh = (port: number) => `bench-b: { target: linux-x64, ssh: 'edge@127.0.0.1:${port}', identityFile: '${servedFolder(project.folder, 'bench-b')}/client_ed25519' }`;
    const closed = await closedPort();
    project.edit('edgeforge.yaml', text => text.replace('bench-b: { target: linux-x64, serve: true }', viaSsh(closed)));
    const facts = JSON.parse(readFileSync(project.path('.edgeforge', 'devices', 'bench-b.json'), 'utf8')) as { facts: { at: string } };

    const { steps, away } = await project.plan();
    expect(away).toEqual([expect.objectContaining({ name: 'bench-b', since: facts.facts.at })]);
    expect(steps.filter(step => step.step.startsWith('build bench-b')).map(step => step.status)).toEqual(['unknown', 'unknown', 'unknown', 'unknown']);
    expect(steps.find(step => step.step === 'report bench-b')?.status).toBe('unknown');
    expect(steps.filter(step => !step.step.includes('bench-b') && step.status !== 'cached')).toEqual([]);

    project.edit('edgeforge.yaml', text => text.replace('durationMs: 50', 'durationMs: 60'));
    const without = await project.run();
    expect(without.exitCode).toBe(3);
    expect(new Set([...without.failed.values()].map(({ code }) => code))).toEqual(new Set(['device-unreachable']));
    expect(sorted(without.failed.keys())).toEqual(sorted(stepsOn('bench-b').filter(step => step.startsWith('build'))));
    expect(sorted(without.ran.keys())).toEqual(['benchmark bench-a', 'gate bench-a', 'release bench-a', 'report bench-a']);
    expect(without.ran.get('benchmark bench-a')).toBe('protocol.durationMs 50 → 60');
    expect(without.skipped).toContain('benchmark bench-b');

    // The same board at another address: how a device is reached is not what it is.
    const { port } = await ensureServed(project.folder, 'bench-b');
    await addDevice('bench-b', `edge@127.0.0.1:${port}`, { config: project.path('config'), identityFile: `${servedFolder(project.folder, 'bench-b')}/client_ed25519` });
    project.edit('edgeforge.yaml', text => text.replace(viaSsh(closed), viaSsh(port)));
    const back = await project.run();
    expect(back.exitCode).toBe(0);
    expect(sorted(back.ran.keys())).toEqual(['benchmark bench-b', 'gate bench-b', 'release bench-b', 'report bench-b']);
  });

  test('one that was never seen is a step that fails, and the rest of the run goes on', async () => {
    const port = await closedPort();
    project.edit('edgeforge.yaml', text => `${text}  nano: { ssh: 'nvidia@127.0.0.1:${port}' }\n`);
    const events = await follow((await project.start([], ['nano'])).folder);
    expect(events.find(event => event.type === 'step-failed')).toMatchObject({ step: 'reach nano', code: 'device-unreachable', hint: expect.any(String) });
    expect(events.some(event => event.type === 'step-finished' && event.step === 'train')).toBe(true);
    expect(events.at(-1)).toMatchObject({ type: 'run-finished', ok: false, exitCode: 3 });
  });
});

/** A loopback port that nobody listens on. */
async function closedPort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as net.AddressInfo;
  await new Promise(done => server.close(done));
  return port;
}
