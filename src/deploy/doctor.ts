import { createRequire } from 'node:module';
import { asEdgeError, type EdgeError } from '../core/errors.ts';
import { jpegDecoder } from '../data/jpeg.ts';
import { type TensorrtVersion, tensorrtOfText } from '../formats/tensorrt-version.ts';
import type { Graph } from '../graph/ir.ts';
import { swapWords } from './build-forecast.ts';
import { modelFits } from './model-fit.ts';
import type { Device } from './open-device.ts';
import { converterMend, converterServes } from './runtimes/_converter.ts';
import { maySetClocks, sudoersMend } from './sudo-rules.ts';
import { refuseSetting } from './work.ts';

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
    jpegDecoder === 'libjpeg-turbo' ? row('JPEG decoding', 'ok', jpegDecoder) : row('JPEG decoding', 'note', 'sharp (works; libjpeg-turbo takes half the time)', 'npm ci'),
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

const optional = (name: string, value: string | undefined, mend: string, state: 'missing' | 'note' = 'missing'): DoctorRow =>
  value === undefined ? row(name, state, 'not found', mend) : row(name, 'ok', value);

function memoryRow({ facts, name }: Device): DoctorRow {
  const { memoryMB, availableMB, swapMB, swapFreeMB } = facts;
  const text = `${memoryMB} MB${availableMB === undefined ? '' : `, ${availableMB} MB available`}${swapMB === undefined ? '' : `, swap ${swapMB} MB${swapFreeMB === undefined ? '' : ` (${swapFreeMB} free)`}`}`;
  if (facts.kind === 'jetson' && memoryMB < 8192 && (swapMB ?? 0) === 0)
    return row('memory', 'note', `${text}: without swap the OOM killer ends big builds`, `on ${name}: ${swapWords}`);
  return row('memory', 'ok', text);
}

/** Whether a measurement here would be one: clocks, heat, neighbours, and the rights to set what must be set. */
function measuringRows(device: Device): readonly DoctorRow[] {
  const { facts } = device;
  const hottest = Object.entries(facts.temperaturesC ?? {}).sort(([, a], [, b]) => b - a)[0];
  const modes = facts.powerModes?.map(({ id, name }) => `${id} ${name}`).join(', ');
  const jetson = facts.kind === 'jetson';
  const rights = maySetClocks(facts);
  return [
    ...(jetson ? [optional('power mode', facts.powerMode && `${facts.powerMode}${modes ? ` (of ${modes})` : ''}`, 'sudo nvpmodel -q')] : []),
    ...(jetson && facts.clocks
      ? [
          facts.clocks.locked
            ? row('clocks', 'ok', `locked${facts.clocks.gpu ? `, GPU at ${facts.clocks.gpu.maxMHz} MHz` : ''}`)
            : row(
                'clocks',
                'note',
                `not locked${facts.clocks.gpu ? `, GPU ${facts.clocks.gpu.minMHz} to ${facts.clocks.gpu.maxMHz} MHz` : ''}: times would scatter`,
                'sudo jetson_clocks',
              ),
          ...(facts.clocks.fan ? [row('fan', 'ok', facts.clocks.fan)] : []),
        ]
      : []),
    ...(jetson
      ? [
          rights
            ? row('rights', 'ok', 'power mode and clocks can be set without a password')
            : row('rights', 'note', 'power mode and clocks cannot be set: numbers are taken as the board stands, and marked so', sudoersMend(facts)),
        ]
      : []),
    ...settingRows(device),
    ...(hottest
      ? [
          hottest[1] >= 80
            ? row('heat', 'note', `${hottest[0]} ${hottest[1]} °C: let it cool before measuring`)
            : row('heat', 'ok', `${hottest[0]} ${hottest[1]} °C is the hottest`),
        ]
      : []),
    ...(facts.desktop ? [row('desktop', 'note', 'runs there, and takes memory and the GPU’s time', 'sudo systemctl isolate multi-user.target')] : []),
    ...(facts.busy ? [row('neighbours', 'note', facts.busy.map(({ percent, command }) => `${command} ${percent} %`).join(', '), 'end them before measuring')] : []),
    ...(facts.container ? [row('container', 'note', 'we are inside one: TensorRT is the image’s, power and clocks are the host’s')] : []),
  ];
}

/** What the definition asks the board to be set to while it is measured: possible, or why not. */
function settingRows(device: Device): readonly DoctorRow[] {
  const { powerMode, gpuMHz } = device.setting;
  if (powerMode === undefined && gpuMHz === undefined)
    return device.facts.kind === 'dgpu'
      ? [row('clock', 'note', 'measured as found: times may scatter', 'gpuMHz under this device in the project file holds it, where sudo allows it')]
      : [];
  const name = gpuMHz === undefined ? 'setting' : 'clock';
  try {
    refuseSetting(device, device.setting);
    return [
      row(
        name,
        'ok',
        `measured ${[powerMode === undefined ? '' : `in power mode ${powerMode}`, gpuMHz === undefined ? '' : `with its GPU held at ${gpuMHz} MHz`].filter(Boolean).join(', ')}`,
      ),
    ];
  } catch (error) {
    const { message, hint } = asEdgeError(error);
    return [row(name, 'blocked', message, hint)];
  }
}

