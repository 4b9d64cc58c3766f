import { createRequire } from 'node:module';
import type { EdgeError } from '../core/errors.ts';
import type { Device } from './open-device.ts';

/** One thing `doctor` looked at: what it found, and the command that mends it where something is missing. */
export interface DoctorRow {
  readonly name: string;
  readonly state: 'ok' | 'note' | 'missing' | 'blocked';
  readonly value: string;
  readonly mend?: string;
}
const row = (name: string, state: DoctorRow['state'], value: string, mend?: string): DoctorRow => ({ name, state, value, ...(mend === undefined ? {} : { mend }) });

const nativeCrypto = (): boolean => {
  try {
    const require = createRequire(createRequire(import.meta.url).resolve('ssh2'));
    require('./protocol/crypto/build/Release/sshcrypto.node');
    return true;
  } catch {
    return false;
  }
};

/** What this machine has for the work: Node, SSH cryptography, keys. */
export function doctorHost(): readonly DoctorRow[] {
  return [
    row('node', 'ok', process.version),
    nativeCrypto()
      ? row('ssh2 cryptography', 'ok', 'native')
      : row('ssh2 cryptography', 'note', 'pure JavaScript (works; a compiler at install time makes pushes cost less CPU)', 'npm rebuild ssh2'),
    process.env.SSH_AUTH_SOCK ? row('ssh agent', 'ok', process.env.SSH_AUTH_SOCK) : row('ssh agent', 'note', 'none: key files are used', 'eval "$(ssh-agent)" && ssh-add'),
  ];
}

function speedRow({ facts }: Device): DoctorRow {
  const features = facts.cpu.features;
  const said = features.length ? features.join(' ') : 'none of the features that matter';
  const int8 = features.find(feature => /vnni|amx_int8/.test(feature)) ?? features.find(feature => /i8mm|asimddp/.test(feature));
  return int8 ? row('INT8 speed', 'ok', `${int8} (${said})`) : row('INT8 speed', 'note', `no VNNI, no dot product: INT8 is small but hardly faster here (${said})`);
}

const precisionRow = (device: Device, precision: 'fp32' | 'fp16' | 'int8', dlaCore?: number): DoctorRow => {
  const refusal: EdgeError | undefined = device.runtime.refuse({ precision, batch: 1, calibration: true, ...(dlaCore === undefined ? {} : { dlaCore }) }, device.facts);
  const name = `${precision}${dlaCore === undefined ? '' : ` on DLA ${dlaCore}`}`;
  return refusal ? row(name, 'blocked', refusal.message, refusal.hint) : row(name, 'ok', 'possible');
};

/** What a device has, what is possible there and what is missing, each with its mend. */
export function doctorDevice(device: Device): readonly DoctorRow[] {
  const { facts, target, runtime } = device;
  const optional = (name: string, value: string | undefined, mend: string): DoctorRow => (value === undefined ? row(name, 'missing', 'not found', mend) : row(name, 'ok', value));
  const jetson = facts.kind === 'jetson';
  return [
    row('device', 'ok', `${facts.model}, ${facts.os}, kernel ${facts.kernel}${facts.emulated ? ' (emulated: its times are no measurements)' : ''}`),
    row('target', 'ok', `${target.name}: ${target.title}`),
    row('processor', 'ok', `${facts.cpu.model}, ${facts.cpu.cores} cores, ${facts.memoryMB} MB`),
    facts.freeDiskMB < 1024 ? row('free disk', 'note', `${facts.freeDiskMB} MB`, `edgeforge device clean ${device.name}`) : row('free disk', 'ok', `${facts.freeDiskMB} MB`),
    row('glibc', facts.glibc === undefined ? 'note' : 'ok', facts.glibc ?? 'not glibc'),
    ...(jetson
      ? [
          optional('L4T', facts.l4t && `${facts.l4t.release}.${facts.l4t.revision}`, 'cat /etc/nv_tegra_release'),
          optional('JetPack', facts.jetpack, 'sudo apt install nvidia-jetpack'),
          optional('power mode', facts.powerMode, 'sudo nvpmodel -q'),
        ]
      : []),
    ...(facts.gpu === undefined ? [] : [row('GPU', 'ok', `${facts.gpu}, sm ${facts.sm ?? 'unknown'}`)]),
    ...(facts.kind === 'linux'
      ? []
      : [
          optional('CUDA', facts.cuda, 'sudo apt install nvidia-jetpack'),
          optional('TensorRT', facts.tensorrt, 'sudo apt install nvidia-jetpack'),
          optional('trtexec', facts.trtexec, 'sudo apt install libnvinfer-bin'),
          optional('DeepStream', facts.deepstream, 'https://docs.nvidia.com/metropolis/deepstream/dev-guide'),
        ]),
    row('runtime', 'ok', runtime.version(facts)),
    ...(['fp32', 'fp16', 'int8'] as const).map(precision => precisionRow(device, precision)),
    ...Array.from({ length: target.abilities.dla }, (_, core) => precisionRow(device, 'int8', core)),
    ...(runtime.name === 'onnxruntime' ? [speedRow(device)] : []),
  ];
}
