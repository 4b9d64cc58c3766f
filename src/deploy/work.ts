import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EdgeError } from '../core/errors.ts';
import type { Measurement, Protocol } from '../core/evidence.ts';
import { type Digest, digestOfFile } from '../core/fingerprint.ts';
import { remainingText } from './build-forecast.ts';
import type { BenchEntry, BuildForecast, BuildProgress, BuildRoom, EngineSpec, Finished, Job, Passport, PushReport, RemotePath, TensorSet } from './device.ts';
import { withDeviceLock } from './lock.ts';
import type { Device } from './open-device.ts';
import { script } from './quote.ts';
import { enginesPresent, ensurePayloads } from './remote-store.ts';
import { keepKeyScript, keyFileOf } from './runtimes/_trtexec-scripts.ts';
import { type BoardSetting, boardSettingsFor } from './sudo-rules.ts';
import { jobFolder } from './transports/_jobs.ts';

/** What the callers of long work may give: cancel, and hear of progress. */
export interface WorkOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: BuildProgress) => void;
}
/** What a build may need besides. */
export interface BuildOptions extends WorkOptions {
  /** The key of `spec.etlt`: it reaches the device as a command's input, into a file that only its user reads and that the build removes. */
  readonly key?: string;
}

const dryError = (device: Device): EdgeError => new EdgeError('usage', `"${device.name}" is opened for a dry run: nothing is built or measured.`, { hint: 'Leave --dry-run out.' });

/** Pushes a local file by content and returns its path on the device; nothing is sent where it is there. */
export async function pushFile(
  device: Device,
  local: string,
  { signal, onProgress }: WorkOptions = {},
): Promise<{ readonly path: RemotePath; readonly digest: Digest; readonly sent: number; readonly report: PushReport }> {
  const start = performance.now();
  const digest = await digestOfFile(local);
  const hashMs = performance.now() - start;
  const { path, report } = await device.transport.push(local, digest, {
    ...(signal ? { signal } : {}),
    ...(onProgress ? { onProgress: (done, total) => onProgress({ done, total, unit: 'bytes', message: `pushing ${local.split('/').at(-1)}` }) } : {}),
  });
  return { path, digest, sent: report.sent, report: { ...report, hashMs: report.hashMs + hashMs } };
}

const payloadOf = async (device: Device, { signal, onProgress }: WorkOptions): Promise<ReadonlyMap<string, RemotePath>> =>
  (
    await ensurePayloads(device.transport, await device.runtime.payloads(device.facts), {
      ...(signal ? { signal } : {}),
      ...(onProgress ? { onPush: (name, done, total) => onProgress({ done, total, unit: 'bytes', message: `pushing the runtime (${name})` }) } : {}),
    })
  ).paths;

async function runJob(device: Device, job: Job, { signal, onProgress }: WorkOptions): Promise<Finished> {
  let state: BuildProgress = { done: 0, total: 1, message: 'starting' };
  return device.transport.run(job, {
    ...(signal ? { signal } : {}),
    ...(onProgress
      ? {
          onLine: line => {
            const next = device.runtime.progress(line, state);
            if (next !== state) onProgress(next);
            state = next;
          },
        }
      : {}),
  });
}
const orThrow = <T>(value: T | EdgeError): T => {
  if (value instanceof EdgeError) throw value;
  return value;
};
const wishOf = (spec: EngineSpec) => ({
  precision: spec.precision,
  batch: spec.batch,
  calibration: spec.calibration !== undefined || spec.quantized === true,
  ...(spec.dlaCore === undefined ? {} : { dlaCore: spec.dlaCore }),
  ...(spec.etlt ? { etlt: spec.etlt } : {}),
});

/** The device to ourselves while `work` runs; a dry run has nothing to keep others from. */
const alone = <T>(device: Device, purpose: string, work: () => Promise<T>): Promise<T> => (device.dry ? work() : withDeviceLock(device.transport, purpose, work));

/** What the device has for this build just now, and whether it is under way there already: one round trip. */
async function roomFor(device: Device, spec: EngineSpec, job: Job): Promise<BuildRoom> {
  const text = `stat -c %s "$1" || echo 0; df -Pk . | awk 'NR==2 {print int($4/1024)}'; cat /proc/meminfo | awk '/^MemAvailable/ {a=int($2/1024)} /^SwapFree/ {s=int($2/1024)} END {print a, s}'; [ -d "$2" ] && echo 1 || echo 0; cat engines/history 2>/dev/null`;
  const { stdout } = await device.transport.exec(script(text, spec.model, jobFolder(job)), { limitMs: 60_000 });
  const [bytes, disk, memory = '', running, ...history] = stdout.split('\n');
  const [available, swap] = memory.split(' ').map(value => (value === '' ? undefined : Number(value)));
  return {
    modelBytes: Number(bytes),
    freeDiskMB: Number(disk),
    ...(available === undefined ? {} : { availableMB: available }),
    ...(swap === undefined ? {} : { swapFreeMB: swap }),
    running: running === '1',
    history: history.join('\n'),
  };
}

