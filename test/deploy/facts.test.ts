import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { cpuOf, cudaOf, deepstreamOf, glibcOf, gpuOf, jetpackOf, jetsonOf, l4tOf, powerModeOf, tensorrtOf } from '../../src/deploy/_parse-facts.ts';
import { type Answers, factScript, factsOf, gatherFacts, questions, splitAnswers } from '../../src/deploy/facts.ts';
import { targetFor, targetNamed, targets } from '../../src/deploy/targets.ts';
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
      x86: true,
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

describe('targets', () => {
  it('has the kinds we promise, each with its sources', () => {
    expect(targets().map(target => target.name)).toEqual(expect.arrayContaining(['linux-x64', 'linux-arm64', 'jetson-nano', 'xavier-nx', 'jetson-orin-nano', 'agx-orin', 't4']));
    expect(
      targets()
        .filter(target => !target.abilities.int8)
        .map(target => target.name),
    ).toEqual(['jetson-nano']);
    expect(() => targetNamed('orin')).toThrowError(expect.objectContaining({ code: 'usage' }));
  });
  it.each([
    [{ kind: 'jetson', architecture: 'arm64', soc: 'tegra194', module: 'p3668-0001', memoryMB: 7700 }, 'xavier-nx'],
    [{ kind: 'jetson', architecture: 'arm64', soc: 'tegra194', memoryMB: 31000 }, 'agx-xavier'],
    [{ kind: 'jetson', architecture: 'arm64', soc: 'tegra234', module: 'p3701-0005', memoryMB: 62000 }, 'agx-orin'],
    [{ kind: 'dgpu', architecture: 'x64', gpu: 'Tesla T4', memoryMB: 64000 }, 't4'],
    [{ kind: 'linux', architecture: 'arm64', memoryMB: 4000 }, 'linux-arm64'],
  ] as const)('%o is %s', (facts, name) => {
    expect(targetFor(facts).name).toBe(name);
  });
});
