import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { cpuOf, cudaOf, deepstreamOf, glibcOf, gpuOf, jetpackOf, jetsonOf, l4tOf, powerModeOf, tensorrtOf } from '../../src/deploy/_parse-facts.ts';
import { mayRun, sudoOf } from '../../src/deploy/_parse-state.ts';
import { type Answers, factScript, factsOf, gatherFacts, questions, splitAnswers } from '../../src/deploy/facts.ts';
import { targetFor, targetNamed, targets } from '../../src/deploy/targets.ts';
import { parseJetsonClocks } from '../../src/formats/jetson-clocks.ts';
import { hasShared, shared } from '../shared.ts';
import { board } from './harness.ts';

const answers = (given: Partial<Answers>): Answers =>
  splitAnswers(
    Object.entries(given)
      .map(([name, text]) => `\u001e${name}\n${text}`)
      .join(''),
  );

describe.skipIf(!hasShared)('real outputs', () => {
  const sample = (name: string): string => readFileSync(shared('identify', name), 'utf8');
  it.each([
    ['nv_tegra_release-r32.7.1.txt', 32, '7.1', '4.6.1'],
    ['nv_tegra_release-r35.3.1.txt', 35, '3.1', '5.1.1'],
    ['nv_tegra_release-r36.4.3-first-line.txt', 36, '4.3', '6.2'],
  ])('%s', (file, release, revision, jetpack) => {
    const l4t = l4tOf(sample(file), '');
    expect(l4t).toEqual({ release, revision });
    expect(jetpackOf(l4t, '')).toBe(jetpack);
  });
  it('JetPack from dpkg where the L4T is unknown, the power mode, and the refusal of jetson_clocks', () => {
    expect(jetpackOf(undefined, sample('dpkg-l-jetpack-6.0.txt'))).toBe('6.0');
    expect(powerModeOf(sample('nvpmodel-q-15w.txt'))).toBe('15W');
    expect(powerModeOf(sample('jetson_clocks-not-root-stderr.txt'))).toBeUndefined();
  });
  it('TensorRT from the banner of a real --help', () => {
    const help = readFileSync(shared('trtexec', 'help/help-8.6.1.txt'), 'utf8');
    expect(tensorrtOf({ banner: help, dpkg: '', libraries: '' })).toMatch(/^8\.6\./);
  });
});

describe('parsers and their fallbacks', () => {
  it('reads versions wherever they stand', () => {
    expect(l4tOf('', '36.4.7-20250918154033')).toEqual({ release: 36, revision: '4.7' });
    expect(l4tOf('', '')).toBeUndefined();
    expect(tensorrtOf({ banner: '', dpkg: 'libnvinfer10\t10.3.0.30-1+cuda12.5', libraries: '' })).toBe('10.3.0');
    expect(tensorrtOf({ banner: '', dpkg: '', libraries: '/usr/lib/aarch64-linux-gnu/libnvinfer.so.8\n/usr/lib/aarch64-linux-gnu/libnvinfer.so.8.5.2' })).toBe('8.5.2');
    expect(tensorrtOf({ banner: '', dpkg: '', libraries: '' })).toBeUndefined();
    expect(cudaOf('{"cuda" : {\n"name" : "CUDA SDK", "version" : "12.6.68" }}', '')).toBe('12.6');
    expect(cudaOf('CUDA Version 10.2.300', '')).toBe('10.2');
    expect(cudaOf('', '/usr/local/cuda-11.4')).toBe('11.4');
    expect(deepstreamOf('', 'deepstream-6.3\t6.3.0-1')).toBe('6.3');
    expect(glibcOf('ldd (Ubuntu GLIBC 2.27-3ubuntu1.6) 2.27')).toBe('2.27');
    expect(glibcOf('musl libc (x86_64)')).toBeUndefined();
  });
  it('knows the SoC by the device tree and the GPU by nvidia-smi, with its gaps', () => {
    expect(jetsonOf('nvidia,p3768-0000+p3767-0005\nnvidia,p3767-0005\nnvidia,tegra234\n', '')).toMatchObject({ soc: 'tegra234', sm: '8.7' });
    expect(jetsonOf('raspberrypi,4-model-b', '')).toBeUndefined();
    expect(gpuOf('Tesla T4, 535.104.05, 15360, 7.5, 70.00\n')).toEqual({ gpu: 'Tesla T4', driver: '535.104.05', memoryMB: 15360, sm: '7.5' });
    expect(gpuOf('Field "compute_cap" is not a valid field to query.\n\nTesla T4, 450.1, 15109\n')).toMatchObject({ gpu: 'Tesla T4', sm: '7.5' });
    expect(gpuOf('Orin (nvgpu), [N/A], [N/A], [N/A], [N/A]')).toEqual({ gpu: 'Orin (nvgpu)' });
    expect(gpuOf('NVIDIA-SMI has failed because it couldn’t communicate, sorry')).toBeUndefined();
    expect(gpuOf('')).toBeUndefined();
  });
  it('keeps the telling processor features', () => {
    expect(cpuOf('vendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx2 avx512f avx512_vnni\n', '2')).toEqual({
      model: 'AMD EPYC',
      cores: 2,
      features: ['avx2', 'avx512f', 'avx512_vnni'],
    });
    expect(cpuOf('processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd42\nFeatures\t: fp asimd asimdhp asimddp\n', '').features).toEqual(['asimd', 'asimdhp', 'asimddp']);
  });
  it('makes facts of a Jetson, and absent things stay absent', () => {
    const facts = factsOf(
      answers({
        machine: 'aarch64',
        compatible: 'nvidia,p3767-0005\nnvidia,tegra234',
        tegra: '# R36 (release), REVISION: 4.3, GCID: 1',
        dpkg: 'libnvinfer10\t10.3.0.30-1',
        trtexec: '/usr/src/tensorrt/bin/trtexec',
        model: 'NVIDIA Jetson Orin Nano',
        meminfo: 'MemTotal: 7800000 kB',
      }),
      'id',
      'now',
    );
    expect(facts).toMatchObject({ kind: 'jetson', architecture: 'arm64', sm: '8.7', jetpack: '6.2', tensorrt: '10.3.0', soc: 'tegra234', module: 'p3767-0005', emulated: false });
    expect(Object.hasOwn(facts, 'cuda')).toBe(false);
    expect(targetFor(facts).name).toBe('jetson-orin-nano');
    expect(() => factsOf(answers({}), 'id', 'now')).toThrowError(expect.objectContaining({ code: 'device-refused' }));
    expect(factsOf(answers({ machine: 'aarch64', cpuinfo: 'vendor_id : AuthenticAMD' }), 'id', 'now').emulated).toBe(true);
  });
});

