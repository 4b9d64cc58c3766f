import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Measurement, Precision, Protocol } from '../../src/core/evidence.ts';
import { digestOf } from '../../src/core/fingerprint.ts';
import { inPackage } from '../../src/core/package-root.ts';
import type { EngineSpec } from '../../src/deploy/device.ts';
import { openDevice } from '../../src/deploy/open-device.ts';
import { cardSudoersMend, sudoersMend } from '../../src/deploy/sudo-rules.ts';
import { benchEngines, rehearse } from '../../src/deploy/work.ts';
import { processes, temporary } from './harness.ts';
import { replay } from './replay/board.ts';
import { replayed } from './replay/boards.ts';
import { buildSmall } from './replay/model.ts';
import type { Fault } from './replay/settings.ts';

// The measuring session against replayed boards: clocks held and given back, sensors read, times voided where conditions were not what they say.
const limitMs = 120_000;
const protocol = { warmUpMs: 100, durationMs: 2000, minIterations: 20, rounds: 2, batch: 1, threads: 1 };
const folder = temporary();
afterAll(() => folder[Symbol.dispose]());

/** A board with one engine, slow enough to be looked at while it measures. */
async function open(name: keyof typeof replayed) {
  const board = await replay(replayed[name], { pace: 0.4 });
  const device = await board.open();
  const passport = await buildSmall(device, folder.path, { precision: 'fp16', engine: `engines/${name}` });
  return {
    board,
    async measure(
      fault: Fault = {},
      { rights = true, during, ...longer }: { rights?: boolean; during?: (message: string) => void } & Partial<Protocol> = {},
    ): Promise<Measurement> {
      board.fail(fault);
      board.allow(rights ? (longer.gpuMHz === undefined ? sudoersMend({ user: 'nvidia' }) : cardSudoersMend(longer.gpuMHz, { user: 'nvidia' })) : undefined);
      // Rights are facts, asked when a device is opened.
      await using again = await board.open();
      const [measured] = await benchEngines(again, [{ passport, protocol: { ...protocol, ...longer } }], during ? { onProgress: ({ message }) => during(message) } : {});
      return measured!;
    },
    async [Symbol.asyncDispose]() {
      await device[Symbol.asyncDispose]();
      await board[Symbol.asyncDispose]();
    },
  };
}
const until = async (what: () => boolean): Promise<void> => {
  for (let i = 0; !what() && i < 300; i++) await pause(100);
  expect(what()).toBe(true);
};

