import { l4tOfDebianVersion, parseNvTegraRelease } from '../formats/nv-tegra.ts';
import { tensorrtOfDigits } from '../formats/tensorrt-version.ts';

/** JetPack by L4T, newest first: [L4T prefix, JetPack, CUDA, TensorRT]. From jetson_stats and meta-tegra (targets.md §4.2). */
const jetpacks: readonly (readonly [l4t: string, jetpack: string, cuda: string, tensorrt: string])[] = [
  ['39.2', '7.2', '13.2', '10.16.2'],
  ['38.4', '7.1', '13.0', '10.13.3'],
  ['38.2', '7.0', '13.0', '10.13.3'],
  ['36.5', '6.2.2', '12.6', '10.3.0'],
  ['36.4.7', '6.2.1', '12.6', '10.3.0'],
  ['36.4.4', '6.2.1', '12.6', '10.3.0'],
  ['36.4.3', '6.2', '12.6', '10.3.0'],
  ['36.4.0', '6.1', '12.6', '10.3.0'],
  ['36.4', '6.1', '12.6', '10.3.0'],
  ['36.3', '6.0', '12.2', '8.6.2'],
  ['36.2', '6.0 DP', '12.2', '8.6.2'],
  ['35.6.4', '5.1.6', '11.4', '8.5.2'],
  ['35.6.0', '5.1.4', '11.4', '8.5.2'],
  ['35.6', '5.1.5', '11.4', '8.5.2'],
  ['35.5', '5.1.3', '11.4', '8.5.2'],
  ['35.4', '5.1.2', '11.4', '8.5.2'],
  ['35.3', '5.1.1', '11.4', '8.5.2'],
  ['35.2', '5.1', '11.4', '8.5.2'],
  ['35.1', '5.0.2', '11.4', '8.4.1'],
  ['34.1', '5.0.1 DP', '11.4', '8.4.0'],
  ['32.7.6', '4.6.6', '10.2', '8.2.1'],
  ['32.7.5', '4.6.5', '10.2', '8.2.1'],
  ['32.7.4', '4.6.4', '10.2', '8.2.1'],
  ['32.7.3', '4.6.3', '10.2', '8.2.1'],
  ['32.7.2', '4.6.2', '10.2', '8.2.1'],
  ['32.7', '4.6.1', '10.2', '8.2.1'],
  ['32.6', '4.6', '10.2', '8.0.1'],
  ['32.5', '4.5', '10.2', '7.1.3'],
  ['32.4.4', '4.4.1', '10.2', '7.1.3'],
  ['32.4', '4.4', '10.2', '7.1.3'],
  ['32.3', '4.3', '10.0', '6.0.1'],
];
const optional = (text: string | undefined): string | undefined => text?.trim() || undefined;

/** L4T from /etc/nv_tegra_release, else from the Debian package's version (`36.4.7-2025…`), which containers keep. */
export function l4tOf(release: string, packageVersion: string): { release: number; revision: string } | undefined {
  try {
    return parseNvTegraRelease(release);
  } catch {
    return l4tOfDebianVersion(packageVersion);
  }
}

/** What JetPack a device runs: by its L4T, since the meta package is often absent or disagrees with the board's release; else by that package. */
export function jetpackOf(l4t: { release: number; revision: string } | undefined, dpkg: string): string | undefined {
  const by = l4t && rowOf(l4t);
  return by?.[1] ?? /nvidia-jetpack\s+(\d+\.\d+(?:\.\d+)*)/.exec(dpkg)?.[1];
}
const rowOf = ({ release, revision }: { release: number; revision: string }) => {
  const text = `${release}.${revision}`;
  return jetpacks.find(([prefix]) => text === prefix || text.startsWith(`${prefix}.`));
};

/** TensorRT of a device: the banner of trtexec, else dpkg's libnvinfer, else the library's file name. Full version where it is known. */
export function tensorrtOf({ banner, dpkg, libraries }: { banner: string; dpkg: string; libraries: string }): string | undefined {
  const digits = /\[TensorRT v(\d{4,6})\]/.exec(banner)?.[1];
  const packaged = /(?:libnvinfer\d*|libnvinfer-bin|tensorrt)\s+(\d+\.\d+\.\d+)/.exec(dpkg)?.[1];
  return (digits && tensorrtOfDigits(digits)?.text) ?? packaged ?? /libnvinfer\.so\.(\d+\.\d+\.\d+)/.exec(libraries)?.[1];
}

/** CUDA: version.json, version.txt, or the folder's name. */
export const cudaOf = (json: string, folders: string): string | undefined =>
  /"cuda"\s*:\s*\{[^}]*"version"\s*:\s*"(\d+\.\d+)/.exec(json)?.[1] ?? /CUDA Version (\d+\.\d+)/.exec(json)?.[1] ?? /cuda-(\d+\.\d+)/.exec(folders)?.[1];

export const deepstreamOf = (version: string, dpkg: string): string | undefined => /(\d+\.\d+(?:\.\d+)?)/.exec(version)?.[1] ?? /deepstream-(\d+\.\d+)/.exec(dpkg)?.[1];

/** `NV Power Mode: 15W` and the id on the next line; permission warnings may stand before it. */
export const powerModeOf = (text: string): string | undefined => optional(/NV Power Mode\s*:\s*(\S[^\r\n]*)/.exec(text)?.[1]);