/** Progress of a build with what is left of it by its forecast. */
function withRemaining(options: WorkOptions, forecast: BuildForecast): WorkOptions {
  const { onProgress } = options;
  if (!onProgress || forecast.seconds === undefined) return options;
  const start = performance.now();
  return { ...options, onProgress: progress => onProgress({ ...progress, message: `${progress.message}${remainingText(forecast, (performance.now() - start) / 1000)}` }) };
}

/** The spec with its workspace decided: its own, the device's, the target's. */
function withWorkspace(device: Device, spec: EngineSpec): EngineSpec {
  const workspaceMiB = spec.workspaceMiB ?? device.workspaceMiB ?? device.target.defaults.workspaceMiB;
  return workspaceMiB === undefined ? spec : { ...spec, workspaceMiB };
}

/** The key of an .etlt on the device while its build runs; gone afterwards, whatever happened. */
async function withKey<T>({ transport }: Device, { engine, etlt }: EngineSpec, key: string | undefined, work: () => Promise<T>): Promise<T> {
  if (!etlt) return work();
  if (key === undefined) throw new EdgeError('key-missing', 'A converter needs the key of the .etlt.', { hint: 'Give --key-file FILE, or set EDGEFORGE_KEY.' });
  const kept = await transport.exec(keepKeyScript(engine), { input: new TextEncoder().encode(key), limitMs: 60_000 });
  if (kept.exitCode !== 0) throw new EdgeError('device-refused', `The key cannot be kept on the device: ${kept.stderr.trim()}`, { hint: 'Is its disk full? Try: df -h ~' });
  try {
    return await work();
  } finally {
    await transport.exec(['rm', '-f', keyFileOf(engine)]).catch(() => {});
  }
}

/** Refuses early (what the device cannot do, what does not fit), brings the payload, builds under the device's lock, returns the passport. Throws EdgeError. */
export async function buildEngine(device: Device, wish: EngineSpec, { key, ...options }: BuildOptions = {}): Promise<Passport> {
  const { runtime, facts } = device;
  const spec = withWorkspace(device, wish);
  const refusal = runtime.refuse(wishOf(spec), facts);
  if (refusal) throw refusal;
  return alone(device, `building ${spec.engine}`, async () => {
    const payload = await payloadOf(device, options);
    const job = runtime.build(spec, facts, payload);
    const forecast = runtime.forecast && !device.dry ? orThrow(runtime.forecast(spec, facts, await roomFor(device, spec, job))) : undefined;
    const finished = await withKey(device, spec, key, () => runJob(device, job, forecast ? withRemaining(options, forecast) : options));
    if (device.dry) throw dryError(device);
    const passport = orThrow(runtime.built(spec, facts, finished, finished.stdout));
    return forecast && forecast.notes.length > 0 ? { ...passport, notes: [...passport.notes, ...forecast.notes] } : passport;
  });
}

/** What of a passport decides whether its engine can still be used. */
interface BuiltFor extends Pick<Passport, 'runtime' | 'deviceId'> {
  readonly sm?: string | undefined;
  readonly l4t?: string | undefined;
}
/** What a build would take on the device as it is now, or why it would be refused; undefined where the runtime foretells nothing. Nothing is written there. */
export async function forecastOf(device: Device, wish: EngineSpec, modelBytes: number): Promise<BuildForecast | EdgeError | undefined> {
  const { runtime, facts } = device;
  const spec = withWorkspace(device, wish);
  const refusal = runtime.refuse(wishOf(spec), facts);
  if (refusal || !runtime.forecast) return refusal;
  return runtime.forecast(spec, facts, { ...(await roomFor(device, spec, runtime.build(spec, facts, new Map()))), modelBytes });
}

/** Why an engine cannot be used on the device any more, in one sentence; undefined where it can. */
export function staleBecause(passport: BuiltFor, { facts, runtime }: Pick<Device, 'facts' | 'runtime'>): string | undefined {
  const now = runtime.version(facts);
  const l4t = facts.l4t && `${facts.l4t.release}.${facts.l4t.revision}`;
  if (passport.deviceId !== facts.deviceId) return `it was built on another device (${passport.deviceId.slice(0, 8)}); engines are never copied`;
  const changes = [
    passport.runtime === now ? '' : `${passport.runtime}, this is ${now}`,
    passport.sm === undefined || passport.sm === facts.sm ? '' : `sm ${passport.sm}, this is sm ${facts.sm}`,
    passport.l4t === undefined || passport.l4t === l4t ? '' : `L4T ${passport.l4t}, this is L4T ${l4t}`,
  ].filter(Boolean);
  return changes.length > 0 ? `it was built for ${changes.join('; ')}` : undefined;
}
/** Throws `device-refused` for the first engine that cannot be used on the device any more; a dry run asks for none. */
export function refuseStale(device: Device, passports: readonly Passport[]): void {
  for (const passport of device.dry ? [] : passports) {
    const why = staleBecause(passport, device);
    if (why !== undefined)
      throw new EdgeError('device-refused', `The engine ${passport.engine.path} is stale: ${why}.`, { hint: `Build it again: edgeforge deploy ${device.name}` });
  }
}