describe('on a Jetson', () => {
  let bench: Awaited<ReturnType<typeof open>>;
  beforeAll(async () => {
    bench = await open('xavierNx');
  }, limitMs);
  afterAll(() => bench[Symbol.asyncDispose]());
  const unlocked = { mode: 0, locked: false, fan: 0 };
  const withModes = () =>
    bench.board.file('/etc/nvpmodel.conf', ['MODE_15W_2CORE', 'MODE_15W_4CORE', 'MODE_15W_6CORE'].map((name, id) => `< POWER_MODEL ID=${id} NAME=${name} >\n`).join(''));

  it('clocks are held while it measures and given back, over a cut link too; energy and heat stand beside the times', { timeout: limitMs }, async () => {
    let held = false;
    const measured = await bench.measure(
      {},
      {
        during(message) {
          if (message !== 'round 2 of 2' || held) return;
          held = bench.board.state().locked;
          bench.board.server.drop();
        },
      },
    );
    expect(held).toBe(true);
    expect(bench.board.state()).toEqual(unlocked);
    expect(measured.voided).toBeUndefined();
    expect(measured.evidence).toMatchObject({
      grade: 'emulated',
      device: expect.stringContaining('mode MODE_15W_2CORE, GPU held at'),
      board: { clocks: 'locked', powerMode: 'MODE_15W_2CORE', gpuMHz: 624.75, cpuMHz: 1510.4, restored: true },
    });
    const { energy, heat, track, throughput, stages } = measured;
    // The sample's VDD_IN never changes: 4.067 W over the whole time.
    expect(energy).toMatchObject({ rail: 'VDD_IN', meanW: expect.closeTo(4.067, 3), idleW: expect.closeTo(4.067, 3), sensor: 'board sensor, not wall' });
    expect(energy!.perImageMj).toBeCloseTo(4067 / throughput.value, 3);
    expect(energy!.perImageMj * energy!.fpsPerW).toBeCloseTo(1000, 6);
    expect(heat).toMatchObject({ sensor: 'GPU', maxC: 46 });
    expect(new Set(track?.map(({ round }) => round))).toEqual(new Set([1, 2]));
    for (const { w, heatC } of track ?? []) {
      expect(w).toBeCloseTo(4.067, 3);
      expect(heatC).toBeGreaterThanOrEqual(heat!.minC);
      expect(heatC).toBeLessThanOrEqual(heat!.maxC);
    }
    expect(stages?.map(({ stage }) => stage)).toEqual(['engine', 'engine with copies']);
    expect(stages![0]!.imagesPerSecond).toBeGreaterThan(stages![1]!.imagesPerSecond);
  });

  it('without the right it is measured as found, and the note holds the line for sudoers', { timeout: limitMs }, async () => {
    const { evidence, voided } = await bench.measure({}, { rights: false });
    expect(evidence.board).toEqual({ clocks: 'as found', powerMode: 'MODE_15W_2CORE' });
    expect(evidence.notes.join('\n')).toContain(sudoersMend({ user: 'nvidia' }));
    expect(voided).toBeUndefined();
  });

  it.each<[string, Fault, RegExp]>([
    ['a throttled clock', { throttle: true }, /GPU ran below its set 624\.75 MHz for \d+ % of the time \(down to 306 MHz\)/],
    ['a program of others on the GPU', { foreignGpu: true }, /the GPU was 99 % busy before anything of ours ran/],
  ])('%s voids the times', { timeout: limitMs }, async (_, fault, because) => {
    bench.board.file('/sys/class/devfreq/17000000.gv11b/cur_freq', fault.throttle ? '306000000\n' : '624750000\n');
    expect((await bench.measure(fault)).voided).toMatch(because);
    expect(bench.board.state()).toEqual(unlocked);
  });

  it('neighbours on the processors, and the board’s own alarms for current and heat, void the times', { timeout: limitMs }, async () => {
    const counters = ['/sys/class/hwmon/hwmon1/oc1_event_cnt', '/sys/devices/platform/gpu-throttle-alert/thermal_trip_event'];
    let seen = 0;
    const count = () => counters.map(path => bench.board.file(path, `${++seen}\n`));
    bench.board.file('/busy', '');
    count();
    const counting = setInterval(count, 100);
    const { voided } = await bench.measure().finally(() => clearInterval(counting));
    bench.board.file('/busy', undefined);
    expect(voided).toMatch(
      /throttled itself for its heat meanwhile; the board counted \d+ under-voltage or over-current events meanwhile; other programs used [89]\d % of the processors meanwhile \(at most 15 % may\); .*edgeforge benchmark --again/,
    );
  });

  it('a long warm-up goes on until the GPU grows no warmer, and is told; one that may not, says so', { timeout: limitMs }, async () => {
    const said: string[] = [];
    const { evidence } = await bench.measure({}, { warmUpMs: 1500, steadyMs: 60_000, durationMs: 1000, rounds: 1, during: message => said.push(message) });
    expect(said[0]).toBe('warming up');
    expect(evidence.protocol).toMatch(/^trtexec: \d+ s of warm-up, 1 round, each with 1000 ms of warm-up/);
    expect(evidence.notes.join('\n')).not.toContain('grew warmer');
    const rising = await bench.measure({ throttle: true }, { warmUpMs: 1500, steadyMs: 1, durationMs: 1000, rounds: 1 });
    expect(rising.evidence.notes.join('\n')).toMatch(/the GPU still grew warmer after \d+ s of warm-up \([\d.]+ °C\)/);
  });

  it('says so where jetson_clocks did not hold the clocks', { timeout: limitMs }, async () => {
    const { evidence } = await bench.measure({ clocksSlip: true });
    expect(evidence.board).toMatchObject({ clocks: 'as found', restored: true });
    expect(evidence.notes.join('\n')).toMatch(/jetson_clocks did not hold the clocks \(GPU 306 to 624\.75 MHz\): measured as found/);
  });

  it('believes no exit code that clocks were given back: it looks', { timeout: limitMs }, async () => {
    const { evidence } = await bench.measure({ restoreSlips: true }, { durationMs: 1000, rounds: 1 });
    expect(evidence.board).toMatchObject({ clocks: 'locked', restored: false });
    expect(evidence.notes.join('\n')).toContain('run sudo jetson_clocks --restore /root/edgeforge-clocks.conf on the board');
    writeFileSync(`${bench.board.home}/stand-in/state.json`, JSON.stringify(unlocked));
  });

  it('a power mode that is asked for is set, told and given back; one that cannot be is an error', { timeout: limitMs }, async () => {
    withModes();
    const short = { durationMs: 1000, rounds: 1 };
    const { evidence } = await bench.measure({}, { ...short, powerMode: 'MODE_15W_6CORE' });
    expect(evidence.board).toMatchObject({ powerMode: 'MODE_15W_6CORE', clocks: 'locked', restored: true });
    expect(bench.board.state()).toEqual(unlocked);
    await expect(bench.measure({}, { ...short, powerMode: 'MAXN' })).rejects.toMatchObject({ code: 'usage', hint: expect.stringContaining('MODE_15W_4CORE (1)') });
    await expect(bench.measure({}, { ...short, powerMode: '1', rights: false })).rejects.toMatchObject({ code: 'device-refused', hint: expect.stringContaining('sudoers') });
    await expect(bench.measure({ modeNeedsRestart: true }, { ...short, powerMode: '1' })).rejects.toMatchObject({
      code: 'device-refused',
      message: expect.stringContaining('restart'),
    });
    expect(bench.board.state()).toEqual(unlocked);
  });

  it('killed outright, its guard ends what it left and gives the clocks back', { timeout: limitMs }, async () => {
    let killed = 0;
    withModes();
    const running = bench.measure(
      {},
      {
        powerMode: '2',
        during(message) {
          if (message !== 'round 1 of 2' || killed) return;
          expect(bench.board.state()).toMatchObject({ locked: true, mode: 2 });
          killed = Number(readFileSync(bench.board.remote('clocks/session'), 'utf8').split(' ')[0]);
          process.kill(killed, 'SIGKILL');
        },
      },
    );
    await expect(running).rejects.toMatchObject({ code: expect.any(String) });
    expect(killed).toBeGreaterThan(0);
    await until(() => !bench.board.state().locked);
    await until(() => !existsSync(bench.board.remote('clocks/held')));
    expect(bench.board.state()).toEqual(unlocked);
    await until(() => !processes().some(({ group }) => group === killed));
  });

  it('the guard of an ended session leaves alone what the next one holds', { timeout: limitMs }, async () => {
    let late: ReturnType<typeof spawnSync> | undefined;
    const { evidence } = await bench.measure(
      {},
      {
        during(message) {
          if (message !== 'round 1 of 2' || late) return;
          // A guard that wakes late: its session is long gone.
          late = spawnSync('sh', [inPackage('src/deploy/runner/session.sh'), 'guard', '4194304', '1'], { cwd: bench.board.remote(''), timeout: 5000 });
          expect(existsSync(bench.board.remote('clocks/held'))).toBe(true);
        },
      },
    );
    expect(late?.status).toBe(0);
    expect(evidence.board).toMatchObject({ clocks: 'locked', restored: true });
  });

  it('what a session before a crash of session and guard left is given back first', { timeout: limitMs }, async () => {
    writeFileSync(bench.board.remote('clocks/held'), `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} - 1\n`);
    bench.board.file('/root/edgeforge-clocks.conf', JSON.stringify(unlocked));
    writeFileSync(`${bench.board.home}/stand-in/state.json`, JSON.stringify({ ...unlocked, locked: true }));
    const { evidence } = await bench.measure();
    expect(evidence.board).toMatchObject({ clocks: 'locked', restored: true });
    expect(bench.board.state()).toEqual(unlocked);
  });
});

