import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EdgeError } from '../../src/core/errors.ts';
import { buildMedianEngine, medianBuild } from '../../src/deploy/build-median.ts';
import type { Device } from '../../src/deploy/open-device.ts';
import { benchEngines, enginesThere, inferOnDevice, staleBecause } from '../../src/deploy/work.ts';
import { temporary } from './harness.ts';
import { hasPython, replay } from './replay/board.ts';
import { replayed } from './replay/boards.ts';
import { buildSmall, type SmallBuild, smallModel } from './replay/model.ts';
import type { Fault } from './replay/settings.ts';

let board: Awaited<ReturnType<typeof replay>>;
let device: Device;
const folder = temporary();
const protocol = { warmUpMs: 0, durationMs: 1000, minIterations: 20, rounds: 1, batch: 1, threads: 1 };
beforeAll(async () => {
  board = await replay(replayed.xavierNx);
  device = await board.open();
});
afterAll(async () => {
  await device[Symbol.asyncDispose]();
  await board[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});
const build = (more: SmallBuild = {}) => buildSmall(device, folder.path, more);
/** What lies in engines/ beside whole engines, logs and the history. */
const scraps = () => readdirSync(board.remote('engines')).filter(name => /\.(part|layers|low)$/.test(name));

describe('failed builds name their cause and the mend, and leave nothing half-made', () => {
  const node = { precision: 'fp16' } as const;
  it.each<[string, Fault, SmallBuild, string, RegExp, RegExp]>([
    ['an operator without importer or plugin', { unsupported: 'Sigmoid' }, node, 'operator-unsupported', /plugin for Sigmoid|operator Sigmoid/, /Export the network without/],
    ['a missing plugin', { missingPlugin: 'Sigmoid' }, node, 'operator-unsupported', /Sigmoid_TRT/, /staticPlugins/],
    ['no tactic in the workspace', { noTactic: true }, node, 'engine-build-failed', /no implementation for the node/, /workspace/],
    ['CUDA out of memory', { outOfMemory: true }, node, 'device-full', /ran out of memory/, /swap/],
    ['the OOM killer, named from the kernel log', { oomKill: true }, node, 'device-full', /OOM killer ended trtexec: .*Killed process 4711 \(trtexec\)/, /swap/],
    ['a crash', { segfault: true }, node, 'engine-build-failed', /SIGSEGV/, /FP32/],
    ['a shape that the model contradicts', {}, { ...node, onnx: smallModel(1), batch: 2 }, 'shape-mismatch', /Static dimension mismatch/, /another batch is another engine/],
    ['a cache under another TensorRT’s header', {}, { precision: 'int8', cacheOf: '8.5.2' }, 'calibration-invalid', /rejected the calibration cache/, /Export the cache again/],
  ])('%s', async (_, fault, spec, code, message, hint) => {
    board.fail(fault);
    board.program('dmesg', "echo '[ 812.1] Out of memory: Killed process 4711 (trtexec) total-vm:9123456kB, anon-rss:3012345kB'");
    const error = await build({ engine: 'engines/broken', ...spec }).catch((thrown: unknown) => thrown);
    board.fail();
    expect(error).toBeInstanceOf(EdgeError);
    expect(error).toMatchObject({ code, message: expect.stringMatching(message), hint: expect.stringMatching(hint) });
    expect(scraps()).toEqual([]);
    expect(existsSync(board.remote('engines/broken'))).toBe(false);
  });

  it('a cache that is gone is missed before trtexec could calibrate on noise', async () => {
    const spec = { precision: 'int8', calibration: { path: 'store/gone', digest: 'ab'.repeat(32) as never } } as const;
    await expect(build(spec)).rejects.toMatchObject({ code: 'calibration-missing' });
  });
});

describe('a build on the device', () => {
  it('survives a cut connection and is picked up again', async () => {
    board.fail({ slowS: 3 });
    const said: string[] = [];
    let cut = false;
    const passport = await build({
      precision: 'fp16',
      engine: 'engines/cut',
      onProgress: ({ message }) => {
        said.push(message);
        if (!cut && message.startsWith('timing')) {
          cut = true;
          board.server.drop();
        }
      },
    });
    board.fail();
    expect(cut).toBe(true);
    expect(passport).toMatchObject({ precision: 'fp16', emulated: true, layers: { fp16: 4, int8: 0 } });
    expect(said.join('\n')).toMatch(/parsing the network[\s\S]*timing conv1[\s\S]*engine ready/);
    // Started once: one banner in its log.
    expect(readFileSync(board.remote('engines/cut.log'), 'utf8').match(/&&&& RUNNING/g)).toHaveLength(1);
  });

  it('cancelled, it ends even where it is deaf to SIGTERM, and nothing of it stays', async () => {
    board.fail({ hang: true });
    const controller = new AbortController();
    const started = build({
      precision: 'fp16',
      engine: 'engines/cancelled',
      signal: controller.signal,
      onProgress: ({ message }) => message.startsWith('timing') && controller.abort(),
    });
    await expect(started).rejects.toMatchObject({ code: 'cancelled' });
    board.fail();
    const left = await device.transport.exec(['sh', '-c', "ps -eo args= | grep '[t]rtexec.*engines/cancelled' | grep -v grep; ls engines | grep cancelled"]);
    expect(left.stdout.split('\n').filter(line => line !== '' && !line.endsWith('.log'))).toEqual([]);
    expect(scraps()).toEqual([]);
  });

  it('learns how long builds take here, and says what is left with its basis', async () => {
    const history = readFileSync(board.remote('engines/history'), 'utf8').trim().split('\n');
    expect(history.length).toBeGreaterThan(0);
    for (const line of history) expect(line).toMatch(/^[0-9a-f]{12} \d+ fp16 1 \d+ \d+$/);
    const [model, bytes] = history[0]!.split(' ');
    writeFileSync(board.remote('engines/history'), `${model} ${bytes} fp16 1 300 900\n${model} ${bytes} fp16 1 400 950\n${model} ${bytes} fp16 1 500 900\ncut o`);
    const said: string[] = [];
    await build({ precision: 'fp16', engine: 'engines/again', onProgress: ({ message }) => said.push(message) });
    expect(said.find(message => message.startsWith('timing'))).toMatch(/^timing .*, about 7 min left \(3 earlier builds of this model here\)$/);
  });

  it('is not begun where memory or disk will not do, and the ladder of mends is told', async () => {
    board.file('/proc/meminfo', 'MemTotal: 3956000 kB\nMemAvailable: 900000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n');
    await expect(build({ precision: 'fp32', workspaceMiB: 1024 })).rejects.toMatchObject({
      code: 'device-full',
      message: expect.stringMatching(/needs about 1\d{3} MiB of memory \(builder 700, weights 1, workspace 1024\); 878 MiB are available, and there is no swap/),
      hint: expect.stringMatching(/workspaceMiB: 512.*swapon/),
    });
    board.file('/proc/meminfo', replayed.xavierNx.files['/proc/meminfo']);
    await build({ precision: 'fp32', workspaceMiB: 1024 });
  });
});

it('several builds of one engine: their spread is told, the median one stays', async () => {
  expect(medianBuild([5, 1, 3])).toBe(2);
  expect(medianBuild([4, 2])).toBe(1);
  board.fail({ buildSpread: 0.3 });
  const one = await build({ precision: 'fp16', engine: 'engines/varied' });
  const spec = { ...one, model: `store/${one.modelDigest}`, precision: 'fp16', engine: 'engines/varied', threads: 1 } as const;
  const passport = await buildMedianEngine(device, { ...spec, inputs: { input_1: [1, 3, 8, 8] } }, { count: 3, protocol });
  board.fail();
  const { p50Ms, kept } = passport.builds!;
  expect(p50Ms).toHaveLength(3);
  expect(p50Ms[kept]).toBe(p50Ms.toSorted((a, b) => a - b)[1]);
  expect(new Set(p50Ms).size).toBe(3);
  expect(passport.notes.at(-1)).toMatch(/^3 builds: median latency [\d.]+ to [\d.]+ ms \([\d.]+ % apart\), build [123] of [\d.]+ ms is kept$/);
  expect(
    readdirSync(board.remote('engines'))
      .filter(name => name.includes('varied'))
      .sort(),
  ).toEqual(['varied', 'varied.log']);
  expect(await enginesThere(device, [passport])).toEqual([true]);
});

it('an engine of another time or place is refused with the reason in one sentence', async () => {
  const passport = await build();
  expect(staleBecause(passport, device)).toBeUndefined();
  const older = { ...passport, runtime: 'tensorrt 8.0.1', l4t: '32.6.1' };
  expect(staleBecause(older, device)).toBe('it was built for tensorrt 8.0.1, this is tensorrt 8.2.1; L4T 32.6.1, this is L4T 32.7.1');
  await expect(benchEngines(device, [{ passport: older, protocol }])).rejects.toMatchObject({
    code: 'device-refused',
    message: expect.stringContaining('is stale: it was built for'),
  });
  expect(staleBecause({ ...passport, deviceId: 'another' }, device)).toMatch(/never copied/);
});

it.skipIf(!hasPython)('the Python runner is text that Python 3.6 of JetPack 4 reads', () => {
  const check = 'import ast, sys; ast.parse(open(sys.argv[1]).read(), feature_version=(3, 6))';
  execFileSync('python3', ['-c', check, fileURLToPath(new URL('../../src/deploy/runner/tensorrt_infer.py', import.meta.url))]);
});

it.skipIf(!hasPython)('the Python runner says what it lacks: bytes of images, or an engine of this TensorRT', async () => {
  const passport = await build({ precision: 'fp16', engine: 'engines/short' });
  const input = join(folder.path, 'short.raw');
  writeFileSync(input, new Uint8Array(new Float32Array(192 + 5).buffer));
  await expect(inferOnDevice(device, passport, input, 2)).rejects.toMatchObject({ message: expect.stringContaining('has 788 bytes, 2 images need 1536') });
  const bytes = readFileSync(board.remote('engines/short'));
  writeFileSync(
    board.remote('engines/short'),
    Buffer.concat([Buffer.from(bytes.subarray(0, bytes.indexOf(10)).toString().replace('"tensorrt":"8.2.1"', '"tensorrt":"8.0.1"')), bytes.subarray(bytes.indexOf(10))]),
  );
  await expect(inferOnDevice(device, passport, input, 1)).rejects.toMatchObject({ message: expect.stringContaining('TensorRT 8.2.1 cannot load the engine') });
});

it('one process per image keeps to its budget and says what it left out', async () => {
  const passport = await build();
  const input = join(folder.path, 'many.raw');
  writeFileSync(input, new Uint8Array(new Float32Array(192 * 4).buffer));
  const { device: slow } = { device: { ...device, facts: { ...device.facts, pythonTensorrt: undefined } as never } };
  // A clock on which every image takes five minutes.
  board.program(
    'cut',
    'f="$HOME/clock"; n=$(/bin/cat "$f" 2>/dev/null || echo 0); case "$*" in "-d  -f1 /proc/uptime") echo $((n+300)) > "$f"; echo "$n.00";; *) exec /usr/bin/cut "$@";; esac',
  );
  const outputs = await inferOnDevice(slow, passport, input, 4);
  board.program('cut', 'exec /usr/bin/cut "$@"');
  expect(outputs.n).toBe(2);
  expect(outputs.note).toBe('2 of 4 images were run: 4 images, one process each, would take about 1200 s; the budget is 600 s');
});