/** Throws where the device cannot be set to what it is to be measured with: asked before anything is built for it too. */
export function refuseSetting({ name, runtime, facts, dry }: Device, setting: BoardSetting): void {
  if (setting.powerMode === undefined && setting.gpuMHz === undefined) return;
  if (runtime.name !== 'tensorrt')
    throw new EdgeError('usage', `powerMode and gpuMHz are set by sessions of TensorRT; ${name} runs ${runtime.name}.`, { hint: 'Leave them out for this device.' });
  if (!dry) boardSettingsFor(setting, facts);
}

/** Measures several engines in alternating rounds within one session; the measurements come in the entries' order. */
export async function benchEngines(device: Device, entries: readonly BenchEntry[], options: WorkOptions = {}): Promise<readonly Measurement[]> {
  const { runtime, facts } = device;
  if (entries.length === 0) return [];
  refuseStale(
    device,
    entries.map(({ passport }) => passport),
  );
  for (const { protocol } of entries) refuseSetting(device, protocol);
  return alone(device, `measuring ${entries.length} engines`, async () => {
    const payload = await payloadOf(device, options);
    const finished = await runJob(device, runtime.bench(entries, facts, payload), options);
    if (device.dry) throw dryError(device);
    return orThrow(runtime.measured(entries, facts, finished, finished.stdout));
  });
}

/** Runs n images (a local raw little-endian float32 file [n, …]) through the very engine and brings the raw outputs back, each [n, …]. The input is pushed once, by digest. */
export async function inferOnDevice(device: Device, passport: Passport, local: string, n: number, options: WorkOptions = {}): Promise<TensorSet> {
  const { runtime, facts, transport } = device;
  const { signal } = options;
  refuseStale(device, [passport]);
  const input = await pushFile(device, local, options);
  return alone(device, `running ${n} images`, async () => {
    const payload = await payloadOf(device, options);
    const folder: RemotePath = `jobs/infer-${passport.engine.digest.slice(0, 16)}-${randomUUID().slice(0, 8)}`;
    const here = await mkdtemp(join(tmpdir(), 'edgeforge-infer-'));
    try {
      const finished = await runJob(device, runtime.infer(passport, input.path, n, folder, facts, payload), options);
      if (device.dry) throw dryError(device);
      const listed = await transport.exec(script('cd -- "$1" 2>/dev/null && ls', folder));
      const files = new Map<string, Uint8Array>();
      for (const name of listed.stdout.split('\n').filter(each => /^\w+\.(json|bin)$/.test(each))) {
        await transport.fetch(`${folder}/${name}`, join(here, name), signal ? { signal } : {});
        files.set(name, await readFile(join(here, name)));
      }
      return orThrow(runtime.inferred(finished, files));
    } finally {
      await rm(here, { recursive: true, force: true });
      await transport.exec(['rm', '-rf', folder]).catch(() => {});
    }
  });
}

/** Which of these engines still lie on the device with the digest of their passport: one round trip. */
export const enginesThere = (device: Device, passports: readonly Passport[]): Promise<readonly boolean[]> => enginesPresent(device.transport, passports);

/** Prints through a dry device everything that a deploy would run there. */
export async function rehearse(device: Device, wishes: readonly EngineSpec[], protocol: Protocol): Promise<void> {
  const { runtime, facts, transport } = device;
  const specs = wishes.map(wish => withWorkspace(device, wish));
  const refusals = specs.map(spec => runtime.refuse(wishOf(spec), facts)).filter(each => each !== undefined);
  if (refusals[0]) throw refusals[0];
  const { paths } = await ensurePayloads(transport, await runtime.payloads(facts));
  const passports: Passport[] = [];
  for (const spec of specs) {
    await transport.run(runtime.build(spec, facts, paths));
    passports.push({
      engine: { path: spec.engine, digest: spec.modelDigest, bytes: 0 },
      precision: spec.precision,
      batch: spec.batch,
      inputs: spec.inputs,
      modelDigest: spec.modelDigest,
      runtime: runtime.version(facts),
      deviceId: facts.deviceId,
      words: runtime.build(spec, facts, paths).words,
      buildSeconds: 0,
      notes: ['dry run'],
    });
  }
  const entries = passports.map(passport => ({ passport, protocol: { ...protocol, batch: passport.batch } }));
  await transport.run(runtime.bench(entries, facts, paths));
}