it('on a T4 nvidia-smi tells energy, throttling and neighbours', { timeout: limitMs }, async () => {
  await using bench = await open('t4New');
  const measured = await bench.measure();
  expect(measured.voided).toBeUndefined();
  expect(measured.energy).toMatchObject({ rail: 'power.draw of the card', meanW: expect.closeTo(41.25, 3) });
  expect(measured.evidence.board).toEqual({ clocks: 'as found', gpuMaxMHz: 1590, powerLimitW: 70 });
  expect(measured.evidence.notes.join('\n')).toMatch(/clocks are as found, nobody set them \(the GPU ran at 1590 to 1590 MHz\)/);
  expect((await bench.measure({ throttle: true, foreignGpu: true })).voided).toMatch(
    /the card was throttled \(software thermal slowdown\); other programs were on the GPU \(4321 \/usr\/bin\/python3\)/,
  );
});

describe('a T4 at a clock that is asked for', () => {
  let bench: Awaited<ReturnType<typeof open>>;
  beforeAll(async () => {
    bench = await open('t4');
  }, limitMs);
  afterAll(() => bench[Symbol.asyncDispose]());
  const short = { durationMs: 1000, rounds: 1, gpuMHz: 1005 };

  it('is held, seen to be held, told and given free', { timeout: limitMs }, async () => {
    let held: number | undefined;
    const { evidence, voided } = await bench.measure(
      {},
      {
        ...short,
        during() {
          held = held ?? bench.board.state().cardMHz;
        },
      },
    );
    expect([held, bench.board.state().cardMHz, voided]).toEqual([1005, undefined, undefined]);
    expect(evidence.board).toMatchObject({ clocks: 'locked', gpuMHz: 1005, restored: true });
    expect(evidence.device).toContain('GPU held at 1005 MHz');
    expect(evidence.notes.join('\n')).not.toContain('as found');
  });

  it('voids, notes or refuses what is not as asked', { timeout: limitMs }, async () => {
    expect((await bench.measure({ throttle: true }, short)).voided).toMatch(/the GPU ran below its set 1005 MHz for 100 % of the time \(down to 585 MHz\)/);
    const slipped = await bench.measure({ clocksSlip: true }, short);
    expect(slipped.evidence.board).toMatchObject({ clocks: 'as found' });
    expect(slipped.evidence.notes.join('\n')).toContain('nvidia-smi did not hold the GPU at 1005 MHz: measured as found (the GPU ran at 1590 to 1590 MHz)');
    await expect(bench.measure({}, { ...short, gpuMHz: 2000 })).rejects.toMatchObject({ code: 'device-refused', message: expect.stringContaining('at most 1590 MHz') });
    await expect(bench.measure({}, { ...short, rights: false })).rejects.toMatchObject({ code: 'device-refused', hint: expect.stringContaining('-lgc 1005\\,1005') });
  });

  it('is given free by the guard where the session is killed outright', { timeout: limitMs }, async () => {
    let killed = 0;
    const during = () => {
      if (killed || bench.board.state().cardMHz === undefined) return;
      killed = Number(readFileSync(bench.board.remote('clocks/session'), 'utf8').split(' ')[0]);
      process.kill(killed, 'SIGKILL');
    };
    await expect(bench.measure({}, { ...short, during })).rejects.toMatchObject({ code: expect.any(String) });
    expect(killed).toBeGreaterThan(0);
    await until(() => bench.board.state().cardMHz === undefined && !existsSync(bench.board.remote('clocks/held')));
  });
});

it('a dry run prints the session as it would be started: settings, an engine a word, their warm-ups', async () => {
  const lines: string[] = [];
  await using device = await openDevice({
    name: 'dry',
    definition: { target: 'jetson-orin-nano', ssh: 'nvidia@board' },
    project: folder.path,
    print: line => lines.push(line),
  });
  const spec = (precision: Precision): EngineSpec => ({
    model: 'store/m',
    modelDigest: digestOf('m'),
    precision,
    batch: 1,
    inputs: { x: [1, 3, 2, 2] },
    engine: `engines/${precision}`,
    threads: 1,
  });
  await rehearse(device, [spec('fp32'), spec('fp16')], { ...protocol, warmUpMs: 4000, durationMs: 10_000, rounds: 5, steadyMs: 60_000 });
  const session = lines.at(-1)!;
  expect(session).toMatch(/sh store\/[0-9a-f]{64} measure folder=jobs\/session rounds=5 engines=2 power= gpu= clocks=0 sampler=tegrastats warm=1 steady=60 -- /);
  expect(session.match(/--warmUp=1000 --duration=2 --iterations=4/g)).toHaveLength(2);
  expect(session.match(/--warmUp=0 --duration=2 --iterations=1/g)).toHaveLength(2);
});
