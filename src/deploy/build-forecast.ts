import { z } from 'zod';
import { EdgeError } from '../core/errors.ts';
import type { Precision } from '../core/evidence.ts';
import { tensorrtOfText } from '../formats/tensorrt-version.ts';
import type { BuildForecast, BuildRoom, EngineSpec, Facts } from './device.ts';

/** A finished build, as a line of engines/history on its device tells it. */
export interface PastBuild {
  readonly model: string;
  readonly modelBytes: number;
  readonly precision: Precision;
  readonly batch: number;
  readonly seconds: number;
  /** How far available memory fell; 0 where the kernel does not say it. */
  readonly peakMB: number;
}
const pastBuild = z.object({
  model: z.string().min(1),
  modelBytes: z.coerce.number().positive(),
  precision: z.enum(['fp32', 'fp16', 'int8']),
  batch: z.coerce.number().int().positive(),
  seconds: z.coerce.number().nonnegative(),
  peakMB: z.coerce.number().nonnegative(),
});

/** The words before seconds and peak that a build leaves in the history: model, bytes, precision, batch. */
export const historyKey = ({ modelDigest, precision, batch }: Pick<EngineSpec, 'modelDigest' | 'precision' | 'batch'>): string =>
  `${modelDigest.slice(0, 12)} @BYTES@ ${precision} ${batch}`;

/** Reads engines/history; a line cut off by a power loss is passed over. */
export const parseHistory = (text: string): readonly PastBuild[] =>
  text
    .split('\n')
    .map(line => line.trim().split(/\s+/))
    .flatMap(([model, modelBytes, precision, batch, seconds, peakMB]) => {
      const parsed = pastBuild.safeParse({ model, modelBytes, precision, batch, seconds, peakMB });
      return parsed.success ? [parsed.data] : [];
    });

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)]!;

/** What a builder takes before it knows the network, in MiB: CUDA, its kernels and (up to 8.5) cuDNN and cuBLAS; read off the MemUsage lines of public logs. */
export function builderMB(tensorrt: string | undefined): number {
  const version = tensorrt === undefined ? undefined : tensorrtOfText(tensorrt);
  if (!version) return 900;
  if (version.major < 8 || (version.major === 8 && version.minor < 6)) return 700;
  return version.major < 10 ? 1300 : 850;
}

/** How long a build like this took here: the same model and precision, else others in proportion to their bytes. */
function secondsOf(spec: EngineSpec, modelBytes: number, history: readonly PastBuild[]): { readonly seconds: number; readonly basis: string } | undefined {
  const same = history.filter(({ model, precision }) => spec.modelDigest.startsWith(model) && precision === spec.precision);
  const builds = (n: number): string => (n === 1 ? '1 earlier build' : `${n} earlier builds`);
  if (same.length > 0) return { seconds: median(same.map(({ seconds }) => seconds)), basis: `${builds(same.length)} of this model here` };
  const alike = history.filter(({ precision }) => precision === spec.precision);
  const others = alike.length > 0 ? alike : history;
  if (others.length === 0) return undefined;
  return { seconds: median(others.map(({ seconds, modelBytes: bytes }) => (seconds * modelBytes) / bytes)), basis: `${builds(others.length)} of other models here, by size` };
}

/** The words that give a board four gigabytes of swap until its next boot. */
export const swapWords = 'sudo fallocate -l 4G /swapfile && sudo chmod 600 /swapfile && sudo mkswap /swapfile && sudo swapon /swapfile';

/** The mends for a build that does not fit, the cheapest first. */
function ladder(spec: EngineSpec, facts: Facts, workspaceMiB: number): string {
  const steps = [
    workspaceMiB > 256 ? `a smaller workspace (workspaceMiB: ${Math.max(256, workspaceMiB / 2)} at the device in edgeforge.yaml)` : '',
    facts.desktop ? 'no desktop (sudo systemctl isolate multi-user.target)' : '',
    facts.busy?.[0] ? `an end to ${facts.busy[0].command} (${facts.busy[0].percent} % of a core)` : '',
    facts.kind === 'jetson' ? `swap (${swapWords})` : '',
    spec.batch > 1 ? `a smaller batch than ${spec.batch}` : '',
  ].filter(Boolean);
  return `In this order: ${steps.join('; ') || 'end other programs on the device'}.`;
}

/** Time, memory and disk that a build will take, from the device's own earlier builds where there are any; refused with a ladder of mends where it cannot fit. */
export function forecastBuild(spec: EngineSpec, facts: Facts, room: BuildRoom): BuildForecast | EdgeError {
  const history = parseHistory(room.history);
  const workspaceMiB = spec.workspaceMiB ?? 1024;
  const modelMB = room.modelBytes / 2 ** 20;
  const seen = history.filter(({ model, precision, peakMB }) => spec.modelDigest.startsWith(model) && precision === spec.precision && peakMB > 0);
  const peakMB = Math.ceil(seen.length > 0 ? Math.max(...seen.map(past => past.peakMB)) : builderMB(facts.tensorrt) + 4 * modelMB + workspaceMiB);
  const diskMB = Math.ceil(2.5 * modelMB + 64);
  const memory = room.availableMB ?? facts.availableMB ?? facts.memoryMB;
  const swap = room.swapFreeMB ?? facts.swapFreeMB ?? 0;
  // What runs already has passed this gate, and holds the memory that it would miss.
  if (!room.running && room.freeDiskMB < diskMB)
    return new EdgeError('device-full', `Building ${spec.engine} needs about ${diskMB} MiB on disk; ${room.freeDiskMB} MiB are free.`, {
      hint: 'Make room there, for example with: edgeforge device clean <device>',
    });
  if (!room.running && memory + swap < peakMB)
    return new EdgeError(
      'device-full',
      `Building ${spec.engine} needs about ${peakMB} MiB of memory (${seen.length > 0 ? 'as an earlier build here did' : `builder ${builderMB(facts.tensorrt)}, weights ${Math.ceil(4 * modelMB)}, workspace ${workspaceMiB}`}); ${memory} MiB are available${swap > 0 ? ` and ${swap} MiB of swap are free` : ', and there is no swap'}.`,
      { hint: ladder(spec, facts, workspaceMiB) },
    );
  const time = secondsOf(spec, room.modelBytes, history);
  return {
    peakMB,
    diskMB,
    ...(time ?? {}),
    notes: memory < peakMB ? [`the build was forecast to need ${peakMB} MiB with ${memory} MiB available: it leaned on swap`] : [],
  };
}

/** Seconds for people: `40 s`, `6 min`. */
export const durationText = (seconds: number): string => (seconds < 90 ? `${Math.max(1, Math.round(seconds))} s` : `${Math.round(seconds / 60)} min`);
/** What a build's progress says of its end: `, about 4 min left (3 earlier builds of this model here)`; past its time, that it is. */
export function remainingText({ seconds, basis }: Pick<BuildForecast, 'seconds' | 'basis'>, elapsedS: number): string {
  if (seconds === undefined) return '';
  return elapsedS < seconds ? `, about ${durationText(seconds - elapsedS)} left (${basis})` : `, longer than the ${durationText(seconds)} of ${basis}`;
}