/** Whether an .etlt that holds UFF can be built there: only a converter reads it, and none was made for later releases. */
function converterRows(version: TensorrtVersion | undefined, { facts }: Device): readonly DoctorRow[] {
  if (version === undefined) return [];
  const needed = 'needed only for an .etlt that holds UFF, or with converter: true';
  if (converterServes(version))
    return [
      facts.converter === undefined
        ? row('tao-converter', 'note', `not found; ${needed}`, converterMend(version, facts.architecture))
        : row('tao-converter', 'ok', `${facts.converter} (${needed})`),
    ];
  return facts.converter === undefined ? [] : [row('tao-converter', 'note', `${facts.converter} is not used: it serves TensorRT up to 8.4, here an .etlt must hold ONNX`)];
}

function nvidiaRows(device: Device): readonly DoctorRow[] {
  const { facts } = device;
  const jetson = facts.kind === 'jetson';
  const jetpack = 'sudo apt install nvidia-jetpack';
  const version = facts.tensorrt === undefined ? undefined : tensorrtOfText(facts.tensorrt);
  return [
    ...(facts.gpu === undefined ? [] : [row('GPU', 'ok', `${facts.gpu}, sm ${facts.sm ?? 'unknown'}`)]),
    optional('CUDA', facts.cuda, jetson ? jetpack : 'sudo apt install cuda-toolkit'),
    optional('cuDNN', facts.cudnn, jetson ? jetpack : 'sudo apt install libcudnn9-cuda-12', 'note'),
    optional('TensorRT', facts.tensorrt, jetson ? jetpack : 'sudo apt install tensorrt'),
    optional('trtexec', facts.trtexec, 'sudo apt install libnvinfer-bin'),
    facts.pythonTensorrt === undefined
      ? row('python tensorrt', 'note', 'not found: accuracy then takes one process per image', 'sudo apt install python3-libnvinfer')
      : row('python tensorrt', 'ok', facts.pythonTensorrt),
    ...converterRows(version, device),
    optional('DeepStream', facts.deepstream, 'https://docs.nvidia.com/metropolis/deepstream/dev-guide', 'note'),
  ];
}

/** What a device has, what is possible there and what is missing, each with its mend. */
export function doctorDevice(device: Device): readonly DoctorRow[] {
  const { facts, target, runtime } = device;
  return [
    row('device', 'ok', `${facts.model}, ${facts.os}, kernel ${facts.kernel}${facts.emulated ? ' (emulated: its times are no measurements)' : ''}`),
    row('target', 'ok', `${target.name}: ${target.title}${facts.module ? `, module ${facts.module}` : ''}`),
    facts.emulator === undefined
      ? row('processor', 'ok', `${facts.cpu.model}, ${facts.cpu.cores} cores`)
      : row('processor', 'note', `${facts.cpu.model}, ${facts.cpu.cores} cores, played by ${facts.emulator}: what it computes is right, its times say nothing of any device`),
    memoryRow(device),
    facts.freeDiskMB < 1024 ? row('free disk', 'note', `${facts.freeDiskMB} MB`, `edgeforge device clean ${device.name}`) : row('free disk', 'ok', `${facts.freeDiskMB} MB`),
    row('glibc', facts.glibc === undefined ? 'note' : 'ok', facts.glibc ?? 'not glibc'),
    ...(facts.kind === 'jetson'
      ? [
          optional('L4T', facts.l4t && `${facts.l4t.release}.${facts.l4t.revision}`, 'cat /etc/nv_tegra_release'),
          optional('JetPack', facts.jetpack, 'sudo apt install nvidia-jetpack'),
        ]
      : []),
    ...(facts.kind === 'linux' ? [] : nvidiaRows(device)),
    ...measuringRows(device),
    row('runtime', 'ok', runtime.version(facts)),
    ...(['fp32', 'fp16', 'int8'] as const).map(precision => precisionRow(device, precision)),
    ...Array.from({ length: target.abilities.dla }, (_, core) => core).flatMap(core => (['fp16', 'int8'] as const).map(precision => precisionRow(device, precision, core))),
    ...(runtime.name === 'onnxruntime' ? [speedRow(device)] : []),
  ];
}

/** A model on a device, one row per precision and processor, before anything is uploaded. */
export const doctorModel = (graph: Graph, device: Device): readonly DoctorRow[] =>
  modelFits(graph, device).map(({ precision, on, state, because, mend }) => row(`${precision} on ${on}`, state === 'possible' ? 'ok' : state, because, mend));
