import { readFileSync } from 'node:fs';
import { hasShared, shared } from '../../shared.ts';
import type { BoardSettings } from './settings.ts';

/** A board to replay: its settings, what it says of itself, and the files that its programs would read. */
export interface ReplayedBoard {
  readonly settings: BoardSettings;
  readonly machine: 'aarch64' | 'x86_64';
  /** Absolute paths and their text. */
  readonly files: Readonly<Record<string, string>>;
  readonly dpkg: string;
  readonly cpuinfo: string;
  /** Sample outputs beside the settings: tegrastats.txt, modes.txt, clocks.txt, deepstream.txt. */
  readonly samples: Readonly<Record<string, string>>;
  readonly tools: readonly string[];
}

const pace = 0.002;
/** A real sample where the data folder is there, else a line of the same form. */
const sampleOr = (otherwise: string, ...path: string[]): string => (hasShared ? readFileSync(shared(...path), 'utf8') : otherwise);
const armInfo = (part: string): string => `processor\t: 0\nFeatures\t: fp asimd evtstrm aes asimdhp asimddp\nCPU implementer\t: 0x41\nCPU part\t: ${part}\n\n`;
const memory = (mebibytes: number): string =>
  `MemTotal:       ${mebibytes * 1024} kB\nMemFree:        ${mebibytes * 512} kB\nMemAvailable:   ${mebibytes * 640} kB\nSwapTotal:      ${mebibytes * 512} kB\nSwapFree:       ${mebibytes * 512} kB\n`;
const release = (name: string): string => `PRETTY_NAME="${name}"\n`;
const clocks = sampleOr(
  'SOC family:tegra234  Machine:NVIDIA Jetson Orin Nano Developer Kit\nOnline CPUs: 0-5\ncpu0:  Online=1 Governor=ondemand MinFreq=729600 MaxFreq=1510400 CurrentFreq=960000 IdleStates: WFI=1 c7=1\nGPU MinFreq=306000000 MaxFreq=624750000 CurrentFreq=306000000\nEMC MinFreq=204000000 MaxFreq=2133000000 CurrentFreq=665600000 FreqOverride=0\nFAN Dynamic Speed Control=kernel hwmon0_pwm1\n',
  'identify',
  'jetson_clocks-show-orin-nano-15w.txt',
);
const jetsonTools = ['trtexec', 'tegrastats', 'nvpmodel', 'jetson_clocks', 'deepstream-app'];

interface JetsonPlan {
  readonly settings: Omit<BoardSettings, 'pace'>;
  readonly model: string;
  readonly compatible: string;
  readonly tegra: string;
  readonly os: string;
  readonly glibc: string;
  readonly cpu: string;
  readonly cuda: string;
  readonly deepstream: string;
  readonly library: string;
  readonly tegrastats: string;
  readonly modes: string;
}
const jetson = (plan: JetsonPlan): ReplayedBoard => ({
  settings: { ...plan.settings, pace },
  machine: 'aarch64',
  cpuinfo: armInfo(plan.cpu),
  dpkg: `${plan.library}\t${plan.settings.tensorrt}.1-1+cuda${plan.cuda}\nlibnvinfer-bin\t${plan.settings.tensorrt}.1-1+cuda${plan.cuda}\n`,
  files: {
    '/proc/device-tree/model': `${plan.model}\0`,
    '/proc/device-tree/compatible': `${plan.compatible.replaceAll(' ', '\0')}\0`,
    '/etc/nv_tegra_release': plan.tegra,
    '/etc/os-release': release(plan.os),
    '/proc/meminfo': memory(plan.settings.memoryMB),
    '/usr/local/cuda/version.json': `{"cuda": {"name": "CUDA SDK", "version": "${plan.cuda}.1"}}`,
    '/opt/nvidia/deepstream/deepstream/version': `Version: ${plan.deepstream}\n`,
    '/glibc': `glibc ${plan.glibc}\n`,
  },
  samples: { 'tegrastats.txt': plan.tegrastats, 'modes.txt': plan.modes, 'clocks.txt': clocks, 'deepstream.txt': plan.deepstream },
  tools: jetsonTools,
});

