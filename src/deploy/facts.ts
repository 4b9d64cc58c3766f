import { EdgeError } from '../core/errors.ts';
import { canonical, digestOf } from '../core/fingerprint.ts';
import {
  architectureOf,
  cpuOf,
  cudaOf,
  deepstreamOf,
  emulatorOf,
  freeDiskOf,
  glibcOf,
  gpuOf,
  jetpackOf,
  jetsonOf,
  l4tOf,
  memoryOf,
  osOf,
  powerModeOf,
  tensorrtOf,
} from './_parse-facts.ts';
import { availableOf, busyOf, clocksOf, cudnnOf, modesOf, powerModeIdOf, sudoOf, swapOf, temperaturesOf } from './_parse-state.ts';
import { type Fact, type Facts, type Runtime, standInMark, type Transport } from './device.ts';
import { script } from './quote.ts';

/** What is asked, by name: one line of shell each, silent where the thing is absent. All run as one script: one round trip. */
export const questions = {
  machine: 'uname -m',
  kernel: 'uname -r',
  home: 'echo "$HOME"',
  release: 'cat /etc/os-release',
  glibc: 'getconf GNU_LIBC_VERSION || ldd --version | head -1',
  cpuinfo: "cat /proc/cpuinfo | awk '/^$/ {exit} {print}'",
  nproc: 'nproc',
  meminfo: 'cat /proc/meminfo',
  disk: "df -Pk . | awk 'NR==2 {print $4}'",
  model: "cat /proc/device-tree/model | tr -d '\\0'",
  compatible: "cat /proc/device-tree/compatible | tr '\\0' '\\n'",
  dts: "cat /proc/device-tree/nvidia,dtsfilename | tr -d '\\0'",
  tegra: 'cat /etc/nv_tegra_release | head -1',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg's own form
  l4tCore: "dpkg-query -W -f='${Version}' nvidia-l4t-core",
  dpkg: "dpkg-query -W nvidia-jetpack 'libnvinfer*' tensorrt 'libcudnn*' 'deepstream-*'",
  libraries: 'ls /usr/lib/*-linux-gnu/libnvinfer.so.*',
  trtexec: 'command -v trtexec || ls /usr/src/tensorrt/bin/trtexec /opt/tensorrt/bin/trtexec',
  banner: 't=$(command -v trtexec || ls /usr/src/tensorrt/bin/trtexec /opt/tensorrt/bin/trtexec) && timeout 20 $(echo "$t" | head -1) --help | head -1',
  cuda: 'cat /usr/local/cuda/version.json /usr/local/cuda/version.txt',
  cudaFolders: 'ls -d /usr/local/cuda-*',
  deepstream: 'cat /opt/nvidia/deepstream/deepstream/version',
  power: 'nvpmodel -q </dev/null',
  gpu: 'nvidia-smi --query-gpu=name,driver_version,memory.total,compute_cap,power.limit --format=csv,noheader,nounits || nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader,nounits',
  vendor: 'cat /sys/class/dmi/id/sys_vendor /sys/class/dmi/id/product_name',
  clocksources: 'cat /sys/devices/system/clocksource/clocksource0/available_clocksource',
  user: 'id -un; id -u',
  // Asks for no password and changes nothing.
  sudo: 'sudo -n -l </dev/null',
  modes: "cat /etc/nvpmodel.conf | grep -o 'POWER_MODEL ID=[0-9]* NAME=[^ >]*'",
  clocks: 'if [ "$(id -u)" = 0 ]; then jetson_clocks --show; else sudo -n jetson_clocks --show; fi </dev/null',
  temperatures: 'for z in /sys/class/thermal/thermal_zone*; do echo "$(cat $z/type) $(cat $z/temp)"; done',
  busy: 'ps -eo pcpu=,comm= --sort=-pcpu | head -8',
  desktop: "ps -eo comm= | grep -E -x 'Xorg|Xwayland|gnome-shell|gdm3?|gdm-x-session|lightdm|sddm|weston'",
  python: `python3 -c 'import importlib.util as u; print(u.find_spec("tensorrt").origin)'`,
  converter: 'command -v tao-converter || command -v tlt-converter || ls /opt/nvidia/tao/tao-converter',
  container: 'ls /.dockerenv /run/.containerenv',
  // A program that plays another one says so in its first bytes: then nothing on this device is a measurement.
  standIns: `for t in trtexec tegrastats nvpmodel jetson_clocks nvidia-smi deepstream-app python3 tao-converter tlt-converter; do p=$(command -v $t) && head -c 200 "$p" | grep -a -q '${standInMark}' && echo $t; done`,
} as const;
export type Answers = Readonly<Record<keyof typeof questions, string>>;

/** The one script. It is kept on the device under its digest, so that asking again costs a line, not a page. */
export const factScript: string = Object.entries(questions)
  .map(([name, text]) => `printf '\\036${name}\\n'; { ${text}; } 2>/dev/null`)
  .join('\n');
const scriptDigest = digestOf(factScript);

/** Output of the script → answers. A missing section is an empty answer. */
export function splitAnswers(output: string): Answers {
  const answers = Object.fromEntries(Object.keys(questions).map(name => [name, ''])) as Record<keyof typeof questions, string>;
  for (const section of output.split('\u001e').slice(1)) {
    const end = section.indexOf('\n');
    const name = section.slice(0, end);
    if (Object.hasOwn(answers, name)) answers[name as keyof typeof questions] = section.slice(end + 1);
  }
  return answers;
}