it('asks this machine in one round trip once the script lies there', async () => {
  await using device = await board();
  await using transport = await device.reach();
  const facts = await gatherFacts(transport);
  expect(facts).toMatchObject({ home: device.home, deviceId: device.hostKey });
  expect(facts.cpu.cores).toBeGreaterThan(0);
  const before = transport.traffic().sent;
  await gatherFacts(transport);
  expect(transport.traffic().sent - before).toBeLessThan(700);
  expect(Object.keys(questions).every(name => factScript.includes(`\\036${name}\\n`))).toBe(true);
});

describe('strange devices: a case is a file', () => {
  const folder = new URL('fact-cases/', import.meta.url);
  it.each(readdirSync(folder).sort())('%s', file => {
    const [, ...sections] = readFileSync(new URL(file, folder), 'utf8').split(/^== /m);
    const texts = Object.fromEntries(sections.map(section => [section.slice(0, section.indexOf('\n')), section.slice(section.indexOf('\n') + 1)]));
    const { expected = '{}', ...given } = texts;
    expect(Object.keys(given).filter(name => !Object.hasOwn(questions, name))).toEqual([]);
    const facts = factsOf(answers(given), 'id', 'now');
    for (const [name, value] of Object.entries(JSON.parse(expected) as object)) expect([name, facts[name as keyof typeof facts] ?? null]).toEqual([name, value]);
    expect(targetFor(facts).name).toMatch(/\S/);
  });
});