const nano = jetson({
  settings: { name: 'nano', tensorrt: '8.2.1', gpu: 'NVIDIA Tegra X1', sm: '5.3', fastInt8: false, dla: 0, memoryMB: 3956, gpuMs: { fp32: 44, fp16: 27, int8: 55 } },
  model: 'NVIDIA Jetson Nano Developer Kit',
  compatible: 'nvidia,p3450-0000 nvidia,p3448-0000 nvidia,jetson-nano nvidia,tegra210',
  tegra: sampleOr('# R32 (release), REVISION: 7.1, GCID: 1, BOARD: t186ref, EABI: aarch64, DATE: x\n', 'identify', 'nv_tegra_release-r32.7.1.txt'),
  os: 'Ubuntu 18.04.6 LTS',
  glibc: '2.27',
  cpu: '0xd07',
  cuda: '10.2',
  deepstream: '6.0.1',
  library: 'libnvinfer8',
  tegrastats: sampleOr(
    'RAM 534/3964MB (lfb 98x4MB) SWAP 5/1982MB (cached 1MB) CPU [16%@204,9%@204,0%@204,0%@204] EMC_FREQ 0%@204 GR3D_FREQ 0%@76 GPU@36C POM_5V_IN 1022/1022\n',
    'tegrastats',
    '01-nano-l4t32-sudo.txt',
  ),
  modes: 'MAXN\n5W\n',
});
const xavierNx = jetson({
  settings: { name: 'xavier-nx', tensorrt: '8.2.1', gpu: 'Xavier', sm: '7.2', fastInt8: true, dla: 2, memoryMB: 7772, gpuMs: { fp32: 9.1, fp16: 4.2, int8: 2.9 } },
  model: 'NVIDIA Jetson Xavier NX Developer Kit',
  compatible: 'nvidia,p3449-0000+p3668-0000 nvidia,p3668-0000 nvidia,tegra194',
  tegra: sampleOr('# R32 (release), REVISION: 7.1, GCID: 1, BOARD: t186ref, EABI: aarch64, DATE: x\n', 'identify', 'nv_tegra_release-r32.7.1.txt'),
  os: 'Ubuntu 18.04.6 LTS',
  glibc: '2.27',
  cpu: '0x004',
  cuda: '10.2',
  deepstream: '6.0.1',
  library: 'libnvinfer8',
  tegrastats: sampleOr(
    'RAM 4412/7772MB (lfb 237x4MB) CPU [9%@1190,6%@1190] EMC_FREQ 10%@1600 GR3D_FREQ 62%@306 GPU@43C VDD_IN 4067/4067\n',
    'tegrastats',
    '08-xavier-nx-l4t32.txt',
  ),
  modes: 'MODE_15W_2CORE\nMODE_15W_4CORE\nMODE_15W_6CORE\n',
});
const orinNx = jetson({
  settings: { name: 'orin-nx', tensorrt: '8.5.2', gpu: 'Orin', sm: '8.7', fastInt8: true, dla: 2, memoryMB: 15388, gpuMs: { fp32: 6.2, fp16: 3.2, int8: 2.3 } },
  model: 'NVIDIA Orin NX Developer Kit',
  compatible: 'nvidia,p3768-0000+p3767-0000 nvidia,p3767-0000 nvidia,tegra234',
  tegra: sampleOr('# R35 (release), REVISION: 3.1, GCID: 1, BOARD: t186ref, EABI: aarch64, DATE: x\n', 'identify', 'nv_tegra_release-r35.3.1.txt'),
  os: 'Ubuntu 20.04.6 LTS',
  glibc: '2.31',
  cpu: '0xd42',
  cuda: '11.4',
  deepstream: '6.2',
  library: 'libnvinfer8',
  tegrastats: sampleOr(
    'RAM 6334/15388MB (lfb 1770x4MB) CPU [6%@729,9%@729] EMC_FREQ 0%@2133 GR3D_FREQ 0%@611 GPU@45.875C VDD_IN 5299mW/5299mW\n',
    'tegrastats',
    '09-orin-nx-16g-l4t35-sudo.txt',
  ),
  modes: 'MAXN\n10W\n15W\n25W\n',
});
const orinNano = jetson({
  settings: { name: 'orin-nano', tensorrt: '10.3.0', gpu: 'Orin', sm: '8.7', fastInt8: true, dla: 0, memoryMB: 7620, gpuMs: { fp32: 7.6, fp16: 4.9, int8: 3.9 } },
  model: 'NVIDIA Jetson Orin Nano Developer Kit Super',
  compatible: 'nvidia,p3768-0000+p3767-0005-super nvidia,p3767-0005 nvidia,tegra234',
  tegra: sampleOr('# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic, EABI: aarch64, DATE: x\n', 'identify', 'nv_tegra_release-r36.4.3-first-line.txt'),
  os: 'Ubuntu 22.04.5 LTS',
  glibc: '2.35',
  cpu: '0xd42',
  cuda: '12.6',
  deepstream: '7.1',
  library: 'libnvinfer10',
  tegrastats: 'RAM 2639/7620MB (lfb 9x4MB) SWAP 851/3810MB (cached 23MB) CPU [12%@1510,0%@729] EMC_FREQ 43%@2133 GR3D_FREQ 62%@[624] gpu@53.9C tj@54C VDD_IN 5263mW/5263mW\n',
  modes: '15W\n25W\nMAXN SUPER\n',
});
const thor = jetson({
  settings: {
    name: 'thor',
    tensorrt: '10.13.3',
    buildNumber: '9',
    gpu: 'NVIDIA Thor',
    sm: '11.0',
    fastInt8: true,
    dla: 0,
    memoryMB: 125772,
    gpuMs: { fp32: 2.1, fp16: 1.2, int8: 0.9 },
  },
  model: 'NVIDIA Jetson AGX Thor Developer Kit',
  compatible: 'nvidia,p4071-0000+p3834-0008 nvidia,p3834-0008 nvidia,tegra264',
  tegra: '# R38 (release), REVISION: 2.0, GCID: 41844464, BOARD: generic, EABI: aarch64, DATE: Fri Aug 22 00:55:42 UTC 2025\n',
  os: 'Ubuntu 24.04.3 LTS',
  glibc: '2.39',
  cpu: '0xd83',
  cuda: '13.0',
  deepstream: '8.0',
  library: 'libnvinfer10',
  tegrastats:
    '09-01-2025 10:00:00 RAM 5000/125772MB (lfb 1x4MB) CPU [1%@2601,0%@2601] cpu@41.2C gpu@40.1C VDD_GPU 3200mW/3200mW VDD_CPU_SOC_MSS 6100mW/6100mW VIN_SYS_5V0 5200mW/5200mW VIN 21000mW/21000mW\n',
  modes: 'MAXN\n120W\n',
});
const t4 = (tensorrt: string, name: string): ReplayedBoard => ({
  settings: { name, tensorrt, gpu: 'Tesla T4', sm: '7.5', fastInt8: true, dla: 0, memoryMB: 15360, gpuMs: { fp32: 5.1, fp16: 1.9, int8: 1.2 }, pace },
  machine: 'x86_64',
  cpuinfo: 'processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) CPU @ 2.20GHz\nflags\t\t: fpu avx2 avx512f\n\n',
  dpkg: `libnvinfer-bin\t${tensorrt}.6-1+cuda12.0\n`,
  files: {
    '/etc/os-release': release('Ubuntu 22.04.5 LTS'),
    '/proc/meminfo': memory(16000),
    '/usr/local/cuda/version.json': '{"cuda": {"name": "CUDA SDK", "version": "12.2.2"}}',
    '/opt/nvidia/deepstream/deepstream/version': 'Version: 6.3\n',
    '/glibc': 'glibc 2.35\n',
  },
  samples: { 'deepstream.txt': '6.3' },
  tools: ['trtexec', 'nvidia-smi', 'deepstream-app'],
});

/** The boards that we replay: JetPack 4.6, 5.1, 6.2 and 7.0, and a T4 under two releases. */
export const replayed = { nano, xavierNx, orinNx, orinNano, thor, t4: t4('8.6.1', 't4'), t4New: t4('10.9.0', 't4-new') } as const;