const present = <T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as never;

/** Answers → facts; pure. Throws `device-refused` where it is not a Linux machine that answers. */
export function factsOf(answers: Answers, deviceId: string, at: string): Facts {
  if (answers.machine.trim() === '')
    throw new EdgeError('device-refused', 'The device did not say what machine it is.', { hint: 'It needs a POSIX shell and coreutils: try ssh DEVICE uname -m' });
  const cpu = cpuOf(answers.cpuinfo, answers.nproc);
  const jetson = jetsonOf(answers.compatible, answers.dts);
  const l4t = l4tOf(answers.tegra, answers.l4tCore);
  const card = jetson ? undefined : gpuOf(answers.gpu);
  const architecture = architectureOf(answers.machine);
  const emulator = emulatorOf({ ...answers, clocks: answers.clocksources });
  const product = answers.vendor.trim().split('\n').filter(Boolean).join(' ');
  return present({
    deviceId,
    kind: jetson || l4t ? ('jetson' as const) : card ? ('dgpu' as const) : ('linux' as const),
    architecture,
    model: answers.model.trim() || card?.gpu || product || cpu.model,
    os: osOf(answers.release),
    kernel: answers.kernel.trim(),
    glibc: glibcOf(answers.glibc),
    cpu: { model: cpu.model, cores: cpu.cores, features: cpu.features },
    memoryMB: memoryOf(answers.meminfo),
    freeDiskMB: freeDiskOf(answers.disk),
    home: answers.home.trim(),
    l4t,
    jetpack: jetpackOf(l4t, answers.dpkg),
    tensorrt: tensorrtOf(answers),
    cuda: cudaOf(answers.cuda, answers.cudaFolders),
    deepstream: deepstreamOf(answers.deepstream, answers.dpkg),
    sm: jetson?.sm ?? card?.sm,
    gpu: card?.gpu,
    powerMode: powerModeOf(answers.power),
    soc: jetson?.soc,
    module: jetson?.module,
    trtexec: answers.trtexec.trim().split('\n')[0] || undefined,
    ...stateOf(answers),
    emulator,
    emulated: answers.standIns.trim() !== '' || answers.banner.includes('[emulated]') || emulator !== undefined,
    at,
  }) as Facts;
}

/** What changes by the hour, and what may be done about it: memory, power, rights, neighbours. */
const stateOf = (answers: Answers) => ({
  availableMB: availableOf(answers.meminfo),
  swapMB: swapOf(answers.meminfo)?.total,
  swapFreeMB: swapOf(answers.meminfo)?.free,
  cudnn: cudnnOf(answers.dpkg),
  user: answers.user.trim().split('\n')[0] || undefined,
  sudo: sudoOf(answers.user, answers.sudo),
  powerModeId: powerModeIdOf(answers.power),
  powerModes: modesOf(answers.modes),
  clocks: clocksOf(answers.clocks),
  temperaturesC: temperaturesOf(answers.temperatures),
  busy: busyOf(answers.busy),
  desktop: answers.desktop.trim() !== '' || undefined,
  // A folder of that name is no module: it has no file.
  pythonTensorrt: /^\/\S.*\.(?:py|so)$/m.exec(answers.python)?.[0],
  converter: answers.converter.trim().split('\n')[0] || undefined,
  container: answers.container.trim() !== '' || undefined,
});

/** Facts as one question and its pure parser. */
export const factsFact = (deviceId: string, at: string): Fact<Facts> => ({
  command: ['sh', `store/facts-${scriptDigest.slice(0, 16)}`],
  parse: finished => factsOf(splitAnswers(finished.stdout), deviceId, at),
});

/** Asks a device for its facts: one round trip where our script is already there. */
export async function gatherFacts(transport: Transport, signal?: AbortSignal): Promise<Facts> {
  const fact = factsFact(transport.deviceId, new Date().toISOString());
  const options = { limitMs: 60_000, ...(signal ? { signal } : {}) };
  let answered = await transport.exec(fact.command, options);
  if (!answered.stdout.includes('\u001emachine')) {
    const file = fact.command[1]!;
    const kept = await transport.exec(script('mkdir -p store; cat > "$1.new" && mv "$1.new" "$1"', file), { ...options, input: new TextEncoder().encode(factScript) });
    if (kept.exitCode !== 0)
      throw new EdgeError('device-refused', `"${transport.name}" cannot keep files in ~/.edgeforge: ${kept.stderr.trim()}.`, {
        hint: 'Is its home folder writable, and its disk not full? Try: df -h ~',
      });
    answered = await transport.exec(fact.command, options);
  }
  return fact.parse(answered);
}

/** The facts that decide whether an engine still fits: they enter fingerprints. Power mode, clocks, load and free disk do not. */
export function identityFacts(facts: Facts, runtime: Pick<Runtime, 'name' | 'version'>): Readonly<Record<string, string>> {
  return present({
    device: facts.deviceId,
    runtime: runtime.version(facts),
    architecture: facts.architecture,
    sm: facts.sm,
    l4t: facts.l4t && `${facts.l4t.release}.${facts.l4t.revision}`,
    tensorrt: runtime.name === 'tensorrt' ? facts.tensorrt : undefined,
    cpu: runtime.name === 'onnxruntime' ? digestOf(canonical({ model: facts.cpu.model, features: facts.cpu.features })).slice(0, 16) : undefined,
  }) as Readonly<Record<string, string>>;
}