const socs: readonly (readonly [soc: string, sm: string])[] = [
  ['tegra264', '11.0'],
  ['tegra234', '8.7'],
  ['tegra194', '7.2'],
  ['tegra186', '6.2'],
  ['tegra210', '5.3'],
];
/** NVIDIA's module series; other part numbers (p3768, p3737, p2972, …) are carrier boards, which stand before the module: `p3768-0000+p3767-0005`. */
const moduleSeries = ['p3767', 'p3701', 'p3668', 'p2888', 'p3448', 'p3310', 'p3489', 'p3636', 'p3834', 'p2180'];
function moduleOf(text: string): string | undefined {
  const parts = text.match(/p\d{4}(?:-\d{4})?/g) ?? [];
  const modules = parts.filter(part => moduleSeries.includes(part.slice(0, 5)));
  return modules.find(part => part.includes('-')) ?? modules[0] ?? parts.find(part => part.includes('-')) ?? parts[0];
}
/** SoC, its compute capability and the module's part number from the device tree's compatible list and file name. The SoC decides; names are for display. */
export function jetsonOf(compatible: string, dtsFile: string): { soc: string; sm: string; module?: string } | undefined {
  const found = socs.find(([soc]) => compatible.includes(`nvidia,${soc}`));
  if (!found) return undefined;
  const module = moduleOf(`${compatible} ${dtsFile}`);
  return { soc: found[0], sm: found[1], ...(module ? { module } : {}) };
}

/** First GPU of nvidia-smi's csv (name, driver, memory, compute_cap, …); `[N/A]` and `[Not Supported]` are absent. Old drivers know no compute_cap. */
export function gpuOf(csv: string): { gpu: string; driver?: string; memoryMB?: number; sm?: string } | undefined {
  const line = csv.split(/\r?\n/).find(each => each.includes(','));
  if (!line || /error|failed|not found/i.test(line)) return undefined;
  const [name, driver, memory, sm] = line.split(',').map(each => (/^\s*\[|^\s*$/.test(each) ? undefined : each.trim()));
  if (name === undefined) return undefined;
  const known = /\bT4\b/.test(name) ? '7.5' : undefined;
  const capability = sm !== undefined && /^\d+\.\d+$/.test(sm) ? sm : known;
  return {
    gpu: name,
    ...(driver ? { driver } : {}),
    ...(memory && Number.isFinite(Number(memory)) ? { memoryMB: Number(memory) } : {}),
    ...(capability ? { sm: capability } : {}),
  };
}

/** The processor features that decide how fast a CPU runtime is, as /proc/cpuinfo names them. */
export const tellingFeatures = ['avx2', 'avx512f', 'avx512bw', 'avx512_vnni', 'avx_vnni', 'amx_int8', 'avx512_fp16', 'asimd', 'asimdhp', 'asimddp', 'i8mm', 'bf16', 'sve'] as const;
/** Model, cores and telling features from /proc/cpuinfo and `nproc`; ARM says a part number where x86 says a name. */
export function cpuOf(cpuinfo: string, nproc: string): { model: string; cores: number; features: string[] } {
  const line = (key: string): string | undefined => optional(new RegExp(`^${key}\\s*:\\s*(.*)$`, 'm').exec(cpuinfo)?.[1]);
  const flags = new Set((line('flags') ?? line('Features') ?? '').split(/\s+/));
  const part = line('CPU part');
  const cores = Number(nproc.trim()) || [...cpuinfo.matchAll(/^processor\s*:/gm)].length || 1;
  return {
    model: line('model name') ?? (part ? `ARM implementer ${line('CPU implementer') ?? '?'} part ${part}` : 'unknown processor'),
    cores,
    features: tellingFeatures.filter(feature => flags.has(feature)),
  };
}

export const osOf = (release: string): string => /^PRETTY_NAME="?([^"\n]+)/m.exec(release)?.[1] ?? 'unknown Linux';
/** glibc from `getconf GNU_LIBC_VERSION` or `ldd --version`; musl and bionic have none. */
export const glibcOf = (text: string): string | undefined => /glibc (\d+\.\d+)/.exec(text)?.[1] ?? /ldd \([^)]*\) (\d+\.\d+)/.exec(text)?.[1];
/** MemTotal in MB of 1,000,000 bytes… as free -m does, in MiB. */
export const memoryOf = (meminfo: string): number => Math.round(Number(/MemTotal:\s*(\d+) kB/.exec(meminfo)?.[1] ?? 0) / 1024);
export const freeDiskOf = (df: string): number => Math.round(Number(df.trim().split(/\s+/).at(-1) ?? 0) / 1024) || 0;
export const architectureOf = (machine: string): 'x64' | 'arm64' | 'other' =>
  /^(x86_64|amd64)$/.test(machine.trim()) ? 'x64' : /^(aarch64|arm64)$/.test(machine.trim()) ? 'arm64' : 'other';

/**
 * What plays the processor, where it is not a real one; undefined where it is, also inside a virtual machine that runs on the processor itself.
 * A foreign architecture's cpuinfo shows qemu-user; QEMU's own board and names show qemu-system. QEMU writes `KVM Virtual Machine` (ARM) and lends kvm-clock (x86) only
 * where the real processor computes (hw/arm/virt.c, virt_build_smbios).
 */
export function emulatorOf({
  machine,
  cpuinfo,
  compatible,
  vendor,
  clocks,
}: {
  machine: string;
  cpuinfo: string;
  compatible: string;
  vendor: string;
  clocks: string;
}): string | undefined {
  const arm = architectureOf(machine) === 'arm64';
  if (arm && /^vendor_id\s*:/m.test(cpuinfo)) return 'qemu-user on an x86 processor';
  if (vendor.includes('KVM Virtual Machine') || /\bkvm-clock\b/.test(clocks)) return undefined;
  if (arm && (compatible.includes('linux,dummy-virt') || /QEMU/i.test(vendor))) return "QEMU's virt board";
  if (!arm && /^model name\s*:.*QEMU (?:TCG|Virtual) CPU/m.test(cpuinfo)) return "QEMU's x86 processor";
  return undefined;
}
