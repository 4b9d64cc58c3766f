import { EdgeError } from '../../core/errors.ts';
import type { TensorrtVersion } from '../../formats/tensorrt-version.ts';
import type { Command, EngineSpec, EtltModel, Facts } from '../device.ts';

/** The last TensorRT that tao-converter was made for in NVIDIA's tables (TAO 3 and 4). */
const last = { major: 8, minor: 4 } as const;
export const converterServes = ({ major, minor }: TensorrtVersion): boolean => major < last.major || (major === last.major && minor <= last.minor);

// Releases on NGC by TensorRT: [major.minor, x86, Jetson]; a 8.2 Jetson takes that of 8.0 (targets.md §7, unverified).
const releases: readonly (readonly [tensorrt: string, x64: string, arm64: string | undefined])[] = [
  ['7.1', 'v3.21.08_trt7.1_x86', 'v3.21.11_trt7.1_aarch64'],
  ['7.2', 'v3.21.08_trt7.2_x86', undefined],
  ['8.0', 'v3.21.11_trt8.0_x86', 'v3.21.11_trt8.0_aarch64'],
  ['8.2', 'v3.21.11_trt8.2_x86', 'v3.21.11_trt8.0_aarch64'],
  ['8.4', 'v3.21.11_trt8.4_x86', 'v3.22.05_trt8.4_aarch64'],
];
const page = 'https://catalog.ngc.nvidia.com/orgs/nvidia/teams/tao/resources/tao-converter';

/** How a device gets its converter: the release for its TensorRT where NVIDIA has one, and where it is looked for. */
export function converterMend({ major, minor }: TensorrtVersion, architecture: Facts['architecture']): string {
  const row = releases.find(([tensorrt]) => tensorrt === `${major}.${minor}`);
  const release = architecture === 'arm64' ? row?.[2] : row?.[1];
  return `take ${release === undefined ? 'the release for this TensorRT' : release} from ${page}, then: sudo install -D -m 755 tao-converter /opt/nvidia/tao/tao-converter`;
}

/** Why this device cannot build from an .etlt itself, with both ways out. */
export function refuseConverter({ payload }: Pick<EtltModel, 'payload'>, version: TensorrtVersion, facts: Facts): EdgeError | undefined {
  const onnx =
    payload === 'onnx'
      ? 'leave converter: true out: this .etlt holds ONNX, which trtexec builds here'
      : 'export the model as ONNX (TAO 5 does) and deploy that: --model model.onnx';
  if (!converterServes(version))
    return new EdgeError('device-refused', `tao-converter serves TensorRT up to ${last.major}.${last.minor}; this device has ${version.text}, which reads no UFF network.`, {
      hint: `Either ${onnx}; or deploy to a device with TensorRT ${last.major}.${last.minor} or older that has tao-converter (edgeforge doctor <device>).`,
    });
  if (facts.converter === undefined)
    return new EdgeError('engine-missing', 'The device has neither tao-converter nor tlt-converter, which alone turn this .etlt into an engine.', {
      hint: `Either ${converterMend(version, facts.architecture)}; or ${onnx}.`,
    });
  return undefined;
}

const shape = (dims: readonly number[]): string => dims.join('x');

/**
 * Words for tao-converter and tlt-converter, which take the same; the engine is written beside its name. `-k` and the key are put in on the device, between the program and these.
 * A UFF network has no batch of its own: -m says its largest. An ONNX network of open batch gets one profile of exactly the wanted shape. The workspace is in bytes.
 */
export function converterWords(spec: EngineSpec & { readonly etlt: EtltModel }, facts: Facts): Command {
  const [[name, dims] = ['', []]] = Object.entries(spec.inputs);
  const { outputs, payload, open } = spec.etlt;
  return [
    facts.converter ?? '/opt/nvidia/tao/tao-converter',
    '-d',
    dims.slice(1).join(','),
    ...(outputs.length > 0 ? ['-o', outputs.join(',')] : []),
    '-i',
    'nchw',
    ...(payload === 'uff' ? ['-m', String(spec.batch)] : []),
    ...(open ? ['-p', [name, shape(dims), shape(dims), shape(dims)].join(',')] : []),
    '-t',
    spec.precision,
    ...(spec.precision === 'int8' && spec.calibration ? ['-c', spec.calibration.path, '-b', String(spec.batch)] : []),
    '-w',
    String((spec.workspaceMiB ?? 1024) * 2 ** 20),
    ...(spec.dlaCore === undefined ? [] : ['-u', String(spec.dlaCore)]),
    '-e',
    `${spec.engine}.part`,
    spec.model,
  ];
}

/** What trtexec must be told of an engine that a converter built: its DLA, its shape where the batch was open, its batch where the engine has none of its own. */
export function loadWords(words: Command, batch: number): readonly string[] {
  const after = (flag: string): string | undefined => (words.includes(flag) ? words[words.indexOf(flag) + 1] : undefined);
  const [name = '', , optimum] = after('-p')?.split(',') ?? [];
  const core = after('-u');
  return [
    ...(core === undefined ? [] : [`--useDLACore=${core}`]),
    ...(optimum === undefined ? [] : [`--shapes=${/[:']/.test(name) ? `'${name}'` : name}:${optimum}`]),
    ...(words.includes('-m') && batch > 1 ? [`--batch=${batch}`] : []),
  ];
}
