import type { EdgeError } from '../core/errors.ts';
import type { Measurement, Precision, Protocol } from '../core/evidence.ts';
import type { Digest } from '../core/fingerprint.ts';
import type { EngineLayers } from '../formats/engine-layers.ts';
import type { JetsonClocks } from '../formats/jetson-clocks.ts';
import type { Tensor } from '../graph/ir.ts';

/** A path on a device, always POSIX, relative to the device's edgeforge home unless it starts with '/'. */
export type RemotePath = string & { readonly __remote?: unique symbol };
/** A program and its arguments, never a shell string: quoting is the transport's business. */
export type Command = readonly [program: string, ...args: string[]];
export interface Finished {
  readonly command: Command;
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Work on a device. Detached jobs survive a cut connection: log and exit code are files there. */
export interface Job {
  readonly words: Command;
  readonly cwd?: RemotePath;
  readonly env?: Readonly<Record<string, string>>;
  readonly log: RemotePath;
  readonly produces: readonly RemotePath[];
  /** What it may leave behind when it is cancelled: removed then, beside what it produces. */
  readonly scraps?: readonly RemotePath[];
  readonly detach: boolean;
  readonly limitMs: number;
}

export interface ExecOptions {
  readonly signal?: AbortSignal;
  readonly onLine?: (line: string, stream: 'stdout' | 'stderr') => void;
  readonly limitMs?: number;
  readonly input?: Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: RemotePath;
}
export interface PushReport {
  readonly digest: Digest;
  readonly bytes: number;
  readonly sent: number;
  readonly hashMs: number;
  readonly transferMs: number;
  readonly syncMs: number;
}

/** How commands and bytes reach a machine. Knows nothing of models. Every operation settles when the connection closes. */
export interface Transport extends AsyncDisposable {
  readonly name: string;
  /** Digest of the host key (ssh) or of the machine id (local): two equal boards are two devices. */
  readonly deviceId: Digest;
  /** Runs words in the device's edgeforge home (~/.edgeforge); relative paths in words mean that folder. A non-zero exit code is a result, not an error. */
  exec(command: Command, options?: ExecOptions): Promise<Finished>;
  /** Runs a job, attached or detached-and-polled; re-attaches to one that already runs. `stdout` of the result is the job's whole log, both streams merged. */
  run(job: Job, options?: ExecOptions): Promise<Finished>;
  /** Content-addressed, resumable; returns where it lies on the device. Sends nothing where the digest is there. */
  push(
    local: string,
    digest: Digest,
    options?: { readonly signal?: AbortSignal; readonly onProgress?: (sent: number, total: number) => void },
  ): Promise<{ readonly path: RemotePath; readonly report: PushReport }>;
  fetch(remote: RemotePath, local: string, options?: { readonly signal?: AbortSignal }): Promise<void>;
  /** Bytes sent and received so far, the handshake apart. */
  traffic(): { readonly sent: number; readonly received: number; readonly handshake: number };
}

/** What a program that plays another one bears in its first bytes (see `Facts.emulated`). */
export const standInMark = 'edgeforge-stand-in';
/** `root`: we are root; `all`: any command without a password; `some`: those named; `none`: a password is asked, or there is no sudo. */
export interface SudoRights {
  readonly rights: 'root' | 'all' | 'some' | 'none';
  readonly commands: readonly string[];
}

/** What is known of a device. Identity facts enter fingerprints; the rest only measurements. */
export interface Facts {
  readonly deviceId: string;
  readonly kind: 'jetson' | 'dgpu' | 'linux';
  readonly architecture: 'x64' | 'arm64' | 'other';
  readonly model: string;
  readonly os: string;
  readonly kernel: string;
  readonly glibc?: string;
  readonly cpu: { readonly model: string; readonly cores: number; readonly features: readonly string[] };
  readonly memoryMB: number;
  readonly freeDiskMB: number;
  readonly home: string;
  readonly l4t?: { readonly release: number; readonly revision: string };
  readonly jetpack?: string;
  readonly tensorrt?: string;
  readonly cuda?: string;
  readonly deepstream?: string;
  readonly sm?: string;
  readonly gpu?: string;
  readonly powerMode?: string;
  /** SoC (`tegra234`) and module part (`p3767-0005`) of a Jetson. */
  readonly soc?: string;
  readonly module?: string;
  /** Absolute path of trtexec, where there is one. */
  readonly trtexec?: string;
  /** Memory that a build could have now, and swap, in MiB. */
  readonly availableMB?: number;
  readonly swapMB?: number;
  readonly swapFreeMB?: number;
  readonly cudnn?: string;
  /** Who we are there, and what that user may do as root without a password. */
  readonly user?: string;
  readonly sudo?: SudoRights;
  readonly powerModeId?: number;
  readonly powerModes?: readonly { readonly id: number; readonly name: string }[];
  /** As jetson_clocks shows them; only root may ask. */
  readonly clocks?: JetsonClocks;
  readonly temperaturesC?: Readonly<Record<string, number>>;
  /** Programs that take more than a tenth of a core, the greediest first. */
  readonly busy?: readonly { readonly percent: number; readonly command: string }[];
  /** A desktop runs there: it takes memory and the GPU's time. */
  readonly desktop?: boolean;
  /** Where python3 finds its `tensorrt` module. */
  readonly pythonTensorrt?: string;
  /** Absolute path of tao-converter (or tlt-converter). */
  readonly converter?: string;
  /** We are inside a container: TensorRT is the image's, clocks and power are the host's. */
  readonly container?: boolean;
  /** What plays the processor, where it is no real one: its times say nothing of any device. */
  readonly emulator?: string;
  /** True where the processor or one of NVIDIA's programs is played by something else: nothing from there is ever graded `measured`. */
  readonly emulated: boolean;
  readonly at: string;
}
export type FactName = keyof Facts;
/** Command and pure parser: how one thing about a device is learnt. */
export interface Fact<T> {
  readonly command: Command;
  parse(finished: Finished): T;
}

/** A file that must lie on the device before a runtime works, by digest. `archive`: unpacked there into a folder named by digest. */
export interface Payload {
  readonly name: string;
  readonly local: string;
  readonly digest: Digest;
  readonly archive: boolean;
  readonly executable: boolean;
}

/** An encrypted model that the device's own converter turns into an engine. Its key is no part of it: that goes beside a build, never into words. */
export interface EtltModel {
  /** What is inside, by the file's header. */
  readonly payload: 'onnx' | 'uff';
  /** Output nodes; empty only for ONNX, which knows its own. */
  readonly outputs: readonly string[];
  /** The network's batch is open: the engine needs a profile. */
  readonly open: boolean;
}
/** What to build from which artifacts. Paths are remote. */
export interface EngineSpec {
  readonly model: RemotePath;
  readonly modelDigest: Digest;
  readonly precision: Precision;
  readonly batch: number;
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  readonly calibration?: { readonly path: RemotePath; readonly digest: Digest };
  /** True where the model carries its ranges as Q/DQ pairs: INT8 without a cache. */
  readonly quantized?: boolean;
  readonly engine: RemotePath;
  readonly threads: number;
  readonly workspaceMiB?: number;
  readonly dlaCore?: number;
  /** Set where `model` is an .etlt that the device's converter is to read. */
  readonly etlt?: EtltModel;
}
/** What decides whether an engine is stale. Stored instead of the engine, which stays on its device. */
export interface Passport {
  readonly engine: { readonly path: RemotePath; readonly digest: Digest; readonly bytes: number };
  readonly precision: Precision;
  readonly batch: number;
  /** Input shapes as built, the batch included. */
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  readonly modelDigest: Digest;
  readonly calibrationDigest?: Digest;
  readonly runtime: string;
  readonly deviceId: string;
  readonly sm?: string;
  readonly l4t?: string;
  readonly tensorrt?: string;
  readonly words: Command;
  readonly buildSeconds: number;
  /** What the engine's layers run in, where the device's TensorRT tells (8.2 and later). */
  readonly layers?: EngineLayers;
  /** Of several builds of the same engine: the median latency of each, in their order, and which was kept. */
  readonly builds?: { readonly p50Ms: readonly number[]; readonly kept: number };
  /** Built by a stand-in: whatever it shows is emulated, on whatever device. */
  readonly emulated?: boolean;
  readonly notes: readonly string[];
}
export interface BuildProgress {
  readonly done: number;
  readonly total: number;
  readonly message: string;
  /** What is counted; left out: stages of the work. */
  readonly unit?: 'bytes';
}
export type Failure = EdgeError;
/** What the device has for one build, asked just before it. */
export interface BuildRoom {
  readonly modelBytes: number;
  readonly freeDiskMB: number;
  readonly availableMB?: number;
  readonly swapFreeMB?: number;
  /** Text of engines/history: one line per finished build. */
  readonly history: string;
  /** This very build runs there already, or has ended unseen. */
  readonly running: boolean;
}
/** What a build will take; `seconds` and `basis` only where earlier builds tell. */
export interface BuildForecast {
  readonly peakMB: number;
  readonly diskMB: number;
  readonly seconds?: number;
  readonly basis?: string;
  readonly notes: readonly string[];
}
/** Tensors for the device's runner: one file of concatenated images per input, and how many. */
export interface TensorSet {
  readonly n: number;
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** What the reader of these should know: that fewer images were run than asked for, and why. */
  readonly note?: string;
}

/** One engine to measure and how. Entries of one job share warm-up, duration and rounds of their own protocol. */
export interface BenchEntry {
  readonly passport: Passport;
  readonly protocol: Protocol;
}

/** What turns a spec into jobs and their output into values. Pure: touches no device itself. */
export interface Runtime {
  readonly name: 'tensorrt' | 'onnxruntime';
  readonly needs: readonly FactName[];
  /** Name and version as it stands in passports, evidence and fingerprints: `onnxruntime 1.30.0`, `tensorrt 10.3.0`. */
  version(facts: Facts): string;
  /** Why this cannot work on this device, before anything is uploaded. */
  refuse(
    spec: { readonly precision: Precision; readonly batch: number; readonly dlaCore?: number; readonly calibration: boolean; readonly etlt?: EtltModel },
    facts: Facts,
  ): EdgeError | undefined;
  payloads(facts: Facts): Promise<readonly Payload[]>;
  /** Time, memory and disk of a build, or why it cannot fit. Absent: builds take nothing worth a forecast. */
  forecast?(spec: EngineSpec, facts: Facts, room: BuildRoom): BuildForecast | Failure;
  build(spec: EngineSpec, facts: Facts, payload: ReadonlyMap<string, RemotePath>): Job;
  progress(line: string, state: BuildProgress): BuildProgress;
  built(spec: EngineSpec, facts: Facts, finished: Finished, log: string): Passport | Failure;
  /** Several engines in alternating rounds within one job, so that drift hits all of them alike; one protocol each (batches may differ). */
  bench(entries: readonly BenchEntry[], facts: Facts, payload: ReadonlyMap<string, RemotePath>): Job;
  /** In the entries' order. */
  measured(entries: readonly BenchEntry[], facts: Facts, finished: Finished, log: string): readonly Measurement[] | Failure;
  /** Runs n inputs (a raw little-endian float32 file, [n, …]) through the engine; writes outputs beside, one raw file each. */
  infer(passport: Passport, input: RemotePath, n: number, outputFolder: RemotePath, facts: Facts, payload: ReadonlyMap<string, RemotePath>): Job;
  inferred(finished: Finished, files: ReadonlyMap<string, Uint8Array>): TensorSet | Failure;
}