describe('what changes by the hour', () => {
  it('reads memory, swap, rights, modes, temperatures and neighbours, each with its gaps', () => {
    const facts = factsOf(
      answers({
        machine: 'aarch64',
        meminfo: 'MemTotal: 7802880 kB\nMemFree: 1 kB\nMemAvailable: 5120000 kB\nSwapTotal: 3901440 kB\nSwapFree: 2048000 kB\n',
        user: 'nvidia\n1000\n',
        sudo: 'User nvidia may run the following commands on nano:\n    (root) NOPASSWD: /usr/sbin/nvpmodel, /usr/bin/jetson_clocks\n',
        power: 'NVPM WARN: fan mode is not set!\nNV Power Mode: 15W\n0\n',
        modes: 'POWER_MODEL ID=0 NAME=15W\nPOWER_MODEL ID=2 NAME=MAXN_SUPER\n',
        temperatures: 'CPU-therm 48500\nPMIC-Die 100000\ncv0-thermal -256000\ngpu-thermal 47812\n',
        busy: ' 88.5 python3\n 12.0 Xorg\n  1.0 sshd\n',
        desktop: 'Xorg\n',
        dpkg: 'libcudnn8\t8.6.0.166-1+cuda11.4\n',
      }),
      'id',
      'now',
    );
    expect(facts).toMatchObject({
      memoryMB: 7620,
      availableMB: 5000,
      swapMB: 3810,
      swapFreeMB: 2000,
      user: 'nvidia',
      sudo: { rights: 'some', commands: ['/usr/sbin/nvpmodel', '/usr/bin/jetson_clocks'] },
      powerMode: '15W',
      powerModeId: 0,
      powerModes: [
        { id: 0, name: '15W' },
        { id: 2, name: 'MAXN_SUPER' },
      ],
      temperaturesC: { CPU: 48.5, gpu: 47.812 },
      busy: [
        { percent: 88.5, command: 'python3' },
        { percent: 12, command: 'Xorg' },
      ],
      desktop: true,
      cudnn: '8.6.0',
    });
    expect(mayRun(facts.sudo!, '/usr/sbin/nvpmodel')).toBe(true);
    expect(mayRun(facts.sudo!, '/usr/bin/tegrastats')).toBe(false);
    expect(sudoOf('root\n0\n', '')).toEqual({ rights: 'root', commands: [] });
    expect(sudoOf('nvidia\n1000', '    (ALL) NOPASSWD: ALL')).toEqual({ rights: 'all', commands: [] });
    // As sudo prints it where it writes to no pipe; a comma within a command is escaped.
    const wrapped = '    (root) NOPASSWD: /usr/sbin/nvpmodel -m [0-9],\n        /usr/bin/jetson_clocks "", /usr/bin/nvidia-smi -i 0 -lgc 1005\\,1005\n';
    expect(sudoOf('nvidia\n1000', wrapped).commands).toEqual(['/usr/sbin/nvpmodel -m [0-9]', '/usr/bin/jetson_clocks ""', '/usr/bin/nvidia-smi -i 0 -lgc 1005,1005']);
    expect(sudoOf('nvidia\n1000', 'sudo: a password is required')).toEqual({ rights: 'none', commands: [] });
    for (const name of ['swapMB', 'busy', 'clocks', 'temperaturesC', 'powerModes']) expect(factsOf(answers({ machine: 'x86_64' }), 'id', 'now')).not.toHaveProperty(name);
  });
  it.skipIf(!hasShared)('reads what jetson_clocks shows, old and new', () => {
    const clocks = (name: string) => parseJetsonClocks(readFileSync(shared('identify', name), 'utf8'));
    expect(clocks('jetson_clocks-show-orin-nano-15w.txt')).toMatchObject({
      locked: false,
      gpu: { minMHz: 306, maxMHz: 624.75, currentMHz: 306 },
      emc: { maxMHz: 2133, override: false },
      fan: 'FAN Dynamic Speed Control=kernel hwmon0_pwm1',
    });
    const old = clocks('jetson_clocks-show-tx1-l4t28.txt')!;
    expect(old).toMatchObject({ locked: true, gpu: { minMHz: 998.4 }, fan: 'Fan: speed=255' });
    expect(old.cpu[0]).toEqual({ core: 'cpu0', minMHz: 1734, maxMHz: 1734, currentMHz: 1734, governor: 'interactive' });
    expect(clocks('jetson_clocks-not-root-stderr.txt')).toBeUndefined();
  });
});

describe('targets', () => {
  it('has the kinds we promise, each with its sources', () => {
    expect(targets().map(target => target.name)).toEqual(expect.arrayContaining(['linux-x64', 'linux-arm64', 'jetson-nano', 'xavier-nx', 'jetson-orin-nano', 'agx-orin', 't4']));
    expect(
      targets()
        .filter(target => !target.abilities.int8)
        .map(target => target.name),
    ).toEqual(['jetson-nano', 'tx1', 'tx2']);
    expect(() => targetNamed('orin')).toThrowError(expect.objectContaining({ code: 'usage' }));
  });
  it.each([
    [{ kind: 'jetson', architecture: 'arm64', soc: 'tegra194', module: 'p3668-0001', memoryMB: 7700 }, 'xavier-nx'],
    [{ kind: 'jetson', architecture: 'arm64', soc: 'tegra194', memoryMB: 31000 }, 'agx-xavier'],
    [{ kind: 'jetson', architecture: 'arm64', soc: 'tegra234', module: 'p3701-0005', memoryMB: 62000 }, 'agx-orin'],
    [{ kind: 'dgpu', architecture: 'x64', gpu: 'Tesla T4', memoryMB: 64000 }, 't4'],
    [{ kind: 'linux', architecture: 'arm64', memoryMB: 4000 }, 'linux-arm64'],
    [{ kind: 'jetson', architecture: 'arm64', soc: 'tegra210', module: 'p2180-1000', memoryMB: 3983 }, 'tx1'],
    [{ kind: 'jetson', architecture: 'arm64', soc: 'tegra186', module: 'p3310-1000', memoryMB: 7852 }, 'tx2'],
    [{ kind: 'jetson', architecture: 'arm64', soc: 'tegra234', module: 'p3767-0001', memoryMB: 7620 }, 'jetson-orin-nx-8gb'],
    [{ kind: 'jetson', architecture: 'arm64', soc: 'tegra264', module: 'p3834-0008', memoryMB: 125772 }, 'jetson-thor'],
    [{ kind: 'dgpu', architecture: 'x64', gpu: 'NVIDIA GeForce RTX 3090', sm: '8.6', memoryMB: 64000, trtexec: '/usr/bin/trtexec' }, 'dgpu-x64'],
    [{ kind: 'dgpu', architecture: 'x64', gpu: 'NVIDIA GeForce RTX 3090', sm: '8.6', memoryMB: 64000 }, 'linux-x64'],
  ] as const)('%o is %s', (facts, name) => {
    expect(targetFor(facts).name).toBe(name);
  });
});
